//! Ten million calls: the compiled program, interpreted, says what the policy says.
//!
//! The property tests of `filter` shrink what they find; this one is for the amount, on every architecture.
//! `SECCOMP_RUN_TOTAL_POINTS` asks for another amount, `SECCOMP_RUN_SEED` for other policies.

use std::collections::BTreeMap;

use seccomp_run::action::Action;
use seccomp_run::arch::{Arch, Endian};
use seccomp_run::bpf::SeccompData;
use seccomp_run::bpf::disasm::Listing;
use seccomp_run::bpf::vm::Vm;
use seccomp_run::filter::{CompileError, Filter, Launch, Options, points};
use seccomp_run::policy::{Abi, Call, Condition, Newer, Op, Policy, Rule, Width};
use seccomp_run::syscall::Sysno;

use crate::libseccomp::Random;

const X32_BIT: u32 = 0x4000_0000;

fn wanted() -> usize {
    let said = std::env::var("SECCOMP_RUN_TOTAL_POINTS").ok();
    let usual = if cfg!(debug_assertions) {
        200_000
    } else {
        12_000_000
    };
    said.map_or(usual, |said| said.parse().unwrap())
}

fn action(random: &mut Random) -> Action {
    let data = u16::try_from(random.below(4096)).unwrap();
    match random.below(12) {
        0..4 => Action::Allow,
        4 | 5 => Action::Errno(1),
        6 => Action::Errno(data),
        7 => Action::KillProcess,
        8 => Action::KillThread,
        9 => Action::Log,
        10 => Action::Trap,
        _ => Action::Trace(data),
    }
}

fn condition(random: &mut Random) -> Condition {
    let mask = random.constant();
    let ops = [
        Op::Ne,
        Op::Lt,
        Op::Le,
        Op::Eq,
        Op::Eq,
        Op::Ge,
        Op::Gt,
        Op::MaskedEq(mask),
        Op::MaskedEq(0xffff_ffff),
    ];
    // Mostly two arguments, so that rules meet.
    let args = if random.one_in(6) { 6 } else { 2 };
    let arg = random.below(args);
    let width = *random.pick(&[Width::W32, Width::W64]);
    let op = *random.pick(&ops);
    Condition::new(u8::try_from(arg).unwrap(), width, op, random.constant()).unwrap()
}

fn rules(random: &mut Random) -> Vec<Rule> {
    let (rules, conditions) = match random.below(6) {
        0..3 => (1, 0),
        3 => (1 + random.below(5), 1),
        4 => (1 + random.below(5), 3),
        _ => (1 + random.below(12), 2),
    };
    (0..rules)
        .map(|origin| {
            let conditions = random.below(conditions + 1);
            Rule {
                conditions: (0..conditions).map(|_| condition(random)).collect(),
                action: action(random),
                origin,
            }
        })
        .collect()
}

fn number(random: &mut Random) -> u32 {
    let below = |random: &mut Random, end| u32::try_from(random.below(end)).unwrap();
    match random.below(16) {
        0..11 => below(random, 48),
        11..14 => below(random, 500),
        14 => 4000 + below(random, 1500),
        _ => *random.pick(&[59, 231, 0x3fff_ffff, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1]),
    }
}

fn abi(random: &mut Random, arch: Arch) -> Abi {
    let bit = if arch == Arch::X32 { X32_BIT } else { 0 };
    let newer = random.one_in(2).then(|| Newer {
        from: number(random) | bit,
        action: action(random),
    });
    let mut syscalls = BTreeMap::new();
    for _ in 0..random.below(50) {
        syscalls.insert(number(random) | bit, rules(random));
    }
    if random.one_in(4) && arch != Arch::X32 {
        syscalls.insert(u32::MAX, rules(random));
    }
    Abi {
        arch,
        default: action(random),
        newer,
        syscalls: syscalls.into_iter().collect(),
    }
}

