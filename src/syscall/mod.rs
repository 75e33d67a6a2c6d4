//! Syscall names and numbers, per architecture.
//!
//! The facts come from the `syscalls` crate, corrected and completed in `rows`, and no other module knows the
//! crate; `table` makes them searchable at compile time. A table's age must not decide what works: a number
//! that has no name is still a number, written `syscall_480` and read back as such.

mod name;
mod rows;
mod table;
mod width;

use std::fmt;

use crate::arch::{Arch, X32_BIT};
use table::{NameId, Table};

pub use name::Name;
pub use table::NAMES;
pub use width::is_32bit;

/// How a number without a name is written: this and the decimal number (without the x32 bit).
const UNNAMED: &str = "syscall_";

/// From this number on all architectures share one numbering (Linux 5.1; counted from [`base`]), so an
/// unnamed number means the same call everywhere. Below it, an unnamed number of one architecture can be a
/// named one of another.
const UNIFIED_FROM: u32 = 424;

/// One syscall: a number and the architecture it is read against.
///
/// The number is the kernel's (`seccomp_data.nr`): on x32 it carries [`X32_BIT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sysno {
    /// Whose number it is.
    pub arch: Arch,
    /// The number, as the kernel gives it.
    pub nr: u32,
}

impl Sysno {
    /// The syscall of a kernel event: `audit` is an `AUDIT_ARCH_*` value.
    pub fn of_call(audit: u32, nr: u32) -> Option<Self> {
        Arch::of_call(audit, nr).map(|arch| Self { arch, nr })
    }

    /// The syscall of this name on this architecture; `None` where it has none.
    ///
    /// `syscall_N` is the number N itself, so that a profile can hold calls newer than any table.
    ///
    /// ```
    /// use seccomp_run::{arch::Arch, syscall::Sysno};
    /// assert_eq!(Sysno::parse(Arch::X86, "exit_group").unwrap().nr, 252);
    /// assert_eq!(Sysno::parse(Arch::X86_64, "syscall_999").unwrap().nr, 999);
    /// assert!(Sysno::parse(Arch::X86_64, "mmap2").is_none());
    /// ```
    pub fn parse(arch: Arch, name: &str) -> Option<Self> {
        match NameId::find(name) {
            Some(id) => named(id, arch),
            None => unnamed(name, arch),
        }
    }

    /// The name, where the table has one.
    pub fn name(self) -> Option<&'static str> {
        self.id()?.name()
    }

    fn id(self) -> Option<NameId> {
        // Without its bit it is no number of x32's.
        let bit = x32_bit(self.arch);
        if self.nr & bit != bit {
            return None;
        }
        Table::of(self.arch)?.name(self.nr & !bit)
    }

    /// Is it one of 32-bit ARM's private calls (`cacheflush`, `set_tls` ...)?
    ///
    /// Their numbers are far above the table that grows with the kernel: one of them in a profile says
    /// nothing about which calls the profile's author knew.
    pub const fn is_private(self) -> bool {
        matches!(self.arch, Arch::Arm) && self.nr >> 16 == 0x0f
    }

    /// Can a profile hold it? Only what the kernel's tables can ever hold: not -1, with which tracers skip a
    /// call, nor any other number with the sign bit.
    pub const fn is_expressible(self) -> bool {
        self.nr & 0x8000_0000 == 0 && (self.nr & X32_BIT == 0 || matches!(self.arch, Arch::X32))
    }
}

/// The name, or `syscall_N`: what a profile says.
impl fmt::Display for Sysno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.name() {
            return f.write_str(name);
        }
        write!(f, "{UNNAMED}{}", self.nr & !x32_bit(self.arch))
    }
}

/// The number in `syscall_N`; `None` for every other name, and for numbers that only x32's bit could make.
pub fn parse_unnamed(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(UNNAMED)?;
    // `parse` alone would take "+5" and "007", which are other spellings of the same number.
    let canonical =
        digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
    digits.parse().ok().filter(|&nr| canonical && nr < X32_BIT)
}

/// Every named syscall of an architecture, by number.
pub fn all(arch: Arch) -> impl DoubleEndedIterator<Item = (Sysno, &'static str)> {
    rows(arch).filter_map(|(sysno, id)| Some((sysno, id.name()?)))
}

/// As [`all`], with the name's [`Name::index`].
pub fn all_indexed(arch: Arch) -> impl Iterator<Item = (Sysno, usize)> {
    rows(arch).map(|(sysno, id)| (sysno, id.index()))
}

