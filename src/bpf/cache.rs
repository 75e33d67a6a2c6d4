//! What the kernel's constant-action bitmap makes of a program.
//!
//! When a filter is installed, Linux 5.11 and later follow it once for every number of the native and the
//! compat table, knowing only the number and the architecture. Where that ends in a plain `ALLOW`, the call
//! never runs the filter again. This is `seccomp_is_const_allow` of `kernel/seccomp.c`, to the opcode: what
//! it does not follow is not cached, however constant it may be.

use super::{Insn, SeccompData, code};

/// What the kernel learns of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emulation {
    /// Is the call allowed without running the filter?
    pub cached: bool,
    /// How many instructions were followed to know.
    pub steps: usize,
}

/// Follows the program for one number, as the kernel does when it installs a filter.
pub fn emulate(program: &[Insn], arch: u32, nr: u32) -> Emulation {
    let (mut pc, mut steps, mut a) = (0_usize, 0, 0_u32);
    let ended = |cached, steps| Emulation { cached, steps };
    while let Some(&Insn { code, jt, jf, k }) = program.get(pc) {
        steps += 1;
        pc += 1;
        let branch = match code {
            code::LD_ABS if k == SeccompData::NR => {
                a = nr;
                continue;
            }
            code::LD_ABS if k == SeccompData::ARCH => {
                a = arch;
                continue;
            }
            code::AND_K => {
                a &= k;
                continue;
            }
            code::JA => {
                pc = pc.saturating_add(usize::try_from(k).unwrap_or(usize::MAX));
                continue;
            }
            code::RET_K => return ended(k == libc::SECCOMP_RET_ALLOW, steps),
            code::JEQ_K => a == k,
            code::JGE_K => a >= k,
            code::JGT_K => a > k,
            code::JSET_K => a & k != 0,
            _ => return ended(false, steps),
        };
        pc += usize::from(if branch { jt } else { jf });
    }
    ended(false, steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
        Insn { code, jt, jf, k }
    }

    const ALLOW: Insn = insn(code::RET_K, 0, 0, libc::SECCOMP_RET_ALLOW);

    #[test]
    fn only_what_the_kernel_follows_is_cached() {
        let cases: &[(&str, &[Insn], bool)] = &[
            ("allow", &[ALLOW], true),
            (
                "allow with data",
                &[insn(code::RET_K, 0, 0, 0x7fff_0001)],
                false,
            ),
            (
                "log",
                &[insn(code::RET_K, 0, 0, libc::SECCOMP_RET_LOG)],
                false,
            ),
            ("number", &[insn(code::LD_ABS, 0, 0, 0), ALLOW], true),
            ("arch", &[insn(code::LD_ABS, 0, 0, 4), ALLOW], true),
            ("ip", &[insn(code::LD_ABS, 0, 0, 8), ALLOW], false),
            ("argument", &[insn(code::LD_ABS, 0, 0, 16), ALLOW], false),
            ("mask", &[insn(code::AND_K, 0, 0, 1), ALLOW], true),
            ("or", &[insn(code::OR_K, 0, 0, 1), ALLOW], false),
            ("X", &[insn(code::TAX, 0, 0, 0), ALLOW], false),
            (
                "compare with X",
                &[insn(code::JEQ_K | code::X, 0, 0, 0), ALLOW],
                false,
            ),
            (
                "long jump",
                &[insn(code::JA, 0, 0, 1), insn(code::TAX, 0, 0, 0), ALLOW],
                true,
            ),
        ];
        for &(name, program, cached) in cases {
            assert_eq!(emulate(program, 7, 6).cached, cached, "{name}");
        }
    }

    #[test]
    fn branches_are_followed() {
        let program = |code, k| {
            [
                insn(code::LD_ABS, 0, 0, SeccompData::NR),
                insn(code, 0, 1, k),
                ALLOW,
                insn(code::RET_K, 0, 0, 0),
            ]
        };
        let cases = [
            (code::JEQ_K, 6, true),
            (code::JEQ_K, 5, false),
            (code::JGE_K, 6, true),
            (code::JGE_K, 7, false),
            (code::JGT_K, 5, true),
            (code::JGT_K, 6, false),
            (code::JSET_K, 2, true),
            (code::JSET_K, 1, false),
        ];
        for (code, k, cached) in cases {
            let emulation = emulate(&program(code, k), 0, 6);
            assert_eq!(emulation, Emulation { cached, steps: 3 }, "{code:#x} {k}");
        }
    }
}
