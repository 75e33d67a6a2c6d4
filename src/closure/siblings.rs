//! Syscalls that stand in for each other: what another C library, another version of it or another kernel
//! makes where this run made one of them. `--portable` adds them, and nothing else.

use std::collections::BTreeSet;

/// Syscalls for one purpose.
struct Family {
    /// What they do: part of the comment that stands with them in a profile.
    purpose: &'static str,
    /// In each group, any may be made in the place of any other.
    groups: &'static [&'static str],
}

/// Names that no architecture of the profile has are left out later, so 32-bit ones stand here too.
const FAMILIES: &[Family] = &[
    Family {
        purpose: "makes processes and threads",
        groups: &["clone clone3 fork vfork"],
    },
    Family {
        purpose: "opens files",
        groups: &["open openat openat2"],
    },
    Family {
        purpose: "asks about files",
        groups: &[
            "stat stat64 newfstatat fstatat64 statx",
            "lstat lstat64 newfstatat fstatat64 statx",
            "fstat fstat64 newfstatat fstatat64 statx",
        ],
    },
    Family {
        purpose: "checks and changes the access to files",
        groups: &["access faccessat faccessat2", "chmod fchmodat fchmodat2"],
    },
    Family {
        purpose: "waits for descriptors",
        groups: &[
            "poll ppoll",
            "select _newselect pselect6",
            "epoll_wait epoll_pwait epoll_pwait2",
        ],
    },
    Family {
        purpose: "sleeps",
        groups: &["nanosleep clock_nanosleep"],
    },
    Family {
        purpose: "makes descriptors",
        groups: &[
            "accept accept4",
            "dup2 dup3",
            "epoll_create epoll_create1",
            "eventfd eventfd2",
            "inotify_init inotify_init1",
            "pipe pipe2",
            "signalfd signalfd4",
        ],
    },
    Family {
        purpose: "reads and sets limits",
        groups: &["getrlimit ugetrlimit prlimit64", "setrlimit prlimit64"],
    },
    Family {
        purpose: "works on directories and links",
        groups: &[
            "getdents getdents64",
            "mkdir mkdirat",
            "readlink readlinkat",
            "rename renameat renameat2",
            "rmdir unlinkat",
            "unlink unlinkat",
        ],
    },
    Family {
        purpose: "sets the times of files",
        groups: &["futimesat utimensat utimes"],
    },
    Family {
        purpose: "reads and writes at an offset",
        groups: &["preadv preadv2", "pwritev pwritev2"],
    },
    Family {
        purpose: "waits for other threads",
        groups: &["futex futex_waitv"],
    },
    Family {
        purpose: "takes 64-bit times on 32-bit machines",
        groups: &[
            "clock_adjtime clock_adjtime64",
            "clock_getres clock_getres_time64",
            "clock_gettime clock_gettime64",
            "clock_nanosleep clock_nanosleep_time64",
            "clock_settime clock_settime64",
            "futex futex_time64",
            "io_pgetevents io_pgetevents_time64",
            "mq_timedreceive mq_timedreceive_time64",
            "mq_timedsend mq_timedsend_time64",
            "ppoll ppoll_time64",
            "pselect6 pselect6_time64",
            "recvmmsg recvmmsg_time64",
            "rt_sigtimedwait rt_sigtimedwait_time64",
            "sched_rr_get_interval sched_rr_get_interval_time64",
            "semtimedop semtimedop_time64",
            "timer_gettime timer_gettime64",
            "timer_settime timer_settime64",
            "timerfd_gettime timerfd_gettime64",
            "timerfd_settime timerfd_settime64",
            "utimensat utimensat_time64",
        ],
    },
];

/// The siblings of what was observed, each once, in groups with their reason. Siblings of siblings are none.
pub(super) fn of(observed: &BTreeSet<String>) -> Vec<(Vec<&'static str>, String)> {
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for family in FAMILIES {
        let with_observed = family
            .groups
            .iter()
            .filter(|group| group.split(' ').any(|name| observed.contains(name)));
        let names = with_observed.flat_map(|group| group.split(' '));
        let names = names.filter(|name| !observed.contains(*name) && told.insert(*name));
        let names: Vec<_> = names.collect();
        if !names.is_empty() {
            let purpose = family.purpose;
            let reason = format!("inferred: another C library or kernel {purpose} with these");
            found.push((names, reason));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;
    use crate::syscall::Name;

    fn siblings(observed: &[&str]) -> BTreeSet<&'static str> {
        let observed = observed.iter().map(ToString::to_string).collect();
        of(&observed)
            .into_iter()
            .flat_map(|(names, _)| names)
            .collect()
    }

    #[test]
    fn siblings_are_those_of_what_was_observed() {
        let cases: [(&[&str], &[&str]); 9] = [
            (&[], &[]),
            (&["read", "mmap"], &[]),
            (&["open"], &["openat", "openat2"]),
            (&["open", "openat", "openat2"], &[]),
            (&["fstat"], &["fstat64", "fstatat64", "newfstatat", "statx"]),
            (&["unlink"], &["unlinkat"]),
            (&["unlinkat"], &["rmdir", "unlink"]),
            // Not ppoll_time64, which is a sibling of ppoll: that was not observed.
            (&["poll"], &["ppoll"]),
            (&["prlimit64"], &["getrlimit", "setrlimit", "ugetrlimit"]),
        ];
        for (observed, want) in cases {
            let want = want.iter().copied().collect();
            assert_eq!(siblings(observed), want, "{observed:?}");
        }
    }

    #[test]
    fn every_name_exists_somewhere_and_is_told_once() {
        let all: Vec<&str> = FAMILIES
            .iter()
            .flat_map(|family| family.groups)
            .flat_map(|group| group.split(' '))
            .collect();
        for name in &all {
            let name_found = Name::from(*name);
            let on = |arch: &Arch| name_found.on(*arch).is_some();
            assert!(Arch::ALL.iter().any(on), "{name}");
        }
        // One of each group is enough for all others, and no name comes twice.
        for family in FAMILIES {
            for group in family.groups {
                for one in group.split(' ') {
                    let observed = [one.to_owned()].into();
                    let names: Vec<_> = of(&observed).into_iter().flat_map(|(n, _)| n).collect();
                    let distinct: BTreeSet<_> = names.iter().copied().collect();
                    assert_eq!(names.len(), distinct.len(), "{one}: {names:?}");
                    let missing = group
                        .split(' ')
                        .filter(|name| *name != one && !distinct.contains(name));
                    assert_eq!(missing.count(), 0, "{one}: {names:?}");
                }
            }
        }
    }

    #[test]
    fn the_reason_says_that_it_is_inferred_and_what_for() {
        let found = of(&["open".to_owned()].into());
        let want = "inferred: another C library or kernel opens files with these";
        assert_eq!(found, [(vec!["openat", "openat2"], want.to_owned())]);
    }
}
