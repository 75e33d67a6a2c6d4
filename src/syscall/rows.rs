//! Which number has which name, per architecture: the facts that [`super::table`] makes searchable.
//!
//! The rows are those of the `syscalls` crate, and what it lacks or has wrong is stated here as a
//! difference: from the crate, or from an architecture with nearly the same numbering. All of it is
//! evaluated by the compiler.
//!
//! Compared row by row with the tables of Linux 6.1 and 6.12 (`arch/*/**/syscall*.tbl`,
//! `scripts/syscall.tbl` with the ABIs of each `Makefile.syscalls`), and from number 463 on with the table
//! of libseccomp's main branch (Linux 7.1-rc4). The crate differs from them in this:
//! * it ends at 469 and knows no x32, MIPS n32, 31-bit s390 or private ARM calls;
//! * it spells `break`, which is a keyword in Rust, `r#break`;
//! * MIPS n64 without `set_mempolicy_home_node`, which the kernel's own table lists under an odd ABI;
//! * aarch64 and loongarch64 have `newfstatat` as `fstatat`, and the time64 calls of 32-bit machines;
//! * loongarch64 never had `renameat`, `getrlimit`, `setrlimit` and `memfd_secret`;
//! * MIPS has rows for the holes of its table (`unused18`, `reserved221`).

/// More rows than any architecture has.
const ROOM: usize = 512;

/// A name and its hash, which is worth keeping while the compiler works: it is asked for several times.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub(super) text: &'static str,
    pub(super) hash: u32,
}

impl Name {
    const fn new(text: &'static str) -> Self {
        Self {
            text,
            hash: hash(text.as_bytes()),
        }
    }
}

/// The hash of a name. The test of the tables knows that no two names have the same.
pub(super) const fn hash(name: &[u8]) -> u32 {
    hash_of(name, ends_of(name))
}

/// The same, of what [`ends_of`] says of the name.
pub(super) const fn hash_of(name: &[u8], [first, last]: [u64; 2]) -> u32 {
    /// An odd number with its bits well spread: 2^64 divided by the golden ratio.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    const fn mixed(hash: u64, word: u64) -> u64 {
        (hash.rotate_left(23) ^ word).wrapping_mul(SPREAD)
    }
    let mut hash = mixed(mixed(name.len() as u64, first), last);
    if name.len() > 2 * WORD {
        let mut rest = name;
        while let Some((word, others)) = rest.split_first_chunk() {
            hash = mixed(hash, u64::from_le_bytes(*word));
            rest = others;
        }
    }
    (hash >> 32) as u32
}

/// Bytes in a word. All of a name of up to two words lies in its length and what [`ends_of`] says.
pub(super) const WORD: usize = 8;

/// The first and the last bytes of a name, as many as fit and with some of them twice: most names are short, and what is
/// done in two words is done sooner than what is done byte by byte.
pub(super) const fn ends_of(name: &[u8]) -> [u64; 2] {
    if let (Some(first), Some(last)) = (name.first_chunk::<WORD>(), name.last_chunk::<WORD>()) {
        [u64::from_le_bytes(*first), u64::from_le_bytes(*last)]
    } else if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        [first as u64, last as u64]
    } else if let (Some(first), Some(last)) = (name.first_chunk::<2>(), name.last_chunk::<2>()) {
        let (first, last) = (u16::from_le_bytes(*first), u16::from_le_bytes(*last));
        [first as u64, last as u64]
    } else {
        match name {
            [byte] => [*byte as u64, 0],
            _ => [0, 0],
        }
    }
}

/// The named syscalls of one architecture, by number.
///
/// For building at compile time only: an index out of bounds is an error of the build.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    rows: [(u32, Name); ROOM],
    len: usize,
}

/// A number, and the names of this and the following numbers.
type Run = (u32, &'static [&'static str]);

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where a wrong index is a build error"
)]
impl Rows {
    const NONE: Self = Self {
        rows: [(0, Name::new("")); ROOM],
        len: 0,
    };

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The row at this place in the order of numbers.
    pub(super) const fn get(&self, at: usize) -> (u32, Name) {
        assert!(at < self.len, "no such row");
        self.rows[at]
    }

    /// Adds a row at its place.
    const fn insert(&mut self, nr: u32, name: Name) {
        let mut at = self.len;
        while at > 0 && self.rows[at - 1].0 >= nr {
            assert!(self.rows[at - 1].0 != nr, "two names for one number");
            self.rows[at] = self.rows[at - 1];
            at -= 1;
        }
        self.rows[at] = (nr, name);
        self.len += 1;
    }

