//! The calls of container runtimes: what they make themselves under a profile that is the program's.
//!
//! A runtime installs the filter and then has something left to do before it executes the program. With
//! `no_new_privs` that is little. Without it the filter needs a privilege, so it goes in before the runtime changes user and
//! gives up its capabilities.
//!
//! The data is that of `tests/tools/runtime_calls.py`, which finds it for another version too: x86-64, Linux 6.18,
//! Debian's packages (bookworm, sid).

use std::collections::BTreeSet;

/// A call: in how many of twenty starts the runtime was seen to make it, and how many of twenty failed when only this
/// call was denied (EPERM). A start is create, start, exec.
type Use = (&'static str, u8, u8);

/// A runtime in one setting.
struct Experiment {
    runtime: &'static str,
    no_new_privs: bool,
    calls: Vec<Use>,
}

/// `experiments! { "runc", with no_new_privs [("execve", 20, 20)] }`, or `without`: the names are one text, in which a line
/// is an experiment, without a pointer to each, as [`constants`](crate::constants) are.
macro_rules! experiments {
    ($($runtime:literal, $setting:ident no_new_privs [$(($name:literal, $seen:literal, $failed:literal)),* $(,)?])*) => {
        const NAMES: &str = concat!($($runtime, "\t", setting!($setting) $(, "\t", $name)*, "\n"),*);
        /// Of each call in turn: in how many starts it was seen, and how many failed.
        const FIGURES: &[(u8, u8)] = &[$($(($seen, $failed)),*),*];
    };
}

/// No other word is taken.
macro_rules! setting {
    (with) => {
        "with"
    };
    (without) => {
        "without"
    };
}

/// runc 1.3 tries these and does without: no start failed when one was denied, and Docker's default profile denies all of
/// them. The program that the profile is for should not get them.
const DISPENSABLE: [&str; 4] = ["fsconfig", "fsmount", "fsopen", "open_tree"];

/// In every setting.
pub(crate) const ALWAYS: &str =
    "runtime: runc and crun make these between installing the filter and executing the program";

/// Besides.
pub(crate) const WITHOUT_NO_NEW_PRIVS: &str = "runtime: without no_new_privs, runc and crun make these too, since they install the filter before they change user";

/// The names that a profile for container runtimes allows, each once, with the reason.
pub(super) fn groups() -> [(BTreeSet<&'static str>, &'static str); 2] {
    let always = made(true);
    let besides = made(false).difference(&always).copied().collect();
    [(always, ALWAYS), (besides, WITHOUT_NO_NEW_PRIVS)]
}

/// What some runtime makes in this setting.
fn made(no_new_privs: bool) -> BTreeSet<&'static str> {
    let made = uses(no_new_privs).map(|(name, ..)| name);
    made.filter(|name| !DISPENSABLE.contains(name)).collect()
}

/// What some runtime was seen to fail without, at least once in this setting.
pub(crate) fn fatal(no_new_privs: bool) -> BTreeSet<&'static str> {
    let fatal = uses(no_new_privs).filter(|(.., failed)| *failed > 0);
    fatal.map(|(name, ..)| name).collect()
}

/// What all this is known of.
pub(crate) fn runtimes() -> BTreeSet<&'static str> {
    all().map(|experiment| experiment.runtime).collect()
}

fn uses(no_new_privs: bool) -> impl Iterator<Item = Use> {
    let wanted = all().filter(move |experiment| experiment.no_new_privs == no_new_privs);
    wanted.flat_map(|experiment| experiment.calls)
}

fn all() -> impl Iterator<Item = Experiment> {
    let mut figures = FIGURES.iter();
    NAMES.lines().filter_map(move |line| {
        let mut words = line.split('\t');
        Some(Experiment {
            runtime: words.next()?,
            no_new_privs: words.next()? == setting!(with),
            calls: words
                .zip(figures.by_ref())
                .map(|(name, &(seen, failed))| (name, seen, failed))
                .collect(),
        })
    })
}

