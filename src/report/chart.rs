//! What is drawn, laid out: points and lengths in the units of each drawing. The template makes SVG of it, so nothing
//! here is markup.

use std::fmt::Write as _;

use crate::estimate::discovery;
use crate::evidence::Evidence;

use super::facts::{self, Program};
use super::phases::Phases;
use super::words::{duration, real, shortened};

/// The size of a drawing, and the space around what is drawn.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;

/// So many curves can be told from each other.
const CURVES: usize = 6;

/// So many bars are drawn.
const BARS: usize = 16;

/// So many runs are drawn.
const RUNS: usize = 120;

/// A number on an axis.
pub(super) struct Tick {
    pub(super) at: String,
    pub(super) text: String,
}

/// A place, or a size.
fn shown(value: f64) -> String {
    format!("{value:.1}")
}

/// Where a count stands between 0 at the bottom and this most at the top.
fn height(count: u64, most: u64) -> f64 {
    HEIGHT - BOTTOM - real(count) / real(most.max(1)) * (HEIGHT - BOTTOM - TOP)
}

/// Round numbers up to the first beyond this one: the axis of counts.
fn counts(most: u64) -> (u64, Vec<Tick>) {
    let mut step = 1_u64;
    while most / step >= 5 {
        // 1, 2, 5, 10, 20 ...
        let leading = step / 10_u64.pow(step.ilog10());
        step = if leading == 2 {
            step / 2 * 5
        } else {
            step.saturating_mul(2)
        };
    }
    let top = most.div_ceil(step).max(1).saturating_mul(step);
    let ticks = (0..=top / step).map(|tick| tick.saturating_mul(step));
    let ticks = ticks.map(|count| Tick {
        at: shown(height(count, top)),
        text: count.to_string(),
    });
    (top, ticks.collect())
}

/// Time, in milliseconds: equal distances are equal ratios, because a program's start is crowded.
struct Times {
    /// The whole length, as a power of ten.
    decades: f64,
}

impl Times {
    fn until(ms: u64) -> Self {
        Self {
            decades: real(ms.max(9)).log10().ceil(),
        }
    }

