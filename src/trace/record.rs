//! What a stop says about the command, taken down.

use std::collections::HashMap;

use super::live::{Live, Seen};
use super::stop::{Birth, Made, Stop};
use super::tree::Kin;
use super::unhide::Unhider;
use crate::peek::Maps;
use crate::recording::{ExeId, Note};
use crate::sys::Tid;
use crate::sys::ptrace::{self, Stopped};
use crate::syscall::Sysno;

/// Takes down calls, and remembers those whose return matters.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    /// The calls whose return matters, while they are under way.
    entered: HashMap<Tid, Entered>,
    /// The last call of each task.
    last: HashMap<Tid, Sysno>,
    maps: Maps,
    unhider: Unhider,
}

/// A call whose return is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entered {
    /// Wants a tracer or a tracee.
    Ptrace,
    /// Makes a task, which has not been announced; with these flags, where they could be read.
    Fork(Option<u64>),
    /// Executes another program.
    Exec,
}

impl Recorder {
    /// A call is entered.
    pub(super) fn entry(&mut self, made: &Made, exe: ExeId, tracee: &Stopped, live: &Live) -> Seen {
        let seen = live.saw(made, exe, &mut self.maps);
        let Some(sysno) = seen.sysno else {
            return seen;
        };
        let (tid, args) = (made.tid, &made.args);
        self.last.insert(tid, sysno);
        match sysno.name() {
            Some("clone" | "clone3" | "fork" | "vfork") => {
                // Where the flags cannot be read or changed, the return will show whether a child escaped.
                let flags = self.unhider.entered(tid, sysno, args[0], tracee);
                self.entered
                    .insert(tid, Entered::Fork(flags.unwrap_or_default()));
            }
            Some("ptrace") if ptrace::begins(args[0]) => {
                self.entered.insert(tid, Entered::Ptrace);
            }
            Some("execve" | "execveat") => {
                self.entered.insert(tid, Entered::Exec);
            }
            _ => {}
        }
        seen
    }

    /// A call has returned.
    pub(super) fn exit(&mut self, tid: Tid, result: i64, tracee: &Stopped, live: &Live) {
        if result < 0
            && let Some(&sysno) = self.last.get(&tid)
        {
            live.recording().returned(sysno, result);
        }
        self.unhider.returned(tid, tracee);
        let note = match self.entered.remove(&tid) {
            Some(Entered::Ptrace) if result == -i64::from(libc::EPERM) => Note::PtraceRefused,
            // A child was made, and no event told of it: it is not traced.
            Some(Entered::Fork(_)) if result > 0 => Note::Untraced,
            _ => return,
        };
        live.recording().notes.insert(note);
    }

    /// A child of this task was announced. Returns what it is to its parent.
    pub(super) fn born(&mut self, tid: Tid, birth: Birth, live: &Live) -> Kin {
        let flags = match self.entered.remove(&tid) {
            Some(Entered::Fork(flags)) => flags,
            _ => None,
        };
        let kin = kin(birth, flags);
        live.recording().threads |= kin == Kin::Thread;
        kin
    }

    /// Another program runs in this task.
    pub(super) fn executed(&mut self, tid: Tid, former: Tid) {
        self.entered.remove(&tid);
        self.entered.remove(&former);
        self.maps.forget();
    }

    /// A task has ended, or is let go.
    pub(super) fn ended(&mut self, tid: Tid) {
        self.unhider.ended(tid);
        self.entered.remove(&tid);
        self.last.remove(&tid);
    }

    /// Must this task stop when its call returns?
    pub(super) fn waits_for(&self, tid: Tid) -> bool {
        self.unhider.has_altered(tid) || self.entered.get(&tid) == Some(&Entered::Ptrace)
    }

    /// Is this task in the middle of executing another program, or of making a task? The one would close a
    /// listener that has not been taken yet, the other hand it on.
    pub(super) fn is_branching(&self, tid: Tid) -> bool {
        matches!(
            self.entered.get(&tid),
            Some(Entered::Exec | Entered::Fork(_))
        )
    }
}

/// What a new task is to its parent. Without its flags the worst is assumed.
fn kin(birth: Birth, flags: Option<u64>) -> Kin {
    let bit = |flag: libc::c_int| u64::from(flag.cast_unsigned());
    match (birth, flags) {
        (_, Some(flags)) if flags & bit(libc::CLONE_THREAD) != 0 => Kin::Thread,
        (Birth::Vfork, _) => Kin::Guest,
        (_, Some(flags)) if flags & bit(libc::CLONE_VM) == 0 => Kin::Process,
        _ => Kin::Sharer,
    }
}

impl Stop {
    /// Is this call one in whose place a process can be made to install a filter? Not one that does not come
    /// back, or comes back as somebody else, nor one whose restart the kernel remembers.
    pub(super) fn is_plain(name: &str) -> bool {
        !matches!(
            name,
            "clone"
                | "clone3"
                | "execve"
                | "execveat"
                | "exit"
                | "exit_group"
                | "fork"
                | "prctl"
                | "ptrace"
                | "restart_syscall"
                | "rt_sigreturn"
                | "seccomp"
                | "vfork"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_child_follows_from_its_flags() {
        const THREAD: u64 = 0x1_0000;
        const VM: u64 = 0x100;
        const CHLD: u64 = 0x11;
        let cases = [
            (Birth::Fork, Some(CHLD), Kin::Process),
            (Birth::Fork, Some(CHLD | VM), Kin::Sharer),
            (Birth::Fork, None, Kin::Sharer),
            (Birth::Vfork, None, Kin::Guest),
            (Birth::Vfork, Some(VM | 0x4000 | CHLD), Kin::Guest),
            (Birth::Clone, Some(THREAD | VM), Kin::Thread),
            (Birth::Fork, Some(THREAD | VM | CHLD), Kin::Thread),
            (Birth::Clone, Some(VM), Kin::Sharer),
            (Birth::Clone, Some(0), Kin::Process),
            (Birth::Clone, None, Kin::Sharer),
        ];
        for (birth, flags, want) in cases {
            assert_eq!(kin(birth, flags), want, "{birth:?} {flags:x?}");
        }
    }
}
