//! What a filter answers to a syscall: the actions of `seccomp(2)`, and their names in a profile.

use std::fmt;

/// The errno that `SCMP_ACT_ERRNO` and `SCMP_ACT_TRACE` carry when the profile gives none: `EPERM`.
pub const DEFAULT_ERRNO: u16 = 1;

/// The largest errno a filter can return. The kernel clamps above it (`MAX_ERRNO`), so a larger number in
/// a profile would silently become another one.
pub const MAX_ERRNO: u16 = 4095;

/// The answer of a filter to one syscall, as `seccomp(2)` defines it.
///
/// The order is the kernel's precedence when several filters answer: the least one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Kill the whole process with `SIGSYS`; the wait status shows 31 (a shell's 159).
    KillProcess,
    /// Kill the calling thread only. The process limps on without it.
    KillThread,
    /// Send `SIGSYS` to the calling thread, which may handle it.
    Trap,
    /// Skip the call and return this errno, 0 to [`MAX_ERRNO`]. Zero makes the call *succeed* with 0.
    Errno(u16),
    /// Hand the call to a listener (`SECCOMP_FILTER_FLAG_NEW_LISTENER`).
    Notify,
    /// Stop for a tracer with this message; `ENOSYS` when there is none.
    Trace(u16),
    /// Run the call and write an audit record.
    Log,
    /// Run the call.
    Allow,
}

impl Action {
    /// The value that a filter returns for this action: action in the upper half, data in the lower.
    pub const fn to_ret(self) -> u32 {
        match self {
            Self::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
            Self::KillThread => libc::SECCOMP_RET_KILL_THREAD,
            Self::Trap => libc::SECCOMP_RET_TRAP,
            Self::Errno(errno) => libc::SECCOMP_RET_ERRNO | errno as u32,
            Self::Notify => libc::SECCOMP_RET_USER_NOTIF,
            Self::Trace(data) => libc::SECCOMP_RET_TRACE | data as u32,
            Self::Log => libc::SECCOMP_RET_LOG,
            Self::Allow => libc::SECCOMP_RET_ALLOW,
        }
    }

    /// The action that a filter's return value stands for. `None` where the kernel knows no such action
    /// (it would kill the process).
    pub const fn from_ret(ret: u32) -> Option<Self> {
        let data = (ret & libc::SECCOMP_RET_DATA) as u16;
        Some(match ret & libc::SECCOMP_RET_ACTION_FULL {
            libc::SECCOMP_RET_KILL_PROCESS => Self::KillProcess,
            libc::SECCOMP_RET_KILL_THREAD => Self::KillThread,
            libc::SECCOMP_RET_TRAP => Self::Trap,
            libc::SECCOMP_RET_ERRNO => Self::Errno(data),
            libc::SECCOMP_RET_USER_NOTIF => Self::Notify,
            libc::SECCOMP_RET_TRACE => Self::Trace(data),
            libc::SECCOMP_RET_LOG => Self::Log,
            libc::SECCOMP_RET_ALLOW => Self::Allow,
            _ => return None,
        })
    }

    /// The name in a profile, without the errno.
    ///
    /// ```
    /// use seccomp_run::action::Action;
    /// assert_eq!(Action::Errno(38).scmp_name(), "SCMP_ACT_ERRNO");
    /// ```
    pub const fn scmp_name(self) -> &'static str {
        match self {
            Self::KillProcess => "SCMP_ACT_KILL_PROCESS",
            Self::KillThread => "SCMP_ACT_KILL_THREAD",
            Self::Trap => "SCMP_ACT_TRAP",
            Self::Errno(_) => "SCMP_ACT_ERRNO",
            Self::Notify => "SCMP_ACT_NOTIFY",
            Self::Trace(_) => "SCMP_ACT_TRACE",
            Self::Log => "SCMP_ACT_LOG",
            Self::Allow => "SCMP_ACT_ALLOW",
        }
    }

    /// The action of a name in a profile; `data` is the rule's errno, [`DEFAULT_ERRNO`] where it gives none.
    ///
    /// `SCMP_ACT_KILL` kills the process, not only the thread as libseccomp has it: a main thread killed
    /// alone can end a process with status 0. Whoever wants that writes `SCMP_ACT_KILL_THREAD`.
    pub fn from_scmp_name(name: &str, data: u16) -> Option<Self> {
        Some(match name {
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_PROCESS" => Self::KillProcess,
            "SCMP_ACT_KILL_THREAD" => Self::KillThread,
            "SCMP_ACT_TRAP" => Self::Trap,
            "SCMP_ACT_ERRNO" => Self::Errno(data),
            "SCMP_ACT_NOTIFY" => Self::Notify,
            "SCMP_ACT_TRACE" => Self::Trace(data),
            "SCMP_ACT_LOG" => Self::Log,
            "SCMP_ACT_ALLOW" => Self::Allow,
            _ => return None,
        })
    }

    /// All names that [`Action::from_scmp_name`] knows, for error messages.
    pub const SCMP_NAMES: [&'static str; 9] = [
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_LOG",
        "SCMP_ACT_NOTIFY",
        "SCMP_ACT_TRACE",
        "SCMP_ACT_TRAP",
    ];

    /// Does the syscall run? True for `ALLOW` and `LOG`; what a tracer or listener decides counts as no.
    pub const fn runs(self) -> bool {
        matches!(self, Self::Allow | Self::Log)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => {
                let name = nix::errno::Errno::from_raw(i32::from(*errno));
                match name {
                    nix::errno::Errno::UnknownErrno => write!(f, "ERRNO({errno})"),
                    known => write!(f, "ERRNO({known:?})"),
                }
            }
            Self::Trace(data) => write!(f, "TRACE({data})"),
            other => f.write_str(other.scmp_name().trim_start_matches("SCMP_ACT_")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Action; 8] = [
        Action::KillProcess,
        Action::KillThread,
        Action::Trap,
        Action::Errno(38),
        Action::Notify,
        Action::Trace(7),
        Action::Log,
        Action::Allow,
    ];

    #[test]
    fn every_action_survives_the_kernels_encoding() {
        for action in ALL {
            assert_eq!(Action::from_ret(action.to_ret()), Some(action));
        }
        assert_eq!(Action::from_ret(0x1234_0000), None);
    }

    #[test]
    fn every_action_survives_its_name() {
        for action in ALL {
            let data = (action.to_ret() & 0xffff) as u16;
            assert_eq!(
                Action::from_scmp_name(action.scmp_name(), data),
                Some(action)
            );
        }
        assert_eq!(
            Action::from_scmp_name("SCMP_ACT_KILL", 0),
            Some(Action::KillProcess)
        );
        assert_eq!(Action::from_scmp_name("SCMP_ACT_ALOW", 0), None);
        for name in Action::SCMP_NAMES {
            assert!(Action::from_scmp_name(name, 1).is_some(), "{name}");
        }
    }

    #[test]
    fn order_is_the_kernels_precedence() {
        // The kernel takes the least return value, compared as a signed number.
        for pair in ALL.windows(2) {
            assert!(pair[0] < pair[1]);
            assert!(
                pair[0].to_ret().cast_signed() < pair[1].to_ret().cast_signed(),
                "{pair:?}"
            );
        }
    }

    #[test]
    fn shown_with_the_errnos_name() {
        assert_eq!(Action::Errno(1).to_string(), "ERRNO(EPERM)");
        assert_eq!(Action::Errno(4000).to_string(), "ERRNO(4000)");
        assert_eq!(Action::Allow.to_string(), "ALLOW");
    }
}
