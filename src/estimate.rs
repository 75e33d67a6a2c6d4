//! How sure a profile can be: what the runs so far say about the runs to come.
//!
//! Learning is sampling. A run is one sample, which shows for each syscall whether it was made (how often does
//! not count here). What the runs do not share tells how much they miss:
//!
//! * **f1** is the number of syscalls that occur in exactly one run, **f2** in exactly two.
//! * *Good-Turing*: another run makes f1/runs syscalls, on average, that none of these made (I. J. Good, *The
//!   population frequencies of species and the estimation of population parameters*, Biometrika 40, 1953). The
//!   chance that it makes any is at most that: [`Estimate::chance`].
//! * *Chao2*: at least so many syscalls that further runs would make have not been seen (A. Chao, *Estimating the
//!   population size for capture-recapture data with unequal catchability*, Biometrics 43, 1987):
//!   [`Estimate::missing`].
//!
//! Both are about runs of the same kind. No figure knows the load that was never tried.
//!
//! A learner lets known syscalls run free, so a later run may have made some without being seen to: f1 and f2 are
//! not known then. What each run *added* still is, and runs add less and less on average, so the average over all
//! runs but the first takes the place of f1/runs. It errs on the side of caution.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::evidence::{Evidence, Run};
use crate::syscall::Sysno;

/// What some runs say about the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Estimate {
    /// For each run, the oldest first, how many syscalls it made that none before it had.
    pub new: Vec<u32>,
    /// How many different syscalls all of them made.
    pub distinct: u32,
    /// How many of these occur in exactly one run, and in exactly two: f1 and f2. `None` where known calls ran
    /// free in a run after the first.
    pub shared: Option<(u32, u32)>,
}

/// A point of a discovery curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Milliseconds after the exec of the command.
    pub ms: u64,
    /// How many different syscalls had been made by then.
    pub distinct: u32,
}

impl Estimate {
    /// The estimate from all runs of the evidence.
    pub fn of(evidence: &Evidence) -> Self {
        Self::of_runs(runs(evidence))
    }

    /// The same with one more run, which is under way: what it made so far, and whether known calls run free in it.
    pub fn with(evidence: &Evidence, syscalls: BTreeSet<Sysno>, ran_free: bool) -> Self {
        Self::of_runs(runs(evidence).chain([(syscalls, ran_free)]))
    }

    /// From what each run was seen to make, and whether known calls ran free in it.
    fn of_runs(runs: impl Iterator<Item = (BTreeSet<Sysno>, bool)>) -> Self {
        // How many runs made it.
        let mut made: BTreeMap<Sysno, u32> = BTreeMap::new();
        let mut new = Vec::new();
        let mut all_seen = true;
        for (run, ran_free) in runs {
            all_seen &= new.is_empty() || !ran_free;
            let before = made.len();
            for sysno in run {
                *made.entry(sysno).or_default() += 1;
            }
            new.push(number(made.len() - before));
        }
        let in_exactly = |runs| number(made.values().filter(|&&in_runs| in_runs == runs).count());
        Self {
            new,
            distinct: number(made.len()),
            shared: all_seen.then(|| (in_exactly(1), in_exactly(2))),
        }
    }

    /// How many runs there were.
    pub fn runs(&self) -> u32 {
        number(self.new.len())
    }

    /// How many syscalls another run makes, on average, that none of these made. `None`: one run says nothing.
    pub fn expected(&self) -> Option<f64> {
        let (_, later) = self
            .new
            .split_first()
            .filter(|(_, later)| !later.is_empty())?;
        Some(match self.shared {
            Some((f1, _)) => f64::from(f1) / f64::from(self.runs()),
            None => {
                later.iter().copied().map(f64::from).sum::<f64>() / f64::from(number(later.len()))
            }
        })
    }

    /// The chance that another run makes a syscall that none of these made, 0 to 1: the average above, which it
    /// cannot exceed (Markov's inequality). `None`: one run says nothing.
    pub fn chance(&self) -> Option<f64> {
        self.expected().map(|expected| expected.min(1.0))
    }

