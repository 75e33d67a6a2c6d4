//! Syscall names and numbers, per architecture.
//!
//! The tables come from the `syscalls` crate; what it lacks (x32, numbers without a name) is here, and no
//! other module knows the crate. A table's age must not decide what works: a number that has no name is
//! still a number, written `syscall_470` and read back as such.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::OnceLock;

use crate::arch::{Arch, X32_BIT};

/// How a number without a name is written: this and the decimal number (without the x32 bit).
const UNNAMED: &str = "syscall_";

/// From this number on all architectures share one numbering (Linux 5.1), so an unnamed number means the
/// same call everywhere. Below it, an unnamed number of one architecture can be a named one of another.
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
        let table = Table::of(arch);
        if let Some(&nr) = table.by_name.get(name) {
            return Some(Self { arch, nr });
        }
        let nr = parse_unnamed(name)?;
        let nr = if arch == Arch::X32 { nr | X32_BIT } else { nr };
        let sysno = Self { arch, nr };
        (nr & !X32_BIT >= UNIFIED_FROM || sysno.name().is_none()).then_some(sysno)
    }

    /// The name, where the table has one.
    pub fn name(self) -> Option<&'static str> {
        let table = Table::of(self.arch);
        let at = table
            .by_nr
            .binary_search_by_key(&self.nr, |row| row.0)
            .ok()?;
        table.by_nr.get(at).map(|&(_, name)| name)
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
        let bit = if self.arch == Arch::X32 { X32_BIT } else { 0 };
        write!(f, "{UNNAMED}{}", self.nr & !bit)
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
pub fn all(arch: Arch) -> impl Iterator<Item = (Sysno, &'static str)> {
    Table::of(arch)
        .by_nr
        .iter()
        .map(move |&(nr, name)| (Sysno { arch, nr }, name))
}

/// Is this the name of a syscall on any architecture?
pub fn is_known(name: &str) -> bool {
    parse_unnamed(name).is_some()
        || Arch::ALL
            .into_iter()
            .any(|arch| Sysno::parse(arch, name).is_some())
}

/// Does the project have a table for this architecture?
pub fn has_table(arch: Arch) -> bool {
    !Table::of(arch).by_nr.is_empty()
}

/// One architecture's names and numbers, for both ways. The numbers are sorted.
struct Table {
    by_nr: Vec<(u32, &'static str)>,
    by_name: HashMap<&'static str, u32, BuildHasherDefault<Fnv>>,
}

/// FNV-1a. A profile asks for a thousand names before its program starts, and the default hasher, made
/// against chosen keys, takes several times as long; here the keys are ours.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Table {
    fn of(arch: Arch) -> &'static Self {
        static TABLES: [OnceLock<Table>; Arch::ALL.len()] =
            [const { OnceLock::new() }; Arch::ALL.len()];
        static NONE: Table = Table {
            by_nr: Vec::new(),
            by_name: HashMap::with_hasher(BuildHasherDefault::new()),
        };
        // The index is a discriminant of the same enum that gives the array its length.
        TABLES
            .get(arch as usize)
            .map_or(&NONE, |table| table.get_or_init(|| Self::build(arch)))
    }

    fn build(arch: Arch) -> Self {
        let mut by_nr: Vec<(u32, &'static str)> = rows(arch);
        by_nr.sort_unstable();
        by_nr.dedup();
        let by_name = by_nr.iter().map(|&(nr, name)| (name, nr)).collect();
        Self { by_nr, by_name }
    }
}

/// The crate's rows of one architecture, with our additions.
fn rows(arch: Arch) -> Vec<(u32, &'static str)> {
    macro_rules! table {
        ($module:ident) => {
            // The crate's iterator (0.8.1) stops before the last.
            syscalls::$module::Sysno::iter()
                .chain([syscalls::$module::Sysno::last()])
                .map(|s| (s.id().cast_unsigned(), s.name()))
                .collect()
        };
    }
    match arch {
        Arch::X86_64 => table!(x86_64),
        Arch::X32 => x32_rows(),
        Arch::X86 => table!(x86),
        Arch::Aarch64 => table!(aarch64),
        Arch::Arm => table!(arm),
        Arch::Mips | Arch::Mipsel => table!(mips),
        Arch::Mips64 | Arch::Mipsel64 => table!(mips64),
        Arch::Ppc => table!(powerpc),
        Arch::Ppc64 | Arch::Ppc64le => table!(powerpc64),
        Arch::S390x => table!(s390x),
        Arch::Riscv64 => table!(riscv64),
        Arch::Loongarch64 => table!(loongarch64),
        Arch::Mips64n32
        | Arch::Mipsel64n32
        | Arch::S390
        | Arch::Parisc
        | Arch::Parisc64
        | Arch::M68k
        | Arch::Sh
        | Arch::Sheb => Vec::new(),
    }
}

/// The x86-64 calls that x32 has not: those whose structures differ (they are in [`X32_OWN`] under other
/// numbers) and those that only the 64-bit table names (`arch/x86/entry/syscalls/syscall_64.tbl`, ABI "64").
const NOT_ON_X32: [&str; 11] = [
    "_sysctl",
    "create_module",
    "epoll_ctl_old",
    "epoll_wait_old",
    "get_kernel_syms",
    "get_thread_area",
    "nfsservctl",
    "query_module",
    "set_thread_area",
    "uselib",
    "vserver",
];

/// The calls that x32 has under numbers of its own, from 512 up (ABI "x32" in the same table).
const X32_OWN: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];

fn x32_rows() -> Vec<(u32, &'static str)> {
    let shared = rows(Arch::X86_64)
        .into_iter()
        .filter(|(_, name)| !NOT_ON_X32.contains(name) && !X32_OWN.contains(name))
        .map(|(nr, name)| (nr | X32_BIT, name));
    let own = (512..).zip(X32_OWN).map(|(nr, name)| (nr | X32_BIT, name));
    shared.chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_architectures_own() {
        let cases = [
            (Arch::X86_64, "read", Some(0)),
            (Arch::X86_64, "exit_group", Some(231)),
            (Arch::X86_64, "file_setattr", Some(469)),
            (Arch::X86, "getpid", Some(20)),
            (Arch::X86_64, "writev", Some(20)),
            (Arch::X32, "read", Some(X32_BIT)),
            (Arch::X32, "ioctl", Some(X32_BIT + 514)),
            (Arch::X32, "pwritev2", Some(X32_BIT + 547)),
            (Arch::X32, "uselib", None),
            (Arch::Aarch64, "open", None),
            (Arch::Aarch64, "openat", Some(56)),
            (Arch::Mips, "read", Some(4003)),
            (Arch::X86_64, "no_such_call", None),
            (Arch::X86_64, "syscall_999", Some(999)),
            (Arch::X32, "syscall_999", Some(X32_BIT + 999)),
            // Named in today's table, and still a number to whoever wrote it before.
            (Arch::X86_64, "syscall_462", Some(462)),
            // 400 is msgsnd on i386 and nothing on x86-64: a number learned there must not open it here.
            (Arch::X86_64, "syscall_400", Some(400)),
            (Arch::X86, "syscall_400", None),
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