/// The [`Name::index`] of a name in the tables, for tables of others that are made while compiling: a name that no
/// architecture has stops the build.
pub(crate) const fn index_of(name: &str) -> usize {
    table::index_of(name.as_bytes())
}

fn rows(arch: Arch) -> impl DoubleEndedIterator<Item = (Sysno, NameId)> {
    let bit = x32_bit(arch);
    let rows = Table::of(arch).map_or(&[][..], Table::rows);
    rows.iter()
        .map(move |&(nr, id)| (Sysno { arch, nr: nr | bit }, id))
}

fn named(id: NameId, arch: Arch) -> Option<Sysno> {
    let nr = Table::of(arch)?.number(id)? | x32_bit(arch);
    Some(Sysno { arch, nr })
}

fn unnamed(name: &str, arch: Arch) -> Option<Sysno> {
    let nr = parse_unnamed(name)? | x32_bit(arch);
    let sysno = Sysno { arch, nr };
    (nr >= base(arch) + UNIFIED_FROM || sysno.name().is_none()).then_some(sysno)
}

/// Does the project have a table for this architecture?
pub const fn has_table(arch: Arch) -> bool {
    Table::of(arch).is_some()
}

/// The bit that this architecture's numbers carry for the kernel, and its table leaves out.
const fn x32_bit(arch: Arch) -> u32 {
    match arch {
        Arch::X32 => X32_BIT,
        _ => 0,
    }
}

