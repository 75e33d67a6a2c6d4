//! What the launcher does while the command runs: forwards signals, reaps, mirrors the end.
//!
//! These are the duties of an init (`tini`, `dumb-init`), because as a container's entry point the launcher
//! is PID 1: it passes on every signal, real-time ones included, and leaves no zombies.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys::signal::{self, Signal, Taken};
use crate::sys::spawn::Child;
use crate::sys::wait::{self, Block, Change, End};
use crate::sys::{Errno, process};
use crate::witness::Witnesses;

/// Something else that the launcher attends to while the command runs.
pub(crate) trait Aside {
    /// What is readable when there is something to attend to; `None` when there never will be.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Attends to it. Must not block.
    fn attend(&mut self);

    /// The other end hung up.
    fn gone(&mut self);
}

/// What the launcher does besides.
#[derive(Default)]
pub(crate) struct Duties<'a> {
    /// Something to attend to, and what is readable while a signal waits ([`signal::waiting_fd`]).
    pub(crate) aside: Option<(&'a mut dyn Aside, BorrowedFd<'a>)>,
    /// How long to wait for the descendants that outlive the command.
    pub(crate) linger: Duration,
    /// What can wait until the command has run for a moment: many are over by then. Forks the witnesses, where it can.
    pub(crate) at_rest: Option<&'a mut dyn FnMut() -> Option<Witnesses>>,
}

/// After which a command is not one of those that are over at once. Counted once more from the first signal.
const MOMENT: Duration = Duration::from_millis(20);

/// Takes signals and passes them on until the command has ended, and waits for its descendants as long as it should.
///
/// All signals must have been blocked before the command was forked. What is left of the command's
/// descendants is left alone; when we are PID 1, our own end ends them.
pub(crate) fn until_end(child: &Child, mut duties: Duties<'_>) -> Result<End, Errno> {
    let mut jobs = JobControl::default();
    // A SIGCONT that continued the command, and waits here as well, went to both of us. One that comes later is another.
    let mut continued = false;
    let mut rest = duties.at_rest.take().map(|rest| (Until::In(MOMENT), rest));
    let mut witnesses = None;
    let mut is_first = true;
    loop {
        if let Some(end) = reap(child, &mut jobs)? {
            // They are no descendants of the command.
            drop(witnesses);
            duties.linger()?;
            return Ok(end);
        }
        // Many a command is over at the first signal, and nobody has asked for the time.
        if !is_first && let Some((until, _)) = &mut rest {
            *until = until.fixed();
        }
        is_first = false;
        continued |= wait::was_continued(child.pid());
        let until = if continued {
            Some(Until::In(Duration::ZERO))
        } else {
            rest.as_ref().map(|&(until, _)| until)
        };
        let Some(taken) = duties.take_signal(until)? else {
            if !continued && let Some((_, rest)) = rest.take() {
                witnesses = rest();
            }
            continued = false;
            continue;
        };
        continued |= wait::was_continued(child.pid());
        if !is_ours(taken) {
            // They are asked in any case, so that they do not take it for the next one.
            let is_the_groups = witnesses
                .as_mut()
                .is_some_and(|witnesses| witnesses.saw_it_go_to_all(child.pid(), &taken));
            if !is_the_groups && (taken.signal != Signal::CONT || !continued) {
                pass_on(child, taken);
            }
        }
        jobs.taken(taken.signal);
    }
}

/// Until when to wait.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// For so long, from when the waiting begins. No clock is read for it, which for the first time takes microseconds: its
    /// pages are mapped, and the vDSO is searched for the function.
    In(Duration),
    /// Until then.
    At(Instant),
}

impl Until {
    /// The same for waiting that is interrupted and begins again.
    fn fixed(self) -> Self {
        match self {
            Self::In(time) => Self::At(Instant::now() + time),
            at @ Self::At(_) => at,
        }
    }

    fn left(self) -> Duration {
        match self {
            Self::In(time) => time,
            Self::At(at) => at.saturating_duration_since(Instant::now()),
        }
    }
}

impl Duties<'_> {
    /// Waits for a signal, and attends to what else there is meanwhile. `None`: nothing came by then.
    fn take_signal(&mut self, until: Option<Until>) -> Result<Option<Taken>, Errno> {
        match &mut self.aside {
            None => signal::take(until.map(Until::left)),
            Some((aside, signals)) => {
                let until = until.map(Until::fixed);
                attend_until_signal(&mut **aside, *signals, || until.map(Until::left))?;
                signal::take(Some(Duration::ZERO))
            }
        }
    }

    /// Reaps descendants until there are none, the time is over, or somebody wants an end of it.
    fn linger(&mut self) -> Result<(), Errno> {
        let linger = Some(self.linger).filter(|linger| !linger.is_zero());
        let until = linger.map(|linger| Until::In(linger).fixed());
        loop {
            // The command's last orphans may have ended with it.
            loop {
                match wait::next(-1, Block::No) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => return Ok(()),
                }
            }
            if until.is_none_or(|until| until.left().is_zero()) {
                return Ok(());
            }
            if let Some(taken) = self.take_signal(until)?
                && matches!(taken.signal, Signal::TERM | Signal::INT | Signal::QUIT)
            {
                return Ok(());
            }
        }
    }
}

