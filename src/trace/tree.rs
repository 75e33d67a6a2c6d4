//! The tasks that are traced, as a pure function over events: no kernel, so that every order of events is
//! a unit test.
//!
//! The order cannot be relied on. A child's first stop comes before its parent's event one time in three,
//! and a short-lived child may be dead and reaped by then. So a task exists from whichever comes first, and
//! one that ended before it was announced is remembered until it is.

use std::collections::HashMap;

use super::stop::Stop;
use crate::recording::ExeId;
use crate::sys::Tid;
use crate::sys::ptrace::Resume;
use crate::sys::signal::Signal;
use crate::sys::wait::End;

/// The tasks of one command, and the processes that they make up.
#[derive(Debug)]
pub(crate) struct Tree {
    main: Tid,
    /// Every task that is traced and may still report something.
    alive: HashMap<Tid, Task>,
    /// Ended before their parent's event told of them. True: it was among the [`tasks`](Self::tasks).
    unannounced: HashMap<Tid, bool>,
    processes: HashMap<ProcessId, Process>,
    /// The last number that was given to a process.
    last: ProcessId,
    main_end: Option<End>,
    executed: bool,
    /// How many tasks were seen.
    pub(crate) tasks: u64,
}

/// A process: our own number, because the kernel's can be used again.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProcessId(u64);

/// One thread, which may be a process's only one.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Task {
    /// Its parent's event has come (or never will: the main process).
    announced: bool,
    /// Known once it was announced.
    process: Option<ProcessId>,
}

/// What the tracer knows about a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// Which program it runs: a number of the tracer's, common to those that forked without exec.
    pub(crate) image: u64,
    /// The same for the recording, once it is known.
    pub(crate) exe: Option<ExeId>,
    /// How it is watched.
    pub(crate) watch: Watch,
    /// Its memory is another process's, too.
    pub(crate) shares_memory: bool,
    /// It has installed filters of its own.
    pub(crate) has_filters: bool,
    /// Somebody listens to it already: the kernel allows no second listener.
    pub(crate) has_foreign_listener: bool,
    /// Calls that were recorded at its stops.
    pub(crate) calls: u64,
    /// Traced threads.
    tasks: usize,
}

/// How the calls of a process are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    /// It stops at every call, twice.
    Stops,
    /// The same, and nothing can be installed in it.
    StopsOnly,
    /// One of its threads is being made to install the learner's filter.
    Injecting,
    /// Its filter stops it at unknown calls.
    Filter,
    /// Its filter tells a listener of unknown calls: its threads are let go at their next stops.
    Listener,
    /// It was born while its parent got a filter with a listener: only the kernel knows whether it has it.
    Doubtful,
    /// It has executed a program before its parent told of it.
    Stranger,
}

/// What a new task is to its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kin {
    /// Another thread of its process.
    Thread,
    /// A process with a copy of its memory.
    Process,
    /// A process in its memory, while the parent sleeps.
    Guest,
    /// A process in its memory, beside it.
    Sharer,
}

/// What to do after a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reaction {
    pub(crate) resume: Resume,
    /// To be delivered.
    pub(crate) signal: Option<Signal>,
    /// Ask the kernel whether this task, announced after a task of the same number had ended, exists: a
    /// number can be used again.
    pub(crate) confirm: Option<(Tid, Kin)>,
}

/// What an announcement says about the programs that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// One more process runs this image.
    Forked {
        /// Its number.
        image: u64,
    },
    /// A process that ran this image has a child that runs another by now.
    Started {
        /// Its number.
        by: u64,
    },
}

impl Reaction {
    pub(crate) const GO_ON: Self = Self {
        resume: Resume::ToSyscall,
        signal: None,
        confirm: None,
    };
}

impl Tree {
    /// A tree with the main process, which is about to exec.
    pub(crate) fn new(main: Tid) -> Self {
        let mut tree = Self {
            tasks: 0,
            executed: false,
            ..Self::untraced(main)
        };
        let process = tree.new_process(0, Watch::Stops, false);
        tree.add(main, Some(process));
        if let Some(task) = tree.alive.get_mut(&main) {
            task.announced = true;
        }
        tree
    }

    /// The tree of a main process that is executed already, and never traced.
    pub(crate) fn untraced(main: Tid) -> Self {
        Self {
            main,
            alive: HashMap::new(),
            unannounced: HashMap::new(),
            processes: HashMap::new(),
            last: ProcessId(0),
            main_end: None,
            executed: true,
            tasks: 1,
        }
    }

