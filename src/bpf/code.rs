//! The opcodes that `seccomp_check_filter` (`kernel/seccomp.c`) lets through, and no others.

/// A <- word at K.
pub const LD_ABS: u16 = 0x20;
/// A <- size of the data.
pub const LD_LEN: u16 = 0x80;
/// A <- K.
pub const LD_IMM: u16 = 0x00;
/// A <- M\[K\].
pub const LD_MEM: u16 = 0x60;
/// X <- size of the data.
pub const LDX_LEN: u16 = 0x81;
/// X <- K.
pub const LDX_IMM: u16 = 0x01;
/// X <- M\[K\].
pub const LDX_MEM: u16 = 0x61;
/// M\[K\] <- A.
pub const ST: u16 = 0x02;
/// M\[K\] <- X.
pub const STX: u16 = 0x03;
/// X <- A.
pub const TAX: u16 = 0x07;
/// A <- X.
pub const TXA: u16 = 0x87;

/// A <- A + K; with [`X`], A + X. So for all that follow.
pub const ADD_K: u16 = 0x04;
/// A <- A - K.
pub const SUB_K: u16 = 0x14;
/// A <- A * K.
pub const MUL_K: u16 = 0x24;
/// A <- A / K.
pub const DIV_K: u16 = 0x34;
/// A <- A | K.
pub const OR_K: u16 = 0x44;
/// A <- A & K.
pub const AND_K: u16 = 0x54;
/// A <- A << K.
pub const LSH_K: u16 = 0x64;
/// A <- A >> K.
pub const RSH_K: u16 = 0x74;
/// A <- -A.
pub const NEG: u16 = 0x84;
/// A <- A ^ K.
pub const XOR_K: u16 = 0xa4;
/// A <- A | X.
pub const OR_X: u16 = OR_K | X;

/// Jump by K.
pub const JA: u16 = 0x05;
/// Jump by jt if A = K, else by jf; with [`X`], if A = X. So for all that follow.
pub const JEQ_K: u16 = 0x15;
/// If A > K.
pub const JGT_K: u16 = 0x25;
/// If A >= K.
pub const JGE_K: u16 = 0x35;
/// If A & K is not zero.
pub const JSET_K: u16 = 0x45;

/// Answer K.
pub const RET_K: u16 = 0x06;
/// Answer A.
pub const RET_A: u16 = 0x16;

/// The bit that takes the second operand from X instead of K (`BPF_X`).
pub const X: u16 = 0x08;

#[cfg(test)]
mod tests {
    use super::*;
    use libc::{
        BPF_ABS, BPF_ADD, BPF_ALU, BPF_AND, BPF_DIV, BPF_IMM, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT,
        BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_LDX, BPF_LEN, BPF_LSH, BPF_MEM, BPF_MISC, BPF_MUL,
        BPF_NEG, BPF_OR, BPF_RET, BPF_RSH, BPF_ST, BPF_STX, BPF_SUB, BPF_TAX, BPF_TXA, BPF_W,
        BPF_X, BPF_XOR,
    };

    #[test]
    fn codes_are_libcs() {
        let cases = [
            (LD_ABS, BPF_LD | BPF_W | BPF_ABS),
            (LD_LEN, BPF_LD | BPF_W | BPF_LEN),
            (LD_IMM, BPF_LD | BPF_IMM),
            (LD_MEM, BPF_LD | BPF_MEM),
            (LDX_LEN, BPF_LDX | BPF_W | BPF_LEN),
            (LDX_IMM, BPF_LDX | BPF_IMM),
            (LDX_MEM, BPF_LDX | BPF_MEM),
            (ST, BPF_ST),
            (STX, BPF_STX),
            (TAX, BPF_MISC | BPF_TAX),
            (TXA, BPF_MISC | BPF_TXA),
            (ADD_K, BPF_ALU | BPF_ADD | BPF_K),
            (SUB_K, BPF_ALU | BPF_SUB | BPF_K),
            (MUL_K, BPF_ALU | BPF_MUL | BPF_K),
            (DIV_K, BPF_ALU | BPF_DIV | BPF_K),
            (OR_K, BPF_ALU | BPF_OR | BPF_K),
            (OR_X, BPF_ALU | BPF_OR | BPF_X),
            (AND_K, BPF_ALU | BPF_AND | BPF_K),
            (LSH_K, BPF_ALU | BPF_LSH | BPF_K),
            (RSH_K, BPF_ALU | BPF_RSH | BPF_K),
            (NEG, BPF_ALU | BPF_NEG),
            (XOR_K, BPF_ALU | BPF_XOR | BPF_K),
            (JA, BPF_JMP | BPF_JA),
            (JEQ_K, BPF_JMP | BPF_JEQ | BPF_K),
            (JGT_K, BPF_JMP | BPF_JGT | BPF_K),
            (JGE_K, BPF_JMP | BPF_JGE | BPF_K),
            (JSET_K, BPF_JMP | BPF_JSET | BPF_K),
            (RET_K, BPF_RET | BPF_K),
            // libc has no BPF_A.
            (RET_A, BPF_RET | 0x10),
            (X, BPF_X),
        ];
        for (ours, libcs) in cases {
            assert_eq!(u32::from(ours), libcs, "{ours:#x}");
        }
    }
}