/// Attends to what else there is until a signal waits, or the time is over.
fn attend_until_signal(
    aside: &mut dyn Aside,
    signals: BorrowedFd<'_>,
    left: impl Fn() -> Option<Duration>,
) -> Result<(), Errno> {
    loop {
        let mut fds = vec![PollFd::new(signals, PollFlags::POLLIN)];
        fds.extend(aside.fd().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let timeout = match left() {
            Some(left) => PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
            None => PollTimeout::NONE,
        };
        match poll(&mut fds, timeout) {
            Ok(0) => return Ok(()),
            // A stop and continue of this process.
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno),
            Ok(_) => {}
        }
        let state = |at: usize| {
            let state = fds.get(at).and_then(PollFd::revents);
            state.unwrap_or(PollFlags::empty())
        };
        let (signal, other) = (state(0), state(1));
        if other.contains(PollFlags::POLLIN) {
            aside.attend();
        } else if other.contains(PollFlags::POLLHUP) {
            aside.gone();
        }
        if !signal.is_empty() {
            return Ok(());
        }
    }
}

/// Reaps whatever has ended. Returns how the command ended, if it did.
fn reap(child: &Child, jobs: &mut JobControl) -> Result<Option<End>, Errno> {
    loop {
        match wait::next(-1, Block::No)? {
            None => return Ok(None),
            Some((pid, Change::Ended(end))) if pid == child.pid() => return Ok(Some(end)),
            Some((pid, Change::Stopped(stop))) if pid == child.pid() => {
                jobs.stopped(Signal::from_raw(stop.signal));
            }
            Some(_) => {}
        }
    }
}

/// When job control stops the command, the shell that waits for us must see a stop too.
///
/// We follow when both have happened, in whichever order: a stop signal came to us (the terminal's goes to
/// the whole group, and somebody's to us is passed on), and the command stopped by one. A command that is
/// stopped alone will be continued alone, and we would sleep on. Never as PID 1, which nobody continues.
#[derive(Debug, Default)]
pub(crate) struct JobControl {
    asked: bool,
    stopped: bool,
}

impl JobControl {
    /// A signal came to us.
    pub(crate) fn taken(&mut self, signal: Signal) {
        match signal {
            Signal::CONT => *self = Self::default(),
            signal if is_job_stop(signal) => self.asked = true,
            _ => {}
        }
        self.follow();
    }

    /// The command was stopped by this signal.
    pub(crate) fn stopped(&mut self, signal: Signal) {
        self.stopped |= is_job_stop(signal);
        self.follow();
    }

    fn follow(&mut self) {
        if self.asked && self.stopped && std::process::id() != 1 {
            *self = Self::default();
            signal::stop_self();
        }
    }
}

const fn is_job_stop(signal: Signal) -> bool {
    matches!(signal, Signal::TSTP | Signal::TTIN | Signal::TTOU)
}

/// Passes a signal on to the command, unless it has it from the terminal or it concerns only us.
pub(crate) fn forward(child: &Child, taken: Taken) {
    if !is_ours(taken) {
        pass_on(child, taken);
    }
}

fn pass_on(child: &Child, taken: Taken) {
    // ESRCH: it has ended, and the next wait tells. EPERM: it changed its user, and we may not.
    let _ = signal::pass_on(child.pidfd(), taken);
}

/// Is this signal not meant for the command, or does it have it from the terminal?
fn is_ours(taken: Taken) -> bool {
    let Taken {
        signal,
        by_kernel,
        sender,
        ..
    } = taken;
    let us = process::own_id() == sender;
    if signal == Signal::CHLD || (us && !by_kernel && is_raised_by_work(signal)) {
        return true;
    }
    // The terminal signals its whole foreground group, and the command is in our group. Only a hang-up
    // reaches the leader of the session alone.
    let leader_only = matches!(signal, Signal::HUP | Signal::CONT) && process::leads_session();
    by_kernel && is_from_terminal(signal) && !leader_only
}

/// Is this a signal that we get in our own name? A write to a closed pipe or beyond the size that a file may have
/// raises one, and the tracer wakes us by one. Any other was pending when we were started, and would be the command's.
fn is_raised_by_work(signal: Signal) -> bool {
    matches!(signal, Signal::PIPE | Signal::XFSZ | Signal::URG)
}

fn is_from_terminal(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::INT
            | Signal::QUIT
            | Signal::TSTP
            | Signal::TTIN
            | Signal::TTOU
            | Signal::WINCH
            | Signal::HUP
            | Signal::CONT
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_terminal_sends_to_the_group_is_not_sent_twice() {
        let us = i32::try_from(std::process::id()).unwrap();
        let cases = [
            (Signal::INT, true, 0, true),
            (Signal::INT, false, 1, false),
            (Signal::TERM, false, 0, false),
            (Signal::WINCH, true, 0, true),
            (Signal::CHLD, false, 77, true),
            (Signal::PIPE, false, us, true),
            (Signal::PIPE, false, 1, false),
            (Signal::XFSZ, false, us, true),
            (Signal::USR1, false, us, false),
            (Signal::from_raw(40), false, 1, false),
        ];
        for (signal, by_kernel, sender, want) in cases {
            let taken = Taken {
                signal,
                by_kernel,
                sender,
                words: None,
            };
            assert_eq!(is_ours(taken), want, "{taken:?}");
        }
    }
}