/// The number that an architecture's table starts at.
const fn base(arch: Arch) -> u32 {
    match arch {
        Arch::Mips | Arch::Mipsel => 4000,
        Arch::Mips64 | Arch::Mipsel64 => 5000,
        Arch::Mips64n32 | Arch::Mipsel64n32 => 6000,
        Arch::X32 => X32_BIT,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_architectures_own() {
        let cases = [
            (Arch::X86_64, "read", Some(0)),
            (Arch::X86_64, "exit_group", Some(231)),
            (Arch::X86, "getpid", Some(20)),
            (Arch::X86_64, "writev", Some(20)),
            (Arch::X32, "read", Some(X32_BIT)),
            (Arch::X32, "ioctl", Some(X32_BIT + 514)),
            (Arch::X32, "pwritev2", Some(X32_BIT + 547)),
            (Arch::X32, "uselib", None),
            (Arch::Aarch64, "open", None),
            (Arch::Aarch64, "openat", Some(56)),
            (Arch::X86, "break", Some(17)),
            (Arch::X86_64, "rseq_slice_yield", Some(471)),
            (Arch::X32, "listns", Some(X32_BIT + 470)),
            (Arch::Aarch64, "newfstatat", Some(79)),
            (Arch::Aarch64, "fstatat", None),
            (Arch::Aarch64, "futex_time64", None),
            (Arch::Arm, "arm_fadvise64_64", Some(270)),
            (Arch::Arm, "futex_time64", Some(422)),
            (Arch::Arm, "breakpoint", Some(0x0f_0001)),
            (Arch::Arm, "get_tls", Some(0x0f_0006)),
            (Arch::Riscv64, "riscv_flush_icache", Some(259)),
            (Arch::Loongarch64, "newfstatat", Some(79)),
            (Arch::Loongarch64, "setrlimit", None),
            (Arch::Loongarch64, "memfd_secret", None),
            (Arch::Ppc64le, "sync_file_range2", Some(308)),
            (Arch::Ppc64, "break", Some(17)),
            (Arch::Ppc, "_llseek", Some(140)),
            (Arch::S390x, "setuid", Some(213)),
            (Arch::S390, "setuid", Some(23)),
            (Arch::S390, "setuid32", Some(213)),
            (Arch::S390, "fstatat64", Some(293)),
            (Arch::S390, "file_setattr", Some(469)),
            (Arch::S390, "listns", None),
            (Arch::Mips, "read", Some(4003)),
            (Arch::Mips, "unused18", None),
            (Arch::Mipsel, "rseq_slice_yield", Some(4471)),
            (Arch::Mips64, "set_mempolicy_home_node", Some(5450)),
            (Arch::Mipsel64, "getdents64", Some(5308)),
            (Arch::Mips64n32, "read", Some(6000)),
            (Arch::Mips64n32, "fcntl64", Some(6212)),
            (Arch::Mips64n32, "set_tid_address", Some(6213)),
            (Arch::Mips64n32, "sendfile64", Some(6219)),
            (Arch::Mips64n32, "timer_create", Some(6220)),
            (Arch::Mips64n32, "recvmmsg", Some(6298)),
            (Arch::Mips64n32, "getdents64", Some(6299)),
            (Arch::Mips64n32, "fanotify_init", Some(6300)),
            (Arch::Mips64n32, "finit_module", Some(6312)),
            (Arch::Mips64n32, "sched_setattr", Some(6313)),
            (Arch::Mipsel64n32, "io_pgetevents", Some(6332)),
            (Arch::Mipsel64n32, "futex_time64", Some(6422)),
            (Arch::Mipsel64n32, "pidfd_send_signal", Some(6424)),
            (Arch::Parisc, "read", None),
            (Arch::X86_64, "no_such_call", None),
            (Arch::X86_64, "syscall_999", Some(999)),
            (Arch::X32, "syscall_999", Some(X32_BIT + 999)),
            // Named in today's table, and still a number to whoever wrote it before.
            (Arch::X86_64, "syscall_462", Some(462)),
            // 400 is msgsnd on i386 and nothing on x86-64: a number learned there must not open it here.
            (Arch::X86_64, "syscall_400", Some(400)),
            (Arch::X86, "syscall_400", None),
            // The same on MIPS, where numbers have a base.
            (Arch::Mips, "syscall_4003", None),
            (Arch::Mips, "syscall_4480", Some(4480)),
            (Arch::X86_64, "syscall_0999", None),
            (Arch::X86_64, "syscall_+9", None),
            (Arch::X86_64, "syscall_1073741824", None),
            (Arch::X86_64, "syscall_", None),
        ];
        for (arch, name, want) in cases {
            assert_eq!(
                Sysno::parse(arch, name).map(|s| s.nr),
                want,
                "{arch} {name}"
            );
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for arch in Arch::ALL {
            for (sysno, name) in all(arch) {
                assert_eq!(Sysno::parse(arch, name), Some(sysno), "{arch} {name}");
                assert_eq!(sysno.to_string(), name);
            }
            let unnamed = Sysno {
                arch,
                nr: if arch == Arch::X32 {
                    X32_BIT + 5999
                } else {
                    99_999
                },
            };
            assert_eq!(
                Sysno::parse(arch, &unnamed.to_string()),
                Some(unnamed),
                "{arch}"
            );
        }
    }

    #[test]
    fn tables_are_in_the_order_of_numbers() {
        for arch in Arch::ALL {
            let numbers: Vec<u32> = all(arch).map(|(sysno, _)| sysno.nr).collect();
            assert!(numbers.is_sorted_by(|a, b| a < b), "{arch}");
            assert_eq!(has_table(arch), numbers.len() > 300, "{arch}");
        }
    }

    /// From 424 on a call has one number everywhere, so a gap is a row that was forgotten.
    #[test]
    fn new_calls_have_one_number_on_all_architectures() {
        let reference: Vec<_> = all(Arch::X86_64)
            .filter(|(sysno, _)| sysno.nr >= UNIFIED_FROM)
            .collect();
        assert!(reference.len() >= 48);
        for arch in Arch::ALL.into_iter().filter(|&arch| has_table(arch)) {
            for &(sysno, name) in &reference {
                let nr = base(arch) + sysno.nr;
                let here = Sysno { arch, nr };
                assert!(
                    here.name().is_none_or(|other| other == name),
                    "{arch} {name}"
                );
                let dropped = arch == Arch::S390 && sysno.nr >= 470;
                if here.name().is_none() && !dropped {
                    assert_eq!((arch, name), (arch, "memfd_secret"));
                }
            }
        }
    }

    #[test]
    fn only_private_numbers_are_private() {
        let private = |arch| all(arch).filter(|(sysno, _)| sysno.is_private()).count();
        assert_eq!(private(Arch::Arm), 6);
        assert_eq!(Arch::ALL.into_iter().map(private).sum::<usize>(), 6);
    }

    #[test]
    fn only_possible_numbers_are_expressible() {
        let cases = [
            (Arch::X86_64, 0, true),
            (Arch::X86_64, 100_000, true),
            (Arch::X86_64, u32::MAX, false),
            (Arch::X32, X32_BIT | 5, true),
            (Arch::X32, 0xffff_fffe, false),
            (Arch::X86, X32_BIT | 5, false),
            (Arch::X86, 0x8000_0000, false),
        ];
        for (arch, nr, want) in cases {
            assert_eq!(Sysno { arch, nr }.is_expressible(), want, "{arch} {nr:#x}");
        }
    }
}
