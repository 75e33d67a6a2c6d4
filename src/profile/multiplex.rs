//! The two syscalls that are many: `socketcall(2)` and `ipc(2)`.
//!
//! Some architectures (32-bit x86, s390, PowerPC, MIPS o32 ...) reach sockets and System V IPC through one
//! syscall whose first argument selects the call. A rule on `socket` must hold on that way too, so
//! libseccomp makes two of it (`abi_rule_add` in `src/syscalls.c`).

use crate::arch::Arch;
use crate::syscall::Sysno;

/// The other way to a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Multiplexer {
    pub(super) name: &'static str,
    pub(super) sysno: Sysno,
    /// The first argument that selects the call.
    pub(super) selector: u64,
}

/// The calls of `socketcall`, from 1 (`SYS_SOCKET` and the following in `linux/net.h`).
const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// The calls of `ipc` (`linux/ipc.h`).
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// The multiplexer through which this architecture can make the call as well, if it has one.
pub(super) fn multiplexed(arch: Arch, name: &str) -> Option<Multiplexer> {
    let socketcall = (1..).zip(SOCKETCALL).find(|&(_, call)| call == name);
    let ipc = || IPC.into_iter().find(|&(call, _)| call == name);
    let (multiplexer, selector) = match socketcall {
        Some((selector, _)) => ("socketcall", selector),
        None => ("ipc", ipc()?.1),
    };
    Sysno::parse(arch, multiplexer).map(|sysno| Multiplexer {
        name: multiplexer,
        sysno,
        selector,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_their_selectors() {
        let cases = [
            (Arch::X86, "socket", Some((102, 1))),
            (Arch::X86, "sendmmsg", Some((102, 20))),
            (Arch::X86, "shmctl", Some((117, 24))),
            (Arch::X86, "semtimedop", Some((117, 4))),
            (Arch::X86, "read", None),
            (Arch::X86_64, "socket", None),
            (Arch::X32, "socket", None),
            (Arch::Arm, "socket", None),
            (Arch::Aarch64, "semop", None),
            (Arch::S390x, "accept4", Some((102, 18))),
            (Arch::Ppc64le, "msgrcv", Some((117, 12))),
            (Arch::Mips, "bind", Some((4102, 2))),
            (Arch::Mips64, "bind", None),
        ];
        for (arch, name, want) in cases {
            let got = multiplexed(arch, name).map(|found| (found.sysno.nr, found.selector));
            assert_eq!(got, want, "{arch} {name}");
        }
    }
}
