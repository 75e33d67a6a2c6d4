//! The launcher's own sandbox, while it looks after a command.
//!
//! A launcher that stays is a way out of the command's sandbox: to a process of the same user with the right
//! privileges, `/proc/PPID/mem` is a file that can be written. So the launcher gives up its capabilities
//! and installs a filter of its own, from the same compiler: it can wait, signal the one command, stop and
//! end itself, and write to standard error. Whoever overwrites it gains nothing.
//!
//! It also forks its witnesses ([`crate::witness`]), when the command has run for a moment. They, and from then on the
//! launcher, are under a second filter, which takes back all that only this needs.
//!
//! A launcher that reports denied calls must do more: answer them, kill for them, and read what `/proc` says of the
//! caller. It can open files, but only to read them, and write to the report alone.

use crate::action::Action;
use crate::arch::Arch;
use crate::filter::{CompileError, Filter, Options};
use crate::policy::{Abi, Condition, Op, Policy, Rule, Rules, Width};
use crate::sys::caps::{self, CapDrop};
use crate::sys::{Errno, listener, process, seccomp};
use crate::syscall::Sysno;

/// Why the launcher could not be confined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    /// Its filter cannot be compiled.
    #[error("cannot compile the launcher's own filter")]
    Compile(#[from] CompileError),
    /// The kernel refused.
    #[error("cannot confine the launcher: {what}")]
    Kernel {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: Errno,
    },
}

/// What an argument must be.
type Given = (u8, Op, u64);

/// What a launcher that reports needs besides, by its descriptors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reporting {
    /// Where it is asked, and answers.
    pub(crate) listener: i32,
    /// The report.
    pub(crate) file: Option<i32>,
}

/// The filter of a launcher that looks after a child by these descriptors ([`crate::sys::spawn::Ready::fd_numbers`]).
pub(crate) fn filter(
    descriptors: [u64; 3],
    reporting: Option<Reporting>,
) -> Result<Filter, ConfineError> {
    let policy = policy(descriptors, reporting);
    Ok(Filter::compile(&policy, &Options::default())?)
}

/// Confines this process to looking after a child, under its own filter. There is no way back.
///
/// `CAP_KILL` is kept where it is held: a command that changed its user must still get its signals. Who reports keeps
/// `CAP_SYS_PTRACE`, too: it is what `/proc` asks for before it tells of another user's process. The filter allows
/// none of the calls that would do more with it.
pub(crate) fn confine(filter: &Filter, held: u64, reports: bool) -> Result<(), ConfineError> {
    let failed = |what| move |source| ConfineError::Kernel { what, source };
    let peeks = if reports { caps::SYS_PTRACE } else { 0 };
    let kept = held & (caps::KILL | peeks);
    let capabilities = CapDrop {
        bounding: 0,
        permitted: kept,
        effective: kept,
        inheritable: 0,
        ambient: 0,
    };
    caps::set(&capabilities).map_err(failed("drop capabilities"))?;
    process::set_no_new_privs().map_err(failed("set no_new_privs"))?;
    seccomp::install(filter.program(), 0)
        .map(drop)
        .map_err(failed("install its filter"))
}

/// The filter that is installed over the first when nobody is to be forked any more, for the launcher and its witnesses.
pub(crate) fn for_good() -> Result<Filter, ConfineError> {
    Ok(Filter::compile(&for_good_policy(), &Options::default())?)
}

fn for_good_policy() -> Policy {
    let whatever: &[Given] = &[];
    let refused = FORKING.into_iter().map(|(name, _)| (name, whatever));
    native(Action::Allow, NOT_ALLOWED, refused)
}

/// What the launcher may do from here on. Everything else fails with `EPERM`: were it killed instead, a
/// mistake here would leave the command without anybody who passes its signals on.
fn policy([command, gate, news]: [u64; 3], reporting: Option<Reporting>) -> Policy {
    let ours = u64::from(std::process::id());
    let exec = u64::from(libc::PROT_EXEC.cast_unsigned());
    let continued = u64::from((libc::WCONTINUED | libc::WNOHANG).unsigned_abs());
    let rules: [(&str, &[Given]); 28] = [
        // Its work.
        ("rt_sigtimedwait", &[]),
        ("wait4", &[]),
        ("waitid", &[(3, Op::Eq, continued)]),
        ("write", &[(0, Op::Eq, 2)]),
        ("write", &[(0, Op::Eq, gate)]),
        ("read", &[(0, Op::Eq, news)]),
        // Following job control.
        ("tgkill", &[(0, Op::Eq, ours)]),
        ("getsid", &[(0, Op::Eq, 0)]),
        ("getpgid", &[]),
        ("getppid", &[]),
        ("getpid", &[]),
        ("gettid", &[]),
        ("rt_sigprocmask", &[]),
        ("restart_syscall", &[]),
        ("rt_sigreturn", &[]),
        // Memory, but none that can be executed.
        ("brk", &[]),
        ("mmap", &[(2, Op::MaskedEq(exec), 0)]),
        ("mprotect", &[(2, Op::MaskedEq(exec), 0)]),
        ("mremap", &[]),
        ("munmap", &[]),
        ("madvise", &[]),
        ("futex", &[]),
        ("sigaltstack", &[]),
        // Its end.
        ("close", &[]),
        ("exit", &[]),
        ("exit_group", &[]),
        // The clock, where the vDSO does not answer.
        ("clock_gettime", &[]),
        ("gettimeofday", &[]),
    ];
    let more = match reporting {
        // It has a descriptor of the command and those of its witnesses, and no way to get another.
        None => vec![("pidfd_send_signal", vec![])],
        Some(reporting) => more(command, reporting),
    };
    let more = more.iter().map(|(name, given)| (*name, given.as_slice()));
    let rules = rules.into_iter().chain(FORKING).chain(more);
    native(NOT_ALLOWED, Action::Allow, rules)
}

