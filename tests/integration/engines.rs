//! The ways in which the learner can watch a command: what must hold of one must hold of all.

/// Does this build have the flags below? Until then there is one way, the default.
const HAS_FLAGS: bool = false;

/// The flags of each way. `--inject` is hidden: it says when a process gets the learner's filter.
const ALL: &[&[&str]] = &[
    &[],
    &["--inject", "early"],
    &["--inject", "late"],
    &["--inject", "never"],
    &["--transparent"],
];

/// Every way that this build has.
pub(crate) const fn engines() -> &'static [&'static [&'static str]] {
    if HAS_FLAGS { ALL } else { ALL.split_at(1).0 }
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
        _ if !HAS_FLAGS => Some(false),
        [] => None,
        [.., "early" | "late"] => Some(true),
        _ => Some(false),
    }
}
