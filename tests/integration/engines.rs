//! The ways in which the learner can watch a command: what must hold of one must hold of all.

use crate::harness::{Output, Run};

/// The flags of each way. `--inject` is hidden: it says when a process gets the learner's filter.
const ENGINES: &[&[&str]] = &[
    &[],
    &["--inject", "early"],
    &["--inject", "late"],
    &["--inject", "never"],
    &["--transparent"],
];

/// Every way.
pub(crate) const fn engines() -> &'static [&'static [&'static str]] {
    ENGINES
}

/// The default and the slowest, for what takes long under each.
pub(crate) fn two_engines() -> impl Iterator<Item = &'static [&'static str]> {
    let slowest = |engine: &&&[&str]| engine.is_empty() || engine.contains(&"never");
    engines().iter().filter(slowest).copied()
}

/// Does a process that has made thousands of calls have the learner's filter by now? `None`: that is for the
/// learner to decide.
pub(crate) fn installs(engine: &[&str]) -> Option<bool> {
    match engine {
        [] | ["--update"] => None,
        [.., "early" | "late"] => Some(true),
        _ => Some(false),
    }
}

/// Learns in this way; again, at most twice, where what came of it is not `right` by chance alone.
///
/// A filter from the first call on makes every call wait for the learner. A signal that comes before the learner has the
/// call ends it with `EINTR` where the handler lacks `SA_RESTART` (README), as that of dash for its children does. A
/// `close` that was not made leaves a pipe open, for whose end somebody then waits for good.
pub(crate) fn learned<'e>(
    engine: &[&str],
    run: impl Fn() -> Run<'e>,
    right: impl Fn(&Output) -> bool,
) -> Output {
    let chances = if engine.contains(&"early") { 2 } else { 0 };
    for _ in 0..chances {
        let (output, left) = run().limit(20).start().end();
        if left.is_empty() && right(&output) {
            return output;
        }
        eprintln!("again: {left}{output}");
    }
    run().output()
}
