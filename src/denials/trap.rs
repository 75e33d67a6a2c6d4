//! `SCMP_ACT_TRAP` when the call has come to the listener: the caller gets its `SIGSYS` all the same.
//!
//! No process can send the signal as the kernel's filter does, with number and place of the call: only a tracer can put
//! that into a signal on its way. So the caller is traced for as long as it takes, while it waits for our answer.

use crate::peek::{handles, process_of};
use crate::sys::listener::{Answer, Buffer, Listener, Notification};
use crate::sys::ptrace::{self, Resume, Stopped, Trapped};
use crate::sys::registers::Registers;
use crate::sys::signal::{self, Mask, Signal};
use crate::sys::wait::{self, Block, Change};
use crate::sys::{Errno, Tid};

/// Would the program handle the signal? If not, it kills.
pub(super) fn is_handled(asked: &Notification) -> bool {
    handles(asked.tid, Signal::SYS)
}

/// Lets the call not run, and its caller handle `SIGSYS` for it, before anything else happens to it.
///
/// # Errors
/// `ENOENT`: it does not wait any more. Anything else: it still does, and nothing has happened.
pub(super) fn deliver(
    listener: &Listener,
    asked: &Notification,
    buffer: &mut Buffer,
) -> Result<(), Errno> {
    let tid = asked.tid;
    let process = process_of(tid).ok_or(Errno::ENOENT)?;
    if !listener.waits(asked) {
        return Err(Errno::ENOENT);
    }
    ptrace::seize_alone(tid)?;
    // From here on nothing can fail but for its end, of which the next wait tells; it is a tracee, so the id stays its own.
    let _ = ptrace::interrupt(tid);
    let answered = listener.answer(asked, Answer::Fail(Errno::ENOSYS as u16), buffer);
    let done = stopped(tid).and_then(|tracee| match answered {
        Ok(()) => handle(tracee, process, asked),
        // A signal came first: the call is made again after it.
        Err(errno) => {
            tracee.detach(None)?;
            Err(errno)
        }
    });
    match done {
        Ok(()) => Ok(()),
        // It has ended.
        Err(_) => Err(Errno::ENOENT),
    }
}

/// The next stop of the tracee; `ESRCH` when it has ended.
fn stopped(tid: Tid) -> Result<Stopped, Errno> {
    match wait::next(tid, Block::Yes)? {
        Some((_, Change::Stopped(stop))) => Ok(stop.tracee),
        _ => Err(Errno::ESRCH),
    }
}

/// In the stop after the call: sends the signal, and makes it the filter's.
fn handle(tracee: Stopped, process: Tid, asked: &Notification) -> Result<(), Errno> {
    let tid = tracee.tid();
    Registers::roll_back(&tracee)?;
    let mask = tracee.signal_mask()?;
    // Its handler must be the first that runs: what it finds is the place of the call.
    tracee.set_signal_mask(Mask::ALL.without(Signal::SYS))?;
    signal::send_to_thread(process, tid, Signal::SYS)?;
    tracee.resume(Resume::ToEvent, None)?;
    let tracee = stopped(tid)?;
    tracee.set_signal_mask(mask)?;
    tracee.set_trapped(Trapped {
        ip: asked.ip,
        nr: asked.nr,
        audit: asked.audit,
    })?;
    tracee.detach(Some(Signal::SYS))
}
