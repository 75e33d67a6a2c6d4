//! The two ways into a recording: traced from the first instruction, or under a filter from before it.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use super::{LearnError, errno_of};
use crate::command::Command;
use crate::filter::{Launch, arm};
use crate::launch::{self, Caller, LaunchError, setup};
use crate::sys::signal::{self, Signal};
use crate::sys::spawn::{Child, Gate, Plan, Seal};
use crate::sys::{Errno, threads};
use crate::trace::{self, Desk, Knowledge, Live, Manner, TraceError, Tracer, Unknown};

/// How to start.
pub(crate) struct Start {
    /// What to run.
    pub(crate) command: Command,
    /// Leave `no_new_privs` unset.
    pub(crate) allow_new_privs: bool,
    /// What is known before.
    pub(crate) knowledge: Knowledge,
    /// How to trace.
    pub(crate) manner: Manner,
    /// What is known covers the command: it can have its filter at once.
    pub(crate) filter_first: bool,
    /// Descriptors that the launcher keeps open.
    pub(crate) kept: Vec<i32>,
}

/// A command whose tracer runs.
pub(super) struct Traced {
    pub(super) child: Arc<Child>,
    /// Receives once, when tracing is over.
    pub(super) outcome: Receiver<Result<(), TraceError>>,
}

/// Starts the tracer's thread, which starts the command.
pub(super) fn start(start: Start, live: &Arc<Live>) -> Result<Traced, LearnError> {
    let caller = launch::take_over()?;
    let (started, begun) = mpsc::channel();
    let (over, outcome) = mpsc::channel();
    let live = Arc::clone(live);
    let body = move || match begin(start, caller, &live) {
        Ok((child, tracer)) => {
            // Nobody listens only when the other thread is gone, and the process with it.
            let _ = started.send(Ok(child));
            let _ = over.send(tracer.run());
            signal::wake_taker();
        }
        Err(error) => {
            let _ = started.send(Err(error));
        }
    };
    let spawned = threads::named("tracer").spawn(body);
    spawned.map_err(|error| setup("start the tracer's thread")(errno_of(&error)))?;
    block_signals()?;
    let child = begun
        .recv()
        .map_err(|_| setup("start the tracer")(Errno::ECHILD))??;
    Ok(Traced { child, outcome })
}

/// Once more, in both threads: to start one, the C library opens two signals that it uses itself.
fn block_signals() -> Result<(), LaunchError> {
    signal::block_all()
        .map(drop)
        .map_err(setup("block signals"))
}

type Begun<'a> = (Arc<Child>, Tracer<'a>);

fn begin(start: Start, caller: Caller, live: &Arc<Live>) -> Result<Begun<'_>, LearnError> {
    block_signals()?;
    if start.filter_first
        && let Some(begun) = filter_first(&start, caller, live)?
    {
        return Ok(begun);
    }
    seize(start, caller, live)
}

/// Forks, seizes, settles, and lets the command go.
fn seize(start: Start, caller: Caller, live: &Arc<Live>) -> Result<Begun<'_>, LearnError> {
    let mut child = plan(&start, caller)?.spawn().map_err(LaunchError::from)?;
    let ready = launch::settle(&child, &start.kept).map_err(LearnError::from);
    let ready = ready.and_then(|()| {
        let desk = if start.manner.may_inject() {
            let opened = Desk::open(live);
            opened
                .inspect_err(|errno| log::debug!("no listeners here: {errno}"))
                .ok()
        } else {
            None
        };
        let tracer = Tracer::seize(child.pid(), live, (start.knowledge, start.manner), desk)?;
        child.open_gate().map_err(setup("let the command go"))?;
        Ok(tracer)
    });
    match ready {
        Ok(tracer) => {
            drop(child.take_plan());
            Ok((Arc::new(child), tracer))
        }
        Err(error) => {
            child.abandon();
            Err(error)
        }
    }
}

/// Forks, and lets the child install the learner's filter before it executes the command: nothing needs to be
/// traced. `None`: that cannot be done here, and nothing has run.
fn filter_first<'a>(
    start: &Start,
    caller: Caller,
    live: &'a Arc<Live>,
) -> Result<Option<Begun<'a>>, LearnError> {
    let Some(seal) = seal(&start.knowledge) else {
        return Ok(None);
    };
    let mut plan = plan(start, caller)?;
    plan.seal(seal);
    let mut child = plan.spawn().map_err(LaunchError::from)?;
    let listener = match child.take_listener() {
        Ok(listener) => listener,
        Err(errno) => {
            log::debug!("no filter before the exec: {errno}");
            child.abandon();
            return Ok(None);
        }
    };
    // Only now: another child could not be forked from a launcher that has settled.
    let kept = [&start.kept, &[listener.as_fd().as_raw_fd()][..]].concat();
    let ready = launch::settle(&child, &kept)
        .and_then(|()| Desk::open(live).map_err(setup("hear of unknown calls")))
        .and_then(|desk| {
            desk.add(listener);
            child.execute().map_err(setup("let the command go"))?;
            Ok(desk)
        });
    let desk = match ready {
        Ok(desk) => desk,
        Err(error) => {
            child.abandon();
            return Err(error.into());
        }
    };
    // Where the exec failed, that is told when its end is seen.
    if child.failure().is_none() {
        live.set_executed();
    }
    drop(child.take_plan());
    let tracer = Tracer::beside(child.pid(), live, desk);
    Ok(Some((Arc::new(child), tracer)))
}

fn plan(start: &Start, caller: Caller) -> Result<Plan, LaunchError> {
    let mut plan = launch::plan(&start.command, caller)?;
    if start.allow_new_privs {
        plan.allow_new_privs();
    }
    if start.manner.may_inject() {
        // What is traced dies with its tracer. What is not would run on, and fail at every unknown call.
        plan.die_with_launcher(Signal::KILL);
    }
    Ok(plan)
}

fn seal(knowledge: &Knowledge) -> Option<Seal> {
    let flags = trace::listening_flags()?;
    let filter = trace::compile(&knowledge.base, Unknown::Notify, Launch::Handover)?;
    Some(Seal {
        program: filter.program().to_vec(),
        gate: filter.launch_slots().map(|slots| Gate { slots, arm }),
        flags,
    })
}
