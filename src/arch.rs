//! The architectures of a profile: their names for libseccomp, Docker and the kernel.
//!
//! An architecture here is what a syscall number is read against. x86-64 and x32 are two of them although
//! the kernel gives both the same audit value: x32's numbers begin where x86-64's end ([`X32_BIT`]).

use std::fmt;

/// The bit that marks a syscall number as x32 (`__X32_SYSCALL_BIT`).
pub const X32_BIT: u32 = 0x4000_0000;

/// A syscall ABI that a profile can name (runtime-spec, `defs-linux.json`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86 (i386), natively or through `int 0x80`.
    X86,
    /// x86-64 with 32-bit pointers: shares the audit value of x86-64, its numbers carry [`X32_BIT`].
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM (EABI).
    Arm,
    /// MIPS o32, big endian.
    Mips,
    /// MIPS o32, little endian.
    Mipsel,
    /// MIPS n64, big endian.
    Mips64,
    /// MIPS n32, big endian.
    Mips64n32,
    /// MIPS n64, little endian.
    Mipsel64,
    /// MIPS n32, little endian.
    Mipsel64n32,
    /// 32-bit `PowerPC`.
    Ppc,
    /// 64-bit `PowerPC`, big endian.
    Ppc64,
    /// 64-bit `PowerPC`, little endian.
    Ppc64le,
    /// 31-bit s390.
    S390,
    /// 64-bit s390.
    S390x,
    /// 64-bit RISC-V.
    Riscv64,
    /// 64-bit `LoongArch`.
    Loongarch64,
    /// 32-bit PA-RISC.
    Parisc,
    /// 64-bit PA-RISC.
    Parisc64,
    /// Motorola 68000.
    M68k,
    /// `SuperH`, little endian.
    Sh,
    /// `SuperH`, big endian.
    Sheb,
}

/// What is fixed about an architecture; one row each in [`Arch::facts`].
struct Facts {
    scmp: &'static str,
    go: &'static str,
    audit: u32,
    bits: u32,
    endian: Endian,
}

/// The order of bytes in memory, which decides where the halves of a 64-bit argument lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endian {
    /// The low half comes first.
    Little,
    /// The high half comes first.
    Big,
}

impl Arch {
    /// Every architecture.
    pub const ALL: [Self; 23] = [
        Self::X86_64,
        Self::X86,
        Self::X32,
        Self::Aarch64,
        Self::Arm,
        Self::Mips,
        Self::Mipsel,
        Self::Mips64,
        Self::Mips64n32,
        Self::Mipsel64,
        Self::Mipsel64n32,
        Self::Ppc,
        Self::Ppc64,
        Self::Ppc64le,
        Self::S390,
        Self::S390x,
        Self::Riscv64,
        Self::Loongarch64,
        Self::Parisc,
        Self::Parisc64,
        Self::M68k,
        Self::Sh,
        Self::Sheb,
    ];

    /// The architecture that this program was built for.
    pub const NATIVE: Self = if cfg!(target_arch = "x86_64") {
        Self::X86_64
    } else if cfg!(target_arch = "aarch64") {
        Self::Aarch64
    } else if cfg!(target_arch = "riscv64") {
        Self::Riscv64
    } else if cfg!(target_arch = "s390x") {
        Self::S390x
    } else if cfg!(target_arch = "powerpc64") {
        Self::Ppc64le
    } else {
        Self::Loongarch64
    };

    /// One row per architecture. Audit values are `AUDIT_ARCH_*` of `linux/audit.h`.
    const fn facts(self) -> Facts {
        const fn row(
            scmp: &'static str,
            go: &'static str,
            audit: u32,
            bits: u32,
            endian: Endian,
        ) -> Facts {
            Facts {
                scmp,
                go,
                audit,
                bits,
                endian,
            }
        }
        use Endian::{Big, Little};
        match self {
            Self::X86_64 => row("SCMP_ARCH_X86_64", "amd64", 0xc000_003e, 64, Little),
            Self::X86 => row("SCMP_ARCH_X86", "x86", 0x4000_0003, 32, Little),
            Self::X32 => row("SCMP_ARCH_X32", "x32", 0xc000_003e, 32, Little),
            Self::Aarch64 => row("SCMP_ARCH_AARCH64", "arm64", 0xc000_00b7, 64, Little),
            Self::Arm => row("SCMP_ARCH_ARM", "arm", 0x4000_0028, 32, Little),
            Self::Mips => row("SCMP_ARCH_MIPS", "mips", 0x0000_0008, 32, Big),
            Self::Mipsel => row("SCMP_ARCH_MIPSEL", "mipsel", 0x4000_0008, 32, Little),
            Self::Mips64 => row("SCMP_ARCH_MIPS64", "mips64", 0x8000_0008, 64, Big),
            Self::Mips64n32 => row("SCMP_ARCH_MIPS64N32", "mips64n32", 0xa000_0008, 32, Big),
            Self::Mipsel64 => row("SCMP_ARCH_MIPSEL64", "mipsel64", 0xc000_0008, 64, Little),
            Self::Mipsel64n32 => row(
                "SCMP_ARCH_MIPSEL64N32",
                "mipsel64n32",
                0xe000_0008,
                32,
                Little,
            ),
            Self::Ppc => row("SCMP_ARCH_PPC", "ppc", 0x0000_0014, 32, Big),
            Self::Ppc64 => row("SCMP_ARCH_PPC64", "ppc64", 0x8000_0015, 64, Big),
            Self::Ppc64le => row("SCMP_ARCH_PPC64LE", "ppc64le", 0xc000_0015, 64, Little),
            Self::S390 => row("SCMP_ARCH_S390", "s390", 0x0000_0016, 32, Big),
            Self::S390x => row("SCMP_ARCH_S390X", "s390x", 0x8000_0016, 64, Big),
            Self::Riscv64 => row("SCMP_ARCH_RISCV64", "riscv64", 0xc000_00f3, 64, Little),
            Self::Loongarch64 => row("SCMP_ARCH_LOONGARCH64", "loong64", 0xc000_0102, 64, Little),
            Self::Parisc => row("SCMP_ARCH_PARISC", "parisc", 0x0000_000f, 32, Big),
            Self::Parisc64 => row("SCMP_ARCH_PARISC64", "parisc64", 0x8000_000f, 64, Big),
            Self::M68k => row("SCMP_ARCH_M68K", "m68k", 0x0000_0004, 32, Big),
            Self::Sh => row("SCMP_ARCH_SH", "sh", 0x4000_002a, 32, Little),
            Self::Sheb => row("SCMP_ARCH_SHEB", "sheb", 0x0000_002a, 32, Big),
        }
    }

