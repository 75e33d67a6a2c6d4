//! What a tracer saw: the waist between `trace`, which fills it, and `learn`, which reads it.

mod note;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use crate::arch::Arch;
use crate::sys::Errno;
use crate::syscall::Sysno;

pub use note::Note;

/// So many different calls without a name are kept: a kernel newer than our tables has a few, and a hostile
/// command could make millions.
const MAX_UNNAMED: usize = 64;

/// So many calls that no profile can hold are noted, and so many programs that lost their privilege.
const MAX_ALIKE: usize = 4;

/// So many executables are kept apart; the others are one.
const MAX_EXECUTABLES: usize = 4096;

/// What those are called.
const OTHERS: &str = "(others)";

/// Of each syscall, so many different sets of arguments are kept, so many of the executables that made it,
/// and so many of the errnos that it failed with.
const MAX_SAMPLES: usize = 3;
const MAX_CALLERS: usize = 16;
const MAX_ERRNOS: usize = 32;

/// The syscalls that a command and all its descendants made, from its exec on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    calls: HashMap<Sysno, Call>,
    /// How many of them have no name.
    unnamed: usize,
    /// When the last new one came.
    newest: Option<Duration>,
    /// Indexed by [`ExeId`].
    executables: Vec<Executable>,
    ids: HashMap<String, ExeId>,
    /// Processes and threads that were traced.
    pub tasks: u64,
    /// Processes among them.
    pub processes: u64,
    /// Was a thread among them?
    pub threads: bool,
    /// How often a task was stopped.
    pub stops: u64,
    /// How many calls a seccomp listener was asked about.
    pub notifications: u64,
    /// How often a filter was put into a process that ran.
    pub injections: u64,
    /// Some calls ran without being seen, because they were known: the counts say "at least".
    pub ran_free: bool,
    /// What a reader of the result must know.
    pub notes: BTreeSet<Note>,
}

/// An executable of one [`Recording`]: what [`Recording::executable`] gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExeId(u32);

/// A call that a tracer or a listener saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The syscall.
    pub sysno: Sysno,
    /// The six argument registers, also those that the syscall does not use.
    pub args: [u64; 6],
    /// The thread that made it.
    pub tid: i32,
    /// What that thread executes.
    pub exe: ExeId,
}

/// Where an instruction lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The mapped file.
    pub library: String,
    /// The instruction's offset in that file, in bytes.
    pub offset: u64,
}

/// What is known of one syscall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// How often it was seen.
    pub count: u64,
    /// Who made it first.
    pub first: First,
    /// A few sets of arguments that differ, the earliest ones.
    pub args: Vec<[u64; 6]>,
    /// The executables that made it, in the order in which they first did, the first 16 of them.
    pub executables: Vec<ExeId>,
    /// How often it failed with which errno, among the calls whose return was seen.
    pub errnos: BTreeMap<u16, u64>,
    /// Where the first one was made.
    pub place: Option<Place>,
}

/// The first time that a syscall was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First {
    /// How long after the exec of the command.
    pub at: Duration,
    /// By which executable.
    pub exe: ExeId,
    /// By which thread.
    pub tid: i32,
}

/// What became of a process while it was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It stopped at every call, to its end.
    Stops,
    /// It got the late filter and was let go.
    LateFilter,
    /// It got a filter whose unknown calls stop for the tracer.
    TracedFilter,
    /// It ran under a filter from before its exec.
    FilterBeforeExec,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stops => "stops",
            Self::LateFilter => "late filter",
            Self::TracedFilter => "traced filter",
            Self::FilterBeforeExec => "filter before exec",
        })
    }
}

/// A program that was executed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Executable {
    /// Its file, or `(others)` for all that came after the first 4096.
    pub path: String,
    /// How many calls it was seen to make.
    pub calls: u64,
    /// What became of its processes.
    pub fates: BTreeMap<Fate, Shared>,
}

/// Processes of one executable that shared a [`Fate`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shared {
    /// How many.
    pub processes: u64,
    /// How many calls they were seen to make before it, all together.
    pub calls: u64,
}

impl Recording {
    /// The id of an executable, new or known. Only the first 4096 are kept apart.
    pub fn executable(&mut self, path: &str) -> ExeId {
        if let Some(&id) = self.ids.get(path) {
            return id;
        }
        let path = if self.executables.len() < MAX_EXECUTABLES {
            path
        } else {
            OTHERS
        };
        let next = ExeId(u32::try_from(self.executables.len()).unwrap_or(u32::MAX));
        let id = *self.ids.entry(path.to_owned()).or_insert(next);
        if id == next {
            self.executables.push(Executable {
                path: path.to_owned(),
                ..Executable::default()
            });
        }
        id
    }