    /// These rows and those of the runs.
    const fn with(mut self, mut runs: &[Run]) -> Self {
        while let [(first, names), rest @ ..] = runs {
            let mut nr = *first;
            let mut names = *names;
            while let [name, others @ ..] = names {
                self.insert(nr, Name::new(name));
                nr += 1;
                names = others;
            }
            runs = rest;
        }
        self
    }

    /// These rows without the names in the runs, whatever their numbers.
    const fn without(self, runs: &[Run]) -> Self {
        let mut kept = Self::NONE;
        let mut at = 0;
        while at < self.len {
            let (nr, name) = self.rows[at];
            if !is_in(runs, name.text) {
                kept.insert(nr, name);
            }
            at += 1;
        }
        kept
    }

    /// Those from `first` to `last`, with numbers greater by `offset`.
    const fn moved(self, first: u32, last: u32, offset: u32) -> Self {
        let mut part = Self::NONE;
        let mut at = 0;
        while at < self.len {
            let (nr, name) = self.rows[at];
            if first <= nr && nr <= last {
                part.insert(nr + offset, name);
            }
            at += 1;
        }
        part
    }

    /// With the right name for the number that the crate has as a raw identifier.
    const fn with_break(self, nr: u32) -> Self {
        self.without(&[(nr, &["r#break"])])
            .with(&[(nr, &["break"])])
    }

    /// These rows and those.
    const fn and(mut self, other: Self) -> Self {
        let mut at = 0;
        while at < other.len {
            let (nr, name) = other.rows[at];
            self.insert(nr, name);
            at += 1;
        }
        self
    }
}

const fn is_in(mut runs: &[Run], name: &str) -> bool {
    while let [(_, names), rest @ ..] = runs {
        let mut names = *names;
        while let [one, others @ ..] = names {
            if same(one.as_bytes(), name.as_bytes()) {
                return true;
            }
            names = others;
        }
        runs = rest;
    }
    false
}

/// Equality of strings, which is not `const` in the standard library.
const fn same(mut a: &[u8], mut b: &[u8]) -> bool {
    while let ([x, a_rest @ ..], [y, b_rest @ ..]) = (a, b) {
        if *x != *y {
            return false;
        }
        (a, b) = (a_rest, b_rest);
    }
    a.is_empty() && b.is_empty()
}

/// The rows of the crate's module.
macro_rules! of_crate {
    ($module:ident) => {{
        use syscalls::$module::Sysno;
        let mut rows = Rows::NONE;
        let mut id = Sysno::first().id().cast_unsigned();
        while id <= Sysno::last().id().cast_unsigned() {
            if let Some(sysno) = Sysno::new(id as usize) {
                rows.insert(id, Name::new(sysno.name()));
            }
            id += 1;
        }
        rows
    }};
}

/// What came after the crate's last, on architectures whose numbers start at `base`.
macro_rules! newer {
    ($base:literal) => {
        &[($base + 470, &["listns", "rseq_slice_yield"])]
    };
}

/// The calls with 64-bit times that only 32-bit ABIs need (Linux 5.1).
const TIME64: &[Run] = &[
    (
        403,
        &[
            "clock_gettime64",
            "clock_settime64",
            "clock_adjtime64",
            "clock_getres_time64",
            "clock_nanosleep_time64",
            "timer_gettime64",
            "timer_settime64",
            "timerfd_gettime64",
            "timerfd_settime64",
            "utimensat_time64",
            "pselect6_time64",
            "ppoll_time64",
        ],
    ),
    (
        416,
        &[
            "io_pgetevents_time64",
            "recvmmsg_time64",
            "mq_timedsend_time64",
            "mq_timedreceive_time64",
            "semtimedop_time64",
            "rt_sigtimedwait_time64",
            "futex_time64",
            "sched_rr_get_interval_time64",
        ],
    ),
];

pub(super) const X86_64: Rows = of_crate!(x86_64).with(newer!(0));

pub(super) const X86: Rows = of_crate!(x86).with_break(17).with(newer!(0));

/// Without [`crate::arch::X32_BIT`]. The calls whose structures differ have numbers of their own from 512
/// up; others exist for 64 bits only (ABIs "x32" and "64" in `arch/x86/entry/syscalls/syscall_64.tbl`).
pub(super) const X32: Rows = X86_64.without(X32_OWN).without(X32_LACKS).with(X32_OWN);

const X32_LACKS: &[Run] = &[(
    0,
    &[
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
    ],
)];

const X32_OWN: &[Run] = &[(
    512,
    &[
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
    ],
)];

pub(super) const AARCH64: Rows = of_crate!(aarch64)
    .without(TIME64)
    .without(&[(79, &["fstatat"])])
    .with(&[(79, &["newfstatat"])])
    .with(newer!(0));

