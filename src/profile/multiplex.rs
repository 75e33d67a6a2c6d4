//! The two syscalls that are many: `socketcall(2)` and `ipc(2)`.
//!
//! Some architectures (32-bit x86, s390, PowerPC, MIPS o32 ...) reach sockets and System V IPC through one
//! syscall whose first argument selects the call. A rule on `socket` must hold on that way too, so
//! libseccomp makes two of it (`abi_rule_add` in `src/syscalls.c`).

use crate::arch::Arch;
use crate::syscall::{Name, Sysno};

/// The other way to a call, on the architectures that have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Multiplexed {
    pub(super) by: &'static str,
    /// The first argument that selects the call.
    pub(super) selector: u64,
}

/// The other way to the call of this name: numbers are those of `linux/net.h` and `linux/ipc.h`.
pub(super) fn multiplexed(name: &str) -> Option<Multiplexed> {
    let (by, selector) = match name {
        "socket" => (SOCKETCALL, 1),
        "bind" => (SOCKETCALL, 2),
        "connect" => (SOCKETCALL, 3),
        "listen" => (SOCKETCALL, 4),
        "accept" => (SOCKETCALL, 5),
        "getsockname" => (SOCKETCALL, 6),
        "getpeername" => (SOCKETCALL, 7),
        "socketpair" => (SOCKETCALL, 8),
        "send" => (SOCKETCALL, 9),
        "recv" => (SOCKETCALL, 10),
        "sendto" => (SOCKETCALL, 11),
        "recvfrom" => (SOCKETCALL, 12),
        "shutdown" => (SOCKETCALL, 13),
        "setsockopt" => (SOCKETCALL, 14),
        "getsockopt" => (SOCKETCALL, 15),
        "sendmsg" => (SOCKETCALL, 16),
        "recvmsg" => (SOCKETCALL, 17),
        "accept4" => (SOCKETCALL, 18),
        "recvmmsg" => (SOCKETCALL, 19),
        "sendmmsg" => (SOCKETCALL, 20),
        "semop" => (IPC, 1),
        "semget" => (IPC, 2),
        "semctl" => (IPC, 3),
        "semtimedop" => (IPC, 4),
        "msgsnd" => (IPC, 11),
        "msgrcv" => (IPC, 12),
        "msgget" => (IPC, 13),
        "msgctl" => (IPC, 14),
        "shmat" => (IPC, 21),
        "shmdt" => (IPC, 22),
        "shmget" => (IPC, 23),
        "shmctl" => (IPC, 24),
        _ => return None,
    };
    Some(Multiplexed { by, selector })
}

/// The syscall that makes the call of this name too, on the architectures that have it.
pub(crate) fn multiplexer_of(name: &str) -> Option<&'static str> {
    multiplexed(name).map(|other| other.by)
}

const SOCKETCALL: &str = "socketcall";
const IPC: &str = "ipc";

/// The multiplexers of an architecture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Multiplexers {
    socketcall: Option<Sysno>,
    ipc: Option<Sysno>,
}

impl Multiplexers {
    pub(super) fn of(arch: Arch) -> Self {
        Self {
            socketcall: Sysno::parse(arch, SOCKETCALL),
            ipc: Sysno::parse(arch, IPC),
        }
    }

    /// The other way to the call of this name, and its multiplexer, if the architecture has it.
    pub(super) fn find(self, name: &Name) -> Option<(Multiplexed, Sysno)> {
        // Most architectures have none, and no need to look at names.
        self.socketcall.or(self.ipc)?;
        let call = multiplexed(name)?;
        let multiplexer = if call.by == SOCKETCALL {
            self.socketcall
        } else {
            self.ipc
        };
        multiplexer.map(|multiplexer| (call, multiplexer))
    }
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
            let got = Multiplexers::of(arch).find(&name.into());
            let got = got.map(|(call, multiplexer)| (multiplexer.nr, call.selector));
            assert_eq!(got, want, "{arch} {name}");
        }
    }
}
