//! Dangerous grants: syscalls that open more than they seem to, and why.
//!
//! A table, and whether a policy's rules for a syscall grant a row of it. Pure.

use crate::policy::{Abi, Condition};
use crate::syscall::Sysno;

/// Something that a profile should grant only on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The names of the syscalls, any of which grants it.
    syscalls: &'static str,
    /// The argument that makes it dangerous; `None`: every call is.
    pub(crate) when: Option<When>,
    /// What can be done with it, in one line.
    pub(crate) why: &'static str,
}

/// One value of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct When {
    arg: u8,
    value: u64,
    /// What the value means, such as `AF_ALG`.
    pub(crate) name: &'static str,
}

/// `grants! { "socket" if 0 is AF_ALG = 38: "why"; }`: a line of text for each, and the argument and value of each.
///
/// Without a pointer, as the names of [`constants`](crate::constants) are.
macro_rules! grants {
    ($($names:literal $(if $arg:literal is $name:ident = $value:literal)?: $why:literal;)*) => {
        const LINES: &str = concat!($($names, "\t", $(stringify!($name),)? "\t", $why, "\n"),*);
        const VALUES: &[(u8, u64)] = &[$((0 $(+ $arg)?, 0 $(+ $value)?)),*];
    };
}

// Constants are those of `linux/socket.h`, `linux/sched.h` and `asm-generic/ioctls.h`.
#[rustfmt::skip]
grants! {
    "ptrace":
        "takes over other processes of the same user, whose profiles may allow more";
    "process_vm_readv process_vm_writev":
        "reads and writes the memory of other processes of the same user";
    "pidfd_getfd":
        "takes open files out of other processes";
    "process_madvise":
        "changes how other processes' memory is kept";
    "kcmp":
        "tells which kernel objects other processes share, which helps to exploit the kernel";
    "bpf":
        "loads programs into the kernel; its verifier has been a way to root again and again";
    "perf_event_open":
        "watches the machine, other programs included, through much kernel code";
    "userfaultfd":
        "lets a program stop the kernel in the middle of a copy, which makes its races exploitable";
    "io_uring_setup io_uring_enter io_uring_register":
        "makes other operations (open, connect, send ...) that no filter sees";
    "add_key keyctl request_key":
        "reaches the kernel's keys, which containers share";
    "kexec_load kexec_file_load":
        "replaces the running kernel";
    "create_module init_module finit_module delete_module":
        "changes the kernel's code";
    "mount umount umount2 move_mount mount_setattr open_tree open_tree_attr fsopen fsconfig fsmount fspick pivot_root":
        "changes what files the program and others see, and parses file systems in the kernel";
    "chroot":
        "changes the root directory, which is no prison for root";
    "unshare":
        "makes namespaces, in which an ordinary user reaches code meant for root";
    "setns":
        "enters other namespaces, such as the host's";
    "clone" if 0 is CLONE_NEWUSER = 0x1000_0000:
        "makes a user namespace, in which an ordinary user reaches code meant for root";
    "clone3":
        "can make namespaces; its flags lie in memory, where no filter sees them (ENOSYS makes programs use clone)";
    "open_by_handle_at":
        "opens files by number past directories, which broke out of containers (Shocker)";
    "name_to_handle_at":
        "gives the numbers that open_by_handle_at takes";
    "personality" if 0 is ADDR_NO_RANDOMIZE = 0x0004_0000:
        "switches off what makes addresses hard to guess";
    "ioperm iopl":
        "reaches the hardware's ports";
    "modify_ldt":
        "sets up 16-bit segments in old, rarely tested kernel code";
    "reboot swapon swapoff acct quotactl quotactl_fd settimeofday clock_settime":
        "administers the whole machine";
    "syslog":
        "reads the kernel's messages, which hold addresses";
    "socket" if 0 is AF_ALG = 38:
        "reaches the kernel's cryptography, which has been a way to root (CVE-2026-31431)";
    "socket" if 0 is AF_VSOCK = 40:
        "reaches the hypervisor and other virtual machines past the network";
    "socket" if 0 is AF_NETLINK = 16:
        "configures the network, and parses much in the kernel";
    "ioctl" if 1 is TIOCSTI = 0x5412:
        "types into the terminal that the program was started from (CVE-2017-5226)";
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = Grant> {
    LINES
        .lines()
        .zip(VALUES)
        .filter_map(|(line, &(arg, value))| {
            let (syscalls, rest) = line.split_once('\t')?;
            let (name, why) = rest.split_once('\t')?;
            let when = When { arg, value, name };
            Some(Grant {
                syscalls,
                when: (!name.is_empty()).then_some(when),
                why,
            })
        })
}

impl Grant {
    /// The syscalls, any of which grants it.
    pub(crate) fn syscalls(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.syscalls.split(' ')
    }

    /// Those of its syscalls that this architecture's rules let run.
    pub(crate) fn granted(&self, abi: &Abi) -> impl Iterator<Item = &'static str> {
        let lets_run = |name: &&'static str| {
            Sysno::parse(abi.arch, name).is_some_and(|sysno| self.may_run(abi, sysno.nr))
        };
        self.syscalls().filter(lets_run)
    }

    /// Can a call of this number run, whatever its other arguments are?
    fn may_run(&self, abi: &Abi, nr: u32) -> bool {
        let rules = abi.syscalls.get(nr).unwrap_or_default();
        for rule in rules {
            // A condition on another argument may hold or not; one on ours is known.
            let (ours, others): (Vec<Condition>, Vec<Condition>) = rule
                .conditions
                .iter()
                .partition(|condition| self.when.is_some_and(|when| when.arg == condition.arg()));
            if !ours.iter().all(|condition| self.holds(*condition)) {
                continue;
            }
            if rule.action.runs() {
                return true;
            }
            if others.is_empty() {
                return false;
            }
        }
        abi.fallback(nr).0.runs()
    }

    fn holds(&self, condition: Condition) -> bool {
        let mut args = [0; 6];
        if let Some(when) = self.when
            && let Some(arg) = args.get_mut(usize::from(when.arg))
        {
            *arg = when.value;
        }
        condition.holds(&args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action;
    use crate::arch::Arch;
    use crate::constants::Set;
    use crate::policy::{Op, Rule, Width};

    #[test]
    fn every_syscall_of_the_table_exists() {
        assert_eq!(all().count(), VALUES.len());
        assert!(LINES.lines().all(|line| line.split('\t').count() == 3));
        for grant in all() {
            assert!(
                !grant.why.ends_with('.') && grant.why.len() < 120,
                "{}",
                grant.why
            );
            for name in grant.syscalls() {
                let found = Arch::ALL
                    .into_iter()
                    .find_map(|arch| Sysno::parse(arch, name));
                assert!(found.is_some(), "{name}");
            }
        }
    }

    #[test]
    fn values_are_what_their_names_say() {
        let names = [Set::Domain, Set::Clone, Set::Persona, Set::Ioctl];
        for when in all().filter_map(|grant| grant.when) {
            let known = names.iter().filter_map(|set| set.of(when.value));
            assert!(known.into_iter().any(|name| name == when.name), "{when:?}");
        }
    }

    /// A condition on the first argument, whether there is one on another too, and the action.
    type Short = (Option<(Op, u64)>, bool, Action);

    /// Is a call with this value granted by rules of (op, value, action) on its first argument and another
    /// condition, where there is one?
    fn granted(default: Action, rules: &[Short]) -> bool {
        let condition = |arg, (op, value)| Condition::new(arg, Width::W32, op, value).unwrap();
        let rule = |&(first, other, action): &Short| Rule {
            conditions: first
                .map(|first| condition(0, first))
                .into_iter()
                .chain(other.then(|| condition(2, (Op::Eq, 9))))
                .collect(),
            action,
            origin: 0,
        };
        let abi = Abi {
            arch: Arch::X86_64,
            default,
            newer: None,
            syscalls: [(41, rules.iter().map(rule).collect())].into(),
        };
        let netlink = all()
            .find(|grant| grant.when.is_some_and(|when| when.name == "AF_NETLINK"))
            .unwrap();
        let names: Vec<_> = netlink.granted(&abi).collect();
        assert!(names.is_empty() || names == ["socket"]);
        !names.is_empty()
    }

    #[test]
    fn a_value_is_granted_when_some_call_with_it_runs() {
        use Action::Allow;
        let deny = Action::Errno(1);
        let cases: [(Action, &[Short], bool); 10] = [
            (Allow, &[], true),
            (deny, &[], false),
            (deny, &[(None, false, Allow)], true),
            (deny, &[(Some((Op::Eq, 1)), false, Allow)], false),
            (deny, &[(Some((Op::Ne, 40)), false, Allow)], true),
            (deny, &[(Some((Op::Eq, 16)), true, Allow)], true),
            (Allow, &[(Some((Op::Eq, 16)), false, deny)], false),
            // Denied with one third argument only.
            (Allow, &[(Some((Op::Eq, 16)), true, deny)], true),
            (
                deny,
                &[(Some((Op::Eq, 16)), false, deny), (None, false, Allow)],
                false,
            ),
            (deny, &[(None, true, Allow)], true),
        ];
        for (default, rules, want) in cases {
            assert_eq!(granted(default, rules), want, "{default} {rules:?}");
        }
    }
}
