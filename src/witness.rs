//! Did a signal that came to the launcher go to its whole process group?
//!
//! The command is in the launcher's group, as it would be in its caller's: what a process sends to the group (`kill(2)`
//! with a negative pid: a shell's `kill %1`, `timeout`, a script's `kill 0`) it has already, and passed on by the launcher it
//! would come twice. The kernel does not tell whether a signal was sent to a process or to its group, so two processes
//! that do nothing but wait for signals tell it. They are children of the launcher, one inside of the group and one
//! outside. What went to the group came to the one inside, and not to the one outside. What came to both was sent to
//! processes one by one, by their program or as members of a service, and nobody knows to which.
//!
//! The kernel signals a group in one go, and its newest member first: the one inside, which is younger than the launcher,
//! has a signal before the launcher can ask for it. In doubt the answer is no: rather twice than never. Two limits:
//!
//! * Standard signals do not queue (`signal(7)`). One to the launcher that comes when the group's has not been taken yet is
//!   one with it, and the command, which may have taken its own by then, gets no second.
//! * Who signals the one inside and then the launcher within [`MEMORY`], and neither the command nor the one outside, is taken
//!   for one who signals the group.

use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::sys::inherited;
use crate::sys::process::{self, Forked};
use crate::sys::shared::{self, Shared};
use crate::sys::signal::{self, Signal, Taken};
use crate::sys::wait::{self, Block, Change};
use crate::sys::{Errno, Tid};

/// How long a witness remembers. The launcher may have been kept from asking: stopped, or without a processor.
const MEMORY: Duration = Duration::from_secs(1);

/// How many signals a witness remembers.
const CAPACITY: usize = 64;

/// How long the launcher waits for an answer. A witness has nothing else to do; one that takes longer is stopped.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a witness does last before it waits.
type Settle<'a> = &'a dyn Fn() -> Result<(), Errno>;

/// The two of them. They end with the launcher, or when this is dropped.
#[derive(Debug)]
pub(crate) struct Witnesses {
    inside: Witness,
    outside: Witness,
}

impl Witnesses {
    /// Forks them. This process must have one thread, and all signals blocked.
    ///
    /// `settle` is called in each, once it has all that it needs.
    pub(crate) fn summon(settle: Settle<'_>) -> Result<Self, Errno> {
        // The one inside knows nothing of what comes before it: it is the last.
        let outside = Witness::summon(Place::Outside, settle)?;
        let inside = Witness::summon(Place::Inside, settle)?;
        Ok(Self { inside, outside })
    }

    /// Did this signal go to the whole group, and so to the command? Each that did is told once.
    pub(crate) fn saw_it_go_to_all(&mut self, command: Tid, taken: &Taken) -> bool {
        process::is_in_our_group(command)
            && self.inside.heard(taken) == Some(true)
            && self.outside.heard(taken) == Some(false)
    }
}

/// Where a witness stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the launcher's process group.
    Inside,
    /// In one of its own.
    Outside,
}

/// One of them, as the launcher knows it.
#[derive(Debug)]
struct Witness {
    process: Forked,
    slot: Shared<Slot>,
    /// The number of the last question.
    asked: u32,
}

/// A question and its answer. Questions are numbered, and whoever is asked answers with the number.
#[derive(Debug, Default)]
struct Slot {
    signal: AtomicI32,
    sender: AtomicI32,
    asked: AtomicU32,
    heard: AtomicBool,
    answered: AtomicU32,
}

impl Witness {
    fn summon(place: Place, settle: Settle<'_>) -> Result<Self, Errno> {
        let slot = Shared::new(Slot::default())?;
        let launcher = process::own_id();
        let Some(process) = process::fork()? else {
            // Whatever fails ends it: one who is not there is not believed.
            let _ = stand(place, launcher, &slot, settle);
            process::leave()
        };
        Ok(Self {
            process,
            slot,
            asked: 0,
        })
    }

    /// Did this signal come to it, too? `None`: nobody knows.
    fn heard(&mut self, taken: &Taken) -> Option<bool> {
        let slot = &self.slot;
        if slot.answered.load(Ordering::Acquire) != self.asked {
            // It is stopped, or gone.
            return None;
        }
        slot.signal.store(taken.signal.as_raw(), Ordering::Relaxed);
        slot.sender.store(taken.sender, Ordering::Relaxed);
        self.asked = self.asked.wrapping_add(1);
        slot.asked.store(self.asked, Ordering::Release);
        signal::send(self.process.pidfd.as_fd(), Signal::URG).ok()?;
        shared::wait_for(&slot.answered, self.asked, Instant::now() + PATIENCE)
            .then(|| slot.heard.load(Ordering::Relaxed))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // One that was reaped already has lost its number, perhaps to another child.
        if signal::send(self.process.pidfd.as_fd(), Signal::KILL).is_err() {
            return;
        }
        while let Ok(Some((_, Change::Stopped(_)))) = wait::next(self.process.pid, Block::Yes) {}
    }
}

