//! Enforcing: from a profile to a command that runs under it, or to no command at all.

use std::collections::BTreeMap;
use std::mem;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::time::Duration;

use caps::Capability;

use crate::action::Action;
use crate::command::Command;
use crate::confine::{self, ConfineError, Reporting};
use crate::denials::{self, Lines, Report, Reporter};
use crate::filter::{CompileError, Filter, Launch, Options, arm};
use crate::launch::{self, LaunchError, setup};
use crate::peek;
use crate::policy::Policy;
use crate::profile::Flags;
use crate::supervise::{self, Aside, Duties};
use crate::sys::caps::{CapDrop, SYS_PTRACE, Sets, in_bounding};
use crate::sys::signal::{self, Signal};
use crate::sys::spawn::{Child, Gate, Ready, Seal, Stage};
use crate::sys::wait::End;
use crate::sys::{Errno, process, seccomp};
use crate::syscall::Sysno;
use crate::witness::Witnesses;

/// What to run, under what.
pub(crate) struct Request {
    /// What to run.
    pub(crate) command: Command,
    /// Under which policy.
    pub(crate) policy: Policy,
    /// How the filter is installed.
    pub(crate) flags: Flags,
    /// How often each syscall is made, where that is known.
    pub(crate) weights: Option<BTreeMap<Sysno, u64>>,
    /// Capabilities to give up.
    pub(crate) privileges: Privileges,
    /// What happens after the start.
    pub(crate) stay: Stay,
}

/// What the launcher does once the command runs.
pub(crate) enum Stay {
    /// Nothing: it has become the command.
    No,
    /// It looks after the command.
    Yes {
        /// How long to wait for descendants that outlive the command.
        linger: Duration,
        /// Name the calls that are denied.
        report: Option<Reported>,
    },
}

/// How denied calls are told.
pub(crate) struct Reported {
    /// Where they are told as they happen.
    pub(crate) lines: Option<Lines>,
}

/// How it went.
pub(crate) struct Ended {
    /// How the command ended.
    pub(crate) end: End,
    /// What was denied, where that was asked for.
    pub(crate) report: Option<Report>,
}

/// What the command may keep or gain of privileges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Privileges {
    current: Sets,
    /// Bit n: capability n is dropped.
    drop: u64,
    /// `no_new_privs` is left unset.
    allow_new: bool,
}

