//! Conditions in words: arguments by their names, constants by theirs.
//!
//! Of what profiles really compare; everything else is shown as a number.

use crate::constants::Set;
use crate::policy::Op;
use crate::profile::{Condition, Rule};

/// What an argument holds.
enum Kind {
    /// One of these.
    Value(Set),
    /// Any of these bits.
    Flags(Set),
    /// A number.
    Number,
}

/// The name of a syscall's argument, and what it holds.
fn argument(syscall: &str, index: u8) -> Option<(&'static str, Kind)> {
    use Kind::{Flags, Number, Value};
    Some(match (syscall, index) {
        ("socket" | "socketpair", 0) => ("the domain", Value(Set::Domain)),
        ("socket" | "socketpair", 1) => ("the type", Value(Set::SocketType)),
        ("socket" | "socketpair", 2) => ("the protocol", Number),
        ("socketcall", 0) => ("the call", Value(Set::Socketcall)),
        ("ipc", 0) => ("the call", Value(Set::Ipc)),
        ("clone", 0) => ("the flags", Flags(Set::Clone)),
        ("unshare", 0) => ("the flags", Flags(Set::Namespace)),
        ("setns", 1) => ("the kind of namespace", Flags(Set::Namespace)),
        ("personality", 0) => ("the persona", Value(Set::Persona)),
        ("ioctl", 1) => ("the request", Value(Set::Ioctl)),
        ("prctl", 0) => ("the option", Value(Set::Prctl)),
        ("arch_prctl", 0) => ("the code", Number),
        ("fcntl" | "fcntl64", 1) => ("the command", Value(Set::Fcntl)),
        ("mprotect" | "mmap" | "mmap2" | "pkey_mprotect", 2) => {
            ("the protection", Flags(Set::Protection))
        }
        ("kill" | "tkill", 1) | ("tgkill", 2) => ("the signal", Number),
        ("kill" | "tkill" | "tgkill", 0) => ("the process", Number),
        ("ptrace", 0) => ("the request", Value(Set::Ptrace)),
        ("keyctl", 0) => ("the command", Value(Set::Keyctl)),
        ("bpf", 0) => ("the command", Number),
        _ => return None,
    })
}

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
        Kind::Flags(named) => flags(*named, bits),
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
fn flags(named: Set, bits: u64) -> String {
    let (known, rest) = named.of_bits(bits);
    let mut words: Vec<_> = known.into_iter().map(str::to_owned).collect();
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
        Kind::Value(named) => match named.of(value) {
            Some(name) => format!("{name} ({number})"),
            None => number,
        },
        Kind::Flags(named) => format!("{} ({value:#x})", flags(*named, value)),
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
        let cases: [(&str, &[Condition], &str); 20] = [
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
            (
                "ptrace",
                &[at(0, Op::Eq, 16)],
                "the request is PTRACE_ATTACH (16)",
            ),
            (
                "keyctl",
                &[at(0, Op::Eq, 1)],
                "the command is KEYCTL_JOIN_SESSION_KEYRING (1)",
            ),
            ("ipc", &[at(0, Op::Eq, 21)], "the call is shmat (21)"),
            // In clone it is part of a signal.
            (
                "clone",
                &[at(0, Op::MaskedEq(0x80), 0)],
                "the flags have none of 0x80",
            ),
            (
                "unshare",
                &[at(0, Op::MaskedEq(0x80), 0)],
                "the flags have none of CLONE_NEWTIME",
            ),
            (
                "setns",
                &[at(1, Op::MaskedEq(0x2000_0000), 0x2000_0000)],
                "the kind of namespace has all of CLONE_NEWPID",
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
