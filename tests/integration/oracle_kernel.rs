//! The kernel does what the policy says: real filters on real calls, 64-bit and i386.
//!
//! `tests/fixtures/verdict.c` loads a program and makes calls under it. Those that a policy may let run take no
//! arguments, so any will do; what is denied fails with an errno that the call never gives by itself.

use std::fmt::Write as _;

use seccomp_run::action::Action;
use seccomp_run::arch::Arch;
use seccomp_run::bpf::Insn;
use seccomp_run::filter::{Filter, Options, points};
use seccomp_run::policy::{Abi, Call, Condition, Op, Policy, Rule, Width};

use crate::harness::{Build, Env, skip, try_fixture};
use crate::libseccomp::Random;

const X32_BIT: u32 = 0x4000_0000;

/// `getpid`, `getppid`, `gettid` and `getpgrp`: no arguments, and a result above zero.
const HARMLESS: [(Arch, [u32; 4]); 2] = [
    (Arch::X86_64, [39, 110, 186, 111]),
    (Arch::X86, [20, 64, 224, 65]),
];

/// What no call here gives by itself: `ECONNRESET`, `ECONNABORTED`.
const DEFAULT: Action = Action::Errno(104);
const BAD_ARCH: Action = Action::Errno(103);

const ACTIONS: [Action; 9] = [
    Action::Errno(111),
    Action::Allow,
    Action::Trap,
    Action::Errno(4095),
    Action::Trace(5),
    Action::KillThread,
    Action::Errno(0),
    Action::Log,
    Action::KillProcess,
];

/// Makes the calls under the program, and compares what happens with the policy. Answers with their number.
fn compare(env: &Env, fixture: &str, policy: &Policy, program: &[Insn], calls: &[Call]) -> usize {
    let mut bytes = Vec::new();
    for insn in program {
        bytes.extend(insn.code.to_ne_bytes());
        bytes.extend([insn.jt, insn.jf]);
        bytes.extend(insn.k.to_ne_bytes());
    }
    let program = env.write("program", bytes);
    let mut text = String::new();
    for Call { nr, args, .. } in calls {
        write!(text, "{nr:x}").unwrap();
        for arg in args {
            write!(text, " {arg:x}").unwrap();
        }
        text.push('\n');
    }
    let list = env.write("calls", text);
    let output = env.run(&[fixture, &program, &list]).limit(120).output();
    output.succeeds();
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines.len(), calls.len(), "{output}");
    for (call, &line) in calls.iter().zip(&lines) {
        let (action, reason) = policy.decide(call);
        let want = match action {
            Action::Allow | Action::Log => {
                let result = line.strip_prefix("returned ");
                let runs = result.is_some_and(|result| result.parse::<i64>().unwrap() > 0);
                assert!(runs, "{call:x?}: {line}, but it may run ({reason:?})");
                continue;
            }
            Action::Errno(errno) => format!("returned {}", -i32::from(errno)),
            Action::Trace(_) | Action::Notify => "returned -38".to_owned(),
            Action::Trap => format!("trapped {} {:#x} 0", call.nr.cast_signed(), call.audit),
            Action::KillThread => "thread killed".to_owned(),
            Action::KillProcess => "process killed 31".to_owned(),
        };
        assert_eq!(line, want, "{call:x?}: {action} ({reason:?})\n{policy:#x?}");
    }
    calls.len()
}

/// A policy with these rules, one list per harmless call, for both architectures.
fn policy(rules: &[Vec<Rule>]) -> Policy {
    let abis = HARMLESS.map(|(arch, numbers)| {
        let for_arch = |rule: &Rule| Rule {
            conditions: rule
                .conditions
                .iter()
                .filter(|condition| arch.is_64bit() || condition.width() == Width::W32)
                .copied()
                .collect(),
            ..rule.clone()
        };
        let lists = rules
            .iter()
            .map(|list| list.iter().map(for_arch).collect::<Vec<_>>());
        Abi {
            arch,
            default: DEFAULT,
            newer: None,
            syscalls: numbers.into_iter().zip(lists).collect(),
        }
    });
    Policy {
        abis: abis.into(),
        bad_arch: BAD_ARCH,
    }
}

/// The border calls of a policy that a program of this architecture can make.
fn borders(policy: &Policy, arch: Arch) -> Vec<Call> {
    let mut calls = points(policy, 4000);
    calls.retain(|call| call.audit == arch.audit());
    for call in &mut calls {
        if !arch.is_64bit() {
            call.args = call.args.map(|arg| arg & 0xffff_ffff);
        }
    }
    // Each that kills costs a process.
    let mut kills = 0;
    calls.retain(|call| {
        let action = policy.evaluate(call);
        let kills_it = matches!(action, Action::KillProcess | Action::KillThread);
        kills += usize::from(kills_it);
        !kills_it || kills <= 24
    });
    calls
}

/// The fixture for each architecture; none where it cannot be built.
fn fixtures() -> Option<[(Arch, String); 2]> {
    let amd64 = try_fixture("verdict", Build::Static)?;
    let i386 = try_fixture("verdict", Build::I386)?;
    Some([(Arch::X86_64, amd64), (Arch::X86, i386)])
}

macro_rules! fixtures {
    () => {{
        if Arch::NATIVE != Arch::X86_64 {
            skip!("not an x86-64 machine");
        }
        match fixtures() {
            Some(fixtures) => fixtures,
            None => skip!("gcc -m32 is not installed"),
        }
    }};
}