    /// The name in a profile, such as `SCMP_ARCH_X86_64`.
    pub const fn scmp_name(self) -> &'static str {
        self.facts().scmp
    }

    /// The architecture of a profile's name.
    pub fn from_scmp_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arch| arch.scmp_name() == name)
    }

    /// The name that Docker's `includes.arches` uses (Go's and libseccomp-golang's names), such as `amd64`.
    pub const fn go_name(self) -> &'static str {
        self.facts().go
    }

    /// The architecture of a Docker name (`amd64`) or a kernel-style one (`x86_64`, `aarch64`).
    pub fn from_short_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arch| {
            let short = arch.scmp_name().trim_start_matches("SCMP_ARCH_");
            arch.go_name() == name || short.eq_ignore_ascii_case(name)
        })
    }

    /// The kernel's value in `seccomp_data.arch`. x32 has that of x86-64.
    pub const fn audit(self) -> u32 {
        self.facts().audit
    }

    /// Are registers (and so syscall arguments, as libseccomp compares them) 64 bits wide? Not on x32.
    pub const fn is_64bit(self) -> bool {
        self.facts().bits == 64
    }

    /// The order of bytes in `seccomp_data`.
    pub const fn endian(self) -> Endian {
        self.facts().endian
    }

    /// The architecture of a call, from `seccomp_data.arch` and the number as the kernel gives it.
    ///
    /// On x86-64 every number from [`X32_BIT`] on is x32's, as libseccomp has it, except -1, with which
    /// tracers skip a call.
    pub fn of_call(audit: u32, nr: u32) -> Option<Self> {
        if audit == Self::X86_64.audit() && (X32_BIT..u32::MAX).contains(&nr) {
            return Some(Self::X32);
        }
        // The order of ALL puts x86-64 before x32, so the shared value means the former here.
        Self::ALL.into_iter().find(|arch| arch.audit() == audit)
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.scmp_name().trim_start_matches("SCMP_ARCH_");
        f.write_str(&short.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for arch in Arch::ALL {
            assert_eq!(Arch::from_scmp_name(arch.scmp_name()), Some(arch));
            assert_eq!(Arch::from_short_name(arch.go_name()), Some(arch));
            assert_eq!(Arch::from_short_name(&arch.to_string()), Some(arch));
        }
        assert_eq!(Arch::from_scmp_name("SCMP_ARCH_X68_64"), None);
        assert_eq!(Arch::from_scmp_name("x86_64"), None);
    }

    #[test]
    fn audit_values_say_width_and_order() {
        for arch in Arch::ALL {
            let audit = arch.audit();
            assert_eq!(
                audit & 0x4000_0000 != 0,
                arch.endian() == Endian::Little,
                "{arch}"
            );
            // x32 and MIPS n32 are 32-bit ABIs of a 64-bit machine.
            let ilp32 = matches!(arch, Arch::X32 | Arch::Mips64n32 | Arch::Mipsel64n32);
            assert_eq!(audit & 0x8000_0000 != 0, arch.is_64bit() || ilp32, "{arch}");
        }
    }

    #[test]
    fn x32_begins_at_its_bit() {
        const AMD64: u32 = 0xc000_003e;
        let cases = [
            (AMD64, 0, Some(Arch::X86_64)),
            (AMD64, X32_BIT - 1, Some(Arch::X86_64)),
            (AMD64, X32_BIT, Some(Arch::X32)),
            (AMD64, 0x8000_0000, Some(Arch::X32)),
            (AMD64, u32::MAX - 1, Some(Arch::X32)),
            (AMD64, u32::MAX, Some(Arch::X86_64)),
            (0x4000_0003, X32_BIT, Some(Arch::X86)),
            (0x1234, 0, None),
        ];
        for (audit, nr, want) in cases {
            assert_eq!(Arch::of_call(audit, nr), want, "{audit:#x} {nr:#x}");
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn native_is_what_we_were_built_for() {
        assert_eq!(Arch::NATIVE, Arch::X86_64);
    }
}
