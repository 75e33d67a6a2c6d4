//! How much the learning runs can be trusted.

use super::{Finding, Kind, Looked, Severity};
use crate::estimate::Estimate;

static ONE_RUN: Kind = Kind::new(
    "one-run",
    Severity::Warning,
    "the profile was learned in a single run",
);
static UNSEEN: Kind = Kind::new(
    "unseen-too-likely",
    Severity::Error,
    "another run is too likely to need something new",
);

pub(super) static KINDS: [&Kind; 2] = [&ONE_RUN, &UNSEEN];

pub(super) fn find(looked: &Looked) -> Vec<Finding> {
    let evidence = looked.subject.evidence;
    let estimate = evidence.map(Estimate::of);
    let mut found = Vec::new();
    if estimate
        .as_ref()
        .is_some_and(|estimate| estimate.runs() == 1)
    {
        let message = "the evidence is of one run, which says nothing about the next";
        found.push(ONE_RUN.finding(
            "",
            message,
            "learn again under other loads: --learn --update",
        ));
    }
    if let Some(most) = looked.subject.max_unseen {
        let percent = |part: f64| format!("{:.1} %", 100.0 * part);
        let message = match (&estimate, estimate.as_ref().and_then(Estimate::chance)) {
            (_, Some(chance)) if chance <= most => None,
            (Some(estimate), Some(chance)) => Some(format!(
                "another run needs something new with a chance of up to {}, after {} runs; at most {} was asked for",
                percent(chance),
                estimate.runs(),
                percent(most)
            )),
            (Some(_), None) => Some("one run says nothing about the chance that another needs something new".to_owned()),
            (None, _) => Some("there is no evidence, so nothing is known about the chance that another run needs something new".to_owned()),
        };
        found.extend(message.map(|message| {
            UNSEEN.finding(
                "",
                message,
                "learn again under other loads: --learn --update",
            )
        }));
    }
    found
}
