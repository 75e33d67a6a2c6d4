//! `diff`: what one profile allows and another does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::compile::Format;
use super::error::Error;
use super::target::HostArgs;
use crate::action::Action;
use crate::arch::{Arch, X32_BIT};
use crate::diff::{Calls, Difference, Outcome, compare};
use crate::exit::Exit;
use crate::policy::{Condition, Op, Policy};
use crate::syscall::Sysno;

const AFTER: &str = "\
Examples:
  seccomp-run diff old.json new.json
        what a change of a profile changes
  seccomp-run diff --subset learned.json deployed.json
        a gate: may what was learned today run under what is deployed?

Exit codes:
  0       the same (--subset: B allows all that A needs)
  1       different (--subset: it does not)
  125     a profile cannot be read";

/// Tell what one profile allows and another does not
///
/// Both are resolved for the same host and compared by what they answer, for each architecture and each
/// combination of arguments that their conditions tell apart: how a profile is written does not matter. A
/// difference that depends on arguments is shown with a call that gets the two answers.
///
/// With --subset the question is whether B allows all that A needs.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Args {
    /// The one profile
    #[arg(value_name = "A")]
    left: PathBuf,

    /// The other
    #[arg(value_name = "B")]
    right: PathBuf,

    /// Ask only what A allows and B does not
    #[arg(long)]
    subset: bool,

    /// How the answer is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    #[command(flatten)]
    host: HostArgs,
}

pub(super) fn run(args: &Args) -> Result<Exit, Error> {
    let left = args.host.resolve_file(&args.left)?.policy;
    let right = args.host.resolve_file(&args.right)?.policy;
    let mut found = compare(&left, &right);
    if args.subset {
        for difference in &mut found {
            let missing = |outcome: &Outcome| outcome.left.runs() && !outcome.right.runs();
            difference.outcomes.retain(missing);
        }
        found.retain(|difference| difference.undecided || !difference.outcomes.is_empty());
    }
    let comparison = Comparison {
        names: [&args.left, &args.right].map(|path| path.display().to_string()),
        policies: [&left, &right],
        found: &found,
    };
    let text = match args.format {
        Format::Text => comparison.text(),
        Format::Json => comparison.json(args.subset),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Error::new(format!("cannot write to standard output: {error}")))?;
    Ok(if found.is_empty() {
        Exit::SUCCESS
    } else {
        Exit::FOUND
    })
}

/// What was compared, and what came of it.
struct Comparison<'a> {
    names: [String; 2],
    policies: [&'a Policy; 2],
    found: &'a [Difference],
}

/// The parts of the text, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    Absent,
    OnlyLeft,
    OnlyRight,
    ByArgument,
    OtherAnswer,
    Unnamed,
}

impl Section {
    fn of(calls: Calls, outcomes: &[Outcome], by_argument: bool) -> Self {
        match (calls, outcomes) {
            (Calls::Unnamed { .. }, _) => Self::Unnamed,
            (Calls::One(_), [one]) if !by_argument => match (one.left.runs(), one.right.runs()) {
                (true, false) => Self::OnlyLeft,
                (false, true) => Self::OnlyRight,
                _ => Self::OtherAnswer,
            },
            (Calls::One(_), _) => Self::ByArgument,
        }
    }
}

