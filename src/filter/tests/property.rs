//! Generated policies: the program is the policy, at its borders and anywhere else.

use std::ops::ControlFlow;

use proptest::prelude::*;

use super::check::{Gate, words};
use super::*;
use crate::action::Action;
use crate::arch::X32_BIT;
use crate::bpf::regions::regions;
use crate::bpf::{cache, code};
use crate::policy::{Abi, Call, Condition, Newer, Op, Rule, Width};

/// How many border points are tried per policy; more for a long run.
fn point_count() -> usize {
    let count = std::env::var("SECCOMP_RUN_POINTS");
    count
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(400)
}

/// Cases per property: as they are by default, some seconds in a debug build.
fn config() -> ProptestConfig {
    let cases = u32::try_from(point_count() / 4).unwrap().clamp(16, 4096);
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Allow),
        2 => Just(Action::Errno(1)),
        1 => (0_u16..=4095).prop_map(Action::Errno),
        1 => Just(Action::KillProcess),
        1 => Just(Action::KillThread),
        1 => Just(Action::Log),
        1 => Just(Action::Trap),
        1 => Just(Action::Notify),
        1 => any::<u16>().prop_map(Action::Trace),
    ]
}

/// Constants that meet each other, and borders of words.
fn value() -> impl Strategy<Value = u64> {
    let near = prop_oneof![
        Just(0_u64),
        Just(1 << 16),
        Just(1 << 31),
        Just(1 << 32),
        Just(2 << 32),
        Just(1 << 63),
        Just(0x7e02_0000),
    ];
    prop_oneof![
        4 => 0_u64..10,
        3 => (near, 0_u64..3).prop_map(|(base, by)| base.wrapping_add(by).wrapping_sub(1)),
        1 => any::<u64>(),
        1 => any::<u32>().prop_map(u64::from),
        1 => (0_u32..64).prop_map(|bit| 1 << bit),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let op = prop_oneof![
        1 => Just(Op::Ne),
        1 => Just(Op::Lt),
        1 => Just(Op::Le),
        3 => Just(Op::Eq),
        1 => Just(Op::Ge),
        1 => Just(Op::Gt),
        2 => value().prop_map(Op::MaskedEq),
        1 => Just(Op::MaskedEq(u64::MAX)),
        1 => Just(Op::MaskedEq(0xffff_ffff)),
    ];
    let width = prop_oneof![Just(Width::W32), Just(Width::W64)];
    // Mostly two arguments, so that rules meet.
    let arg = prop_oneof![6 => 0_u8..2, 1 => 0_u8..6];
    (arg, width, op, value())
        .prop_map(|(arg, width, op, value)| Condition::new(arg, width, op, value).unwrap())
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let rule = |most| {
        (prop::collection::vec(condition(), 0..=most), action()).prop_map(|(conditions, action)| {
            Rule {
                conditions,
                action,
                origin: 0,
            }
        })
    };
    prop_oneof![
        6 => rule(0).prop_map(|rule| vec![rule]),
        2 => prop::collection::vec(rule(1), 1..6),
        2 => prop::collection::vec(rule(4), 1..6),
        1 => prop::collection::vec(rule(2), 6..14),
    ]
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        12 => 0_u32..48,
        1 => Just(59_u32),
        1 => Just(231_u32),
        2 => 0_u32..500,
        1 => 0x3fff_fffe..0x4000_0002_u32,
        1 => any::<u32>(),
        1 => Just(u32::MAX),
        1 => Just(u32::MAX - 1),
        1 => 0x7fff_fffe..0x8000_0002_u32,
    ]
}