    /// A task stopped, for another reason than a child.
    pub(crate) fn stopped(&mut self, tid: Tid, stop: &Stop) -> Reaction {
        self.add(tid, None);
        match *stop {
            Stop::Signal(signal) => Reaction {
                signal: Some(signal),
                ..self.go_on(tid)
            },
            Stop::Group => Reaction {
                resume: Resume::Listen,
                ..Reaction::GO_ON
            },
            Stop::Exec { former } => {
                self.execs(tid, former);
                self.go_on(tid)
            }
            _ => self.go_on(tid),
        }
    }

    fn go_on(&self, tid: Tid) -> Reaction {
        let filtered = self.process(tid).is_some_and(|p| p.watch == Watch::Filter);
        Reaction {
            resume: if filtered {
                Resume::ToEvent
            } else {
                Resume::ToSyscall
            },
            ..Reaction::GO_ON
        }
    }

    fn execs(&mut self, tid: Tid, former: Tid) {
        self.executed |= self.is_main(tid);
        // The thread that called exec goes on under its leader's number. The leader's old self reports nothing
        // more; the other threads report their own ends.
        if former != tid
            && let Some(gone) = self.remove(former)
            && !gone.announced
        {
            self.unannounced.insert(former, true);
        }
        if self.process(tid).is_none() {
            let process = self.new_process(0, Watch::Stranger, false);
            self.add(tid, Some(process));
        }
        if let Some(process) = self.process_mut(tid) {
            process.shares_memory = false;
            process.calls = 0;
            // An injection that was under way ended with the thread it was made in. What follows is unknown.
            if process.watch == Watch::Injecting {
                process.watch = Watch::Doubtful;
            }
        }
    }

    /// A parent's event told of this child. The reaction is for the parent.
    pub(crate) fn born(&mut self, parent: Tid, child: Tid, kin: Kin) -> (Reaction, Option<News>) {
        self.add(parent, None);
        let go_on = self.go_on(parent);
        if child == 0 {
            return (go_on, None);
        }
        if self.unannounced.contains_key(&child) {
            // It is dead, or the number is another task's by now.
            let confirm = Some((child, kin));
            return (Reaction { confirm, ..go_on }, None);
        }
        (go_on, self.announce(parent, child, kin))
    }

    /// The answer to [`Reaction::confirm`]: the task exists.
    pub(crate) fn confirmed(&mut self, parent: Tid, child: Tid, kin: Kin) -> Option<News> {
        self.unannounced.remove(&child);
        self.announce(parent, child, kin)
    }

    /// The other answer: it is dead. One that was killed before its first stop is counted only now.
    pub(crate) fn denied(&mut self, child: Tid) {
        let counted = self.unannounced.remove(&child).unwrap_or(true);
        self.tasks += u64::from(!counted);
    }

    fn announce(&mut self, parent: Tid, child: Tid, kin: Kin) -> Option<News> {
        self.add(child, None);
        // Where the parent's own process is not known yet, its child's is not either, and both just stop.
        let of_parent = self.alive.get(&parent)?.process;
        let task = self.alive.get_mut(&child)?;
        task.announced = true;
        let by = self.processes.get(&of_parent?)?.image;
        if task.process.is_some() {
            return Some(News::Started { by });
        }
        if kin == Kin::Thread {
            self.add(child, of_parent);
            return None;
        }
        let process = self.fork(of_parent?, kin);
        self.add(child, process);
        Some(News::Forked { image: by })
    }

    fn fork(&mut self, parent: ProcessId, kin: Kin) -> Option<ProcessId> {
        let parent = self.processes.get_mut(&parent)?;
        let watch = match parent.watch {
            Watch::Injecting | Watch::Listener | Watch::Doubtful => Watch::Doubtful,
            inherited => inherited,
        };
        parent.shares_memory |= kin == Kin::Sharer;
        let Process {
            image,
            exe,
            has_filters,
            ..
        } = *parent;
        let child = self.new_process(image, watch, has_filters);
        if let Some(process) = self.processes.get_mut(&child) {
            process.exe = exe;
            process.shares_memory = matches!(kin, Kin::Sharer | Kin::Guest);
        }
        Some(child)
    }

    fn new_process(&mut self, image: u64, watch: Watch, has_filters: bool) -> ProcessId {
        self.last.0 += 1;
        let process = Process {
            image,
            exe: None,
            watch,
            shares_memory: false,
            has_filters,
            has_foreign_listener: false,
            calls: 0,
            tasks: 0,
        };
        self.processes.insert(self.last, process);
        self.last
    }

