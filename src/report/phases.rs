//! When a run used what for the first time: at its start, or in its work.

use crate::evidence::{Evidence, Run};

use super::{facts, words};

/// A pause shorter than this is no end of a start, in milliseconds.
const PAUSE: u64 = 100;

/// The first uses in one run.
pub(super) struct Phases {
    /// Which run, counted from 1.
    pub(super) run: usize,
    pub(super) start: Vec<Use>,
    /// What came after the start.
    pub(super) later: Vec<Use>,
    /// When the first of these came, in milliseconds after the exec of the command.
    pub(super) boundary: Option<u64>,
    /// How long the run was, in milliseconds.
    pub(super) length: u64,
}

/// The first use of a syscall.
pub(super) struct Use {
    pub(super) name: String,
    pub(super) ms: u64,
    pub(super) time: String,
}

/// The phases of the run that tells most. `None` where no run tells (version 1).
///
/// The start ends at the first pause in which nothing new came for as long as all before it took.
pub(super) fn of(evidence: &Evidence) -> Option<Phases> {
    let told = |run: &Run| run.calls.iter().filter(|call| call.first.is_some()).count();
    let runs = evidence.runs.iter().enumerate();
    // Of runs that tell as much, the first.
    let (at, run) = runs.rev().max_by_key(|(_, run)| told(run))?;
    let mut uses: Vec<Use> = run
        .calls
        .iter()
        .filter_map(|call| {
            let ms = call.first.as_ref()?.ms;
            Some(Use {
                name: facts::name(call),
                ms,
                time: words::duration(ms),
            })
        })
        .collect();
    uses.sort_by(|a, b| a.ms.cmp(&b.ms).then_with(|| a.name.cmp(&b.name)));
    let last = uses.last()?.ms;
    let times: Vec<u64> = uses.iter().map(|first| first.ms).collect();
    let boundary = boundary(&times);
    let later = boundary.map_or(uses.len(), |boundary| {
        uses.partition_point(|first| first.ms < boundary)
    });
    let later = uses.split_off(later);
    Some(Phases {
        run: at + 1,
        start: uses,
        later,
        boundary,
        length: facts::length(run).max(last),
    })
}

/// Where the start ends, for sorted times.
fn boundary(times: &[u64]) -> Option<u64> {
    let pauses = times.iter().zip(times.iter().skip(1));
    let is_end = |&(&before, &after): &(&u64, &u64)| after - before >= before.max(PAUSE);
    pauses.filter(is_end).map(|(_, &after)| after).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_ends_with_the_first_long_pause() {
        let cases: [(&[u64], Option<u64>); 6] = [
            (&[], None),
            (&[5], None),
            (&[0, 1, 2, 30, 45], None),
            (&[0, 1, 2, 160, 200], Some(160)),
            (&[0, 40, 100, 150, 290, 900], Some(900)),
            (&[10, 10, 100, 5000], Some(5000)),
        ];
        for (times, want) in cases {
            assert_eq!(boundary(times), want, "{times:?}");
        }
    }
}
