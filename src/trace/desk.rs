//! Where unknown calls arrive: one thread that hears all listeners, takes down what they say, and lets every call
//! go on.
//!
//! A listener hangs up when the last process under its filter has ended. That is how the end of processes is
//! known that are not traced any more.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::live::{Live, Seen};
use super::stop::Made;
use crate::peek::Maps;
use crate::peek::Memory;
use crate::recording::ExeId;
use crate::sys::listener::{Answer, Buffer, Listener};
use crate::sys::{Errno, Tid, signal, threads};
use crate::syscall::Sysno;

/// Shared by the tracer, which brings listeners, and the thread that hears them.
#[derive(Debug)]
pub(crate) struct Desk {
    arriving: Mutex<Vec<Listener>>,
    /// Rung when somebody is arriving.
    bell: EventFd,
    /// Listeners whose processes live, those that are arriving included.
    open: AtomicUsize,
    /// Written when the last one has hung up.
    quiet: EventFd,
}

impl Desk {
    /// Opens the desk: starts its thread.
    ///
    /// # Errors
    /// The kernel has no listeners, or no thread could be started.
    pub(crate) fn open(live: &Arc<Live>) -> Result<Arc<Self>, Errno> {
        let buffer = Buffer::new()?;
        let event =
            || EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let desk = Arc::new(Self {
            arriving: Mutex::default(),
            bell: event()?,
            open: AtomicUsize::new(0),
            quiet: event()?,
        });
        let (served, live) = (Arc::clone(&desk), Arc::clone(live));
        let body = move || served.serve(&live, buffer);
        let started = threads::named("desk").spawn(body);
        started
            .map(|_| desk)
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN)))
    }

    /// Hears this listener from now on.
    pub(crate) fn add(&self, listener: Listener) {
        self.open.fetch_add(1, Ordering::AcqRel);
        self.arriving().push(listener);
        // It fails only when it has been rung 2^64 times unheard.
        let _ = self.bell.write(1);
    }

    /// How many listeners have processes.
    pub(crate) fn listeners(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Readable when the last listener has hung up.
    pub(crate) const fn quiet(&self) -> &EventFd {
        &self.quiet
    }

    fn arriving(&self) -> std::sync::MutexGuard<'_, Vec<Listener>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, live: &Live, mut buffer: Buffer) {
        // To start a thread, the C library opens two signals that it uses itself. Where they cannot be blocked again, they
        // end us as they would end anybody.
        let _ = signal::block_all();
        let mut callers = Callers::default();
        let mut listeners: Vec<Listener> = Vec::new();
        loop {
            let gone = self.hear(&listeners, live, (&mut buffer, &mut callers));
            for at in gone.into_iter().rev() {
                listeners.swap_remove(at);
                if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
                    let _ = self.quiet.write(1);
                }
            }
            listeners.append(&mut self.arriving());
        }
    }

    /// Lets calls go on until somebody arrives or hangs up. Returns who did, in ascending order.
    fn hear(
        &self,
        listeners: &[Listener],
        live: &Live,
        (buffer, callers): (&mut Buffer, &mut Callers),
    ) -> Vec<usize> {
        let fds = listeners.iter().map(|listener| listener.as_fd());
        let fds = [self.bell.as_fd()].into_iter().chain(fds);
        let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        loop {
            // EINTR cannot happen, since all signals are blocked; and if it did, nothing would be readable.
            let _ = poll(&mut fds, PollTimeout::NONE);
            let mut gone = Vec::new();
            let states = fds.iter().skip(1).map(PollFd::revents);
            for (at, (state, listener)) in states.zip(listeners).enumerate() {
                let state = state.unwrap_or(PollFlags::empty());
                if state.contains(PollFlags::POLLIN) {
                    answer(listener, live, (buffer, callers));
                } else if state.contains(PollFlags::POLLHUP) {
                    gone.push(at);
                }
                // POLLERR alone says that the kernel was called away before it could look.
            }
            let rung = self.bell.read().is_ok();
            if rung || !gone.is_empty() {
                return gone;
            }
        }
    }
}

/// Who makes calls, as far as it need not be asked each time.
#[derive(Debug, Default)]
struct Callers {
    known: HashMap<Tid, (ExeId, u32)>,
}

impl Callers {
    /// After so many calls a task is asked again what it executes: an exec that is known goes unseen.
    const ASK_AFTER: u32 = 32;
    /// So many tasks are remembered.
    const MOST: usize = 1024;

    fn executable(&mut self, tid: Tid, live: &Live) -> ExeId {
        if let Some((exe, uses)) = self.known.get_mut(&tid)
            && *uses < Self::ASK_AFTER
        {
            *uses += 1;
            return *exe;
        }
        if self.known.len() >= Self::MOST {
            self.known.clear();
        }
        let exe = live.executable(tid);
        self.known.insert(tid, (exe, 0));
        exe
    }
}

/// Takes down one call and lets it go on. Whoever was killed, or called away by a signal, meanwhile needs no answer.
fn answer(listener: &Listener, live: &Live, (buffer, callers): (&mut Buffer, &mut Callers)) {
    if let Ok(call) = listener.receive(buffer) {
        let made = Made {
            audit: call.audit,
            nr: call.nr,
            args: call.args,
            ip: call.ip,
            tid: call.tid,
        };
        let exe = callers.executable(call.tid, live);
        // An exec that is known goes unseen, so what is mapped is asked each time.
        let seen = live.saw(&made, exe, &mut Maps::default());
        live.recording().notifications += 1;
        if seen
            .sysno
            .and_then(Sysno::name)
            .is_some_and(|name| name.starts_with("execve"))
        {
            callers.known.remove(&made.tid);
        }
        if makes_thread(&made, seen) {
            live.recording().threads = true;
        }
        let _ = listener.answer(&call, Answer::GoOn, buffer);
    }
}

/// Does a call make a thread? One whose flags cannot be read may.
fn makes_thread(made: &Made, seen: Seen) -> bool {
    let [first, ..] = made.args;
    let flags = match seen.sysno.and_then(Sysno::name) {
        Some("clone") => Some(first),
        // They are the first word of the structure that its first argument points to.
        Some("clone3") => Memory::open(made.tid)
            .and_then(|memory| memory.read(first, size_of::<u64>()))
            .ok()
            .and_then(|bytes| Some(u64::from_ne_bytes(bytes.try_into().ok()?))),
        _ => return false,
    };
    let thread = u64::from(libc::CLONE_THREAD.cast_unsigned());
    flags.is_none_or(|flags| flags & thread != 0)
}