    /// A task ended, or a child that was never traced. Returns the process that ended with it.
    pub(crate) fn ended(&mut self, tid: Tid, end: End) -> Option<Process> {
        // The number of a main process that is gone can be used again.
        if self.is_main(tid) {
            self.main_end = Some(end);
        }
        let removed = self.remove(tid);
        // One that was not known at all was killed before its first stop, or is none of ours.
        if !removed.is_some_and(|task| task.announced) {
            self.unannounced.insert(tid, removed.is_some());
        }
        self.process_over(removed)
    }

    /// A task is not traced any more. Returns the process of which it was the last one.
    pub(crate) fn let_go(&mut self, tid: Tid) -> Option<Process> {
        let removed = self.remove(tid);
        self.process_over(removed)
    }

    fn process_over(&mut self, removed: Option<Task>) -> Option<Process> {
        let id = removed?.process?;
        let over = self.processes.get(&id)?.tasks == 0;
        over.then(|| self.processes.remove(&id)).flatten()
    }

    fn remove(&mut self, tid: Tid) -> Option<Task> {
        let task = self.alive.remove(&tid)?;
        if let Some(process) = task.process.and_then(|id| self.processes.get_mut(&id)) {
            process.tasks -= 1;
        }
        Some(task)
    }

    fn add(&mut self, tid: Tid, process: Option<ProcessId>) {
        let tasks = &mut self.tasks;
        let task = self.alive.entry(tid).or_insert_with(|| {
            *tasks += 1;
            Task::default()
        });
        if task.process.is_none()
            && let Some(id) = process
        {
            task.process = process;
            if let Some(process) = self.processes.get_mut(&id) {
                process.tasks += 1;
            }
        }
    }

    /// The process of a task, once it is known.
    pub(crate) fn process(&self, tid: Tid) -> Option<&Process> {
        self.processes.get(&self.alive.get(&tid)?.process?)
    }

    /// The same, to be changed.
    pub(crate) fn process_mut(&mut self, tid: Tid) -> Option<&mut Process> {
        self.processes.get_mut(&self.alive.get(&tid)?.process?)
    }

    /// The traced threads of a task's process.
    pub(crate) fn threads(&self, tid: Tid) -> Vec<Tid> {
        let of = |tid: &Tid| self.alive.get(tid).and_then(|task| task.process);
        let process = of(&tid);
        let tids = self.alive.keys().copied();
        tids.filter(|other| process.is_some() && of(other) == process)
            .collect()
    }

    /// Is it traced?
    pub(crate) fn has(&self, tid: Tid) -> bool {
        self.alive.contains_key(&tid)
    }

    /// Is this the main process?
    pub(crate) const fn is_main(&self, tid: Tid) -> bool {
        tid == self.main && self.main_end.is_none()
    }

    /// How many tasks may still report something.
    pub(crate) fn size(&self) -> usize {
        self.alive.len()
    }

    /// The tasks that may still report something.
    pub(crate) fn alive(&self) -> Vec<Tid> {
        self.alive.keys().copied().collect()
    }

    /// Has the main process executed the command?
    pub(crate) const fn executed(&self) -> bool {
        self.executed
    }

    /// How the main process ended, if it has.
    pub(crate) const fn main_end(&self) -> Option<End> {
        self.main_end
    }

    /// Is nobody traced any more?
    pub(crate) fn is_over(&self) -> bool {
        self.alive.is_empty()
    }
}

impl Process {
    /// How many of its threads are traced.
    pub(crate) const fn tasks(&self) -> usize {
        self.tasks
    }

