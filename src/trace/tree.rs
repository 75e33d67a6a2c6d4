//! The tasks that are traced, as a pure function over events: no kernel, so that every order of events is
//! a unit test.
//!
//! The order cannot be relied on. A child's first stop comes before its parent's event one time in three,
//! and a short-lived child may be dead and reaped by then. So a task exists from whichever comes first, and
//! one that ended before it was announced is remembered until it is.

use std::collections::{HashMap, HashSet};

use super::stop::Stop;
use crate::sys::Tid;
use crate::sys::ptrace::Resume;
use crate::sys::signal::Signal;
use crate::sys::wait::End;

/// The tasks of one command.
#[derive(Debug)]
pub(crate) struct Tree {
    main: Tid,
    /// Every task that may still report something.
    alive: HashMap<Tid, Task>,
    /// Ended before their parent's event told of them.
    unannounced: HashSet<Tid>,
    main_end: Option<End>,
    executed: bool,
    /// How many tasks were seen.
    pub(crate) tasks: u64,
}

/// One process or thread.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Task {
    /// Its parent's event has come (or never will: the main process).
    announced: bool,
}

/// What to do after a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reaction {
    pub(crate) resume: Resume,
    /// To be delivered.
    pub(crate) signal: Option<Signal>,
    /// Ask the kernel whether this task, announced after a task of the same number had ended, exists: a
    /// number can be used again.
    pub(crate) confirm: Option<Tid>,
}

impl Reaction {
    const GO_ON: Self = Self {
        resume: Resume::ToSyscall,
        signal: None,
        confirm: None,
    };
}

impl Tree {
    /// A tree with the main process, which is about to exec.
    pub(crate) fn new(main: Tid) -> Self {
        let alive = [(main, Task { announced: true })].into();
        let unannounced = HashSet::new();
        Self {
            main,
            alive,
            unannounced,
            main_end: None,
            executed: false,
            tasks: 1,
        }
    }

    /// A task stopped.
    pub(crate) fn stopped(&mut self, tid: Tid, stop: &Stop) -> Reaction {
        self.add(tid, false);
        match *stop {
            Stop::Signal(signal) => Reaction {
                signal: Some(signal),
                ..Reaction::GO_ON
            },
            Stop::Group => Reaction {
                resume: Resume::Listen,
                ..Reaction::GO_ON
            },
            Stop::Exec { former } => {
                self.executed |= self.is_main(tid);
                // The thread that called exec goes on under its leader's number. The leader's old self
                // reports nothing more; the other threads report their own ends.
                if former != tid
                    && self
                        .alive
                        .remove(&former)
                        .is_some_and(|task| !task.announced)
                {
                    self.unannounced.insert(former);
                }
                Reaction::GO_ON
            }
            Stop::Born { child, .. } => Reaction {
                confirm: self.announce(child),
                ..Reaction::GO_ON
            },
            Stop::Entry { .. } | Stop::Exit { .. } | Stop::Halt | Stop::Other => Reaction::GO_ON,
        }
    }

    /// A task ended, or a child that was never traced.
    pub(crate) fn ended(&mut self, tid: Tid, end: End) {
        // The number of a main process that is gone can be used again.
        if self.is_main(tid) {
            self.main_end = Some(end);
        }
        // One that was not known at all was killed before its first stop, or is none of ours.
        if !self.alive.remove(&tid).is_some_and(|task| task.announced) {
            self.unannounced.insert(tid);
        }
    }

    /// The answer to [`Reaction::confirm`]: the task exists.
    pub(crate) fn confirmed(&mut self, tid: Tid) {
        self.add(tid, true);
    }

    /// A parent's event told of this child. Returns it where only the kernel knows whether it lives.
    fn announce(&mut self, child: Tid) -> Option<Tid> {
        if child == 0 {
            return None;
        }
        if self.unannounced.remove(&child) {
            return Some(child);
        }
        self.add(child, true);
        None
    }

    fn add(&mut self, tid: Tid, announced: bool) {
        let tasks = &mut self.tasks;
        let task = self.alive.entry(tid).or_insert_with(|| {
            *tasks += 1;
            Task::default()
        });
        task.announced |= announced;
    }

    /// Is this the main process?
    pub(crate) const fn is_main(&self, tid: Tid) -> bool {
        tid == self.main && self.main_end.is_none()
    }

    /// The tasks that may still report something.
    pub(crate) fn alive(&self) -> Vec<Tid> {
        self.alive.keys().copied().collect()
    }

    /// The kernel knows no such tracee: it was killed while it called exec, and its number went with it.
    pub(crate) fn forget(&mut self, tid: Tid) {
        self.alive.remove(&tid);
    }

    /// Has the main process executed the command?
    pub(crate) const fn executed(&self) -> bool {
        self.executed
    }

    /// How the main process ended, if it has.
    pub(crate) const fn main_end(&self) -> Option<End> {
        self.main_end
    }