/// `EPERM`.
const NOT_ALLOWED: Action = Action::Errno(1);

/// What forking the witnesses takes. The filter that ends it refuses all that these calls can do.
///
/// One condition each: a start waits until this is compiled.
const FORKING: [(&str, &[Given]); 5] = [
    (
        "clone",
        &[(CLONE_FLAGS, Op::Eq, number(process::FORK_FLAGS))],
    ),
    // A group of its own. Of others only a witness can be given one: not who executed something.
    ("setpgid", &[(1, Op::Eq, 0)]),
    // PR_SET_PDEATHSIG and PR_SET_NAME. The odd numbers between them only ask.
    ("prctl", &[(0, Op::MaskedEq(0xffff_fff1), 1)]),
    ("close_range", &[]),
    // No flags: no listener.
    ("seccomp", &[(1, Op::Eq, 0)]),
];

/// Where `clone` has its flags.
const CLONE_FLAGS: u8 = if cfg!(target_arch = "s390x") { 1 } else { 0 };

const fn number(value: i32) -> u64 {
    // A constant of the kernel, which is none below 0.
    value.cast_unsigned() as u64
}

/// A policy for this machine's own calls alone: one action for those that are listed, another for all others.
fn native<'a>(
    default: Action,
    action: Action,
    listed: impl Iterator<Item = (&'a str, &'a [Given])>,
) -> Policy {
    let rules = listed.enumerate().filter_map(|(origin, (name, given))| {
        // A name that this architecture lacks is one that the launcher does not call here.
        let sysno = Sysno::parse(Arch::NATIVE, name)?;
        let condition = |&(arg, op, value): &Given| Condition::new(arg, Width::W32, op, value);
        let rule = Rule {
            conditions: given.iter().filter_map(condition).collect(),
            action,
            origin,
        };
        Some((sysno.nr, [rule]))
    });
    let syscalls: Rules = rules.collect();
    let abi = Abi {
        arch: Arch::NATIVE,
        default,
        newer: None,
        syscalls,
    };
    Policy {
        abis: vec![abi],
        bad_arch: Action::KillProcess,
    }
}

