//! Errors as the user sees them: one message, hints on lines of their own, and an exit code.

use std::error::Error as StdError;
use std::io::ErrorKind;

use crate::command::CommandError;
use crate::enforce::EnforceError;
use crate::evidence::EvidenceError;
use crate::exit::Exit;
use crate::filter::CompileError;
use crate::launch::LaunchError;
use crate::learn::LearnError;
use crate::output::OutputError;
use crate::profile::{MergeError, ReadError, ResolveError};
use crate::report::ReportError;
use crate::sys::Errno;
use crate::sys::spawn::Stage;
use crate::trace::TraceError;

use super::ui;

/// What went wrong, what to do about it, and how to end.
#[derive(Debug, Clone)]
pub(crate) struct Error {
    message: String,
    hints: Vec<String>,
    exit: Exit,
}

impl Error {
    /// A failure of ours with this message.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hints: Vec::new(),
            exit: Exit::FAILURE,
        }
    }

    /// The message of an error and of everything that caused it.
    pub(crate) fn of(error: &dyn StdError) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Self::new(message)
    }

    /// A failure about a profile as a whole, or a place in it.
    pub(crate) fn in_file(name: &str, error: &ResolveError) -> Self {
        let at = error.position();
        let place = if at.line == 0 {
            name.to_owned()
        } else {
            format!("{name}:{at}")
        };
        Self::new(format!("{place}: {error}")).hint("nothing was run")
    }

    /// Says which file it is about.
    pub(crate) fn about(mut self, name: &str) -> Self {
        self.message = format!("{name}: {}", self.message);
        self
    }

    /// Adds what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Tells the user, and how to end.
    pub(crate) fn report(&self) -> Exit {
        let hints = self.hints.iter().map(|hint| format!("\nhint: {hint}"));
        ui::say(&format!(
            "error: {}{}",
            self.message,
            hints.collect::<String>()
        ));
        self.exit
    }
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        match &error {
            CommandError::NotFound { .. } => Self::of(&error).exit(Exit::NOT_FOUND),
            CommandError::NotExecutable { file, source } => {
                let hint = match source {
                    Errno::EACCES if file.is_dir() => "it is a directory".to_owned(),
                    Errno::EACCES => {
                        format!("to make it executable: chmod +x '{}'", file.display())
                    }
                    _ => return Self::of(&error).exit(Exit::NOT_EXECUTABLE),
                };
                Self::of(&error).exit(Exit::NOT_EXECUTABLE).hint(hint)
            }
        }
    }
}

