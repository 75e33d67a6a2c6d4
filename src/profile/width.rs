//! How many bits of an argument the kernel looks at.
//!
//! Most arguments are `int`s: the kernel drops the upper half of their registers, a filter does not. A rule
//! that denies `ioctl(_, TIOCSTI)` by a 64-bit comparison is evaded by a bit in the upper half, which was a
//! hole in snapd (CVE-2019-7303) and in Flatpak.

use crate::policy::{Op, Width};
use crate::syscall::{self, Sysno};

/// How much of argument `index` the kernel uses on a 64-bit architecture.
pub(super) fn width_of(sysno: Sysno, index: u8) -> Width {
    if syscall::is_32bit(sysno, index) {
        Width::W32
    } else {
        Width::W64
    }
}

/// Can a 32-bit argument have the value that the comparison is with? Either as it stands, or as a negative
/// `int` that was extended to 64 bits.
pub(super) const fn fits(op: Op, value: u64) -> bool {
    const fn narrow(value: u64) -> bool {
        value <= 0xffff_ffff || value >= 0xffff_ffff_8000_0000
    }
    match op {
        Op::MaskedEq(mask) => narrow(mask) && narrow(value & mask),
        _ => narrow(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_fit_as_themselves_or_sign_extended() {
        let cases = [
            (Op::Eq, 0xffff_ffff, true),
            (Op::Eq, 0x1_0000_0000, false),
            (Op::Lt, u64::MAX, true),
            (Op::Gt, 0xffff_ffff_8000_0000, true),
            (Op::Gt, 0xffff_ffff_7fff_ffff, false),
            (Op::MaskedEq(0xff), 0x1_0000_0001, true),
            (Op::MaskedEq(!3), 4, true),
            (Op::MaskedEq(1 << 40), 0, false),
            (Op::MaskedEq(u64::MAX), 0x1_0000_0000, false),
        ];
        for (op, value, want) in cases {
            assert_eq!(fits(op, value), want, "{op:?} {value:#x}");
        }
    }
}