fn check(policies: &[Policy]) {
    let fixtures = match fixtures() {
        Some(fixtures) if Arch::NATIVE == Arch::X86_64 => fixtures,
        _ => skip!("not an x86-64 machine with gcc -m32"),
    };
    let env = Env::new();
    let mut calls = 0;
    for policy in policies {
        let filter = Filter::compile(policy, &Options::default()).unwrap();
        for (arch, fixture) in &fixtures {
            let borders = borders(policy, *arch);
            calls += compare(&env, fixture, policy, filter.program(), &borders);
        }
    }
    eprintln!("{} policies, {calls} calls made", policies.len());
}

#[test]
fn every_operator_at_its_borders_in_both_widths() {
    let mut rules = Vec::new();
    let values = [
        0,
        1,
        5,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        0x1_0000_0000,
        0x5_0000_0005,
        0x8000_0000_0000_0000,
        u64::MAX,
    ];
    let masks = [
        0,
        1,
        0x7e02_0000,
        0xffff_ffff,
        0xff_0000_0000,
        0x8000_0000_8000_0000,
        u64::MAX,
    ];
    let plain = [Op::Ne, Op::Lt, Op::Le, Op::Eq, Op::Ge, Op::Gt];
    for op in plain.into_iter().chain(masks.map(Op::MaskedEq)) {
        for value in values {
            for width in [Width::W32, Width::W64] {
                let at = rules.len();
                let arg = u8::try_from(at % 6).unwrap();
                // The order of conditions has its own periods.
                let action = ACTIONS[(at + at / 9 + at / 20) % ACTIONS.len()];
                rules.push(vec![Rule {
                    conditions: vec![Condition::new(arg, width, op, value).unwrap()],
                    action,
                    origin: at,
                }]);
            }
        }
    }
    let policies: Vec<Policy> = rules.chunks(4).map(policy).collect();
    check(&policies);
}

#[test]
fn several_rules_and_conditions() {
    let mut random = Random(5);
    let condition = |random: &mut Random| {
        let mask = random.constant();
        let op = *random.pick(&[
            Op::Ne,
            Op::Lt,
            Op::Le,
            Op::Eq,
            Op::Eq,
            Op::Ge,
            Op::Gt,
            Op::MaskedEq(mask),
        ]);
        let arg = u8::try_from(random.below(3)).unwrap();
        let width = *random.pick(&[Width::W32, Width::W64]);
        Condition::new(arg, width, op, random.constant()).unwrap()
    };
    let policies: Vec<Policy> = (0..60)
        .map(|_| {
            let rules: Vec<Vec<Rule>> = (0..4)
                .map(|_| {
                    let count = 1 + random.below(5);
                    (0..count)
                        .map(|origin| {
                            let conditions = 1 + random.below(3);
                            let conditions = (0..conditions).map(|_| condition(&mut random));
                            let conditions = conditions.collect();
                            let action = *random.pick(&ACTIONS);
                            Rule {
                                conditions,
                                action,
                                origin,
                            }
                        })
                        .collect()
                })
                .collect();
            policy(&rules)
        })
        .collect();
    check(&policies);
}

/// Each number has an errno of its own, so that a call of another number is told. `uretprobe` and `uprobe`
/// are left out: recent kernels let them pass whatever a filter says.
#[test]
fn every_number_finds_its_own_rule() {
    let fixtures = fixtures!();
    let env = Env::new();
    let abi = |arch, numbers: std::ops::Range<u32>, first: u32| Abi {
        arch,
        default: DEFAULT,
        newer: None,
        syscalls: numbers
            .map(|nr| {
                let errno = u16::try_from(first + (nr & !X32_BIT)).unwrap();
                let rule = Rule {
                    conditions: Vec::new(),
                    action: Action::Errno(errno),
                    origin: 0,
                };
                (nr, vec![rule])
            })
            .collect(),
    };
    let policy = Policy {
        abis: vec![
            abi(Arch::X86_64, 0..470, 200),
            abi(Arch::X86, 0..470, 1200),
            abi(Arch::X32, X32_BIT..X32_BIT + 548, 2200),
        ],
        bad_arch: BAD_ARCH,
    };
    let filter = Filter::compile(&policy, &Options::default()).unwrap();
    let signs = [0x3fff_ffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, u32::MAX];
    let numbers = (0..600).chain(X32_BIT..X32_BIT + 600).chain(signs);
    for (arch, fixture) in fixtures {
        let audit = arch.audit();
        let args = [0; 6];
        let calls: Vec<Call> = numbers
            .clone()
            .filter(|nr| !(arch == Arch::X86_64 && (335..=336).contains(nr)))
            .map(|nr| Call { audit, nr, args })
            .collect();
        compare(&env, &fixture, &policy, filter.program(), &calls);
    }
}

/// What is not in the policy: i386 calls, and x32's, under a filter for x86-64 alone.
#[test]
fn other_architectures_are_killed() {
    let fixtures = fixtures!();
    let env = Env::new();
    let mut policy = policy(&[]);
    policy.abis.truncate(1);
    policy.bad_arch = Action::KillProcess;
    let filter = Filter::compile(&policy, &Options::default()).unwrap();
    for (arch, fixture) in fixtures {
        let audit = arch.audit();
        let numbers = [0, X32_BIT, X32_BIT + 512, u32::MAX, 20];
        let calls = numbers.map(|nr| Call {
            audit,
            nr,
            args: [0; 6],
        });
        compare(&env, &fixture, &policy, filter.program(), &calls);
    }
}
