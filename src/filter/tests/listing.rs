//! Listings of small policies, to be read.

use super::*;
use crate::action::Action;
use crate::bpf::disasm::Listing;
use crate::policy::{Abi, Condition, Newer, Op, Rule, Width};

fn rule(conditions: &[Condition], action: Action) -> Rule {
    Rule {
        conditions: conditions.to_vec(),
        action,
        origin: 0,
    }
}

/// Compares listings, however their lines are indented.
fn check(policy: &Policy, launch: Launch, want: &str) {
    let options = Options {
        launch,
        weights: None,
    };
    let filter = Filter::compile(policy, &options).unwrap();
    let got = Listing(filter.program()).to_string();
    let same = got
        .trim()
        .lines()
        .map(str::trim)
        .eq(want.trim().lines().map(str::trim));
    assert!(same, "got\n{got}\nnot\n{want}");
}

fn policy(arch: Arch, syscalls: &[(u32, Rule)]) -> Policy {
    let abi = Abi {
        arch,
        default: Action::Errno(1),
        newer: None,
        syscalls: syscalls
            .iter()
            .map(|(nr, rule)| (*nr, vec![rule.clone()]))
            .collect(),
    };
    Policy {
        abis: vec![abi],
        bad_arch: Action::KillProcess,
    }
}

#[test]
fn one_call() {
    let policy = policy(Arch::X86_64, &[(39, rule(&[], Action::Allow))]);
    check(
        &policy,
        Launch::None,
        "
            0: ld   [4] ; arch
            1: jeq  #0xc000003e, 2, 5
            2: ld   [0] ; nr
            3: jge  #0x40000000, 4, 6
            4: jeq  #0xffffffff, 8, 5
            5: ret  #0x80000000 ; KILL_PROCESS
            6: jeq  #0x27, 7, 8
            7: ret  #0x7fff0000 ; ALLOW
            8: ret  #0x50001 ; ERRNO(1)
        ",
    );
}

#[test]
fn flags_and_an_interval() {
    let flags = Condition::new(0, Width::W64, Op::MaskedEq(0x7e02_0000), 0).unwrap();
    let small = Condition::new(1, Width::W64, Op::Lt, 16).unwrap();
    let policy = policy(
        Arch::S390x,
        &[
            (3, rule(&[], Action::Allow)),
            (4, rule(&[], Action::Allow)),
            (5, rule(&[small], Action::Allow)),
            (120, rule(&[flags], Action::Allow)),
        ],
    );
    check(
        &policy,
        Launch::None,
        "
            0: ld   [4] ; arch
            1: jeq  #0x80000016, 3, 2
            2: ret  #0x80000000 ; KILL_PROCESS
            3: ld   [0] ; nr
            4: jeq  #0x5, 10, 5
            5: jeq  #0x78, 6, 8
            6: ld   [20] ; args[0] + 4
            7: jset #0x7e020000, 14, 15
            8: jge  #0x6, 14, 9
            9: jge  #0x3, 15, 14
            10: ld   [24] ; args[1]
            11: jge  #0x1, 14, 12
            12: ld   [28] ; args[1] + 4
            13: jge  #0x10, 14, 15
            14: ret  #0x50001 ; ERRNO(1)
            15: ret  #0x7fff0000 ; ALLOW
        ",
    );
}

#[test]
fn x32_is_no_x86_64_and_newer_is_no_default() {
    let mut policy = policy(Arch::X86_64, &[(0, rule(&[], Action::Allow))]);
    policy.abis[0].newer = Some(Newer {
        from: 470,
        action: Action::Errno(38),
    });
    check(
        &policy,
        Launch::None,
        "
            0: ld   [4] ; arch
            1: jeq  #0xc000003e, 2, 10
            2: ld   [0] ; nr
            3: jge  #0x1d6, 6, 4
            4: jeq  #0x0, 5, 9
            5: ret  #0x7fff0000 ; ALLOW
            6: jge  #0x40000000, 8, 7
            7: ret  #0x50026 ; ERRNO(38)
            8: jeq  #0xffffffff, 9, 10
            9: ret  #0x50001 ; ERRNO(1)
            10: ret  #0x80000000 ; KILL_PROCESS
        ",
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_launch_gate() {
    let policy = policy(Arch::X86_64, &[(231, rule(&[], Action::Allow))]);
    check(
        &policy,
        Launch::Exec,
        "
            0: ld   [4] ; arch
            1: jeq  #0xc000003e, 2, 5
            2: ld   [0] ; nr
            3: jge  #0x40000000, 4, 6
            4: jeq  #0xffffffff, 32, 5
            5: ret  #0x80000000 ; KILL_PROCESS
            6: jeq  #0xe7, 31, 7
            7: jeq  #0x3b, 8, 32
            8: ld   [40] ; args[3]
            9: xor  #0x67617465
            10: tax
            11: ld   [44] ; args[3] + 4
            12: xor  #0x67617466
            13: or   x
            14: tax
            15: ld   [48] ; args[4]
            16: xor  #0x67617467
            17: or   x
            18: tax
            19: ld   [52] ; args[4] + 4
            20: xor  #0x67617468
            21: or   x
            22: tax
            23: ld   [56] ; args[5]
            24: xor  #0x67617469
            25: or   x
            26: tax
            27: ld   [60] ; args[5] + 4
            28: xor  #0x6761746a
            29: or   x
            30: jeq  #0x0, 31, 32
            31: ret  #0x7fff0000 ; ALLOW
            32: ret  #0x50001 ; ERRNO(1)
        ",
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn one_launch_gate_for_both_calls() {
    let policy = policy(Arch::X86_64, &[(59, rule(&[], Action::Log))]);
    check(
        &policy,
        Launch::Exec,
        "
            0: ld   [4] ; arch
            1: jeq  #0xc000003e, 2, 5
            2: ld   [0] ; nr
            3: jge  #0x40000000, 4, 6
            4: jeq  #0xffffffff, 35, 5
            5: ret  #0x80000000 ; KILL_PROCESS
            6: jeq  #0xe7, 8, 7
            7: jeq  #0x3b, 8, 35
            8: ld   [40] ; args[3]
            9: xor  #0x67617465
            10: tax
            11: ld   [44] ; args[3] + 4
            12: xor  #0x67617466
            13: or   x
            14: tax
            15: ld   [48] ; args[4]
            16: xor  #0x67617467
            17: or   x
            18: tax
            19: ld   [52] ; args[4] + 4
            20: xor  #0x67617468
            21: or   x
            22: tax
            23: ld   [56] ; args[5]
            24: xor  #0x67617469
            25: or   x
            26: tax
            27: ld   [60] ; args[5] + 4
            28: xor  #0x6761746a
            29: or   x
            30: jeq  #0x0, 31, 32
            31: ret  #0x7fff0000 ; ALLOW
            32: ld   [0] ; nr
            33: jeq  #0x3b, 34, 35
            34: ret  #0x7ffc0000 ; LOG
            35: ret  #0x50001 ; ERRNO(1)
        ",
    );
}
