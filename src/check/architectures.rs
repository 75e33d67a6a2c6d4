//! Architectures and numbers that are not what they seem.

use std::collections::BTreeSet;

use super::{Finding, Kind, Looked, Severity};
use crate::arch::Arch;
use crate::syscall::parse_unnamed;

static UNUSED: Kind = Kind::new(
    "unused-architecture",
    Severity::Warning,
    "an architecture is listed in which nothing ran",
);
static NATIVE: Kind = Kind::new(
    "native-not-listed",
    Severity::Note,
    "the native architecture is not listed",
);
static X32: Kind = Kind::new(
    "x32-number",
    Severity::Warning,
    "a number that x86-64 has for x32 only",
);

pub(super) static KINDS: [&Kind; 3] = [&UNUSED, &NATIVE, &X32];

pub(super) fn find(looked: &Looked) -> Vec<Finding> {
    let mut found = unused(looked);
    let profile = looked.profile();
    let native = looked.native.arch;
    if !profile.architectures.is_empty() && !profile.architectures.contains(&native) {
        let listed: Vec<String> = profile
            .architectures
            .iter()
            .map(ToString::to_string)
            .collect();
        let message = format!(
            "{} is listed, and not {native}, which is this machine's: it counts all the same, and the profile may be meant for another",
            listed.join(" ")
        );
        found.push(NATIVE.finding(
            "architectures",
            message,
            format!("add {}, or check with --arch", native.scmp_name()),
        ));
    }
    for (at, rule) in profile.rules.iter().enumerate() {
        for name in &rule.names {
            let number = parse_unnamed(name).filter(|number| (512..548).contains(number));
            if number.is_some() && native == Arch::X86_64 {
                let message = format!(
                    "{name}: the numbers 512 to 547 are x32's, and a 64-bit program that makes them has a bug or an intention"
                );
                found.push(X32.finding(looked.path_in(at, name), message, "leave it out"));
            }
        }
    }
    found
}

/// With evidence it is known in which architectures calls were made.
fn unused(looked: &Looked) -> Vec<Finding> {
    let Some(evidence) = looked
        .subject
        .evidence
        .filter(|evidence| !evidence.runs.is_empty())
    else {
        return Vec::new();
    };
    let calls = evidence.runs.iter().flat_map(|run| &run.calls);
    let seen: BTreeSet<Arch> = calls
        .filter_map(|call| Arch::from_short_name(&call.arch))
        .collect();
    let beside = looked.policy().abis.iter().skip(1).map(|abi| abi.arch);
    beside
        .filter(|arch| !seen.contains(arch))
        .map(|arch| {
            let listed = looked.profile().architectures.iter().position(|there| *there == arch);
            let path = listed.map_or_else(|| "archMap".to_owned(), |at| format!("architectures[{at}]"));
            let message = format!("no learning run made a call of {arch}: listing it doubles what an attacker can try, in code that is rarely tested");
            UNUSED.finding(path, message, format!("leave out {}", arch.scmp_name()))
        })
        .collect()
}