/// What a witness does all its life. It returns only when it could not begin, or cannot go on.
fn stand(place: Place, launcher: Tid, slot: &Slot, settle: Settle<'_>) -> Result<(), Errno> {
    process::die_with(launcher, Signal::KILL)?;
    if place == Place::Outside {
        process::leave_group()?;
    }
    // What the launcher holds ends with the launcher alone.
    process::close_all()?;
    process::set_name(c"seccomp-witness")?;
    inherited::set_title(b"seccomp-run: a witness of signals");
    settle()?;
    process::give_memory_back();
    let mut memory = Memory::new();
    let hear = |memory: &mut Memory, mut limit| -> Result<(), Errno> {
        while let Some(taken) = signal::take(limit)? {
            // Nobody asks for the kernel's own, and others that we do not see have no number either.
            if taken.sender != launcher && !taken.by_kernel {
                memory.add(&taken, Instant::now());
            }
            limit = Some(Duration::ZERO);
        }
        Ok(())
    };
    loop {
        // A question wakes us by a signal.
        hear(&mut memory, None)?;
        let asked = slot.asked.load(Ordering::Acquire);
        if asked != slot.answered.load(Ordering::Relaxed) {
            // What came before the question may have come after the last look.
            hear(&mut memory, Some(Duration::ZERO))?;
            let signal = Signal::from_raw(slot.signal.load(Ordering::Relaxed));
            let sender = slot.sender.load(Ordering::Relaxed);
            let heard = memory.take(signal, sender, Instant::now());
            slot.heard.store(heard, Ordering::Relaxed);
            shared::announce(&slot.answered, asked)?;
        }
    }
}

/// What a witness has heard of late, and was not asked for yet.
#[derive(Debug)]
struct Memory(Vec<(Signal, Tid, Instant)>);

impl Memory {
    fn new() -> Self {
        Self(Vec::with_capacity(CAPACITY))
    }

    fn add(&mut self, taken: &Taken, now: Instant) {
        self.forget(now);
        if self.0.len() == CAPACITY {
            self.0.remove(0);
        }
        self.0.push((taken.signal, taken.sender, now));
    }

    /// Was there such a signal? Then it is forgotten: one of many, or, where they are not told apart while they wait, all.
    fn take(&mut self, signal: Signal, sender: Tid, now: Instant) -> bool {
        self.forget(now);
        let is_it = |&(what, who, _): &(Signal, Tid, Instant)| (what, who) == (signal, sender);
        let Some(first) = self.0.iter().position(is_it) else {
            return false;
        };
        if signal.is_realtime() {
            self.0.remove(first);
        } else {
            self.0.retain(|heard| !is_it(heard));
        }
        true
    }

    fn forget(&mut self, now: Instant) {
        let is_fresh = |heard: &Instant| now.saturating_duration_since(*heard) < MEMORY;
        self.0.retain(|(_, _, heard)| is_fresh(heard));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(signal: i32, sender: Tid) -> Taken {
        Taken {
            signal: Signal::from_raw(signal),
            by_kernel: false,
            sender,
            words: None,
        }
    }

    #[test]
    fn what_was_heard_is_told_once_and_not_for_ever() {
        // What comes and when, what is asked and when, and the answers.
        type Case<'a> = (&'a [(i32, Tid, u64)], &'a [(i32, Tid, u64)], &'a [bool]);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let cases: [Case<'_>; 7] = [
            (&[], &[(15, 7, 0)], &[false]),
            (&[(15, 7, 0)], &[(15, 7, 1), (15, 7, 2)], &[true, false]),
            (&[(15, 7, 0)], &[(15, 8, 1), (2, 7, 1)], &[false, false]),
            (&[(15, 7, 0)], &[(15, 7, 999)], &[true]),
            (&[(15, 7, 0)], &[(15, 7, 1000)], &[false]),
            // Two that merge while they wait; two that do not.
            (
                &[(15, 7, 0), (15, 7, 1)],
                &[(15, 7, 2), (15, 7, 2)],
                &[true, false],
            ),
            (
                &[(40, 7, 0), (40, 7, 1)],
                &[(40, 7, 2), (40, 7, 2), (40, 7, 2)],
                &[true, true, false],
            ),
        ];
        for (comes, asked, want) in cases {
            let mut memory = Memory::new();
            for &(signal, sender, when) in comes {
                memory.add(&from(signal, sender), at(when));
            }
            let asked = asked.iter();
            let got: Vec<bool> = asked
                .map(|&(signal, sender, when)| {
                    memory.take(Signal::from_raw(signal), sender, at(when))
                })
                .collect();
            assert_eq!(got, want, "{comes:?}");
        }
    }

    #[test]
    fn the_oldest_is_forgotten_first_and_there_is_an_end_to_it() {
        let now = Instant::now();
        let mut memory = Memory::new();
        let room = memory.0.capacity();
        let all = Tid::try_from(CAPACITY).unwrap() + 1;
        for sender in 1..=all {
            memory.add(&from(15, sender), now);
        }
        assert_eq!(memory.0.capacity(), room);
        assert!(!memory.take(Signal::TERM, 1, now));
        assert!((2..=all).all(|sender| memory.take(Signal::TERM, sender, now)));
    }
}
