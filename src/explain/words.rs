//! Conditions in words: arguments by their names, constants by theirs.
//!
//! Small tables of what profiles really compare; everything else is shown as a number.

use crate::policy::Op;
use crate::profile::{Condition, Rule};

/// What an argument holds.
enum Kind {
    /// One of these.
    Value(&'static [Named]),
    /// Any of these bits.
    Flags(&'static [Named]),
    /// A number.
    Number,
}

type Named = (u64, &'static str);

/// The name of a syscall's argument, and what it holds.
fn argument(syscall: &str, index: u8) -> Option<(&'static str, Kind)> {
    use Kind::{Flags, Number, Value};
    Some(match (syscall, index) {
        ("socket" | "socketpair", 0) => ("the domain", Value(DOMAINS)),
        ("socket" | "socketpair", 1) => ("the type", Value(SOCKET_TYPES)),
        ("socket" | "socketpair", 2) => ("the protocol", Number),
        ("socketcall", 0) => ("the call", Value(SOCKETCALLS)),
        ("ipc", 0) => ("the call", Value(IPC_CALLS)),
        ("clone" | "unshare", 0) => ("the flags", Flags(CLONE_FLAGS)),
        ("setns", 1) => ("the kind of namespace", Flags(CLONE_FLAGS)),
        ("personality", 0) => ("the persona", Value(PERSONAS)),
        ("ioctl", 1) => ("the request", Value(IOCTLS)),
        ("prctl", 0) => ("the option", Value(PRCTLS)),
        ("arch_prctl", 0) => ("the code", Number),
        ("fcntl" | "fcntl64", 1) => ("the command", Value(FCNTLS)),
        ("mprotect" | "mmap" | "mmap2" | "pkey_mprotect", 2) => {
            ("the protection", Flags(PROTECTIONS))
        }
        ("kill" | "tkill", 1) | ("tgkill", 2) => ("the signal", Number),
        ("kill" | "tkill" | "tgkill", 0) => ("the process", Number),
        ("ptrace", 0) => ("the request", Number),
        ("bpf" | "keyctl", 0) => ("the command", Number),
        _ => return None,
    })
}

const DOMAINS: &[Named] = &[
    (0, "AF_UNSPEC"),
    (1, "AF_UNIX"),
    (2, "AF_INET"),
    (3, "AF_AX25"),
    (4, "AF_IPX"),
    (5, "AF_APPLETALK"),
    (9, "AF_X25"),
    (10, "AF_INET6"),
    (15, "AF_KEY"),
    (16, "AF_NETLINK"),
    (17, "AF_PACKET"),
    (21, "AF_RDS"),
    (29, "AF_CAN"),
    (30, "AF_TIPC"),
    (31, "AF_BLUETOOTH"),
    (38, "AF_ALG"),
    (39, "AF_NFC"),
    (40, "AF_VSOCK"),
    (41, "AF_KCM"),
    (42, "AF_QIPCRTR"),
    (43, "AF_SMC"),
    (44, "AF_XDP"),
];
const SOCKET_TYPES: &[Named] = &[
    (1, "SOCK_STREAM"),
    (2, "SOCK_DGRAM"),
    (3, "SOCK_RAW"),
    (4, "SOCK_RDM"),
    (5, "SOCK_SEQPACKET"),
];
const SOCKETCALLS: &[Named] = &[
    (1, "socket"),
    (2, "bind"),
    (3, "connect"),
    (4, "listen"),
    (5, "accept"),
    (6, "getsockname"),
    (7, "getpeername"),
    (8, "socketpair"),
    (9, "send"),
    (10, "recv"),
    (11, "sendto"),
    (12, "recvfrom"),
    (13, "shutdown"),
    (14, "setsockopt"),
    (15, "getsockopt"),
    (16, "sendmsg"),
    (17, "recvmsg"),
    (18, "accept4"),
    (19, "recvmmsg"),
    (20, "sendmmsg"),
];
const IPC_CALLS: &[Named] = &[
    (1, "semop"),
    (2, "semget"),
    (3, "semctl"),
    (4, "semtimedop"),
    (11, "msgsnd"),
    (12, "msgrcv"),
    (13, "msgget"),
    (14, "msgctl"),
    (21, "shmat"),
    (22, "shmdt"),
    (23, "shmget"),
    (24, "shmctl"),
];
const CLONE_FLAGS: &[Named] = &[
    (0x80, "CLONE_NEWTIME"),
    (0x100, "CLONE_VM"),
    (0x200, "CLONE_FS"),
    (0x400, "CLONE_FILES"),
    (0x800, "CLONE_SIGHAND"),
    (0x2000, "CLONE_PTRACE"),
    (0x4000, "CLONE_VFORK"),
    (0x8000, "CLONE_PARENT"),
    (0x1_0000, "CLONE_THREAD"),
    (0x2_0000, "CLONE_NEWNS"),
    (0x80_0000, "CLONE_UNTRACED"),
    (0x200_0000, "CLONE_NEWCGROUP"),
    (0x400_0000, "CLONE_NEWUTS"),
    (0x800_0000, "CLONE_NEWIPC"),
    (0x1000_0000, "CLONE_NEWUSER"),
    (0x2000_0000, "CLONE_NEWPID"),
    (0x4000_0000, "CLONE_NEWNET"),
    (0x8000_0000, "CLONE_IO"),
];
const PERSONAS: &[Named] = &[
    (0, "PER_LINUX"),
    (8, "PER_LINUX32"),
    (0x2_0000, "UNAME26"),
    (0x2_0008, "PER_LINUX32 with UNAME26"),
    (0x4_0000, "ADDR_NO_RANDOMIZE"),
    (0xffff_ffff, "the question for the present one"),
];
const IOCTLS: &[Named] = &[
    (0x5401, "TCGETS"),
    (0x5402, "TCSETS"),
    (0x5410, "TIOCSPGRP"),
    (0x5412, "TIOCSTI"),
    (0x5413, "TIOCGWINSZ"),
    (0x541b, "FIONREAD"),
    (0x541c, "TIOCLINUX"),
    (0x5421, "FIONBIO"),
    (0x5450, "FIONCLEX"),
    (0x5451, "FIOCLEX"),
];
const PRCTLS: &[Named] = &[
    (1, "PR_SET_PDEATHSIG"),
    (3, "PR_GET_DUMPABLE"),
    (4, "PR_SET_DUMPABLE"),
    (8, "PR_SET_KEEPCAPS"),
    (15, "PR_SET_NAME"),
    (16, "PR_GET_NAME"),
    (22, "PR_SET_SECCOMP"),
    (23, "PR_CAPBSET_READ"),
    (24, "PR_CAPBSET_DROP"),
    (35, "PR_SET_MM"),
    (36, "PR_SET_CHILD_SUBREAPER"),
    (38, "PR_SET_NO_NEW_PRIVS"),
    (39, "PR_GET_NO_NEW_PRIVS"),
    (47, "PR_CAP_AMBIENT"),
    (0x5356_4d41, "PR_SET_VMA"),
];
const FCNTLS: &[Named] = &[
    (0, "F_DUPFD"),
    (1, "F_GETFD"),
    (2, "F_SETFD"),
    (3, "F_GETFL"),
    (4, "F_SETFL"),
    (5, "F_GETLK"),
    (6, "F_SETLK"),
    (7, "F_SETLKW"),
    (8, "F_SETOWN"),
    (9, "F_GETOWN"),
    (1030, "F_DUPFD_CLOEXEC"),
    (1031, "F_SETPIPE_SZ"),
    (1033, "F_ADD_SEALS"),
];
const PROTECTIONS: &[Named] = &[(1, "PROT_READ"), (2, "PROT_WRITE"), (4, "PROT_EXEC")];

/// When the rule matches calls of this name; empty when always.
pub(super) fn when(syscall: &str, rule: &Rule) -> String {
    let mut tested = 0_u8;
    let twice = rule.conditions.iter().any(|condition| {
        let bit = 1_u8.checked_shl(u32::from(condition.index)).unwrap_or(0);
        let again = tested & bit != 0;
        tested |= bit;
        again
    });
    let each = rule
        .conditions
        .iter()
        .map(|condition| one(syscall, condition));
    // As every runtime has it (see `profile::resolve`).
    each.collect::<Vec<_>>()
        .join(if twice { " or " } else { " and " })
}

fn one(syscall: &str, condition: &Condition) -> String {
    let (subject, kind) = match argument(syscall, condition.index) {
        Some((subject, kind)) => (subject.to_owned(), kind),
        None => (format!("argument {}", condition.index), Kind::Number),
    };
    let value = shown(&kind, condition.value);
    match condition.op {
        Op::Eq => format!("{subject} is {value}"),
        Op::Ne => format!("{subject} is not {value}"),
        Op::Lt => format!("{subject} is less than {value}"),
        Op::Le => format!("{subject} is at most {value}"),
        Op::Ge => format!("{subject} is at least {value}"),
        Op::Gt => format!("{subject} is more than {value}"),
        Op::MaskedEq(mask) => masked(&subject, &kind, mask, condition.value & mask),
    }
}

fn masked(subject: &str, kind: &Kind, mask: u64, value: u64) -> String {
    if matches!(mask, 0xffff_ffff | u64::MAX) {
        return format!("{subject} is {}", shown(kind, value));
    }
    if mask == 0 {
        return "always".to_owned();
    }
    let (set, clear) = (value, mask & !value);
    let bits = |bits: u64| match kind {
        Kind::Flags(named) => flags(named, bits),
        _ => format!("{bits:#x}"),
    };
    let has = if subject.ends_with('s') {
        "have"
    } else {
        "has"
    };
    match (set, clear) {
        (0, _) => format!("{subject} {has} none of {}", bits(clear)),
        (_, 0) => format!("{subject} {has} all of {}", bits(set)),
        _ => format!(
            "{subject} {has} all of {} and none of {}",
            bits(set),
            bits(clear)
        ),
    }
}

/// Bits by their names, the rest as a number.
fn flags(named: &[Named], bits: u64) -> String {
    let mut words = Vec::new();
    let mut rest = bits;
    for &(bit, name) in named.iter().filter(|(bit, _)| bits & bit != 0) {
        words.push(name.to_owned());
        rest &= !bit;
    }
    if rest != 0 || words.is_empty() {
        words.push(format!("{rest:#x}"));
    }
    words.join(" ")
}

/// A constant by its name, where it has one.
fn shown(kind: &Kind, value: u64) -> String {
    let number = if value < 0x1_0000 {
        value.to_string()
    } else {
        format!("{value:#x}")
    };
    match kind {
        Kind::Value(named) => match named.iter().find(|(known, _)| *known == value) {
            Some((_, name)) => format!("{name} ({number})"),
            None => number,
        },
        Kind::Flags(named) => format!("{} ({value:#x})", flags(named, value)),
        Kind::Number => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_said_in_words() {
        let at = |index, op, value| Condition { index, op, value };
        let namespaces = 0x7e02_0000;
        let cases: [(&str, &[Condition], &str); 14] = [
            (
                "socket",
                &[at(0, Op::Eq, 16), at(2, Op::Eq, 9)],
                "the domain is AF_NETLINK (16) and the protocol is 9",
            ),
            (
                "socket",
                &[at(0, Op::Ne, 1), at(0, Op::Ne, 2)],
                "the domain is not AF_UNIX (1) or the domain is not AF_INET (2)",
            ),
            ("socket", &[at(0, Op::Lt, 99)], "the domain is less than 99"),
            (
                "socket",
                &[at(0, Op::MaskedEq(0xffff_ffff), 2)],
                "the domain is AF_INET (2)",
            ),
            (
                "clone",
                &[at(0, Op::MaskedEq(namespaces), 0)],
                "the flags have none of CLONE_NEWNS CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET",
            ),
            (
                "clone",
                &[at(0, Op::MaskedEq(0x300), 0x100)],
                "the flags have all of CLONE_VM and none of CLONE_FS",
            ),
            (
                "mprotect",
                &[at(2, Op::MaskedEq(4), 4)],
                "the protection has all of PROT_EXEC",
            ),
            (
                "mprotect",
                &[at(2, Op::Eq, 0x13)],
                "the protection is PROT_READ PROT_WRITE 0x10 (0x13)",
            ),
            (
                "personality",
                &[at(0, Op::Eq, 0xffff_ffff)],
                "the persona is the question for the present one (0xffffffff)",
            ),
            (
                "read",
                &[at(5, Op::Ge, u64::MAX)],
                "argument 5 is at least 0xffffffffffffffff",
            ),
            (
                "read",
                &[at(1, Op::MaskedEq(0xf0), 0x10)],
                "argument 1 has all of 0x10 and none of 0xe0",
            ),
            ("read", &[at(1, Op::MaskedEq(0), 0)], "always"),
            (
                "ioctl",
                &[at(1, Op::Eq, 0x5412)],
                "the request is TIOCSTI (21522)",
            ),
            ("read", &[], ""),
        ];
        for (syscall, conditions, want) in cases {
            let rule = Rule {
                conditions: conditions.to_vec(),
                ..Rule::allow([syscall])
            };
            assert_eq!(when(syscall, &rule), want, "{conditions:?}");
        }
    }
}