/// What reporting takes besides.
fn more(command: u64, reporting: Reporting) -> Vec<(&'static str, Vec<Given>)> {
    let (kill, trap) = (number(libc::SIGKILL), number(libc::SIGSYS));
    let writes = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC;
    let only_reads = |flags| (flags, Op::MaskedEq(u64::from(writes.unsigned_abs())), 0);
    let mut rules = vec![
        ("poll", vec![]),
        ("ppoll", vec![]),
        // Reading what /proc says. A descriptor that can be read is one that was opened for it.
        ("openat", vec![only_reads(2)]),
        ("read", vec![]),
        ("pread64", vec![]),
        ("readlink", vec![]),
        ("readlinkat", vec![]),
        ("fstat", vec![]),
        ("statx", vec![]),
        ("newfstatat", vec![]),
        ("lseek", vec![]),
        // Killing, and telling of a trapped call.
        ("rt_tgsigqueueinfo", vec![(2, Op::Eq, trap)]),
        ("pidfd_open", vec![]),
        ("pidfd_send_signal", vec![(0, Op::Eq, command)]),
        ("pidfd_send_signal", vec![(1, Op::Eq, kill)]),
        ("pidfd_send_signal", vec![(1, Op::Eq, number(libc::SIGURG))]),
        ("tgkill", vec![(2, Op::Eq, kill)]),
    ];
    if cfg!(target_env = "musl") {
        // Which prefers the older calls where there are any.
        rules.push(("open", vec![only_reads(1)]));
        rules.extend(["stat", "lstat"].map(|name| (name, vec![])));
    }
    for request in listener::REQUESTS {
        let its = (0, Op::Eq, number(reporting.listener));
        rules.push(("ioctl", vec![its, (1, Op::Eq, request)]));
    }
    if let Some(file) = reporting.file {
        let file = (0, Op::Eq, number(file));
        rules.extend(["write", "ftruncate"].map(|name| (name, vec![file])));
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Call;

    /// Does the launcher's policy allow this call?
    fn allows(policy: &Policy, name: &str, first: [u64; 3]) -> bool {
        let sysno = Sysno::parse(Arch::NATIVE, name).unwrap();
        let [a, b, c] = first;
        let call = Call {
            audit: sysno.arch.audit(),
            nr: sysno.nr,
            args: [a, b, c, 0, 0, 0],
        };
        policy.evaluate(&call) == Action::Allow
    }

    #[test]
    fn a_launcher_can_do_its_work_and_nothing_else() {
        let reporting = Reporting {
            listener: 7,
            file: Some(8),
        };
        let policies = [None, Some(reporting)].map(|reporting| policy([4, 5, 6], reporting));
        let (read_only, create) = (0x80000, 0x80041);
        // SECCOMP_IOCTL_NOTIF_ADDFD.
        let (receive, add) = (listener::REQUESTS[0], 0x4018_2103);
        let seize = u64::from(libc::PTRACE_SEIZE);
        let poke = u64::from(libc::PTRACE_POKEDATA);
        let fork = number(process::FORK_FLAGS);
        let thread = number(libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND);
        let listening = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        // The call, and which launchers may make it: a plain one, one that reports.
        let cases: [(&str, [u64; 3], [bool; 2]); 39] = [
            ("wait4", [u64::MAX, 0, 0], [true, true]),
            // It may ask for a continued child, not for another's status.
            ("waitid", [1, 0, 0], [false, false]),
            ("write", [2, 0, 0], [true, true]),
            ("write", [5, 0, 0], [true, true]),
            ("write", [8, 0, 0], [false, true]),
            ("write", [9, 0, 0], [false, false]),
            ("read", [6, 0, 0], [true, true]),
            ("read", [9, 0, 0], [false, true]),
            ("pidfd_send_signal", [4, 15, 0], [true, true]),
            ("pidfd_open", [1, 0, 0], [false, true]),
            // A witness, by what wakes or ends it. Who reports can have a descriptor of anybody.
            ("pidfd_send_signal", [9, 9, 0], [true, true]),
            ("pidfd_send_signal", [9, 23, 0], [true, true]),
            ("pidfd_send_signal", [9, 19, 0], [true, false]),
            ("clone", [fork, fork, 0], [true, true]),
            ("clone", [thread, thread, 0], [false, false]),
            ("setpgid", [0, 0, 0], [true, true]),
            ("setpgid", [0, 7, 0], [false, false]),
            ("prctl", [15, 0, 0], [true, true]),
            // Dumpable again.
            ("prctl", [4, 1, 0], [false, false]),
            ("seccomp", [1, 0, 0], [true, true]),
            ("seccomp", [1, listening, 0], [false, false]),
            ("openat", [0, 0, read_only], [false, true]),
            ("openat", [0, 0, create], [false, false]),
            ("openat", [0, 0, 1], [false, false]),
            ("openat", [0, 0, 2], [false, false]),
            ("openat", [0, 0, 0x200], [false, false]),
            ("ioctl", [7, receive, 0], [false, true]),
            ("ioctl", [7, add, 0], [false, false]),
            ("ioctl", [2, receive, 0], [false, false]),
            ("ftruncate", [8, 0, 0], [false, true]),
            ("ptrace", [seize, 1, 0], [false, false]),
            ("ptrace", [poke, 1, 0], [false, false]),
            ("tgkill", [1, 1, 9], [false, true]),
            ("tgkill", [1, 1, 19], [false, false]),
            ("rt_tgsigqueueinfo", [1, 1, 31], [false, true]),
            ("rt_tgsigqueueinfo", [1, 1, 15], [false, false]),
            ("mprotect", [0, 0, 4], [false, false]),
            ("execve", [0, 0, 0], [false, false]),
            ("process_vm_writev", [1, 0, 0], [false, false]),
        ];
        for (name, args, want) in cases {
            let got = policies.each_ref().map(|policy| allows(policy, name, args));
            assert_eq!(got, want, "{name} {args:x?}");
        }
        // What is taken back is all that forking takes, and nothing that waiting takes.
        let for_good = for_good_policy();
        for (name, args, _) in cases {
            let taken = FORKING.iter().any(|(forking, _)| *forking == name);
            assert_eq!(allows(&for_good, name, args), !taken, "{name} {args:x?}");
        }
    }
}
