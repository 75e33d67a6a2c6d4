//! What `/proc` says about a task.

use std::fs;

use crate::sys::Tid;

/// The name of a thread (`proc_pid_comm(5)`); empty where `/proc` does not tell.
pub(crate) fn thread_name(tid: Tid) -> String {
    let name = fs::read(format!("/proc/{tid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name)
        .trim_end_matches('\n')
        .to_owned()
}

/// The process that a thread belongs to.
pub(crate) fn process_of(tid: Tid) -> Option<Tid> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let mut lines = status.lines();
    lines.find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_a_name_and_a_process() {
        let us = Tid::try_from(std::process::id()).unwrap();
        let named = std::thread::Builder::new().name("peeked".into());
        let of_thread = named.spawn(move || {
            let tid = nix::unistd::gettid().as_raw();
            (thread_name(tid), process_of(tid))
        });
        let of_thread = of_thread.unwrap().join().unwrap();
        assert_eq!(of_thread, ("peeked".to_owned(), Some(us)));
        assert_eq!(
            (thread_name(Tid::MAX), process_of(Tid::MAX)),
            (String::new(), None)
        );
    }
}