#[rustfmt::skip]
experiments! {
    "runc 1.1.5", without no_new_privs [
        ("capget", 20, 20),
        ("capset", 20, 20),
        ("chdir", 20, 20),
        ("close", 20, 20),
        ("epoll_ctl", 20, 0),
        ("execve", 20, 20),
        ("faccessat2", 20, 0),
        ("fchown", 10, 0),
        ("fcntl", 20, 0),
        ("fstat", 20, 20),
        ("fstatfs", 20, 20),
        ("futex", 20, 20),
        ("getcwd", 20, 20),
        ("getdents64", 20, 20),
        ("getpid", 20, 0),
        ("getppid", 20, 20),
        ("newfstatat", 20, 20),
        ("openat", 20, 20),
        ("prctl", 20, 20),
        ("read", 20, 20),
        ("rt_sigreturn", 11, 1),
        ("setgid", 20, 20),
        ("setgroups", 20, 20),
        ("setuid", 20, 20),
        ("write", 20, 20),
    ]
    "runc 1.1.5", with no_new_privs [
        ("close", 20, 20),
        ("epoll_ctl", 20, 0),
        ("execve", 20, 20),
        ("fstatfs", 20, 20),
        ("futex", 18, 20),
        ("getdents64", 20, 20),
        ("getpid", 20, 0),
        ("openat", 20, 20),
        ("rt_sigreturn", 7, 4),
        ("write", 20, 20),
    ]
    "runc 1.3.6", without no_new_privs [
        ("capget", 20, 20),
        ("capset", 20, 20),
        ("chdir", 20, 20),
        ("close", 20, 20),
        ("close_range", 20, 0),
        ("epoll_ctl", 20, 0),
        ("execve", 20, 20),
        ("faccessat", 20, 0),
        ("faccessat2", 20, 0),
        ("fchown", 10, 0),
        ("fcntl", 20, 0),
        ("fsconfig", 20, 0),
        ("fsmount", 20, 0),
        ("fsopen", 20, 0),
        ("fstat", 20, 20),
        ("fstatfs", 20, 20),
        ("futex", 20, 20),
        ("getcwd", 20, 20),
        ("getdents64", 20, 20),
        ("getpid", 20, 0),
        ("getppid", 20, 20),
        ("newfstatat", 20, 20),
        ("open_tree", 20, 0),
        ("openat", 20, 20),
        ("openat2", 20, 0),
        ("prctl", 20, 20),
        ("read", 20, 20),
        ("rt_sigreturn", 18, 6),
        ("setgid", 20, 20),
        ("setgroups", 20, 20),
        ("setuid", 20, 20),
        ("statx", 20, 20),
        ("tgkill", 20, 0),
        ("uname", 20, 0),
        ("write", 20, 20),
    ]
    "runc 1.3.6", with no_new_privs [
        ("close", 20, 20),
        ("execve", 20, 20),
        ("fcntl", 20, 0),
        ("fstat", 20, 20),
        ("fstatfs", 20, 20),
        ("futex", 18, 20),
        ("getdents64", 20, 20),
        ("openat", 20, 20),
        ("openat2", 20, 0),
        ("rt_sigreturn", 1, 3),
        ("statx", 20, 20),
        ("write", 20, 20),
    ]
    "crun 1.8.1", without no_new_privs [
        ("capset", 20, 20),
        ("close", 20, 0),
        ("execve", 20, 20),
        ("fchown", 20, 0),
        ("ioctl", 20, 0),
        ("openat", 20, 20),
        ("prctl", 20, 20),
        ("pselect6", 20, 20),
        ("read", 20, 20),
        ("rt_sigaction", 20, 20),
        ("rt_sigprocmask", 20, 20),
        ("setgroups", 20, 20),
        ("setresgid", 20, 20),
        ("setresuid", 20, 20),
        ("statx", 20, 20),
        ("umask", 20, 0),
        ("write", 20, 20),
    ]
    "crun 1.8.1", with no_new_privs [
        ("close", 20, 0),
        ("execve", 20, 20),
        ("umask", 20, 0),
        ("write", 20, 20),
    ]
    "crun 1.28", without no_new_privs [
        ("capset", 20, 20),
        ("close", 20, 0),
        ("close_range", 20, 0),
        ("execve", 20, 20),
        ("fchown", 20, 0),
        ("fstat", 20, 20),
        ("ioctl", 20, 0),
        ("openat", 20, 20),
        ("prctl", 20, 20),
        ("pselect6", 20, 20),
        ("read", 20, 20),
        ("rt_sigaction", 20, 20),
        ("rt_sigprocmask", 20, 20),
        ("setgroups", 20, 20),
        ("setresgid", 20, 20),
        ("setresuid", 20, 20),
        ("statx", 20, 20),
        ("umask", 20, 0),
        ("write", 20, 20),
    ]
    "crun 1.28", with no_new_privs [
        ("close", 20, 0),
        ("close_range", 20, 0),
        ("execve", 20, 20),
        ("umask", 20, 0),
        ("write", 20, 20),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;
    use crate::syscall::Sysno;

    const STARTS: u8 = 20;

    #[test]
    fn the_figures_are_possible() {
        let mut told = BTreeSet::new();
        assert_eq!(
            all().map(|one| one.calls.len()).sum::<usize>(),
            FIGURES.len()
        );
        for experiment in all() {
            let about = (experiment.runtime, experiment.no_new_privs);
            assert!(told.insert(about), "{about:?} comes twice");
            let calls = experiment.calls;
            assert!(calls.is_sorted(), "{about:?}");
            for &(name, seen, failed) in &calls {
                assert!(Sysno::parse(Arch::X86_64, name).is_some(), "{name}");
                assert!((1..=STARTS).contains(&seen), "{about:?} {name}: not seen");
                assert!(failed <= STARTS, "{about:?} {name}");
            }
            let starts = calls.contains(&("execve", STARTS, STARTS));
            assert!(starts, "{about:?}: nothing runs without execve");
        }
        // Each runtime in both settings.
        assert_eq!(told.len(), all().count());
        for (runtime, setting) in &told {
            assert!(told.contains(&(*runtime, !setting)), "{runtime}");
        }
    }

    #[test]
    fn nothing_that_a_start_needs_is_left_out_and_little_is_added() {
        let [(always, _), (besides, _)] = groups();
        assert!(fatal(true).is_subset(&always));
        let all: BTreeSet<&str> = always.union(&besides).copied().collect();
        assert!(fatal(false).is_subset(&all));
        assert_eq!(always.len() + besides.len(), all.len());
        assert!(all.len() < 50, "{}", all.len());
        for name in DISPENSABLE {
            assert!(!all.contains(name), "{name}");
            assert!(
                uses(true).chain(uses(false)).any(|(made, ..)| made == name),
                "{name}"
            );
        }
    }
}
