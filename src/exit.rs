//! The exit codes, in one place.
//!
//! | code | meaning |
//! |---|---|
//! | 0-255 | the command's own status |
//! | 125 | `seccomp-run` failed: usage, profile, compiling, installing, tracing |
//! | 126 | the command was found and cannot be executed |
//! | 127 | the command was not found |
//! | 128+n | signal n ended the command (159: a filter killed it) |
//! | 1 | of a verb that runs nothing (`diff`, `check`): it has found something |
//!
//! The signal is not raised again: as PID 1 it would do nothing.

use crate::sys::wait::End;

/// How this program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(u8);

impl Exit {
    /// All is well.
    pub const SUCCESS: Self = Self(0);
    /// A verb that looks for something has found it: a finding, a difference.
    pub const FOUND: Self = Self(1);
    /// Our own failure.
    pub const FAILURE: Self = Self(125);
    /// The command is not executable.
    pub const NOT_EXECUTABLE: Self = Self(126);
    /// The command does not exist.
    pub const NOT_FOUND: Self = Self(127);

    /// `SIGTERM` ended learning before the command had ended.
    pub const TERMINATED: Self = Self(128 + 15);

    /// The number.
    pub const fn code(self) -> u8 {
        self.0
    }
}

impl From<End> for Exit {
    fn from(end: End) -> Self {
        match end {
            End::Exited(code) => Self(code),
            // Signals go to 64, so the sum to 192.
            End::Killed(signal) => Self(u8::try_from(128 + signal.as_raw()).unwrap_or(u8::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::signal::Signal;

    #[test]
    fn ends_become_codes() {
        let cases = [
            (End::Exited(0), 0),
            (End::Exited(255), 255),
            (End::Killed(Signal::SYS), 159),
            (End::Killed(Signal::from_raw(64)), 192),
        ];
        for (end, code) in cases {
            assert_eq!(Exit::from(end).code(), code, "{end:?}");
        }
    }
}