    /// How many syscalls that further runs would make are still missing, at the least (Chao2):
    /// (runs - 1) / runs * f1^2 / (2 f2), or where f2 is 0 its bias-corrected form
    /// (runs - 1) / runs * f1 (f1 - 1) / 2. `None`: one run says nothing, or f1 is not known.
    pub fn missing(&self) -> Option<f64> {
        let (f1, f2) = self.shared.filter(|_| self.runs() > 1)?;
        let (runs, f1, f2) = (f64::from(self.runs()), f64::from(f1), f64::from(f2));
        let unseen = if f2 > 0.0 {
            f1 * f1 / (2.0 * f2)
        } else {
            // Of f1 = 0 no less than nothing: -0.0 would be shown.
            (f1 * (f1 - 1.0) / 2.0).abs()
        };
        Some((runs - 1.0) / runs * unseen)
    }
}

/// What it comes to, in a few words.
impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.chance() {
            None => f.write_str("one run says nothing about the next"),
            // No chance is certainly none.
            Some(chance) if chance <= 0.0 => {
                f.write_str("nothing suggests that another run needs more")
            }
            Some(chance) if chance < 1.0 => {
                let percent = (chance * 100.0).ceil();
                write!(f, "about {percent:.0} % chance that another run needs more")
            }
            Some(_) => f.write_str("another run is likely to need more"),
        }
    }
}

/// How a run discovered its syscalls: how many different ones had been made by when. Empty for runs whose
/// evidence does not tell (version 1). Flat at the end means that the run itself had settled.
pub fn discovery(run: &Run) -> Vec<Point> {
    let firsts = run.calls.iter().filter_map(|call| call.first.as_ref());
    let mut times: Vec<u64> = firsts.map(|first| first.ms).collect();
    times.sort_unstable();
    let mut curve: Vec<Point> = Vec::new();
    for (at, ms) in times.into_iter().enumerate() {
        let distinct = number(at + 1);
        match curve.last_mut() {
            Some(last) if last.ms == ms => last.distinct = distinct,
            _ => curve.push(Point { ms, distinct }),
        }
    }
    curve
}

fn runs(evidence: &Evidence) -> impl Iterator<Item = (BTreeSet<Sysno>, bool)> {
    let runs = evidence.runs.iter();
    runs.map(|run| (run.syscalls(), run.ran_free))
}