    /// Takes down one call, seen this long after the exec of the command. Returns whether its syscall is seen
    /// for the first time in this run.
    pub fn saw(&mut self, sighting: &Sighting, at: Duration) -> bool {
        let &Sighting {
            sysno,
            args,
            tid,
            exe,
        } = sighting;
        // This runs at every stop: for what is known it allocates nothing.
        if let Some(call) = self.calls.get_mut(&sysno) {
            call.again(args, exe);
        } else if sysno.name().is_some() || self.unnamed < MAX_UNNAMED {
            self.unnamed += usize::from(sysno.name().is_none());
            let first = First { at, exe, tid };
            self.calls.insert(sysno, Call::new(first, args));
            self.newest = self.newest.max(Some(at));
            self.count_for(exe);
            return true;
        } else {
            self.notes.insert(Note::TooManyUnnamed);
        }
        self.count_for(exe);
        false
    }

    fn count_for(&mut self, exe: ExeId) {
        if let Some(executable) = self.executable_mut(exe) {
            executable.calls += 1;
        }
    }

    /// The file and offset of the instruction that made a syscall first.
    pub fn placed(&mut self, sysno: Sysno, place: Place) {
        if let Some(call) = self.calls.get_mut(&sysno) {
            call.place.get_or_insert(place);
        }
    }

    /// The return of a call was seen. Results that are no errno leave no trace.
    pub fn returned(&mut self, sysno: Sysno, result: i64) {
        // -512 to -516 are the kernel's own words for "restart": the program sees EINTR, or nothing.
        let Ok(errno @ (1..=511 | 517..=4095)) = u16::try_from(result.saturating_neg()) else {
            return;
        };
        if let Some(call) = self.calls.get_mut(&sysno) {
            if let Some(count) = call.errnos.get_mut(&errno) {
                *count += 1;
            } else if call.errnos.len() < MAX_ERRNOS {
                call.errnos.insert(errno, 1);
            }
        }
    }

    /// What became of a process, which was seen to make so many calls before.
    pub fn fate(&mut self, exe: ExeId, fate: Fate, calls: u64) {
        if let Some(executable) = self.executable_mut(exe) {
            let shared = executable.fates.entry(fate).or_default();
            shared.processes += 1;
            shared.calls += calls;
        }
    }

    fn executable_mut(&mut self, ExeId(index): ExeId) -> Option<&mut Executable> {
        self.executables.get_mut(usize::try_from(index).ok()?)
    }

    /// Takes note of a call that no profile can hold. A few stand for all.
    pub fn inexpressible(&mut self, audit: u32, nr: u32) {
        self.note_a_few(Note::Inexpressible { audit, nr }, |note| {
            matches!(note, Note::Inexpressible { .. })
        });
    }

    /// Takes note of a program that ran without the privilege that its file gives. A few stand for all.
    pub fn privilege_lost(&mut self, executable: &str) {
        let executable = executable.to_owned();
        self.note_a_few(Note::PrivilegeLost { executable }, |note| {
            matches!(note, Note::PrivilegeLost { .. })
        });
    }

    fn note_a_few(&mut self, note: Note, alike: impl Fn(&Note) -> bool) {
        if self.notes.iter().filter(|note| alike(note)).count() < MAX_ALIKE {
            self.notes.insert(note);
        }
    }

    /// Every syscall that was made, in the order of architectures and numbers.
    pub fn calls(&self) -> Vec<(Sysno, &Call)> {
        let mut calls: Vec<_> = self
            .calls
            .iter()
            .map(|(&sysno, call)| (sysno, call))
            .collect();
        calls.sort_unstable_by_key(|&(sysno, _)| sysno);
        calls
    }

    /// The syscalls that failed with `EPERM` or `ENOSYS` each time they were seen, and with which of these: what a filter
    /// from outside, a missing privilege or an old kernel answers.
    pub fn refused(&self) -> Vec<(Sysno, Vec<Errno>)> {
        let answers = [Errno::EPERM, Errno::ENOSYS];
        let calls = self.calls().into_iter();
        calls
            .filter_map(|(sysno, call)| {
                let times = |errno: Errno| {
                    let raw = u16::try_from(errno as i32).unwrap_or_default();
                    call.errnos.get(&raw).copied().unwrap_or_default()
                };
                let all = answers.into_iter().map(times).sum::<u64>() == call.count;
                let with = answers.into_iter().filter(|&errno| times(errno) > 0);
                all.then(|| (sysno, with.collect()))
            })
            .collect()
    }

    /// What was executed, in the order of the first executions.
    pub fn executables(&self) -> &[Executable] {
        &self.executables
    }

    /// The file of an executable; nothing for an id of another recording.
    pub fn path(&self, ExeId(index): ExeId) -> &str {
        let executable = usize::try_from(index)
            .ok()
            .and_then(|at| self.executables.get(at));
        executable.map_or("", |executable| &executable.path)
    }

