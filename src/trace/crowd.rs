//! Waiting for one of many: `wait4(-1)` looks at tracees, the newest first, until it finds one that has something to
//! tell. Among ten thousand that can take longer than all the rest of a stop; `wait4(TID)` takes the same time whatever
//! their number.
//!
//! So while there are many and the plain wait is seen to be dear, the `SIGCHLD` that a stop raises is read for who it
//! was. It is a hint and no more: while one `SIGCHLD` is pending the next is dropped, and some changes raise none (the
//! end of a process's last thread, when its parent asked for another signal). What was not hinted at is found
//! otherwise:
//!
//! * While hints come, one of the others is asked each time, in turn: nobody waits longer than one round of all.
//! * When none has come for [`SILENCE`], everybody is looked at. While that finds somebody there may be more, and the
//!   next look comes after a [`BRIEF`] silence. Those looks are cheap: they end at the first of many that are stopped.
//! * When a look has found nobody and no hint comes for [`REST`], the wait is the plain one. An idle tracer sleeps in
//!   it, and nothing is lost in a plain wait.

use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signalfd::SignalFd;
use nix::time::{ClockId, clock_gettime};

use super::tree::Tree;
use crate::sys::wait::{self, Block, Change};
use crate::sys::{Errno, Tid, signal};

/// Among fewer tasks the plain wait is never dear.
const MANY: usize = 256;

/// So many waits are plain and timed, to decide what the next ones are.
const TIMED: u32 = 8;

/// So many plain ones follow where those were cheap. At their dearest they take a tenth of a second together.
const PLAIN: u32 = 100;

/// So many with hints follow where they were dear, so that the timed ones do not weigh.
const HINTED: u32 = 4000;

/// A plain wait that takes the processor for longer than this is dearer than a hint, which costs about half of it.
const DEAR: Duration = Duration::from_micros(20);

/// After so long without a hint everybody is looked at: a look at ten thousand takes about as long.
const SILENCE: Duration = Duration::from_millis(1);

/// The same while hints seem to be lost. A task that is not idle stops within less.
const BRIEF: Duration = Duration::from_micros(50);

/// After so long without one the wait is the plain one.
const REST: Duration = Duration::from_millis(100);

/// Waits for the tasks of a tree.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// Waits of the present kind, the timed ones before them included.
    waits: u32,
    /// What the timed ones among them took.
    took: Duration,
    /// While hints are used.
    hints: Option<Hints>,
}

#[derive(Debug)]
struct Hints {
    fd: SignalFd,
    /// Who is to be asked in this round.
    turn: Vec<Tid>,
    /// The last look found somebody.
    found: bool,
}

/// One change, if there is one.
type Next = Result<Option<(Tid, Change)>, Errno>;

impl Crowd {
    /// The next change, waited for.
    ///
    /// # Errors
    /// `ECHILD` when there is nobody left to wait for.
    pub(super) fn next(&mut self, tree: &Tree) -> Next {
        if tree.size() < MANY {
            self.waits = 0;
            self.take_hints(false)?;
            return wait::next(-1, Block::Yes);
        }
        if self.waits < TIMED {
            return self.timed();
        }
        if self.waits == TIMED {
            let dear = self.took > DEAR * TIMED;
            self.take_hints(dear)?;
        }
        let last = TIMED + if self.hints.is_some() { HINTED } else { PLAIN };
        self.waits = (self.waits + 1) % last;
        match &mut self.hints {
            Some(hints) => hints.next(tree),
            None => wait::next(-1, Block::Yes),
        }
    }

    /// A plain wait. Sleeping in it takes no time of the processor's.
    fn timed(&mut self) -> Next {
        let clock = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
        if self.waits == 0 {
            self.took = Duration::ZERO;
        }
        self.waits += 1;
        let before = clock()?;
        let change = wait::next(-1, Block::Yes);
        self.took += clock()?.saturating_sub(before);
        change
    }

    fn take_hints(&mut self, take: bool) -> Result<(), Errno> {
        if take != self.hints.is_some() {
            signal::set_child_stops(take)?;
            self.hints = take.then(Hints::new).transpose()?;
        }
        Ok(())
    }
}

impl Hints {
    fn new() -> Result<Self, Errno> {
        Ok(Self {
            fd: signal::child_fd()?,
            turn: Vec::new(),
            // Who has stopped before raised nothing.
            found: true,
        })
    }

    fn next(&mut self, tree: &Tree) -> Next {
        if self.turn.is_empty() {
            self.turn = tree.alive();
        }
        if let Some(tid) = self.turn.pop()
            && let Some(change) = ask(tid)?
        {
            return Ok(Some(change));
        }
        let patience = if self.found { BRIEF } else { SILENCE };
        if let Some(change) = self.follow(patience)? {
            return Ok(Some(change));
        }
        let change = wait::next(-1, Block::No)?;
        self.found = change.is_some();
        if self.found {
            return Ok(change);
        }
        if let Some(change) = self.follow(REST)? {
            return Ok(Some(change));
        }
        wait::next(-1, Block::Yes)
    }

    /// The change that the next hints lead to. `None`: for this long there were no more.
    fn follow(&self, patience: Duration) -> Next {
        loop {
            let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
            match ppoll(&mut fds, Some(patience.into()), None) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
            if let Some(hint) = self.fd.read_signal()?
                && let Ok(tid) = Tid::try_from(hint.ssi_pid)
                && tid > 0
                && let Some(change) = ask(tid)?
            {
                return Ok(Some(change));
            }
        }
    }
}

/// What is new with one task. One that is gone, or nobody of ours, has nothing to tell.
fn ask(tid: Tid) -> Next {
    match wait::next(tid, Block::No) {
        Err(Errno::ECHILD) => Ok(None),
        other => other,
    }
}
