//! Classic BPF as `seccomp(2)` runs it: the instructions, the data they read, and the tools to write, read,
//! check and run programs.
//!
//! Nothing here knows what a filter is for: rules and actions are `filter`'s business.
//! Sources: `seccomp(2)`, `kernel/seccomp.c`, `net/core/filter.c`,
//! `Documentation/userspace-api/seccomp_filter.rst`, `Documentation/networking/filter.rst`.

pub mod asm;
pub mod cache;
pub mod code;
pub mod disasm;
pub mod regions;
pub mod vm;

/// One instruction, in the kernel's own layout, so that a program can be installed as it is.
pub type Insn = libc::sock_filter;

/// The longest program that the kernel takes (`BPF_MAXINSNS`).
pub const MAX_INSNS: usize = 4096;

/// A program of a length that the kernel takes: 1 to [`MAX_INSNS`] instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program(Vec<Insn>);

/// A program has no instruction, or more than the kernel takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a program of {0} instructions, where the kernel takes 1 to {MAX_INSNS}")]
pub struct LengthError(pub usize);

impl Program {
    /// A program of these instructions.
    ///
    /// # Errors
    ///
    /// When there are none, or more than [`MAX_INSNS`].
    pub fn new(insns: Vec<Insn>) -> Result<Self, LengthError> {
        match insns.len() {
            1..=MAX_INSNS => Ok(Self(insns)),
            len => Err(LengthError(len)),
        }
    }

    /// The instructions.
    pub fn as_slice(&self) -> &[Insn] {
        &self.0
    }

    /// The instructions, to patch constants in place; their number stays.
    pub fn as_mut_slice(&mut self) -> &mut [Insn] {
        &mut self.0
    }
}

/// What a program reads: the kernel's `struct seccomp_data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeccompData {
    /// The syscall number.
    pub nr: u32,
    /// `AUDIT_ARCH_*` of the caller.
    pub arch: u32,
    /// The instruction pointer.
    pub ip: u64,
    /// The argument registers.
    pub args: [u64; 6],
}

/// `struct seccomp_data` as a program sees it: aligned words in the machine's byte order.
pub type Words = [u32; 16];

const _: () = assert!(SeccompData::NR == 0 && SeccompData::ARCH == 4);

impl SeccompData {
    /// Where the number is.
    pub const NR: u32 = 0;
    /// Where the architecture is.
    pub const ARCH: u32 = 4;
    /// How many bytes there are.
    pub const SIZE: u32 = 64;
    /// So many words say which call it is: number and architecture come first.
    pub(crate) const WHICH: usize = 2;

    /// Where the low half of an argument is.
    pub const fn low_half(arg: u8, big_endian: bool) -> u32 {
        16 + 8 * arg as u32 + if big_endian { 4 } else { 0 }
    }

    /// Where the high half of an argument is.
    pub const fn high_half(arg: u8, big_endian: bool) -> u32 {
        16 + 8 * arg as u32 + if big_endian { 0 } else { 4 }
    }

    /// The words that a program loads on a machine of this byte order.
    pub fn words(&self, big_endian: bool) -> Words {
        let mut words = [0; 16];
        let wide = std::iter::once(self.ip).chain(self.args);
        for (pair, value) in words.chunks_exact_mut(2).skip(1).zip(wide) {
            if let [first, second] = pair {
                let (low, high) = (low(value), high(value));
                (*first, *second) = if big_endian { (high, low) } else { (low, high) };
            }
        }
        let [nr, arch, ..] = &mut words;
        (*nr, *arch) = (self.nr, self.arch);
        words
    }
}

/// The low half of a register.
pub const fn low(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The high half of a register.
pub const fn high(value: u64) -> u32 {
    low(value >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lengths_that_the_kernel_takes() {
        let ret = Insn {
            code: code::RET_K,
            jt: 0,
            jf: 0,
            k: 0,
        };
        for (len, taken) in [(0, false), (1, true), (4096, true), (4097, false)] {
            assert_eq!(Program::new(vec![ret; len]).is_ok(), taken, "{len}");
        }
    }

    #[test]
    fn halves_lie_where_the_byte_order_puts_them() {
        let data = SeccompData {
            nr: 1,
            arch: 2,
            ip: 0x0000_0003_0000_0004,
            args: [0x0000_0005_0000_0006, 0, 0, 0, 0, 0x0000_0007_0000_0008],
        };
        for big_endian in [false, true] {
            let words = data.words(big_endian);
            let at = |offset: u32| words[offset as usize / 4];
            assert_eq!(at(SeccompData::NR), 1);
            assert_eq!(at(SeccompData::ARCH), 2);
            assert_eq!(at(SeccompData::low_half(0, big_endian)), 6);
            assert_eq!(at(SeccompData::high_half(0, big_endian)), 5);
            assert_eq!(at(SeccompData::low_half(5, big_endian)), 8);
            assert_eq!(at(SeccompData::high_half(5, big_endian)), 7);
        }
    }

    #[test]
    fn the_layout_is_the_kernels() {
        use std::mem::{offset_of, size_of};
        assert_eq!(size_of::<libc::seccomp_data>(), 64);
        assert_eq!(offset_of!(libc::seccomp_data, nr), 0);
        assert_eq!(offset_of!(libc::seccomp_data, arch), 4);
        assert_eq!(offset_of!(libc::seccomp_data, args), 16);
    }
}