fn abi(arch: Arch) -> impl Strategy<Value = Abi> {
    let newer = prop::option::of((number(), action()));
    let syscalls = prop::collection::btree_map(number(), rules(), 0..40);
    (action(), newer, syscalls).prop_map(move |(default, newer, syscalls)| {
        let own = |nr: u32| {
            if arch == Arch::X32 && nr != u32::MAX {
                nr | X32_BIT
            } else {
                nr
            }
        };
        Abi {
            arch,
            default,
            newer: newer.map(|(from, action)| Newer {
                from: own(from),
                action,
            }),
            syscalls: syscalls
                .into_iter()
                .map(|(nr, rules)| (own(nr), rules))
                .collect(),
        }
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    let archs = prop_oneof![
        3 => Just(vec![Arch::X86_64]),
        2 => Just(vec![Arch::X86_64, Arch::X86, Arch::X32]),
        1 => Just(vec![Arch::X86_64, Arch::X32]),
        1 => Just(vec![Arch::X86]),
        1 => Just(vec![Arch::S390x, Arch::S390]),
        1 => Just(vec![Arch::Mips64, Arch::Mips, Arch::Mips64n32]),
        1 => Just(vec![Arch::Ppc64, Arch::Ppc64le]),
        1 => Just(vec![Arch::Aarch64, Arch::Arm]),
        1 => Just(vec![]),
    ];
    let abis = archs.prop_flat_map(|archs| archs.into_iter().map(abi).collect::<Vec<_>>());
    (abis, action()).prop_map(|(abis, bad_arch)| Policy { abis, bad_arch })
}

fn launch() -> impl Strategy<Value = Launch> {
    use Launch::{Exec, Handover, Late, None, Wait};
    prop::sample::select(vec![None, Exec, Wait, Handover, Late])
}

fn options() -> impl Strategy<Value = Options> {
    let arch = prop::sample::select(Arch::ALL.to_vec());
    let sysno = (arch, number()).prop_map(|(arch, nr)| Sysno { arch, nr });
    let weights = prop::collection::btree_map(sysno, any::<u64>(), 0..40);
    (launch(), prop::option::of(weights)).prop_map(|(launch, weights)| Options { launch, weights })
}

/// What a mistake of the compiler could do to an instruction.
fn change() -> impl Strategy<Value = fn(&mut Insn)> {
    let changes: [fn(&mut Insn); 8] = [
        |insn| insn.k = insn.k.wrapping_add(1),
        |insn| insn.k = insn.k.wrapping_sub(1),
        |insn| insn.k ^= 0x8000_0000,
        |insn| (insn.jt, insn.jf) = (insn.jf, insn.jt),
        |insn| insn.jt = insn.jt.wrapping_add(1),
        |insn| insn.jf = insn.jf.wrapping_add(1),
        |insn| insn.code ^= code::JEQ_K ^ code::JGE_K,
        |insn| insn.code ^= code::JGT_K ^ code::JGE_K,
    ];
    prop::sample::select(changes.to_vec())
}

/// Any call, mostly one that means something to one of the policies here.
fn call() -> impl Strategy<Value = Call> {
    let arch = prop::sample::select(Arch::ALL.to_vec());
    let audit = prop_oneof![8 => arch.prop_map(Arch::audit), 1 => any::<u32>()];
    let args = prop::array::uniform6(value());
    let nr = (number(), any::<bool>()).prop_map(|(nr, x32)| if x32 { nr | X32_BIT } else { nr });
    (audit, nr, args).prop_map(|(audit, nr, args)| Call { audit, nr, args })
}

/// The first of these calls on which program and policy do not agree.
fn compare(
    policy: &Policy,
    vm: &Vm,
    gate: Option<Gate<'_>>,
    calls: impl IntoIterator<Item = Call>,
) -> Result<(), Mismatch> {
    for call in calls {
        let opened = gate.is_some_and(|gate| gate.opens(&call));
        let want = if opened {
            Action::Allow
        } else {
            policy.evaluate(&call)
        };
        let (want, got) = (want.to_ret(), vm.run(&words(&call)).answer);
        if want != got {
            return Err(Mismatch { call, want, got });
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_program_is_the_policy(
        policy in policy(),
        options in options(),
        calls in prop::collection::vec(call(), 64),
    ) {
        let filter = Filter::compile(&policy, &options).unwrap();
        let vm = Vm::new(filter.program()).unwrap();
        let numbers = gate::numbers(&policy, options.launch);
        let gate = filter.launch_slots().map(|slots| Gate {
            numbers: &numbers,
            secret: gate::secret(filter.program(), &slots),
        });
        prop_assert_eq!(gate.is_some(), !numbers.is_empty());
        let mut points = points(&policy, point_count());
        points.extend(&calls);
        // Random arguments for the numbers that have rules.
        for abi in &policy.abis {
            let numbers = abi.syscalls.numbers().cycle().zip(&calls);
            points.extend(numbers.map(|(nr, call)| Call { audit: abi.arch.audit(), nr, ..*call }));
        }
        let compared = compare(&policy, &vm, gate, points);
        prop_assert!(
            compared.is_ok(),
            "{}\n{}",
            compared.unwrap_err(),
            crate::bpf::disasm::Listing(filter.program())
        );
    }

    #[test]
    fn every_call_is_in_one_region_and_goes_its_way(
        policy in policy(),
        options in options(),
        calls in prop::collection::vec(call(), 64),
    ) {
        let filter = Filter::compile(&policy, &options).unwrap();
        let vm = Vm::new(filter.program()).unwrap();
        let mut points = points(&policy, 64);
        points.extend(calls);
        let mut met = vec![0; points.len()];
        let walked = regions(&vm, |region| {
            for (call, met) in points.iter().zip(&mut met) {
                if region.archs.contains(call.audit) && region.numbers.contains(call.nr) {
                    *met += 1;
                    let answer = vm.run(&words(call)).answer;
                    if region.answer.is_some_and(|told| told != answer)
                        || vm.run_from(region.pc, &words(call)).answer != answer
                    {
                        return ControlFlow::Break(*call);
                    }
                }
            }
            ControlFlow::Continue(())
        });
        prop_assert_eq!(walked, Ok(ControlFlow::Continue(())));
        prop_assert!(met.iter().all(|&regions| regions == 1), "{:?}", met);
    }

    #[test]
    fn what_passes_the_check_is_the_policy(
        policy in policy(),
        options in options(),
        at in any::<prop::sample::Index>(),
        change in change(),
        calls in prop::collection::vec(call(), 64),
    ) {
        let filter = Filter::compile(&policy, &options).unwrap();
        let mut program = filter.program().to_vec();
        change(&mut program[at.index(filter.program().len())]);
        let Ok(vm) = Vm::new(&program) else { return Ok(()) };
        let numbers = gate::numbers(&policy, options.launch);
        let gate = filter.launch_slots().map(|slots| Gate {
            numbers: &numbers,
            secret: gate::secret(&program, &slots),
        });
        if check::check(&policy, &vm, gate).is_ok() {
            // All numbers are checked, arguments at their points only.
            let plain = points(&policy, 0).into_iter().chain(calls);
            let asks = |call: &Call| {
                let about = policy.about(call.audit, call.nr);
                numbers.contains(&call.nr) || !about.looked_at(&call.args).is_empty()
            };
            let compared = compare(&policy, &vm, gate, plain.filter(|call| !asks(call)));
            prop_assert!(compared.is_ok(), "{}", compared.unwrap_err());
        }
    }

    #[test]
    fn what_is_always_allowed_never_runs(policy in policy(), options in options()) {
        let filter = Filter::compile(&policy, &options).unwrap();
        for abi in policy.abis.iter().filter(|abi| abi.arch != Arch::X32) {
            for nr in 0..500 {
                let sysno = Sysno { arch: abi.arch, nr };
                let emulation = cache::emulate(filter.program(), abi.arch.audit(), nr);
                // The other way it holds only nearly: conditions can be true together whatever the
                // arguments, which `always_allows` does not see.
                if policy.always_allows(sysno) {
                    prop_assert!(emulation.cached, "{} {}", sysno, abi.arch);
                }
            }
        }
    }

    #[test]
    fn only_the_armed_secret_opens_the_gate(
        policy in policy(),
        launch in launch(),
        secret in any::<[u64; 3]>(),
        at in 0_usize..192,
    ) {
        let options = Options { launch, weights: None };
        let mut filter = Filter::compile(&policy, &options).unwrap();
        let Some(slots) = filter.launch_slots() else { return Ok(()) };
        prop_assert!(arm(filter.program_mut(), &slots, secret));
        let vm = Vm::new(filter.program()).unwrap();
        let mut wrong = secret;
        wrong[at / 64] ^= 1 << (at % 64);
        for &nr in &gate::numbers(&policy, launch) {
            for (args, opens) in [(secret, true), (wrong, false)] {
                let args = [1, 2, 3, args[0], args[1], args[2]];
                let call = Call { audit: Arch::NATIVE.audit(), nr, args };
                let verdict = if opens { Action::Allow } else { policy.evaluate(&call) };
                prop_assert_eq!(vm.run(&words(&call)).answer, verdict.to_ret());
            }
        }
    }
}