    /// Has every task ended?
    pub(crate) fn is_over(&self) -> bool {
        self.alive.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: Tid = 10;
    const OK: End = End::Exited(0);

    #[derive(Debug, Clone, Copy)]
    enum Event {
        Stop(Tid, Stop),
        End(Tid),
    }

    fn born(child: Tid) -> Stop {
        Stop::Born {
            child,
            thread: false,
        }
    }

    /// Feeds events; a task that is to be confirmed is one that the kernel no longer knows.
    fn run(events: &[Event]) -> Tree {
        let mut tree = Tree::new(MAIN);
        for &event in events {
            match event {
                Event::Stop(tid, stop) => {
                    tree.stopped(tid, &stop);
                }
                Event::End(tid) => tree.ended(tid, OK),
            }
        }
        tree
    }

    /// Every interleaving of the sequences, each keeping its own order.
    fn interleavings(sequences: &[Vec<Event>]) -> Vec<Vec<Event>> {
        if sequences.iter().all(Vec::is_empty) {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for at in 0..sequences.len() {
            let mut rest = sequences.to_vec();
            if rest[at].is_empty() {
                continue;
            }
            let first = rest[at].remove(0);
            for mut tail in interleavings(&rest) {
                tail.insert(0, first);
                all.push(tail);
            }
        }
        all
    }

    #[test]
    fn every_order_of_parent_and_children_ends_with_nobody_left() {
        let parent = vec![
            Event::Stop(MAIN, born(11)),
            Event::Stop(MAIN, Stop::Other),
            Event::Stop(MAIN, born(12)),
            Event::End(MAIN),
        ];
        let stops_first = vec![
            Event::Stop(11, Stop::Halt),
            Event::Stop(11, Stop::Other),
            Event::End(11),
        ];
        let killed_at_birth = vec![Event::End(12)];
        let orders = interleavings(&[parent, stops_first, killed_at_birth]);
        assert_eq!(orders.len(), 280);
        for order in orders {
            let tree = run(&order);
            assert!(tree.is_over(), "{order:?} left {tree:?}");
            assert_eq!(tree.main_end(), Some(OK));
            assert!(tree.unannounced.is_empty(), "{order:?} left {tree:?}");
        }
    }

    #[test]
    fn every_order_of_a_grandchild_ends_with_nobody_left() {
        let parent = vec![Event::Stop(MAIN, born(11)), Event::End(MAIN)];
        let child = vec![
            Event::Stop(11, Stop::Halt),
            Event::Stop(11, born(12)),
            Event::End(11),
        ];
        let grandchild = vec![Event::Stop(12, Stop::Halt), Event::End(12)];
        for order in interleavings(&[parent, child, grandchild]) {
            let tree = run(&order);
            assert!(
                tree.is_over() && tree.unannounced.is_empty(),
                "{order:?} left {tree:?}"
            );
            assert_eq!(tree.tasks, 3, "{order:?}");
        }
    }

    #[test]
    fn tracing_goes_on_while_anybody_lives() {
        let tree = run(&[Event::Stop(MAIN, born(11)), Event::End(MAIN)]);
        assert!(
            !tree.is_over(),
            "the child has not stopped yet, and is alive"
        );
        let tree = run(&[Event::Stop(11, Stop::Halt), Event::End(MAIN)]);
        assert!(!tree.is_over(), "the child's parent died before its event");
    }

    #[test]
    fn a_thread_that_execs_goes_on_as_the_leader() {
        let exec = Stop::Exec { former: 12 };
        let threads = [Event::Stop(MAIN, born(11)), Event::Stop(MAIN, born(12))];
        let end = [Event::End(11), Event::Stop(MAIN, exec), Event::End(MAIN)];
        let tree = run(&[&threads[..], &end[..]].concat());
        assert!(tree.is_over(), "{tree:?}");
        assert!(tree.executed());
        // The leader itself may call exec: it keeps its number.
        let own = Stop::Exec { former: MAIN };
        assert!(!run(&[Event::Stop(MAIN, own)]).is_over());
    }

    #[test]
    fn a_reused_number_is_confirmed_by_the_kernel() {
        let mut tree = run(&[Event::Stop(11, Stop::Halt), Event::End(11)]);
        assert_eq!(tree.stopped(MAIN, &born(11)).confirm, Some(11));
        assert!(!tree.alive.contains_key(&11));
        tree.confirmed(11);
        assert!(tree.alive.contains_key(&11));
    }

    #[test]
    fn signals_are_delivered_and_group_stops_kept() {
        let mut tree = Tree::new(MAIN);
        for signal in [libc::SIGSTOP, libc::SIGTRAP, 34].map(Signal::from_raw) {
            let reaction = tree.stopped(MAIN, &Stop::Signal(signal));
            assert_eq!(
                reaction,
                Reaction {
                    signal: Some(signal),
                    ..Reaction::GO_ON
                }
            );
        }
        assert_eq!(tree.stopped(MAIN, &Stop::Group).resume, Resume::Listen);
        assert_eq!(tree.stopped(MAIN, &Stop::Halt), Reaction::GO_ON);
    }

    #[test]
    fn the_commands_end_is_that_of_its_first_process() {
        let mut tree = run(&[Event::Stop(MAIN, born(11)), Event::Stop(11, Stop::Halt)]);
        tree.ended(MAIN, End::Exited(3));
        // Its number is used again.
        tree.stopped(11, &born(MAIN));
        tree.ended(MAIN, End::Exited(7));
        assert_eq!(tree.main_end(), Some(End::Exited(3)));
    }

    #[test]
    fn strangers_are_reaped_without_a_word() {
        let tree = run(&[Event::End(99), Event::End(MAIN)]);
        assert!(tree.is_over());
        assert_eq!(tree.tasks, 1);
    }
}