impl Comparison<'_> {
    fn text(&self) -> String {
        // The same for several architectures is said once.
        let mut said: BTreeMap<Section, BTreeMap<String, BTreeSet<Arch>>> = BTreeMap::new();
        for difference in self.found {
            let arch = difference.calls.arch();
            if let Some((absent, answer)) = self.absent(arch) {
                // Nothing of it runs on the one side; on the other, what does is worth a name.
                let line = format!("not in {absent}: every call gets {answer}");
                let arches = said.entry(Section::Absent).or_default().entry(line);
                arches.or_default().insert(arch);
                let only = |one: &Outcome| match (one.left.runs(), one.right.runs()) {
                    (true, false) => Some(Section::OnlyLeft),
                    (false, true) => Some(Section::OnlyRight),
                    _ => None,
                };
                let section = difference.outcomes.iter().find_map(only);
                if let (Some(section), Calls::One(sysno)) = (section, difference.calls) {
                    let names = said.entry(section).or_default();
                    names.entry(sysno.to_string()).or_default().insert(arch);
                }
                continue;
            }
            let by_argument = match difference.calls {
                Calls::One(sysno) => difference.undecided || self.depends_on_arguments(sysno),
                Calls::Unnamed { .. } => false,
            };
            let section = Section::of(difference.calls, &difference.outcomes, by_argument);
            let line = self.line(section, difference);
            let arches = said.entry(section).or_default().entry(line).or_default();
            arches.insert(difference.calls.arch());
        }
        let [left, right] = &self.names;
        let mut text = String::new();
        for (section, lines) in said {
            let title = match section {
                Section::Absent => "architectures".to_owned(),
                Section::OnlyLeft => format!("allowed by {left} only"),
                Section::OnlyRight => format!("allowed by {right} only"),
                Section::ByArgument => "different by argument".to_owned(),
                Section::OtherAnswer => "answered differently".to_owned(),
                Section::Unnamed => "syscalls that neither names".to_owned(),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{title}:");
            let mut by_arches: BTreeMap<BTreeSet<Arch>, Vec<String>> = BTreeMap::new();
            for (line, arches) in lines {
                by_arches.entry(arches).or_default().push(line);
            }
            for (arches, lines) in by_arches {
                let arches: Vec<String> = arches.iter().map(ToString::to_string).collect();
                let arches = arches.join(", ");
                if matches!(section, Section::OnlyLeft | Section::OnlyRight) {
                    let _ = writeln!(text, "  {arches}: {}", lines.join(" "));
                } else {
                    for line in lines {
                        let _ = writeln!(text, "  {arches}: {line}");
                    }
                }
            }
        }
        text
    }

    fn line(&self, section: Section, difference: &Difference) -> String {
        let [left, right] = &self.names;
        let sysno = match difference.calls {
            Calls::One(sysno) => sysno,
            Calls::Unnamed { first, last, .. } => {
                let answers = difference.outcomes.first();
                let answers =
                    answers.map(|one| format!("{} in {left}, {} in {right}", one.left, one.right));
                let numbers = numbers(difference.calls.arch(), first, last);
                return format!("{numbers}: {}", answers.unwrap_or_default());
            }
        };
        let mut line = match section {
            Section::OnlyLeft | Section::OnlyRight => return sysno.to_string(),
            Section::OtherAnswer => {
                let answers = difference.outcomes.first();
                let answers =
                    answers.map(|one| format!("{} in {left}, {} in {right}", one.left, one.right));
                return format!("{sysno}: {}", answers.unwrap_or_default());
            }
            Section::ByArgument | Section::Unnamed | Section::Absent => sysno.to_string(),
        };
        if difference.undecided {
            line.push_str("\n    too many combinations of arguments to try them all: there may be more differences");
        }
        for one in &difference.outcomes {
            let call = call(sysno, &one.args);
            let _ = write!(
                line,
                "\n    {call} gets {} in {left}, {} in {right}",
                one.left, one.right
            );
        }
        for (name, policy) in self.names.iter().zip(self.policies) {
            let _ = write!(line, "\n    {name}: {}", rules(policy, sysno).join("; "));
        }
        line
    }

    /// The side that does not list this architecture, and what it answers.
    fn absent(&self, arch: Arch) -> Option<(&str, Action)> {
        let mut sides = self.names.iter().zip(self.policies);
        let absent = |(_, policy): &(&String, &Policy)| policy.abi(arch).is_none();
        let (name, policy) = sides.find(absent)?;
        Some((name, policy.bad_arch))
    }

    fn depends_on_arguments(&self, sysno: Sysno) -> bool {
        let rules = self
            .policies
            .iter()
            .filter_map(|policy| policy.abi(sysno.arch)?.syscalls.get(sysno.nr));
        rules.flatten().any(|rule| !rule.conditions.is_empty())
    }

    fn json(&self, subset: bool) -> String {
        let differences: Vec<Value> = self
            .found
            .iter()
            .map(|difference| self.difference(difference))
            .collect();
        let [left, right] = &self.names;
        let verdict = if subset { "subset" } else { "same" };
        let value = json!({
            "left": left,
            "right": right,
            verdict: self.found.is_empty(),
            "differences": differences,
        });
        format!("{value:#}\n")
    }

    fn difference(&self, difference: &Difference) -> Value {
        let answer = |one: &Outcome| {
            let mut value = json!({ "left": one.left.to_string(), "right": one.right.to_string() });
            if let (Calls::One(sysno), Some(fields)) = (difference.calls, value.as_object_mut()) {
                fields.insert("call".to_owned(), call(sysno, &one.args).into());
            }
            value
        };
        let answers: Vec<Value> = difference.outcomes.iter().map(answer).collect();
        let arch = difference.calls.arch().to_string();
        match difference.calls {
            Calls::One(sysno) => {
                let [left, right] = self.policies.map(|policy| rules(policy, sysno));
                json!({
                    "arch": arch, "syscall": sysno.to_string(), "nr": sysno.nr, "answers": answers,
                    "undecided": difference.undecided, "leftRules": left, "rightRules": right,
                })
            }
            Calls::Unnamed { first, last, .. } => {
                json!({ "arch": arch, "firstNumber": first, "lastNumber": last, "answers": answers })
            }
        }
    }
}