/// A policy for up to four architectures of one byte order; x32 only beside x86-64.
fn policy(random: &mut Random) -> Policy {
    let mut archs = vec![*random.pick(&Arch::ALL)];
    for _ in 0..random.below(4) {
        let arch = *random.pick(&Arch::ALL);
        if arch.endian() == archs[0].endian() && !archs.contains(&arch) {
            archs.push(arch);
        }
    }
    if archs.contains(&Arch::X32) && !archs.contains(&Arch::X86_64) {
        archs.push(Arch::X86_64);
    }
    Policy {
        abis: archs.into_iter().map(|arch| abi(random, arch)).collect(),
        bad_arch: action(random),
    }
}

/// A call that means something to the policy, if it can be had.
fn call(random: &mut Random, policy: &Policy) -> Call {
    let abi = random.pick(&policy.abis);
    let numbers: Vec<u32> = abi.syscalls.numbers().collect();
    let nr = if random.one_in(4) || numbers.is_empty() {
        number(random)
    } else {
        *random.pick(&numbers)
    };
    Call {
        audit: abi.arch.audit(),
        nr,
        args: std::array::from_fn(|_| random.constant()),
    }
}

/// Frequencies of calls; some of them are in the policy.
fn options(random: &mut Random, policy: &Policy) -> Options {
    let weights = random.one_in(2).then(|| {
        (0..random.below(30))
            .filter_map(|_| {
                let Call { audit, nr, .. } = call(random, policy);
                Some((
                    Sysno::of_call(audit, nr)?,
                    random.next() >> random.below(64),
                ))
            })
            .collect()
    });
    Options {
        launch: Launch::None,
        weights,
    }
}

/// Tries policies until so many calls were compared; answers with how many policies and calls it were.
fn compare(seed: u64, wanted: usize) -> (usize, usize) {
    let mut random = Random(seed);
    let (mut policies, mut compared, mut too_long) = (0, 0, 0);
    while compared < wanted {
        let policy = policy(&mut random);
        let options = options(&mut random, &policy);
        let filter = match Filter::compile(&policy, &options) {
            Ok(filter) => filter,
            Err(CompileError::TooLong { .. }) => {
                too_long += 1;
                continue;
            }
            Err(error) => panic!(
                "{error}: {:?}\n{policy:#x?}",
                std::error::Error::source(&error)
            ),
        };
        policies += 1;
        let vm = Vm::new(filter.program()).unwrap();
        let mut calls = points(&policy, 3000);
        calls.extend((0..400).map(|_| call(&mut random, &policy)));
        for call in &calls {
            let endian = Arch::of_call(call.audit, call.nr).map(Arch::endian);
            let data = SeccompData {
                nr: call.nr,
                arch: call.audit,
                ip: random.0,
                args: call.args,
            };
            let got = vm.run(&data.words(endian == Some(Endian::Big))).answer;
            let (want, reason) = policy.decide(call);
            assert!(
                got == want.to_ret(),
                "{call:x?}: {got:#x}, not {want} ({reason:?})\n{policy:#x?}\n{}",
                Listing(filter.program())
            );
        }
        compared += calls.len();
    }
    assert!(
        too_long * 20 <= policies,
        "{too_long} of {policies} do not fit"
    );
    (policies, compared)
}

#[test]
fn ten_million_calls() {
    let seed = std::env::var("SECCOMP_RUN_SEED").ok();
    let seed: u64 = seed.and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let threads = 2;
    let each = wanted().div_ceil(threads);
    let counts: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                let seed = seed ^ (u64::try_from(thread).unwrap() << 32);
                scope.spawn(move || compare(seed, each))
            })
            .collect();
        let counts = threads.into_iter().map(|thread| thread.join().unwrap());
        counts.collect()
    });
    let policies: usize = counts.iter().map(|count| count.0).sum();
    let calls: usize = counts.iter().map(|count| count.1).sum();
    eprintln!("{policies} policies, {calls} calls compared");
    assert!(calls >= wanted());
}