    /// Has it one thread, and its memory for itself?
    pub(crate) const fn is_alone(&self) -> bool {
        self.tasks == 1 && !self.shares_memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::stop::Birth;

    const MAIN: Tid = 10;
    const OK: End = End::Exited(0);

    #[derive(Debug, Clone, Copy)]
    enum Event {
        Stop(Tid, Stop),
        End(Tid),
    }

    fn born(child: Tid) -> Stop {
        let birth = Birth::Fork;
        Stop::Born { child, birth }
    }

    fn feed(tree: &mut Tree, tid: Tid, stop: Stop) -> Reaction {
        let reaction = match stop {
            Stop::Born { child, .. } => tree.born(tid, child, Kin::Process).0,
            _ => tree.stopped(tid, &stop),
        };
        if let Some((child, _)) = reaction.confirm {
            tree.denied(child);
        }
        reaction
    }

    /// Feeds events; a task that is to be confirmed is one that the kernel no longer knows.
    fn run(events: &[Event]) -> Tree {
        let mut tree = Tree::new(MAIN);
        for &event in events {
            match event {
                Event::Stop(tid, stop) => {
                    feed(&mut tree, tid, stop);
                }
                Event::End(tid) => {
                    tree.ended(tid, OK);
                }
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
            assert_eq!(tree.tasks, 3, "{order:?}");
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
        assert_eq!(
            tree.born(MAIN, 11, Kin::Process).0.confirm,
            Some((11, Kin::Process))
        );
        assert!(!tree.alive.contains_key(&11));
        tree.confirmed(MAIN, 11, Kin::Process);
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
        tree.born(11, MAIN, Kin::Process);
        tree.ended(MAIN, End::Exited(7));
        assert_eq!(tree.main_end(), Some(End::Exited(3)));
    }

    #[test]
    fn strangers_are_reaped_without_a_word() {
        let tree = run(&[Event::End(99), Event::End(MAIN)]);
        assert!(tree.is_over());
        assert_eq!(tree.tasks, 1);
    }

    #[test]
    fn processes_are_told_from_threads_whoever_comes_first() {
        let thread_first = [(Some(Stop::Halt), 11), (None, 11)];
        let announced_first = [(None, 11), (Some(Stop::Halt), 11)];
        for order in [thread_first, announced_first] {
            for (kin, alone) in [
                (Kin::Thread, false),
                (Kin::Process, true),
                (Kin::Guest, true),
                (Kin::Sharer, false),
            ] {
                let mut tree = Tree::new(MAIN);
                for (stop, tid) in order {
                    match stop {
                        Some(stop) => drop(tree.stopped(tid, &stop)),
                        None => drop(tree.born(MAIN, tid, kin).0),
                    }
                }
                assert_eq!(tree.process(MAIN).unwrap().is_alone(), alone, "{kin:?}");
                let own = kin != Kin::Thread;
                assert_eq!(tree.threads(11).len(), if own { 1 } else { 2 }, "{kin:?}");
                let child_alone = kin == Kin::Process;
                assert_eq!(tree.process(11).unwrap().is_alone(), child_alone, "{kin:?}");
                // What ends with the last thread is the process.
                assert_eq!(tree.ended(11, OK).is_some(), own);
                assert!(tree.ended(MAIN, OK).is_some());
                assert!(tree.processes.is_empty());
            }
        }
    }

    #[test]
    fn a_child_of_a_process_that_gets_its_filter_is_doubtful() {
        for (watch, want) in [
            (Watch::Stops, Watch::Stops),
            (Watch::StopsOnly, Watch::StopsOnly),
            (Watch::Filter, Watch::Filter),
            (Watch::Injecting, Watch::Doubtful),
            (Watch::Listener, Watch::Doubtful),
        ] {
            let mut tree = Tree::new(MAIN);
            tree.process_mut(MAIN).unwrap().watch = watch;
            tree.born(MAIN, 11, Kin::Process);
            assert_eq!(tree.process(11).unwrap().watch, want);
            let exec = Stop::Exec { former: MAIN };
            let after = tree.stopped(MAIN, &exec);
            let stops_at_calls = after.resume == Resume::ToSyscall;
            assert_eq!(stops_at_calls, watch != Watch::Filter, "{watch:?}");
        }
    }

    #[test]
    fn a_child_that_executes_before_its_parent_tells_of_it_is_a_process_of_its_own() {
        let mut tree = Tree::new(MAIN);
        tree.process_mut(MAIN).unwrap().image = 5;
        tree.stopped(11, &Stop::Halt);
        tree.stopped(11, &Stop::Exec { former: 11 });
        assert_eq!(tree.process(11).unwrap().watch, Watch::Stranger);
        let (_, news) = tree.born(MAIN, 11, Kin::Process);
        assert_eq!(news, Some(News::Started { by: 5 }));
        assert_eq!(tree.processes.len(), 2);
        let (_, news) = tree.born(MAIN, 12, Kin::Process);
        assert_eq!(news, Some(News::Forked { image: 5 }));
        let (_, news) = tree.born(MAIN, 13, Kin::Thread);
        assert_eq!(news, None);
        for tid in [11, 12, 13, MAIN] {
            tree.ended(tid, OK);
        }
        assert!(tree.processes.is_empty() && tree.is_over());
    }
}
