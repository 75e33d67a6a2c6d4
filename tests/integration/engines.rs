//! The ways in which the learner can watch a command: what must hold of one must hold of all.

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