/// A count, of which there are never so many.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use proptest::prelude::*;

    use crate::arch::Arch;
    use crate::recording::{Recording, Sighting};

    fn sysno(nr: u32) -> Sysno {
        Sysno {
            arch: Arch::X86_64,
            nr,
        }
    }

    fn estimate<'r>(runs: impl IntoIterator<Item = &'r Vec<u32>>) -> Estimate {
        let sets = runs.into_iter();
        Estimate::of_runs(sets.map(|run| (run.iter().copied().map(sysno).collect(), false)))
    }

    fn is(got: Option<f64>, want: Option<f64>) -> bool {
        match (got, want) {
            (Some(got), Some(want)) => (got - want).abs() < 1e-9,
            (got, want) => got == want,
        }
    }

    /// Runs; new in each; f1 and f2; expected, chance, missing.
    type Case = (
        &'static [&'static [u32]],
        &'static [u32],
        (u32, u32),
        [Option<f64>; 3],
    );

    const CASES: &[Case] = &[
        (&[], &[], (0, 0), [None, None, None]),
        (&[&[1, 2, 3]], &[3], (3, 0), [None, None, None]),
        // All the same: nothing is missing that such runs would show.
        (
            &[&[1, 2], &[1, 2]],
            &[2, 0],
            (0, 2),
            [Some(0.0), Some(0.0), Some(0.0)],
        ),
        // One of two runs showed one more: half a syscall in another run. f2 = 2: 1/2 * 1 / 4.
        (
            &[&[1, 2], &[1, 2, 3]],
            &[2, 1],
            (1, 2),
            [Some(0.5), Some(0.5), Some(0.125)],
        ),
        // Nothing in common: f2 = 0, so 1/2 * 4 * 3 / 2. Two are expected, which is no chance.
        (
            &[&[1, 2], &[3, 4]],
            &[2, 2],
            (4, 0),
            [Some(2.0), Some(1.0), Some(3.0)],
        ),
        // 1 in all four, 2 and 3 in two, 4, 5, 6 in one: 3/4 * 9 / 4.
        (
            &[&[1, 2, 4], &[1, 2, 3], &[1, 3, 5], &[1, 6]],
            &[3, 1, 1, 1],
            (3, 2),
            [Some(0.75), Some(0.75), Some(1.6875)],
        ),
        // A run that made nothing is a run too.
        (
            &[&[1], &[]],
            &[1, 0],
            (1, 0),
            [Some(0.5), Some(0.5), Some(0.0)],
        ),
    ];

    #[test]
    fn figures_are_those_of_the_formulas() {
        for &(runs, new, (f1, f2), [expected, chance, missing]) in CASES {
            let runs: Vec<Vec<u32>> = runs.iter().map(|run| run.to_vec()).collect();
            let estimate = estimate(&runs);
            assert_eq!(estimate.new, new, "{runs:?}");
            assert_eq!(estimate.shared, Some((f1, f2)), "{runs:?}");
            assert!(is(estimate.expected(), expected), "{runs:?} {estimate:?}");
            assert!(is(estimate.chance(), chance), "{runs:?} {estimate:?}");
            assert!(is(estimate.missing(), missing), "{runs:?} {estimate:?}");
        }
    }

    /// Every outcome of three runs over three syscalls of known probability, each with its weight: on average
    /// the estimate is what the last of these runs really added to the others.
    #[test]
    fn the_average_estimate_is_the_truth() {
        const CHANCES: [f64; 3] = [0.9, 0.5, 0.1];
        const RUNS: usize = 3;
        let mut average = 0.0;
        for outcome in 0..1_u32 << (CHANCES.len() * RUNS) {
            let mut weight = 1.0;
            let mut runs = vec![Vec::new(); RUNS];
            for (at, (run, call)) in (0..RUNS)
                .flat_map(|run| (0..CHANCES.len()).map(move |call| (run, call)))
                .enumerate()
            {
                let made = outcome >> at & 1 == 1;
                weight *= if made {
                    CHANCES[call]
                } else {
                    1.0 - CHANCES[call]
                };
                if made {
                    runs[run].push(u32::try_from(call).unwrap());
                }
            }
            average += weight * estimate(&runs).expected().unwrap();
        }
        let truth: f64 = CHANCES.iter().map(|p| p * (1.0 - p).powi(2)).sum();
        assert!((average - truth).abs() < 1e-12, "{average} {truth}");
    }

    #[test]
    fn where_known_calls_run_free_only_what_is_new_counts() {
        /// What a run was seen to make, and whether known calls ran free.
        type Seen = (&'static [u32], bool);
        let cases: [(&[Seen], Option<f64>, bool); 5] = [
            (&[(&[1, 2, 3], true)], None, true),
            (&[(&[1, 2, 3], true), (&[1, 2], false)], Some(0.5), true),
            (&[(&[1, 2, 3], false), (&[], true)], Some(0.0), false),
            (
                &[(&[1, 2, 3], true), (&[4], true), (&[], true), (&[], true)],
                Some(1.0 / 3.0),
                false,
            ),
            (&[(&[1], false), (&[2, 3, 4], true)], Some(3.0), false),
        ];
        for (runs, expected, shared) in cases {
            let mut evidence = Evidence::default();
            for &(numbers, ran_free) in runs {
                let mut recording = Recording::default();
                saw(&mut recording, numbers.iter().map(|&nr| (nr, 0)));
                recording.ran_free = ran_free;
                evidence.runs.push(Run::of(&recording));
            }
            let estimate = Estimate::of(&evidence);
            let last = evidence.runs.pop().unwrap();
            let with = Estimate::with(&evidence, last.syscalls(), last.ran_free);
            assert_eq!(with, estimate, "{runs:?}");
            assert!(is(estimate.expected(), expected), "{runs:?} {estimate:?}");
            assert_eq!(estimate.shared.is_some(), shared, "{runs:?}");
            assert_eq!(
                estimate.missing().is_some(),
                shared && runs.len() > 1,
                "{runs:?}"
            );
        }
    }

    #[test]
    fn the_words_promise_no_more_than_the_figures() {
        let cases: [(&[&[u32]], &str); 6] = [
            (&[], "one run says nothing about the next"),
            (&[&[1]], "one run says nothing about the next"),
            (
                &[&[1], &[1]],
                "nothing suggests that another run needs more",
            ),
            (
                &[&[1], &[1, 2]],
                "about 50 % chance that another run needs more",
            ),
            (
                &[&[1], &[1], &[1, 2]],
                "about 34 % chance that another run needs more",
            ),
            (&[&[1, 3], &[1, 2]], "another run is likely to need more"),
        ];
        for (runs, want) in cases {
            let runs: Vec<Vec<u32>> = runs.iter().map(|run| run.to_vec()).collect();
            assert_eq!(estimate(&runs).to_string(), want, "{runs:?}");
        }
    }

    fn saw(recording: &mut Recording, calls: impl IntoIterator<Item = (u32, u64)>) {
        let exe = recording.executable("/bin/app");
        for (nr, ms) in calls {
            let sighting = Sighting {
                sysno: sysno(nr),
                args: [0; 6],
                tid: 1,
                exe,
            };
            recording.saw(&sighting, Duration::from_millis(ms));
        }
    }

    #[test]
    fn a_run_is_discovered_over_time() {
        let mut recording = Recording::default();
        saw(&mut recording, [(5, 40), (1, 0), (2, 0), (3, 7), (1, 90)]);
        let mut run = Run::of(&recording);
        let point = |ms, distinct| Point { ms, distinct };
        assert_eq!(discovery(&run), [point(0, 2), point(7, 3), point(40, 4)]);
        run.calls.iter_mut().for_each(|call| call.first = None);
        assert_eq!(discovery(&run), [], "version 1 does not tell");
    }

    proptest! {
        #[test]
        fn figures_stay_in_their_bounds(runs in prop::collection::vec(prop::collection::vec(0_u32..40, 0..20), 0..12)) {
            let estimate = estimate(&runs);
            prop_assert_eq!(estimate.runs() as usize, runs.len());
            prop_assert_eq!(estimate.new.iter().sum::<u32>(), estimate.distinct);
            let (f1, f2) = estimate.shared.unwrap();
            prop_assert!(f1 + f2 <= estimate.distinct);
            prop_assert_eq!(estimate.chance().is_some(), runs.len() > 1);
            if let (Some(chance), Some(missing)) = (estimate.chance(), estimate.missing()) {
                prop_assert!((0.0..=1.0).contains(&chance));
                prop_assert!(missing >= 0.0 && missing.is_finite());
            }
        }

        #[test]
        fn only_the_history_depends_on_the_order_of_runs(
            runs in prop::collection::vec(prop::collection::vec(0_u32..40, 0..20), 0..12),
        ) {
            let (there, back) = (estimate(&runs), estimate(runs.iter().rev()));
            prop_assert_eq!(Estimate { new: Vec::new(), ..there }, Estimate { new: Vec::new(), ..back });
        }

        #[test]
        fn one_more_run_like_all_before_leaves_nothing_that_was_seen_once(
            runs in prop::collection::vec(prop::collection::vec(0_u32..40, 0..20), 1..12),
        ) {
            let all: Vec<u32> = runs.concat();
            let more = estimate(runs.iter().chain([&all]));
            prop_assert_eq!((more.shared.unwrap().0, more.new.last()), (0, Some(&0)));
            prop_assert_eq!(more.chance(), Some(0.0));
        }
    }
}
