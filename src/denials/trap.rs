//! `SCMP_ACT_TRAP` when the call has come to the listener: the caller gets its `SIGSYS` all the same.
//!
//! No process can send the signal as the kernel's filter does, with number and place of the call: only a tracer can put
//! that into a signal on its way. So the caller is traced for as long as it takes, from its wait for our answer to its
//! handler.
//!
//! Nothing here waits: the stops come to the launcher with everything else that `wait4` tells, since only one may reap.
//! A tracee that fails a request is on its way to its end, and that comes there too.

use std::collections::HashMap;

use crate::peek::{handles, process_of};
use crate::sys::listener::{Answer, Buffer, Listener, Notification};
use crate::sys::ptrace::{self, Resume, Stopped, Trapped};
use crate::sys::registers::Registers;
use crate::sys::signal::{self, Mask, Signal};
use crate::sys::wait::RawStop;
use crate::sys::{Errno, Tid};

/// The threads that are on the way to their handler.
#[derive(Debug, Default)]
pub(super) struct Traps {
    under_way: HashMap<Tid, Stage>,
}

/// What a thread is to stop for next.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The return from its call, which has been answered.
    Returning(Trap),
    /// Its signal. Others are blocked meanwhile; this is the mask that it gets back.
    Signalled(Trap, Mask),
    /// To be let go: its call was interrupted before the answer, and comes again.
    Leaving,
}

#[derive(Debug, Clone, Copy)]
struct Trap {
    process: Tid,
    call: Trapped,
}

/// Would the program handle the signal? If not, it kills.
pub(super) fn is_handled(asked: &Notification) -> bool {
    handles(asked.tid, Signal::SYS)
}

impl Traps {
    /// Lets the call not run, and its caller handle `SIGSYS` for it before anything else happens to it.
    ///
    /// # Errors
    /// `ENOENT`: it does not wait any more. Anything else: it still does, and nothing has happened.
    pub(super) fn deliver(
        &mut self,
        listener: &Listener,
        asked: &Notification,
        buffer: &mut Buffer,
    ) -> Result<(), Errno> {
        let tid = asked.tid;
        if !Registers::can_be_rolled_back() {
            return Err(Errno::ENOSYS);
        }
        let process = process_of(tid).ok_or(Errno::ENOENT)?;
        ptrace::seize_alone(tid)?;
        // Whatever comes now, its next stop is ours.
        let _ = ptrace::interrupt(tid);
        // Only while it waits was the tid surely its own.
        let answered = if listener.waits(asked) {
            listener.answer(asked, Answer::Fail(Errno::ENOSYS as u16), buffer)
        } else {
            Err(Errno::ENOENT)
        };
        let call = Trapped {
            ip: asked.ip,
            nr: asked.nr,
            audit: asked.audit,
        };
        let stage = match answered {
            Ok(()) => Stage::Returning(Trap { process, call }),
            Err(_) => Stage::Leaving,
        };
        self.under_way.insert(tid, stage);
        answered.map_err(|_| Errno::ENOENT)
    }

    /// Takes a stop. Gives it back when it is nobody's that is under way.
    pub(super) fn stopped(&mut self, tid: Tid, stop: RawStop) -> Option<RawStop> {
        let Some(stage) = self.under_way.remove(&tid) else {
            return Some(stop);
        };
        // An error means that it is ending.
        if let Ok(Some(next)) = stage.go_on(stop) {
            self.under_way.insert(tid, next);
        }
        None
    }

    /// It has ended.
    pub(super) fn ended(&mut self, tid: Tid) {
        self.under_way.remove(&tid);
    }
}

impl Stage {
    /// What comes after this stop; `None` when it was let go.
    fn go_on(self, stop: RawStop) -> Result<Option<Self>, Errno> {
        let RawStop {
            tracee,
            signal,
            event,
        } = stop;
        let signal = Signal::from_raw(signal);
        match self {
            Self::Leaving => tracee.detach(None).map(|()| None),
            // Ahead of any signal, as it was asked to.
            Self::Returning(trap) => trap.raise(tracee).map(Some),
            Self::Signalled(trap, mask) if event == 0 && signal == Signal::SYS => {
                tracee.set_signal_mask(mask)?;
                tracee.set_trapped(trap.call)?;
                tracee.detach(Some(Signal::SYS)).map(|()| None)
            }
            // Job control: it stays stopped, or goes on, as it would.
            Self::Signalled(..) if event != 0 && signal.stops() => {
                tracee.resume(Resume::Listen, None).map(|()| Some(self))
            }
            Self::Signalled(..) => {
                let signal = (event == 0).then_some(signal);
                tracee.resume(Resume::ToEvent, signal).map(|()| Some(self))
            }
        }
    }
}

impl Trap {
    /// Back from the call: the signal is sent, and its handler must be the first that runs. What it finds is the place
    /// of the call.
    fn raise(self, tracee: Stopped) -> Result<Stage, Errno> {
        Registers::roll_back(&tracee)?;
        let mask = tracee.signal_mask()?;
        tracee.set_signal_mask(Mask::ALL.without(Signal::SYS))?;
        signal::send_to_thread(self.process, tracee.tid(), Signal::SYS)?;
        tracee.resume(Resume::ToEvent, None)?;
        Ok(Stage::Signalled(self, mask))
    }
}