/// A run of numbers, counted from where the architecture's begin.
fn numbers(arch: Arch, first: u32, last: u32) -> String {
    let (base, end) = match arch {
        Arch::X32 => (X32_BIT, u32::MAX - 1),
        Arch::X86_64 => (0, X32_BIT - 1),
        _ => (0, u32::MAX),
    };
    match (first.saturating_sub(base), last.saturating_sub(base)) {
        _ if first == u32::MAX => "number -1, with which tracers skip a call".to_owned(),
        (0, _) if last == end => "all".to_owned(),
        (from, _) if last == end => format!("numbers from {from} on"),
        (from, to) if from == to => format!("number {from}"),
        (from, to) => format!("numbers {from} to {to}"),
    }
}

/// A call as `simulate` takes it.
fn call(sysno: Sysno, args: &[u64; 6]) -> String {
    let used = args
        .iter()
        .rposition(|&arg| arg != 0)
        .map_or(1, |last| last + 1);
    let shown = |arg: &u64| {
        if *arg < 1 << 16 {
            arg.to_string()
        } else {
            format!("{arg:#x}")
        }
    };
    let args: Vec<String> = args.iter().take(used).map(shown).collect();
    format!("{sysno}({})", args.join(", "))
}

/// The rules of a policy for one syscall, in words; the last is what happens otherwise.
fn rules(policy: &Policy, sysno: Sysno) -> Vec<String> {
    let Some(abi) = policy.abi(sysno.arch) else {
        return vec![format!("{} (no {} there)", policy.bad_arch, sysno.arch)];
    };
    let mut said = Vec::new();
    for rule in abi.syscalls.get(sysno.nr).into_iter().flatten() {
        if rule.conditions.is_empty() {
            said.push(otherwise(rule.action, said.is_empty()));
            return said;
        }
        let conditions: Vec<String> = rule.conditions.iter().map(|one| condition(*one)).collect();
        said.push(format!("{} if {}", rule.action, conditions.join(" and ")));
    }
    said.push(otherwise(abi.fallback(sysno.nr).0, said.is_empty()));
    said
}

fn otherwise(action: Action, always: bool) -> String {
    if always {
        action.to_string()
    } else {
        format!("else {action}")
    }
}

fn condition(condition: Condition) -> String {
    let (arg, value) = (condition.arg(), condition.value());
    let number = |value: u64| {
        if value < 1 << 16 {
            value.to_string()
        } else {
            format!("{value:#x}")
        }
    };
    let sign = match condition.op() {
        Op::Ne => "!=",
        Op::Lt => "<",
        Op::Le => "<=",
        Op::Eq => "==",
        Op::Ge => ">=",
        Op::Gt => ">",
        Op::MaskedEq(mask) => return format!("arg{arg} & {mask:#x} == {}", number(value)),
    };
    format!("arg{arg} {sign} {}", number(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_numbers_are_told_in_the_architectures_own() {
        let cases = [
            (Arch::X86_64, 0, X32_BIT - 1, "all"),
            (Arch::X86_64, 300, X32_BIT - 1, "numbers from 300 on"),
            (Arch::X32, X32_BIT, X32_BIT + 466, "numbers 0 to 466"),
            (
                Arch::X32,
                X32_BIT + 467,
                u32::MAX - 1,
                "numbers from 467 on",
            ),
            (Arch::X86, 0, u32::MAX, "all"),
            (Arch::X86, 7, 7, "number 7"),
            (
                Arch::X86,
                u32::MAX,
                u32::MAX,
                "number -1, with which tracers skip a call",
            ),
        ];
        for (arch, first, last, want) in cases {
            assert_eq!(numbers(arch, first, last), want);
        }
    }
}