/// With the private calls (`arch/arm/include/uapi/asm/unistd.h`).
pub(super) const ARM: Rows = of_crate!(arm).with(newer!(0)).with(&[(
    0x0f_0001,
    &[
        "breakpoint",
        "cacheflush",
        "usr26",
        "usr32",
        "set_tls",
        "get_tls",
    ],
)]);

pub(super) const RISCV64: Rows = of_crate!(riscv64).with(newer!(0));

pub(super) const LOONGARCH64: Rows = of_crate!(loongarch64)
    .without(TIME64)
    .without(&[
        (38, &["renameat"]),
        (79, &["fstatat"]),
        (163, &["getrlimit", "setrlimit"]),
        (447, &["memfd_secret"]),
    ])
    .with(&[(79, &["newfstatat"])])
    .with(newer!(0));

pub(super) const PPC: Rows = of_crate!(powerpc).with_break(17).with(newer!(0));

pub(super) const PPC64: Rows = of_crate!(powerpc64).with_break(17).with(newer!(0));

pub(super) const MIPS_O32: Rows = of_crate!(mips)
    .without(MIPS_HOLES)
    .with_break(4017)
    .with(newer!(4000));

pub(super) const MIPS_N64: Rows = of_crate!(mips64)
    .without(MIPS_HOLES)
    .with(&[(5450, &["set_mempolicy_home_node"])])
    .with(newer!(5000));

/// n64's order, with calls of 32-bit machines put in at 212 and 217, and `getdents64` nine earlier.
pub(super) const MIPS_N32: Rows = MIPS_N64
    .moved(5000, 5211, 1000)
    .with(&[(6212, &["fcntl64"])])
    .and(MIPS_N64.moved(5212, 5215, 1001))
    .with(&[(6217, &["statfs64", "fstatfs64", "sendfile64"])])
    .and(MIPS_N64.moved(5216, 5294, 1004))
    .with(&[(6299, &["getdents64"])])
    .and(MIPS_N64.moved(5295, 5307, 1005))
    .and(MIPS_N64.moved(5309, 5328, 1004))
    .and(Rows::NONE.with(TIME64).moved(0, 999, 6000))
    .and(MIPS_N64.moved(5424, 5999, 1000));

/// Rows of the kernel's tables that keep a number free.
const MIPS_HOLES: &[Run] = &[
    (0, &["unused18", "unused28", "unused59", "unused84"]),
    (0, &["unused109", "unused150"]),
    (
        0,
        &["reserved82", "reserved177", "reserved193", "reserved221"],
    ),
];

pub(super) const S390X: Rows = of_crate!(s390x).with(newer!(0));

/// 31 bits: the numbers of s390x, but users and groups as they were with 16 bits, 64-bit files apart
/// (ABIs "32" and "64" in `arch/s390/kernel/syscalls/syscall.tbl`). Linux dropped it before 470.
pub(super) const S390: Rows = S390X
    .moved(0, 469, 0)
    .without(S390_IDS)
    .without(&[(142, &["select"]), (293, &["newfstatat"])])
    .without(&[(392, &["semtimedop"])])
    .with(S390_IDS)
    .with(S390_OWN)
    .with(TIME64);

/// The calls that s390x has at the places of [`S390_OWN`]'s `lchown32` to `setfsgid32`.
const S390_IDS: &[Run] = &[
    (16, &["lchown"]),
    (23, &["setuid", "getuid"]),
    (46, &["setgid", "getgid"]),
    (49, &["geteuid", "getegid"]),
    (70, &["setreuid", "setregid"]),
    (76, &["getrlimit"]),
    (80, &["getgroups", "setgroups"]),
    (95, &["fchown"]),
    (138, &["setfsuid", "setfsgid"]),
    (164, &["setresuid", "getresuid"]),
    (170, &["setresgid", "getresgid"]),
    (182, &["chown"]),
];

const S390_OWN: &[Run] = &[
    (13, &["time"]),
    (25, &["stime"]),
    (101, &["ioperm"]),
    (140, &["_llseek"]),
    (142, &["_newselect"]),
    (
        191,
        &[
            "ugetrlimit",
            "mmap2",
            "truncate64",
            "ftruncate64",
            "stat64",
            "lstat64",
            "fstat64",
            "lchown32",
            "getuid32",
            "getgid32",
            "geteuid32",
            "getegid32",
            "setreuid32",
            "setregid32",
            "getgroups32",
            "setgroups32",
            "fchown32",
            "setresuid32",
            "getresuid32",
            "setresgid32",
            "getresgid32",
            "chown32",
            "setuid32",
            "setgid32",
            "setfsuid32",
            "setfsgid32",
        ],
    ),
    (221, &["fcntl64"]),
    (223, &["sendfile64"]),
    (264, &["fadvise64_64"]),
    (293, &["fstatat64"]),
];