    /// How many different syscalls were made.
    pub fn distinct(&self) -> usize {
        self.calls.len()
    }

    /// When the last new syscall came, after the exec of the command.
    pub const fn newest(&self) -> Option<Duration> {
        self.newest
    }

    /// How many calls were seen in all.
    pub fn total(&self) -> u64 {
        self.calls.values().map(|call| call.count).sum()
    }

    /// Did a call of this architecture come up?
    pub fn has_arch(&self, arch: Arch) -> bool {
        self.calls.keys().any(|sysno| sysno.arch == arch)
    }

    /// Was this call made, on any architecture?
    pub fn has_name(&self, name: &str) -> bool {
        self.calls.keys().any(|sysno| sysno.name() == Some(name))
    }
}

impl Call {
    fn new(first: First, args: [u64; 6]) -> Self {
        let mut samples = Vec::with_capacity(MAX_SAMPLES);
        samples.push(args);
        Self {
            count: 1,
            first,
            args: samples,
            executables: vec![first.exe],
            errnos: BTreeMap::new(),
            place: None,
        }
    }

    fn again(&mut self, args: [u64; 6], exe: ExeId) {
        self.count += 1;
        if self.args.len() < MAX_SAMPLES && !self.args.contains(&args) {
            self.args.push(args);
        }
        if self.executables.len() < MAX_CALLERS && !self.executables.contains(&exe) {
            self.executables.push(exe);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Sysno = Sysno {
        arch: Arch::X86_64,
        nr: 0,
    };

    fn sighting(sysno: Sysno, exe: ExeId) -> Sighting {
        Sighting {
            sysno,
            args: [0; 6],
            tid: 7,
            exe,
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_flood_of_strange_numbers_is_told_and_not_kept() {
        let mut recording = Recording::default();
        let exe = recording.executable("/bin/app");
        for nr in 10_000..20_000 {
            let sysno = Sysno {
                arch: Arch::X86_64,
                nr,
            };
            let new = recording.saw(&sighting(sysno, exe), ms(0));
            assert_eq!(new, nr < 10_064, "{nr}");
            recording.inexpressible(0, nr);
            recording.privilege_lost(&format!("/bin/{nr}"));
        }
        assert_eq!(recording.distinct(), MAX_UNNAMED);
        assert!(recording.notes.contains(&Note::TooManyUnnamed));
        assert_eq!(recording.notes.len(), 1 + 2 * MAX_ALIKE);
        assert!(recording.saw(&sighting(READ, exe), ms(0)));
        assert!(recording.has_name("read"), "what has a name is kept");
        assert_eq!(recording.executables()[0].calls, 10_001, "they were made");
    }

    #[test]
    fn calls_are_kept_by_architecture_and_number() {
        let mut recording = Recording::default();
        let exe = recording.executable("/bin/app");
        // 20 is writev on x86-64 and getpid on i386.
        let (writev, getpid) = (
            Sysno {
                arch: Arch::X86_64,
                nr: 20,
            },
            Sysno {
                arch: Arch::X86,
                nr: 20,
            },
        );
        let new = [getpid, writev, getpid].map(|sysno| recording.saw(&sighting(sysno, exe), ms(0)));
        assert_eq!(new, [true, true, false]);
        let calls = recording.calls();
        let counts: Vec<_> = calls
            .iter()
            .map(|(sysno, call)| (*sysno, call.count))
            .collect();
        assert_eq!(counts, [(writev, 1), (getpid, 2)]);
        assert_eq!((recording.distinct(), recording.total()), (2, 3));
        assert!(recording.has_arch(Arch::X86) && !recording.has_arch(Arch::X32));
        assert!(recording.has_name("getpid") && !recording.has_name("read"));
    }

    #[test]
    fn a_call_keeps_its_first_time_and_a_few_of_the_others() {
        let mut recording = Recording::default();
        let exes: Vec<ExeId> = (0..40)
            .map(|n| recording.executable(&format!("/bin/{n}")))
            .collect();
        for (n, &exe) in exes.iter().enumerate() {
            for arg in [9, u64::try_from(n).unwrap()] {
                let sighting = Sighting {
                    args: [arg, 1, 2, 3, 4, 5],
                    ..sighting(READ, exe)
                };
                recording.saw(&sighting, ms(5 + 10 * u64::try_from(n).unwrap()));
            }
        }
        let calls = recording.calls();
        let (_, read) = calls[0];
        let want = First {
            at: ms(5),
            exe: exes[0],
            tid: 7,
        };
        assert_eq!((read.first, read.count), (want, 80));
        let firsts: Vec<u64> = read.args.iter().map(|args| args[0]).collect();
        assert_eq!(firsts, [9, 0, 1], "distinct ones, the earliest");
        assert_eq!(read.executables, exes[..MAX_CALLERS]);
        assert_eq!(recording.newest(), Some(ms(5)));
        assert_eq!(recording.executables()[39].calls, 2);
    }

    #[test]
    fn executables_are_told_apart_up_to_a_limit() {
        let mut recording = Recording::default();
        let one = recording.executable("/bin/one");
        assert_eq!(recording.executable("/bin/one"), one);
        for n in 0..10_000 {
            recording.executable(&format!("/tmp/{n}"));
        }
        assert_eq!(recording.executables().len(), MAX_EXECUTABLES + 1);
        let (late, later) = (
            recording.executable("/tmp/9998"),
            recording.executable("/tmp/9999"),
        );
        assert_eq!((late, recording.path(late)), (later, OTHERS));
        assert_eq!(recording.executable("/bin/one"), one);
        assert_eq!(recording.path(ExeId(u32::MAX)), "", "of another recording");
    }

    #[test]
    fn only_errnos_that_the_program_sees_are_counted() {
        let mut recording = Recording::default();
        let exe = recording.executable("/bin/app");
        recording.returned(READ, -1);
        assert_eq!(recording.distinct(), 0, "a return alone is no sighting");
        recording.saw(&sighting(READ, exe), ms(0));
        for result in [
            0,
            5,
            -1,
            -1,
            -38,
            -512,
            -516,
            -4095,
            -4096,
            i64::MIN,
            i64::MAX,
        ] {
            recording.returned(READ, result);
        }
        let errnos = recording.calls()[0].1.errnos.clone();
        assert_eq!(errnos, [(1, 2), (38, 1), (4095, 1)].into());
        (1..=4095).for_each(|errno| recording.returned(READ, -errno));
        assert_eq!(recording.calls()[0].1.errnos.len(), MAX_ERRNOS);
    }

    #[test]
    fn what_is_refused_each_time_is_told_apart() {
        let mut recording = Recording::default();
        let exe = recording.executable("/bin/app");
        recording.saw(&sighting(READ, exe), ms(0));
        assert_eq!(recording.refused(), [], "its return was not seen");
        recording.returned(READ, -38);
        assert_eq!(recording.refused(), [(READ, vec![Errno::ENOSYS])]);
        recording.saw(&sighting(READ, exe), ms(0));
        recording.returned(READ, -1);
        let both = vec![Errno::EPERM, Errno::ENOSYS];
        assert_eq!(recording.refused(), [(READ, both)]);
        for result in [0, -13] {
            recording.saw(&sighting(READ, exe), ms(0));
            recording.returned(READ, result);
            assert_eq!(recording.refused(), [], "{result}");
        }
    }

    #[test]
    fn the_first_place_stays() {
        let mut recording = Recording::default();
        let exe = recording.executable("/bin/app");
        let place = |offset| Place {
            library: "/lib/libc.so.6".into(),
            offset,
        };
        recording.placed(READ, place(1));
        recording.saw(&sighting(READ, exe), ms(0));
        recording.placed(READ, place(2));
        recording.placed(READ, place(3));
        assert_eq!(recording.calls()[0].1.place, Some(place(2)));
    }

    #[test]
    fn fates_add_up_by_executable() {
        let mut recording = Recording::default();
        let (sh, ls) = (
            recording.executable("/bin/sh"),
            recording.executable("/bin/ls"),
        );
        for (exe, fate, calls) in [
            (sh, Fate::LateFilter, 400),
            (ls, Fate::Stops, 90),
            (ls, Fate::Stops, 95),
            (ls, Fate::FilterBeforeExec, 0),
        ] {
            recording.fate(exe, fate, calls);
        }
        let shared = |processes, calls| Shared { processes, calls };
        let fates = |at: usize| recording.executables()[at].fates.clone();
        assert_eq!(fates(0), [(Fate::LateFilter, shared(1, 400))].into());
        assert_eq!(
            fates(1),
            [
                (Fate::Stops, shared(2, 185)),
                (Fate::FilterBeforeExec, shared(1, 0))
            ]
            .into()
        );
    }

    #[test]
    fn losses_say_that_they_are() {
        let notes = [
            Note::Untraced,
            Note::Unread,
            Note::TooManyUnnamed,
            Note::PtraceRefused,
            Note::Inexpressible { audit: 1, nr: 2 },
            Note::OwnFilter,
            Note::OwnListener,
            Note::PrivilegeLost {
                executable: "/bin/\u{1b}[2Jsu".into(),
            },
        ];
        for note in notes {
            let text = note.to_string();
            assert_eq!(note.is_loss(), text.starts_with("incomplete: "), "{text}");
            assert!(!text.contains(char::is_control), "{text}");
        }
    }
}