    fn place(&self, ms: u64) -> f64 {
        let part = real(ms.max(1)).log10() / self.decades;
        LEFT + part.min(1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn ticks(&self) -> Vec<Tick> {
        let powers = (0..).map_while(|power: u32| 10_u64.checked_pow(power));
        let inside = powers.take_while(|&ms| real(ms).log10() <= self.decades && ms < 1 << 32);
        inside
            .map(|ms| Tick {
                at: shown(self.place(ms)),
                // What came before it stands there too.
                text: match ms {
                    1 => "\u{2264} 1 ms".to_owned(),
                    _ => duration(ms).replace(".0 s", " s").replace(" 0 s", ""),
                },
            })
            .collect()
    }
}

/// How runs discovered their syscalls over time.
pub(super) struct Curves {
    pub(super) lines: Vec<Curve>,
    /// How many more runs there are that are not drawn.
    pub(super) more: usize,
    pub(super) times: Vec<Tick>,
    pub(super) counts: Vec<Tick>,
}

/// One run's.
pub(super) struct Curve {
    pub(super) run: usize,
    /// Which look it has, from 1.
    pub(super) look: usize,
    pub(super) path: String,
    pub(super) distinct: u32,
    pub(super) length: String,
    /// When the last new one came.
    pub(super) last: String,
    /// When there were half of them.
    pub(super) half: String,
}

impl Curves {
    /// The curves of the runs that discovered most.
    pub(super) fn of(evidence: &Evidence) -> Self {
        let mut runs: Vec<_> = evidence
            .runs
            .iter()
            .zip(1..)
            .map(|(run, number)| (number, facts::length(run), discovery(run)))
            .filter(|(_, _, points)| !points.is_empty())
            .collect();
        runs.sort_by_key(|(number, _, points)| {
            (
                std::cmp::Reverse(points.last().map(|last| last.distinct)),
                *number,
            )
        });
        let more = runs.len().saturating_sub(CURVES);
        runs.truncate(CURVES);
        runs.sort_by_key(|(number, _, _)| *number);
        let ends = runs.iter().map(|(_, length, points)| {
            let last = points.last().map_or(0, |last| last.ms);
            last.max(*length)
        });
        let times = Times::until(ends.max().unwrap_or(0));
        let most = runs
            .iter()
            .filter_map(|(_, _, points)| Some(points.last()?.distinct));
        let (top, counts) = counts(most.max().unwrap_or(0).into());
        let curves = runs
            .iter()
            .zip(1..)
            .filter_map(|((run, length, points), look)| {
                let (first, last) = (points.first()?, points.last()?);
                let mut path = format!(
                    "M{} {}",
                    shown(times.place(first.ms)),
                    shown(height(0, top))
                );
                for point in points {
                    // Writing to a string cannot fail.
                    let _ = write!(
                        path,
                        "H{}V{}",
                        shown(times.place(point.ms)),
                        shown(height(point.distinct.into(), top))
                    );
                }
                let _ = write!(path, "H{}", shown(times.place(last.ms.max(*length))));
                let half = points
                    .iter()
                    .find(|point| point.distinct * 2 >= last.distinct);
                Some(Curve {
                    run: *run,
                    look,
                    path,
                    distinct: last.distinct,
                    length: duration(*length),
                    last: duration(last.ms),
                    half: duration(half.map_or(0, |half| half.ms)),
                })
            });
        Self {
            lines: curves.collect(),
            more,
            times: times.ticks(),
            counts,
        }
    }
}

/// What each run added to those before it.
pub(super) struct Stack {
    pub(super) runs: Vec<Step>,
    /// How many runs before these are not drawn.
    pub(super) before: usize,
    pub(super) counts: Vec<Tick>,
    pub(super) width: String,
}

/// One run: what was known before it, and what it added.
pub(super) struct Step {
    pub(super) run: usize,
    pub(super) at: String,
    pub(super) middle: String,
    pub(super) known_at: String,
    pub(super) known_height: String,
    pub(super) new_at: String,
    pub(super) new_height: String,
    pub(super) new: u32,
    pub(super) sum: u64,
    /// There is room to say which run it is, and what it added.
    pub(super) labelled: bool,
}

impl Stack {
    pub(super) fn of(new: &[u32]) -> Self {
        let total = new.iter().copied().map(u64::from).sum();
        let (top, counts) = counts(total);
        let before = new.len().saturating_sub(RUNS);
        let drawn = new.len() - before;
        let room = (WIDTH - LEFT - RIGHT) / real(drawn.max(1) as u64);
        let width = (room * 0.72).min(56.0);
        // A label needs some 30 units.
        let each = (1..=drawn as u64)
            .find(|&each| real(each) * room >= 30.0)
            .unwrap_or(1);
        let mut sum = 0_u64;
        let mut runs = Vec::new();
        for (&new, number) in new.iter().zip(1_usize..) {
            let known = sum;
            sum += u64::from(new);
            let Some(at) = number.checked_sub(before + 1) else {
                continue;
            };
            let at = at as u64;
            let middle = LEFT + (real(at) + 0.5) * room;
            runs.push(Step {
                run: number,
                at: shown(middle - width / 2.0),
                middle: shown(middle),
                known_at: shown(height(known, top)),
                known_height: shown(height(0, top) - height(known, top)),
                new_at: shown(height(sum, top)),
                new_height: shown(height(known, top) - height(sum, top)),
                new,
                sum,
                labelled: at.is_multiple_of(each),
            });
        }
        Self {
            runs,
            before,
            counts,
            width: shown(width),
        }
    }
}

/// The first uses in a run, each a mark at its time.
pub(super) struct Dots {
    pub(super) marks: Vec<Mark>,
    pub(super) times: Vec<Tick>,
    /// Where the start ends.
    pub(super) boundary: Option<String>,
    /// The end of the run.
    pub(super) end: String,
    pub(super) axis: String,
    pub(super) labels: String,
    pub(super) height: String,
}

/// One first use.
pub(super) struct Mark {
    pub(super) x: String,
    pub(super) y: String,
    pub(super) later: bool,
    pub(super) title: String,
}

impl Dots {
    pub(super) fn of(phases: &Phases) -> Self {
        /// Marks that would cover each other stand on top of each other.
        const SPACE: f64 = 10.5;
        let times = Times::until(phases.length);
        let all = phases.start.iter().map(|first| (first, false));
        let all: Vec<_> = all
            .chain(phases.later.iter().map(|first| (first, true)))
            .collect();
        let column = |ms| ((times.place(ms) - LEFT) / SPACE).floor();
        let piles = all.chunk_by(|(a, _), (b, _)| (column(a.ms) - column(b.ms)).abs() < 0.5);
        let tallest = piles.clone().map(<[_]>::len).max().unwrap_or(0);
        // Above the marks is what the phases are called.
        let axis = 40.0 + real(tallest as u64) * SPACE;
        let mut marks = Vec::new();
        for pile in piles {
            for (&(first, later), level) in pile.iter().zip(0_u32..) {
                marks.push(Mark {
                    x: shown(LEFT + (column(first.ms) + 0.5) * SPACE),
                    y: shown(axis - (f64::from(level) + 0.6) * SPACE),
                    later,
                    title: format!("{}: {}", first.name, first.time),
                });
            }
        }
        Self {
            marks,
            boundary: phases.boundary.map(|ms| shown(LEFT + column(ms) * SPACE)),
            end: shown(times.place(phases.length)),
            axis: shown(axis),
            labels: shown(axis + 18.0),
            height: shown(axis + 26.0),
            times: times.ticks(),
        }
    }
}

/// How many syscalls each program made.
pub(super) struct Bars {
    pub(super) rows: Vec<Bar>,
    /// How many more there are that are not drawn.
    pub(super) more: usize,
    pub(super) height: String,
}

/// One program's.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) path: String,
    pub(super) label_at: String,
    pub(super) at: String,
    pub(super) text_at: String,
    pub(super) shared: String,
    pub(super) alone_at: String,
    pub(super) alone: String,
    pub(super) end: String,
    pub(super) calls: usize,
    pub(super) alone_calls: usize,
}

impl Bars {
    pub(super) fn of(programs: &[Program]) -> Self {
        const ROW: f64 = 42.0;
        const LONGEST: f64 = WIDTH - 130.0;
        let most = programs
            .iter()
            .map(|program| program.syscalls.len())
            .max()
            .unwrap_or(1);
        let length = |count: usize| real(count as u64) / real(most.max(1) as u64) * LONGEST;
        let made = programs
            .iter()
            .filter(|program| !program.syscalls.is_empty());
        let rows: Vec<Bar> = made
            .clone()
            .take(BARS)
            .zip(0_u32..)
            .map(|(program, row)| {
                let top = f64::from(row) * ROW;
                let alone = length(program.alone.len());
                let whole = length(program.syscalls.len());
                Bar {
                    label: shortened(&program.path, 80),
                    path: program.path.clone(),
                    label_at: shown(top + 15.0),
                    at: shown(top + 21.0),
                    text_at: shown(top + 32.0),
                    shared: shown(whole - alone),
                    alone_at: shown(whole - alone),
                    alone: shown(alone),
                    end: shown(whole + 6.0),
                    calls: program.syscalls.len(),
                    alone_calls: program.alone.len(),
                }
            })
            .collect();
        Self {
            more: made.count() - rows.len(),
            height: shown(real(rows.len() as u64) * ROW + 2.0),
            rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_of_counts_have_round_numbers() {
        for (most, want) in [
            (0, "0 1"),
            (1, "0 1"),
            (4, "0 1 2 3 4"),
            (5, "0 2 4 6"),
            (49, "0 10 20 30 40 50"),
            (99, "0 20 40 60 80 100"),
            (1200, "0 500 1000 1500"),
        ] {
            let texts: Vec<String> = counts(most).1.into_iter().map(|tick| tick.text).collect();
            assert_eq!(texts.join(" "), want, "{most}");
        }
    }

    #[test]
    fn axes_of_times_go_by_powers_of_ten() {
        for (ms, want) in [
            (0, "\u{2264} 1 ms,10 ms"),
            (10, "\u{2264} 1 ms,10 ms"),
            (2500, "\u{2264} 1 ms,10 ms,100 ms,1 s,10 s"),
            (100_000, "\u{2264} 1 ms,10 ms,100 ms,1 s,10 s,1 min 40 s"),
        ] {
            let texts: Vec<String> = Times::until(ms)
                .ticks()
                .into_iter()
                .map(|tick| tick.text)
                .collect();
            assert_eq!(texts.join(","), want, "{ms}");
        }
        let times = Times::until(1000);
        assert!(
            (times.place(0) - LEFT).abs() < 0.1
                && (times.place(1000) - (WIDTH - RIGHT)).abs() < 0.1
        );
        assert!(times.place(u64::MAX) <= WIDTH - RIGHT);
    }

    #[test]
    fn every_run_stands_on_those_before() {
        let stack = Stack::of(&[3, 0, 1]);
        let sums: Vec<_> = stack
            .runs
            .iter()
            .map(|step| (step.run, step.new, step.sum))
            .collect();
        assert_eq!(sums, [(1, 3, 3), (2, 0, 3), (3, 1, 4)]);
        assert_eq!(stack.runs[1].new_height, "0.0");
        assert_eq!(stack.runs[2].known_at, stack.runs[1].new_at);
        let many = Stack::of(&[1; 500]);
        assert_eq!(
            (many.before, many.runs.len(), many.runs[0].run),
            (380, 120, 381)
        );
        assert_eq!(many.runs[119].sum, 500);
        assert!(Stack::of(&[]).runs.is_empty());
    }
}
