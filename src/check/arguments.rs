//! Conditions that do not bind.

use std::collections::BTreeSet;

use super::{Access, Finding, Kind, Looked, Repair, Severity};
use crate::diff::{Calls, compare};
use crate::policy::{Call, Op, Reason};
use crate::profile::{ArgWidth, Reading};
use crate::syscall::{Sysno, is_32bit};

static UPPER: Kind = Kind::new(
    "upper-half",
    Severity::Warning,
    "a condition is evaded through the upper half of an int",
);
static CLONE3: Kind = Kind::new(
    "clone3-evades-clone",
    Severity::Warning,
    "the conditions on clone are evaded through clone3",
);

pub(super) static KINDS: [&Kind; 2] = [&UPPER, &CLONE3];

pub(super) fn find(looked: &Looked) -> Vec<Finding> {
    let mut found = upper_half(looked);
    found.extend(clone3(looked));
    found
}

/// Calls that are denied as the kernel reads their arguments, and that run where all 64 bits are compared, as
/// libseccomp does.
fn upper_half(looked: &Looked) -> Vec<Finding> {
    let subject = looked.subject;
    let full = Reading {
        arg_width: ArgWidth::Full,
        ..subject.reading
    };
    let kernel = Reading {
        arg_width: ArgWidth::Kernel,
        ..subject.reading
    };
    let resolve = |reading| subject.profile.resolve(subject.host, &reading);
    let (Ok(full), Ok(kernel)) = (resolve(full), resolve(kernel)) else {
        return Vec::new();
    };
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for difference in compare(&kernel.policy, &full.policy) {
        let Calls::One(sysno) = difference.calls else {
            continue;
        };
        let evaded = difference
            .outcomes
            .iter()
            .find(|one| !one.left.runs() && one.right.runs());
        let Some(evaded) = evaded else {
            continue;
        };
        let call = Call {
            audit: sysno.arch.audit(),
            nr: sysno.nr,
            args: evaded.args,
        };
        // The rule that is evaded, or the one that lets the call through.
        let decides = [&kernel, &full].map(|resolved| resolved.policy.decide(&call).1);
        let origin = decides.into_iter().find_map(|reason| match reason {
            Reason::Rule(origin) => Some(origin),
            _ => None,
        });
        let Some(origin) = origin else {
            continue;
        };
        let name = sysno.to_string();
        if !told.insert((origin, name.clone())) {
            continue;
        }
        let arg = (0..6_u8)
            .zip(evaded.args)
            .find(|&(at, value)| value > 0xffff_ffff && is_32bit(sysno, at));
        let shown = arg.map_or_else(String::new, |(at, value)| {
            format!(" with {value:#x} as argument {at}")
        });
        let message = format!(
            "{name}{shown} runs under runtimes that compare 64 bits (libseccomp), though the kernel reads 32 of them, which the rules deny (CVE-2019-7303)"
        );
        let fix = "SCMP_CMP_MASKED_EQ with \"value\": 4294967295 and the constant in \"valueTwo\"; for other comparisons turn the rule around, into what is allowed";
        found.push(
            UPPER
                .finding(looked.path_in(origin, &name), message, fix)
                .repair(low_half(looked, origin)),
        );
    }
    found
}

/// An entry that denies by `EQ` on 32-bit arguments can say the same for everybody.
fn low_half(looked: &Looked, origin: usize) -> Option<Repair> {
    let rule = looked.profile().rules.get(origin)?;
    let narrow = |index: u8| {
        let mut names = rule
            .names
            .iter()
            .filter_map(|name| Sysno::parse(looked.native.arch, name));
        names.all(|sysno| is_32bit(sysno, index))
    };
    let equal = rule
        .conditions
        .iter()
        .all(|condition| condition.op == Op::Eq && narrow(condition.index));
    let fits = rule
        .conditions
        .iter()
        .all(|condition| condition.value <= 0xffff_ffff);
    (!rule.action.runs() && equal && fits).then_some(Repair::LowHalf(origin))
}

fn clone3(looked: &Looked) -> Option<Finding> {
    let some = looked.access("clone") == Some(Access::ByArgument);
    let evaded = some && looked.access("clone3") == Some(Access::Free);
    evaded.then(|| {
        let rule = looked.profile().rules.iter().position(|rule| rule.names.iter().any(|name| name == "clone3"));
        let path = rule.map_or_else(|| "syscalls".to_owned(), |rule| looked.path_in(rule, "clone3"));
        let message = "clone depends on its flags, and clone3 is allowed: it does the same with flags in memory, where no filter sees them";
        CLONE3.finding(path, message, "answer clone3 with SCMP_ACT_ERRNO and \"errnoRet\": 38, so that programs use clone")
    })
}