/// Why the command does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnforceError {
    /// The policy cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The kernel has no seccomp filters, or an outer filter forbids them.
    #[error("cannot use seccomp filters here")]
    NoSeccomp(#[source] Errno),
    /// The kernel does not know an action.
    #[error("this kernel does not know the action {}", action.scmp_name())]
    UnknownAction {
        /// The action.
        action: Action,
    },
    /// Capabilities could not be read.
    #[error("cannot read capabilities")]
    Caps(#[source] Errno),
    /// `--allow-new-privs` without the right to it.
    #[error("--allow-new-privs needs CAP_SYS_ADMIN to install the filter")]
    NotAdmin,
    /// Capabilities cannot be kept from coming back at an exec.
    #[error("--cap-drop or --report together with --allow-new-privs needs CAP_SETPCAP")]
    NotSetpcap,
    /// Somebody else hears what filters ask here, and there can be only one.
    #[error("cannot report: a filter that is in force here already has a listener")]
    OtherListener,
    /// What `/proc` says there is about other processes.
    #[error("cannot report: /proc is that of another pid namespace")]
    ForeignProc,
    /// The launcher cannot be trusted beside the command.
    #[error(transparent)]
    Confine(#[from] ConfineError),
    /// The command was not started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

impl Privileges {
    /// The privileges of this process, less those to drop: bit n is capability n, known to us or not.
    ///
    /// `report`: denied calls are reported. A command with `CAP_SYS_PTRACE` could take the listener out of the launcher and
    /// answer itself, so that goes, too.
    pub(crate) fn new(drop: u64, allow_new: bool, report: bool) -> Result<Self, EnforceError> {
        let current = Sets::current().map_err(EnforceError::Caps)?;
        let has = |capability: Capability| current.effective & capability.bitmask() != 0;
        let drop = if report { drop | SYS_PTRACE } else { drop };
        if allow_new && !has(Capability::CAP_SYS_ADMIN) {
            return Err(EnforceError::NotAdmin);
        }
        if allow_new && !has(Capability::CAP_SETPCAP) && bounding(drop)? != 0 {
            return Err(EnforceError::NotSetpcap);
        }
        Ok(Self {
            current,
            drop,
            allow_new,
        })
    }

    /// What of this the command can have: what a profile's `includes.caps` and `excludes.caps` are held against.
    ///
    /// For root that is the bounding set. An ordinary user under `no_new_privs` never gets more than what
    /// is permitted now.
    pub(crate) fn reachable(&self, asked: u64) -> Result<u64, EnforceError> {
        let root = nix::unistd::Uid::effective().is_root();
        let asked = asked & !self.drop;
        if root || self.allow_new {
            bounding(asked)
        } else {
            Ok(self.current.permitted & asked)
        }
    }

    /// The steps between fork and exec, if there is anything to drop.
    fn plan(&self) -> Result<Option<CapDrop>, EnforceError> {
        if self.drop == 0 {
            return Ok(None);
        }
        let Sets {
            permitted,
            effective,
            inheritable,
            ambient,
        } = self.current;
        let can_bound = effective & Capability::CAP_SETPCAP.bitmask() != 0;
        // Installing the filter needs CAP_SYS_ADMIN without no_new_privs: what is permitted stays then, and
        // the exec clears what the bounding set no longer holds.
        let now = if self.allow_new { 0 } else { self.drop };
        Ok(Some(CapDrop {
            // Under no_new_privs no exec gives anything back, so a bounding set that we may not change
            // does not matter.
            bounding: if can_bound { bounding(self.drop)? } else { 0 },
            permitted: permitted & !now,
            effective: effective & !now,
            inheritable: inheritable & !self.drop,
            ambient: ambient & self.drop,
        }))
    }
}

/// What of this is in the bounding set.
fn bounding(asked: u64) -> Result<u64, EnforceError> {
    in_bounding(asked).map_err(EnforceError::Caps)
}

/// Runs the command under the policy. Returns how it ended; without a launcher that stays, only when it was not
/// started.
///
/// Whatever the child needs is made before the fork; the launcher confines itself while the child installs its filter,
/// and only then opens the child's gate. When the filter cannot be installed exactly as compiled, nothing runs.
pub(crate) fn run(request: Request) -> Result<Ended, EnforceError> {
    let Request {
        command,
        policy,
        flags,
        weights,
        privileges,
        stay,
    } = request;
    let (linger, report) = match stay {
        Stay::No => (None, None),
        Stay::Yes { linger, report } => (Some(linger), report),
    };
    // From here on no signal is lost, not even as PID 1, where what nobody handles or blocks is discarded.
    let caller = launch::take_over()?;
    let asking = report.is_some().then(|| asking(&policy)).transpose()?;
    let (installed, listening) = match &asking {
        Some((asking, flags)) => (asking, Some(*flags)),
        None => (&policy, None),
    };
    check_kernel(installed)?;
    let launch = match (linger, listening) {
        (None, _) => Launch::Exec,
        (Some(_), None) => Launch::Wait,
        (Some(_), Some(_)) => Launch::Handover,
    };
    let filter = Filter::compile(installed, &Options { launch, weights })?;
    let seal = Seal {
        program: filter.program().to_vec(),
        gate: filter.launch_slots().map(|slots| Gate { slots, arm }),
        flags: kernel_flags(flags) | listening.unwrap_or(0),
    };
    let reporter = report
        .map(|Reported { lines }| Reporter::new(policy, lines))
        .transpose()
        .map_err(EnforceError::NoSeccomp)?;
    let mut plan = launch::plan(&command, caller)?;
    if privileges.allow_new {
        plan.allow_new_privs();
    }
    if let Some(drop) = privileges.plan()? {
        plan.drop_caps(drop);
    }
    plan.seal(seal);
    let Some(linger) = linger else {
        let failure = plan.exec(|errno| launch::exec_exit(errno).code());
        return Err(LaunchError::of(failure, &command).into());
    };
    let ready = plan.ready().map_err(LaunchError::from)?;
    let held = privileges.current.permitted;
    let (end, report) = match reporter {
        None => (look_after(ready, &command, held, linger)?, None),
        Some(reporter) => {
            let (end, report) = report_on(ready, &command, held, linger, reporter)?;
            (end, Some(report))
        }
    };
    Ok(Ended { end, report })
}

/// Lets the command go, and looks after it to its end.
fn look_after(
    ready: Ready,
    command: &Command,
    held: u64,
    linger: Duration,
) -> Result<End, EnforceError> {
    // Before the fork: after it each page that this writes would be copied first, and mostly the child waits for the
    // processor.
    let own = confine::filter(ready.fd_numbers(), None)?;
    let mut child = ready.spawn().map_err(LaunchError::from)?;
    process::leave_directory();
    let ready = launch::settle(&child, &[])
        .map_err(EnforceError::from)
        .and_then(|()| {
            // What must be read from outside its sandbox has been read: from here on it only waits.
            confine::confine(&own, held, false)?;
            Ok(child.open_gate().map_err(setup("let the command go"))?)
        });
    if let Err(error) = ready {
        child.abandon();
        return Err(error);
    }
    let end = until_end(&mut child, None, linger)?;
    match child.failure() {
        Some(failure) => Err(LaunchError::of(failure, command).into()),
        None => Ok(end),
    }
}

/// Waits for the end of a command that runs, and reports meanwhile.
fn until_end(
    child: &mut Child,
    reporting: Option<(&mut Reporter, BorrowedFd<'_>)>,
    linger: Duration,
) -> Result<End, LaunchError> {
    let mut plan = child.take_plan();
    let mut rest = || {
        // What a launcher that waits does not need: it may do so for years.
        plan = None;
        let for_good = confine::for_good().ok()?;
        process::give_memory_back();
        let settle = || seccomp::install(for_good.program(), 0).map(drop);
        let witnesses = Witnesses::summon(&settle);
        // Were it refused, or not compiled, who overwrites the launcher could have more processes that can do as little.
        let _ = settle();
        witnesses.ok()
    };
    let duties = Duties {
        aside: reporting.map(|(reporter, signals)| (reporter as &mut dyn Aside, signals)),
        linger,
        at_rest: Some(&mut rest),
    };
    let end = supervise::until_end(child, duties).map_err(setup("wait for the command"))?;
    // Nobody needs the memory: we end.
    mem::forget(plan);
    Ok(end)
}

/// Looks after the command as [`look_after`] does, and takes down what is denied meanwhile.
fn report_on(
    ready: Ready,
    command: &Command,
    held: u64,
    linger: Duration,
    mut reporter: Reporter,
) -> Result<(End, Report), EnforceError> {
    let descriptors = ready.fd_numbers();
    let mut child = ready.spawn().map_err(LaunchError::from)?;
    process::leave_directory();
    let file = reporter.file();
    let ready = launch::settle(&child, file.as_slice())
        .map_err(EnforceError::from)
        .and_then(|()| {
            let signals = signal::waiting_fd().map_err(setup("hear of signals (signalfd)"))?;
            let listener = child.take_listener().map_err(|errno| {
                let failed = child.failure();
                match failed.map(|failure| (failure.stage, failure.errno)) {
                    Some((Stage::Filter, Errno::EBUSY)) => EnforceError::OtherListener,
                    _ => failed
                        .map_or_else(
                            || setup("take the filter's listener")(errno),
                            |failure| LaunchError::of(failure, command),
                        )
                        .into(),
                }
            })?;
            let reporting = Reporting {
                listener: listener.as_fd().as_raw_fd(),
                file,
            };
            // The listener's number is in it, so it comes after the fork.
            let own = confine::filter(descriptors, Some(reporting))?;
            confine::confine(&own, held, true)?;
            reporter.listen(listener, child.pid());
            child.execute().map_err(setup("let the command go"))?;
            Ok(signals)
        });
    let signals = match ready {
        Ok(signals) => signals,
        Err(error) => {
            child.abandon();
            return Err(error);
        }
    };
    let end = until_end(&mut child, Some((&mut reporter, signals.as_fd())), linger)?;
    if let Some(failure) = child.failure() {
        return Err(LaunchError::of(failure, command).into());
    }
    let report = reporter.finish();
    // The kernel would have killed it so.
    let by_us = end == End::Killed(Signal::KILL) && report.killed;
    Ok((if by_us { End::Killed(Signal::SYS) } else { end }, report))
}

/// Does this kernel know every action that the filter can return? An old one would kill for the others.
fn check_kernel(policy: &Policy) -> Result<(), EnforceError> {
    for action in policy.actions() {
        match seccomp::action_available(action.to_ret()) {
            Ok(()) => {}
            Err(Errno::EOPNOTSUPP) => return Err(EnforceError::UnknownAction { action }),
            Err(errno) => return Err(EnforceError::NoSeccomp(errno)),
        }
    }
    Ok(())
}

/// The policy of a filter that reports, and the flags that such a filter is installed with.
fn asking(policy: &Policy) -> Result<(Policy, libc::c_ulong), EnforceError> {
    let proc_is_ours = peek::proc_is_ours();
    if proc_is_ours == Some(false) {
        return Err(EnforceError::ForeignProc);
    }
    let flags = listening_flags();
    let is_patient = flags & libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV != 0;
    // A trapped call needs /proc, too: it tells whether a handler waits for the signal.
    let asking = denials::asking(policy, is_patient && proc_is_ours.is_some());
    Ok((asking, flags))
}

/// With a listener, and where the kernel can (5.19), so that a signal does not interrupt a call that is being answered: a
/// program that gets signals faster than answers would never go on.
fn listening_flags() -> libc::c_ulong {
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let patient = listener | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    match seccomp::flags_available(patient) {
        Ok(()) => patient,
        Err(_) => listener,
    }
}

fn kernel_flags(flags: Flags) -> libc::c_ulong {
    let one = |set, flag| if set { flag } else { 0 };
    one(flags.log, libc::SECCOMP_FILTER_FLAG_LOG)
        | one(flags.spec_allow, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW)
}
