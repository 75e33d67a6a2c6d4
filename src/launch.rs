//! What learning and enforcing have in common: making ready to fork, and telling why it failed.

use std::path::PathBuf;

use crate::command::Command;
use crate::exit::Exit;
use crate::sys::signal::{Mask, Signal};
use crate::sys::spawn::{Child, Failure, Image, Plan, SpawnError, Stage};
use crate::sys::{Errno, process, signal};

/// Why the command was not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    /// Before the fork, or in the launcher after it.
    #[error("cannot {what}")]
    Setup {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: Errno,
    },
    /// Between fork and exec.
    #[error("cannot {stage}; the command was not started")]
    Step {
        /// The step.
        stage: Stage,
        /// Why it failed.
        source: Errno,
    },
    /// The exec itself.
    #[error("cannot execute '{}'", file.display())]
    Exec {
        /// The file.
        file: PathBuf,
        /// Why it failed.
        source: Errno,
    },
}

/// For `map_err`: a failure of the launcher's own.
pub(crate) fn setup(what: &'static str) -> impl FnOnce(Errno) -> LaunchError {
    move |source| LaunchError::Setup { what, source }
}

impl From<SpawnError> for LaunchError {
    fn from(error: SpawnError) -> Self {
        setup(error.call)(error.errno)
    }
}

impl LaunchError {
    /// The exit code that says it.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Exec { source, .. } => exec_exit(*source),
            Self::Setup { .. } | Self::Step { .. } => Exit::FAILURE,
        }
    }

    /// What a failure between fork and exec means for this command.
    pub(crate) fn of(failure: Failure, command: &Command) -> Self {
        match failure.stage {
            Stage::Exec => Self::Exec {
                file: command.file.clone(),
                source: failure.errno,
            },
            stage => Self::Step {
                stage,
                source: failure.errno,
            },
        }
    }
}

/// The exit code that says why an execve failed.
pub(crate) const fn exec_exit(errno: Errno) -> Exit {
    match errno {
        // The file was there when we looked, so its interpreter is missing, or it has gone since.
        Errno::ENOENT => Exit::NOT_FOUND,
        _ => Exit::NOT_EXECUTABLE,
    }
}

/// What our caller gave us, and the command shall have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    mask: Mask,
    child_ignored: bool,
    death_signal: Option<Signal>,
}

/// Blocks all signals, so that none is lost from here on.
pub(crate) fn take_over() -> Result<Caller, LaunchError> {
    // An ignored SIGCHLD would keep the command's status from us. The command gets it back as it was.
    let child_ignored =
        signal::is_ignored(libc::SIGCHLD).map_err(setup("read signal dispositions"))?;
    signal::set_ignored(libc::SIGCHLD, false).map_err(setup("set signal dispositions"))?;
    let mask = signal::block_all().map_err(setup("block signals"))?;
    let death_signal =
        process::parent_death_signal().map_err(setup("read the parent death signal"))?;
    Ok(Caller {
        mask,
        child_ignored,
        death_signal,
    })
}

/// Plans the command's start.
pub(crate) fn plan(command: &Command, caller: Caller) -> Result<Plan, LaunchError> {
    let (path, args) = command.to_c();
    let image = Image {
        path,
        args,
        env: process::environment(),
    };
    let plan = Plan::new(image, caller.mask, caller.child_ignored);
    let mut plan = plan.map_err(setup("allocate memory"))?;
    // A fork clears it. The command shall see it, and not outlive us where we are killed by it.
    if let Some(signal) = caller.death_signal {
        plan.die_with_launcher(signal);
    }
    Ok(plan)
}

/// Becomes the command, with nothing added and nothing taken away. Returns only why that failed.
pub(crate) fn become_command(command: &Command) -> LaunchError {
    let planned = take_over().and_then(|caller| plan(command, caller));
    match planned {
        Ok(mut plan) => {
            plan.allow_new_privs();
            LaunchError::of(plan.exec(|errno| exec_exit(errno).code()), command)
        }
        Err(error) => error,
    }
}

/// Makes a launcher that stays fit to stay: it adopts orphans, nobody can reach into it, and it holds none
/// of the command's files open, but for `kept`. The child must not be past its gate, and not inherit any of it.
pub(crate) fn settle(child: &Child, kept: &[i32]) -> Result<(), LaunchError> {
    process::become_subreaper().map_err(setup("become a subreaper"))?;
    process::set_undumpable().map_err(setup("make the launcher undumpable"))?;
    let kept = [&child.fds(), kept].concat();
    process::release_files(kept).map_err(setup("close inherited files"))
}
