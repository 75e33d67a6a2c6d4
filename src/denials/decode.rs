//! A call as a person reads it: `openat(AT_FDCWD, "/etc/shadow", O_RDONLY|O_CLOEXEC, 0)`.

use std::fmt::Write as _;

use super::prototypes::{self, Kind};
use crate::bpf::low;
use crate::constants::Set;
use crate::sys::signal::Signal;
use crate::syscall::Sysno;

/// The call, with what `text` finds at the addresses of paths.
///
/// The kernel may find another path there when it looks: this is for display alone.
pub(crate) fn decode(
    sysno: Sysno,
    args: &[u64; 6],
    text: &dyn Fn(u64) -> Option<String>,
) -> String {
    let name = sysno.name();
    let mut call = match name {
        Some(name) => format!("{name}("),
        None => format!("{sysno}("),
    };
    let listed = name.and_then(prototypes::of);
    let kinds = listed.unwrap_or([Some(Kind::Hex); 6]).into_iter().flatten();
    for (at, (kind, &value)) in kinds.zip(args).enumerate() {
        if at > 0 {
            call.push_str(", ");
        }
        argument(&mut call, kind, value, text);
    }
    call.push(')');
    call
}

fn argument(call: &mut String, kind: Kind, value: u64, text: &dyn Fn(u64) -> Option<String>) {
    let bits = u64::from(low(value));
    // Writing to a string cannot fail.
    let _ = match kind {
        Kind::Size => write!(call, "{value}"),
        Kind::Hex => hex(call, value),
        Kind::Dir if signed(value) == libc::AT_FDCWD => write!(call, "AT_FDCWD"),
        Kind::Int | Kind::Dir => write!(call, "{}", signed(value)),
        Kind::Path => match text(value) {
            // Control characters would reach a terminal.
            Some(path) => write!(call, "{path:?}"),
            None => hex(call, value),
        },
        Kind::Mode => write!(call, "{bits:#o}"),
        Kind::Signal => match signed(value) {
            0 => write!(call, "0"),
            number => write!(call, "{}", Signal::from_raw(number)),
        },
        Kind::Flags(names) => {
            flags(call, bits, names, true);
            Ok(())
        }
        Kind::One(names) => match names.of(bits) {
            Some(name) => write!(call, "{name}"),
            None => hex(call, bits),
        },
        Kind::OneAnd(names, above) => {
            let extra = above.iter().fold(0, |all, (_, bit)| all | bit);
            match names.of(bits & !extra) {
                Some(name) => {
                    call.push_str(name);
                    flags(call, bits & extra, above, false);
                    Ok(())
                }
                None => hex(call, bits),
            }
        }
    };
}

/// An argument of 32 bits, as a signed number.
fn signed(value: u64) -> i32 {
    low(value).cast_signed()
}

fn hex(call: &mut String, value: u64) -> std::fmt::Result {
    match value {
        0..=9 => write!(call, "{value}"),
        _ => write!(call, "{value:#x}"),
    }
}

/// The names of the bits that are set, and what is left. `first`: nothing stands before them.
fn flags(call: &mut String, value: u64, names: Set, mut first: bool) {
    if value == 0 && first {
        call.push('0');
    }
    let mut bar = |call: &mut String| {
        if !std::mem::take(&mut first) {
            call.push('|');
        }
    };
    let (known, left) = names.of_bits(value);
    for name in known {
        bar(call);
        call.push_str(name);
    }
    if left != 0 {
        bar(call);
        let _ = write!(call, "{left:#x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;

    #[test]
    fn calls_read_as_in_a_manual_page() {
        let minus_100 = (-100_i64).cast_unsigned();
        let cases: [(&str, [u64; 6], &str); 18] = [
            (
                "unshare",
                [0x1000_0080, 0, 0, 0, 0, 0],
                "unshare(CLONE_NEWTIME|CLONE_NEWUSER)",
            ),
            (
                "pipe2",
                [4096, 0o2_000_000, 0, 0, 0, 0],
                "pipe2(0x1000, O_CLOEXEC)",
            ),
            (
                "openat",
                [minus_100, 1, 0o2_000_102, 0o644, 9, 9],
                "openat(AT_FDCWD, \"/x\\u{1b}\", O_RDWR|O_CREAT|O_CLOEXEC, 0o644)",
            ),
            (
                "openat",
                [0xffff_ff9c, 0, 0, 0, 0, 0],
                "openat(AT_FDCWD, 0, O_RDONLY, 0o0)",
            ),
            (
                "openat",
                [7, 77, 0, 0, 0, 0],
                "openat(7, 0x4d, O_RDONLY, 0o0)",
            ),
            (
                "socket",
                [2, 0x80001, 0, 0, 0, 0],
                "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0)",
            ),
            (
                "socket",
                [1_000, 0x1234, 0, 0, 0, 0],
                "socket(0x3e8, 0x1234, 0)",
            ),
            (
                "clone",
                [0x8000_0011, 0, 0, 0, 0, 0],
                "clone(CLONE_IO|0x11, 0, 0, 0, 0)",
            ),
            ("clone", [0, 0, 0, 0, 0, 0], "clone(0, 0, 0, 0, 0)"),
            (
                "unshare",
                [0x1002_0000, 0, 0, 0, 0, 0],
                "unshare(CLONE_NEWNS|CLONE_NEWUSER)",
            ),
            ("kill", [u64::MAX, 15, 0, 0, 0, 0], "kill(-1, SIGTERM)"),
            ("kill", [5, 0, 0, 0, 0, 0], "kill(5, 0)"),
            ("kill", [5, 40, 0, 0, 0, 0], "kill(5, SIGRTMIN+6)"),
            (
                "ioctl",
                [0, 0x5412, 0x7ff0, 0, 0, 0],
                "ioctl(0, TIOCSTI, 0x7ff0)",
            ),
            (
                "ioctl",
                [0, 0x1_0000_5412, 0, 0, 0, 0],
                "ioctl(0, TIOCSTI, 0)",
            ),
            ("getppid", [1, 2, 3, 4, 5, 6], "getppid()"),
            (
                "seccomp",
                [1, 9, 16, 0, 0, 0],
                "seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC|SECCOMP_FILTER_FLAG_NEW_LISTENER, 0x10)",
            ),
            (
                "syscall_999",
                [1, 10, 0, 0, 0, 0],
                "syscall_999(1, 0xa, 0, 0, 0, 0)",
            ),
        ];
        let text = |address| (address == 1).then(|| "/x\u{1b}".to_owned());
        for (name, args, want) in cases {
            let sysno = Sysno::parse(Arch::X86_64, name).unwrap();
            assert_eq!(decode(sysno, &args, &text), want);
        }
        let of_32_bit = [
            (
                "socketcall",
                [1, 0xff, 0, 0, 0, 0],
                "socketcall(socket, 0xff)",
            ),
            (
                "ipc",
                [21, 7, 0, 4096, 0, 0],
                "ipc(shmat, 7, 0, 0x1000, 0, 0)",
            ),
        ];
        for (name, args, want) in of_32_bit {
            let sysno = Sysno::parse(Arch::X86, name).unwrap();
            assert_eq!(decode(sysno, &args, &text), want);
        }
    }
}
