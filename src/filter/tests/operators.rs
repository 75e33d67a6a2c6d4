//! Every operator in both widths: right at every border, and as short as it can be.

use super::check::words;
use super::points::around;
use super::*;
use crate::action::Action;
use crate::policy::{Abi, Call, Condition, Op, Rule, Width};

const HIGH: u64 = 1 << 32;
const NR: u32 = 7;

fn policy(arch: Arch, rules: &[(&[Condition], Action)]) -> Policy {
    let rules = rules.iter().map(|&(conditions, action)| Rule {
        conditions: conditions.to_vec(),
        action,
        origin: 0,
    });
    let abi = Abi {
        arch,
        default: Action::Errno(1),
        newer: None,
        syscalls: [(NR, rules.collect())].into(),
    };
    Policy {
        abis: vec![abi],
        bad_arch: Action::KillProcess,
    }
}

fn compile(policy: &Policy) -> Filter {
    Filter::compile(policy, &Options::default()).unwrap()
}

/// Instructions for the arguments of the one syscall with rules.
fn argument_cost(arch: Arch, rules: &[(&[Condition], Action)]) -> usize {
    let always: &[(&[Condition], Action)] = &[(&[], Action::Allow)];
    let without = compile(&policy(arch, always)).program().len();
    compile(&policy(arch, rules)).program().len() - without
}