impl From<LaunchError> for Error {
    fn from(error: LaunchError) -> Self {
        let shown = Self::of(&error).exit(error.exit());
        match &error {
            LaunchError::Exec { source: Errno::ENOENT, .. } => {
                shown.hint("the file exists, so its interpreter (the #! line, or the dynamic loader) does not")
            }
            LaunchError::Exec { source: Errno::ENOEXEC, .. } => {
                shown.hint("it is neither a program for this machine nor a script with a #! line")
            }
            LaunchError::Step { stage: Stage::Filter, source } => match source {
                Errno::EACCES => shown.hint("no_new_privs could not be relied on; leave out --allow-new-privs"),
                Errno::ENOMEM => shown.hint("too many filters are stacked already (the kernel's limit is 32768 instructions)"),
                _ => shown.hint("a sandbox around this process may forbid seccomp(2)"),
            },
            LaunchError::Setup { source, .. } => match source {
                Errno::EMFILE | Errno::ENFILE => shown.hint("the limit on open files is too low (ulimit -n)"),
                Errno::EAGAIN => shown.hint("the limit on processes is too low (ulimit -u, or a cgroup's pids.max)"),
                Errno::ENOMEM => shown.hint("there is not enough memory (ulimit -v, or a cgroup's limit)"),
                Errno::ENOSYS => shown.hint("this kernel is too old: Linux 5.9 is needed, or --exec"),
                _ => shown,
            },
            LaunchError::Exec { .. } | LaunchError::Step { .. } => shown,
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        let shown = Self::of(&error);
        match &error {
            ReadError::Parse(parse) => {
                let excerpt = parse.excerpt();
                let mut shown = Self::new(format!("{}\n{excerpt}", shown.message.trim_end()));
                if excerpt.trim_matches(['^', '\n', ' ']).is_empty() {
                    shown = Self::of(&error);
                }
                parse.hint().map_or(shown.clone(), |hint| shown.hint(hint))
            }
            ReadError::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied => shown
                .hint("whoever runs seccomp-run must be able to read the profile (chmod, chown)"),
            _ => shown,
        }
    }
}

impl From<CompileError> for Error {
    fn from(error: CompileError) -> Self {
        Self::of(&error)
    }
}

impl From<EvidenceError> for Error {
    fn from(error: EvidenceError) -> Self {
        Self::of(&error).hint("move the file away, or learn without evidence (--no-evidence)")
    }
}

impl From<ReportError> for Error {
    fn from(error: ReportError) -> Self {
        Self::of(&error)
    }
}

impl From<MergeError> for Error {
    fn from(error: MergeError) -> Self {
        Self::of(&error).hint(
            "what is learned can only be added to a profile that denies by default with EPERM",
        )
    }
}

impl From<OutputError> for Error {
    fn from(error: OutputError) -> Self {
        let shown = Self::of(&error);
        match error {
            OutputError::Exists { .. } => {
                shown.hint("--update adds to it what this run needs besides, --force replaces it")
            }
            OutputError::Busy { .. } => {
                shown.hint("wait until that one has ended, or write another file with -o FILE and `merge` both")
            }
            OutputError::NotAFile { .. } => shown.hint("name a file with -o FILE"),
            OutputError::Place { .. } => shown.hint("where somebody else's is there, `seccomp-run merge` puts both together; else move it there yourself"),
            OutputError::Io { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    shown.hint("make room on the disk")
                }
                ErrorKind::FileTooLarge => {
                    shown.hint("the limit on file sizes is too low (ulimit -f)")
                }
                ErrorKind::InvalidFilename => shown.hint("choose a shorter name with -o FILE"),
                _ => shown.hint("name a file in a directory that can be written with -o FILE"),
            },
        }
    }
}

impl From<TraceError> for Error {
    fn from(error: TraceError) -> Self {
        let shown = Self::of(&error);
        match error {
            TraceError::Seize(_) => shown.hint(
                "learning needs ptrace(2): a sandbox or container may forbid it \
                 (Docker: --cap-add SYS_PTRACE), or kernel.yama.ptrace_scope is 2 or 3",
            ),
            TraceError::SyscallInfo(_) => shown.hint(
                "learning needs PTRACE_GET_SYSCALL_INFO: Linux 5.3, and no sandbox that forbids it",
            ),
            TraceError::Signals(_) | TraceError::Wait(_) => shown,
        }
    }
}

impl From<LearnError> for Error {
    fn from(error: LearnError) -> Self {
        match error {
            LearnError::Launch(error) => error.into(),
            LearnError::Trace(error) => error.into(),
            LearnError::Output(error) => error.into(),
            LearnError::Merge(error) => error.into(),
        }
    }
}

impl From<EnforceError> for Error {
    fn from(error: EnforceError) -> Self {
        let shown = Self::of(&error);
        match error {
            EnforceError::Launch(error) => error.into(),
            EnforceError::Confine(_) => shown.hint("nothing was run; --exec leaves no launcher behind"),
            EnforceError::NoSeccomp(Errno::ENOSYS | Errno::EINVAL) => {
                shown.hint("this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER), or a sandbox hides them; nothing was run")
            }
            EnforceError::NoSeccomp(_) => shown.hint("a sandbox around this process forbids seccomp(2); nothing was run"),
            EnforceError::UnknownAction { .. } => shown.hint("use another action in the profile; nothing was run"),
            EnforceError::ForeignProc => shown.hint("mount one of its own there (unshare --mount-proc); nothing was run"),
            EnforceError::OtherListener => {
                shown.hint("leave out --report, or report in the outer one; nothing was run")
            }
            EnforceError::NotAdmin => shown.hint("leave it out: no_new_privs lets anybody install a filter"),
            EnforceError::NotSetpcap => shown.hint("leave out --allow-new-privs"),
            EnforceError::Caps(_) => shown.hint("a sandbox around this process forbids capget(2) or prctl(PR_CAPBSET_READ); nothing was run"),
            EnforceError::Compile(_) => shown,
        }
    }
}
