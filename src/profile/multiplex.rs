//! The two syscalls that are many: `socketcall(2)` and `ipc(2)`.
//!
//! Some architectures (32-bit x86, s390, PowerPC, MIPS o32 ...) reach sockets and System V IPC through one
//! syscall whose first argument selects the call. A rule on `socket` must hold on that way too, so
//! libseccomp makes two of it (`abi_rule_add` in `src/syscalls.c`).

use crate::arch::Arch;
use crate::syscall::{self, NAMES, Name, Sysno};

/// The other way to a call, on the architectures that have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Multiplexed {
    pub(super) by: &'static str,
    /// The first argument that selects the call.
    pub(super) selector: u64,
}

/// The other way to the call of this name.
pub(super) fn multiplexed(name: &str) -> Option<Multiplexed> {
    other_way(&Name::from(name))
}

fn other_way(name: &Name) -> Option<Multiplexed> {
    let way = WAYS.get(name.index()?).copied().filter(|&way| way != 0)?;
    Some(Multiplexed {
        by: if way & IS_IPC == 0 { SOCKETCALL } else { IPC },
        selector: (way & !IS_IPC).into(),
    })
}

/// The syscall that makes the call of this name too, on the architectures that have it.
pub(crate) fn multiplexer_of(name: &str) -> Option<&'static str> {
    multiplexed(name).map(|other| other.by)
}

const SOCKETCALL: &str = "socketcall";
const IPC: &str = "ipc";

/// The calls of `socketcall`, with the first argument that selects each: `linux/net.h`.
const SOCKETCALLS: [(&str, u8); 20] = [
    ("socket", 1),
    ("bind", 2),
    ("connect", 3),
    ("listen", 4),
    ("accept", 5),
    ("getsockname", 6),
    ("getpeername", 7),
    ("socketpair", 8),
    ("send", 9),
    ("recv", 10),
    ("sendto", 11),
    ("recvfrom", 12),
    ("shutdown", 13),
    ("setsockopt", 14),
    ("getsockopt", 15),
    ("sendmsg", 16),
    ("recvmsg", 17),
    ("accept4", 18),
    ("recvmmsg", 19),
    ("sendmmsg", 20),
];

/// The calls of `ipc`: `linux/ipc.h`.
const IPCS: [(&str, u8); 12] = [
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

/// Marks the calls of `ipc` in [`WAYS`].
const IS_IPC: u8 = 0x80;

/// By [`Name::index`]: the selector of each call that has one. Made by the compiler, since it is asked for every name of
/// a profile.
static WAYS: [u8; NAMES] = ways();

const fn ways() -> [u8; NAMES] {
    let mut ways = [0; NAMES];
    fill(&mut ways, &SOCKETCALLS, 0);
    fill(&mut ways, &IPCS, IS_IPC);
    ways
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where a wrong index is a build error"
)]
const fn fill(ways: &mut [u8; NAMES], mut calls: &[(&str, u8)], multiplexer: u8) {
    while let [(name, selector), rest @ ..] = calls {
        ways[syscall::index_of(name)] = *selector | multiplexer;
        calls = rest;
    }
}

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

    /// Has the architecture none?
    pub(super) const fn is_none(self) -> bool {
        self.socketcall.is_none() && self.ipc.is_none()
    }

    /// The other way to the call of this name, and its multiplexer, if the architecture has it.
    pub(super) fn find(self, name: &Name) -> Option<(Multiplexed, Sysno)> {
        // Most architectures have none, and no need to look at names.
        if self.is_none() {
            return None;
        }
        let call = other_way(name)?;
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
    fn every_way_is_found_by_its_name() {
        for (by, calls) in [(SOCKETCALL, &SOCKETCALLS[..]), (IPC, &IPCS)] {
            for &(name, selector) in calls {
                let way = multiplexed(name).expect(name);
                assert_eq!((way.by, way.selector), (by, selector.into()), "{name}");
            }
        }
        let calls = WAYS.iter().filter(|&&way| way != 0);
        assert_eq!(calls.count(), SOCKETCALLS.len() + IPCS.len());
    }

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