#[test]
fn operators_hold_at_their_borders() {
    use Width::{W32, W64};
    let values = [
        0,
        1,
        5,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fffe,
        0xffff_ffff,
        HIGH - 1,
        HIGH,
        HIGH + 1,
        5 * HIGH + 5,
        1 << 63,
        u64::MAX - HIGH,
        u64::MAX - 1,
        u64::MAX,
    ];
    let masks = [
        0,
        1,
        6,
        0xffff,
        0xffff_ffff,
        HIGH,
        6 * HIGH,
        HIGH | 1,
        u64::MAX,
    ];
    let plain = [Op::Ne, Op::Lt, Op::Le, Op::Eq, Op::Ge, Op::Gt];
    let ops = plain.into_iter().chain(masks.map(Op::MaskedEq));
    let samples: Vec<u64> = values
        .iter()
        .flat_map(|&v| [v, v ^ 1, v ^ HIGH, v ^ 6])
        .collect();
    for op in ops {
        for width in [W32, W64] {
            for value in values {
                // One of each byte order.
                for (arch, arg) in [(Arch::X86_64, 0), (Arch::S390x, 5)] {
                    let condition = Condition::new(arg, width, op, value).unwrap();
                    let policy = policy(arch, &[(&[condition], Action::Allow)]);
                    let filter = compile(&policy);
                    let vm = Vm::new(filter.program()).unwrap();
                    for sample in samples.iter().copied().chain(around(condition)) {
                        let mut args = [0x1234_5678_9abc_def0; 6];
                        args[usize::from(arg)] = sample;
                        let call = Call {
                            audit: arch.audit(),
                            nr: NR,
                            args,
                        };
                        let want = policy.evaluate(&call).to_ret();
                        assert_eq!(
                            vm.run(&words(&call)).answer,
                            want,
                            "{condition:?} {sample:#x}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn single_conditions_are_short() {
    use Width::{W32, W64};
    let cases = [
        (W32, Op::Eq, 5, 2),
        (W32, Op::Ne, 5, 2),
        (W32, Op::Lt, 5, 2),
        (W32, Op::MaskedEq(0xf0), 0, 2),
        (W32, Op::MaskedEq(0x10), 0x10, 2),
        (W32, Op::MaskedEq(0xf0), 0x10, 3),
        (W32, Op::MaskedEq(0), 0, 0),
        (W32, Op::Ge, 0, 0),
        (W32, Op::Le, 0xffff_ffff, 0),
        (W64, Op::Eq, 5, 4),
        (W64, Op::Lt, 5, 4),
        (W64, Op::Le, 0xffff_ffff, 2),
        (W64, Op::Lt, HIGH, 2),
        (W64, Op::Gt, HIGH - 1, 2),
        (W64, Op::Ge, 0x8000_0000, 4),
        (W64, Op::Lt, 5 * HIGH + 5, 5),
        (W64, Op::MaskedEq(0xf0), 0, 2),
        (W64, Op::MaskedEq(0xf0 * HIGH), 0, 2),
        (W64, Op::MaskedEq(u64::MAX), 5, 4),
        (W64, Op::MaskedEq((0xf0 * HIGH) | 0xf), (0x10 * HIGH) | 1, 6),
    ];
    for (width, op, value, want) in cases {
        let condition = Condition::new(1, width, op, value).unwrap();
        // The denied answer is there anyway, for the numbers around.
        let cost = argument_cost(Arch::X86_64, &[(&[condition], Action::Allow)]);
        assert_eq!(cost, want, "{width:?} {op:?} {value:#x}");
    }
}

fn equal_to(values: &[u64], width: Width) -> Vec<[Condition; 1]> {
    let condition = |&value| [Condition::new(0, width, Op::Eq, value).unwrap()];
    values.iter().map(condition).collect()
}

#[test]
fn sets_of_values_share_their_questions() {
    use Width::{W32, W64};
    let cases: &[(&str, &[u64], Width, usize)] = &[
        ("a range", &[3, 4, 5, 6], W32, 3),
        ("from zero", &[0, 1, 2], W32, 2),
        ("all flags of two", &[0, 8, 0x2_0000, 0x2_0008], W32, 2),
        (
            "personality(2)",
            &[0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff],
            W32,
            3,
        ),
        (
            "personality(2), wide",
            &[0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff],
            W64,
            5,
        ),
        ("all but the last", &[0, 8, 0x2_0000], W32, 3),
        (
            "eight single values",
            &[2, 5, 9, 15, 22, 30, 39, 49],
            W32,
            10,
        ),
        ("odd ones", &[1, 3, 5, 7, 9, 11, 13, 15], W32, 3),
        ("one low half", &[5, HIGH + 5, 2 * HIGH + 5], W64, 4),
    ];
    for &(name, values, width, want) in cases {
        let conditions = equal_to(values, width);
        let rules: Vec<(&[Condition], Action)> = conditions
            .iter()
            .map(|conditions| (&conditions[..], Action::Allow))
            .collect();
        assert_eq!(argument_cost(Arch::X86_64, &rules), want, "{name}");
    }
}

#[test]
fn rules_over_several_arguments_are_cut_by_what_they_share() {
    // socket(2) as a learned profile has it: domain, type, protocol.
    let eq = |arg, value| Condition::new(arg, Width::W32, Op::Eq, value).unwrap();
    let sockets = [
        [1, 1, 0],
        [1, 2, 0],
        [2, 1, 0],
        [2, 1, 6],
        [2, 2, 0],
        [2, 2, 17],
        [10, 1, 6],
    ];
    let conditions =
        sockets.map(|[domain, kind, protocol]| [eq(0, domain), eq(1, kind), eq(2, protocol)]);
    let rules = conditions
        .each_ref()
        .map(|conditions| (&conditions[..], Action::Allow));
    let filter = compile(&policy(Arch::X86_64, &rules));
    // One after the other would take 7 rules * 3 arguments * 2.
    assert!(
        argument_cost(Arch::X86_64, &rules) <= 26,
        "{}",
        crate::bpf::disasm::Listing(filter.program())
    );
    assert!(filter.stats().longest_path <= 16);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let values: Vec<u64> = (0..5000).map(|value| value * 7).collect();
    for width in [Width::W32, Width::W64] {
        let conditions = equal_to(&values, width);
        let rules: Vec<(&[Condition], Action)> = conditions
            .iter()
            .map(|conditions| (&conditions[..], Action::Allow))
            .collect();
        let refused = Filter::compile(&policy(Arch::X86_64, &rules), &Options::default());
        let Err(CompileError::TooLong {
            instructions,
            costliest,
        }) = &refused
        else {
            panic!("{refused:?}");
        };
        assert!(*instructions > 4096);
        assert_eq!(costliest.len(), 1);
        let text = refused.unwrap_err().to_string();
        assert!(
            text.contains("most of them for close_range") || text.contains("poll on x86_64"),
            "{text}"
        );
    }
}

#[test]
fn as_many_values_as_fit_are_compiled() {
    let values: Vec<u64> = (0..1200).map(|value| value * 7).collect();
    let conditions = equal_to(&values, Width::W64);
    let rules: Vec<(&[Condition], Action)> = conditions
        .iter()
        .map(|conditions| (&conditions[..], Action::Allow))
        .collect();
    let stats = compile(&policy(Arch::X86_64, &rules)).stats();
    assert!(stats.instructions < 1700, "{stats:?}");
    assert!(stats.longest_path <= 24, "{stats:?}");
}

#[test]
fn frequent_calls_get_short_ways() {
    let eq = |value| [Condition::new(0, Width::W32, Op::Eq, value).unwrap()];
    let conditions: Vec<_> = (0..40).map(eq).collect();
    let mut policy = policy(Arch::X86_64, &[]);
    for (nr, conditions) in (0..).zip(&conditions) {
        let rule = Rule {
            conditions: conditions.to_vec(),
            action: Action::Allow,
            origin: 0,
        };
        policy.abis[0].syscalls.push(nr * 2, rule);
    }
    let sysno = |nr| Sysno {
        arch: Arch::X86_64,
        nr,
    };
    let mut weights: BTreeMap<Sysno, u64> = (0..80).map(|nr| (sysno(nr), 1)).collect();
    weights.insert(sysno(40), 10_000);
    let mut options = Options {
        launch: Launch::None,
        weights: Some(weights),
    };
    let weighted = Filter::compile(&policy, &options).unwrap().stats();
    let path = weighted.expected_path.unwrap();
    // Architecture 2, number 2, argument 2, answer 1.
    assert!((7.0..7.2).contains(&path), "{path}");
    options.weights = Some([(sysno(40), u64::MAX), (sysno(42), u64::MAX)].into());
    assert!(Filter::compile(&policy, &options).is_ok());
    options.weights = None;
    assert_eq!(
        Filter::compile(&policy, &options)
            .unwrap()
            .stats()
            .expected_path,
        None
    );
}

#[test]
fn many_learned_values_fit_or_are_refused() {
    // A profile that holds forty values of an argument for every call; shared values cost only once.
    let learned = |calls: u32, own: u64| {
        let mut policy = policy(Arch::X86_64, &[]);
        for nr in 0..calls {
            let values: Vec<u64> = (0..40).map(|at| at * 1000 + u64::from(nr) * own).collect();
            let rule = |conditions: &[Condition; 1]| Rule {
                conditions: conditions.to_vec(),
                action: Action::Allow,
                origin: 0,
            };
            let rules: Vec<_> = equal_to(&values, Width::W64).iter().map(rule).collect();
            policy.abis[0].syscalls.extend([(nr, rules)]);
        }
        Filter::compile(&policy, &Options::default())
    };
    assert!(learned(60, 1).is_ok());
    assert!(learned(400, 0).unwrap().program().len() < 100);
    let refused = learned(400, 1);
    assert!(
        matches!(&refused, Err(CompileError::TooLong { costliest, .. }) if costliest.len() == 5),
        "{refused:?}"
    );
}

#[test]
fn absurd_policies_are_refused_in_time() {
    // One syscall with masked comparisons that have nothing in common, and one with a very long chain.
    let masks = (1..6000_u64).map(|mask| Op::MaskedEq(mask * 0x10_0001));
    let chain = (0..20_000_u64).map(|_| Op::Ne);
    for ops in [masks.collect::<Vec<_>>(), chain.collect()] {
        let conditions: Vec<[Condition; 2]> = (0..)
            .zip(ops)
            .map(|(at, op)| {
                let condition = |arg, value| Condition::new(arg, Width::W64, op, value).unwrap();
                [condition(0, at * 3), condition(1, at * 5)]
            })
            .collect();
        let rules: Vec<(&[Condition], Action)> = conditions
            .iter()
            .map(|conditions| (&conditions[..], Action::Errno(2)))
            .collect();
        let result = Filter::compile(&policy(Arch::X86_64, &rules), &Options::default());
        assert!(matches!(result, Err(CompileError::TooLong { .. })));
    }
}
