//! From fork to exec: the few steps that turn a copy of the launcher into the command.
//!
//! Everything that can allocate or fail for a reason of its own is done before, in [`Plan`] and [`Ready`]. Between fork
//! and exec each step is one async-signal-safe call; the first that fails ends the child with the stage
//! and errno left in a page that both share (a pipe would need `write`, which the filter may deny). There
//! is no way round a step: **a filter that cannot be installed means that nothing is executed.**
//!
//! # The launch secret
//!
//! The filter is installed last, and then one execve must still pass. It does because its arguments 3 to
//! 5, which execve ignores, carry 192 random bits that the child drew for itself and wrote into the
//! filter's constants. The same secret lets a failing child leave through `exit_group`.
//!
//! # The gate
//!
//! A child waits for its launcher's word when everything is done but the execve: so both make themselves ready at the
//! same time. It waits under its filter, in a `read` that carries the secret, too.
//!
//! # The handover
//!
//! A filter with a listener is installed by the child and listened to by the launcher. The listener's descriptor
//! closes at the exec, so the child must have sent it to the launcher before: in a `sendmsg` with the secret, before it
//! waits. (To take it out of the child, `pidfd_getfd(2)`, container engines forbid.)

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use super::caps::{self, CapDrop};
use super::listener::{self, Listener};
use super::signal::{self, Mask, Signal};
use super::{Errno, Tid, check, inherited, process, seccomp, wait};

/// What is to be executed, as execve wants it.
#[derive(Debug)]
pub(crate) struct Image {
    /// The file: already searched for, so that there is one execve.
    pub(crate) path: CString,
    /// Argument strings, the command's own name first.
    pub(crate) args: Vec<CString>,
    /// Environment strings.
    pub(crate) env: Vec<&'static CStr>,
}

/// A filter that is ready to be installed.
#[derive(Debug, Clone)]
pub(crate) struct Seal {
    /// The instructions.
    pub(crate) program: Vec<libc::sock_filter>,
    /// The place of the launch secret, if the program asks for one.
    pub(crate) gate: Option<Gate>,
    /// `SECCOMP_FILTER_FLAG_*`. With `NEW_LISTENER` the launcher must take the listener
    /// ([`Child::take_listener`]); the program then needs a gate for `sendmsg`, too. For a child, one for `read`.
    pub(crate) flags: libc::c_ulong,
}

impl Seal {
    /// Has the filter a listener?
    const fn listens(&self) -> bool {
        self.flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0
    }
}

/// Where a program compares the launch secret.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    /// The instructions that hold its six words.
    pub(crate) slots: [usize; 6],
    /// Puts the secret there, given as the arguments 3 to 5 of the launching call; false when these are
    /// not the instructions of a gate. Async-signal-safe.
    pub(crate) arm: fn(&mut [libc::sock_filter], &[usize; 6], [u64; 3]) -> bool,
}

/// Everything that happens between fork and exec.
pub(crate) struct Plan {
    image: Image,
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
    /// The environment's `LISTEN_PID=`, to be filled in with the child's pid.
    listen_pid: Option<*mut libc::c_char>,
    mask: Mask,
    child_ignored: bool,
    no_new_privs: bool,
    /// The process whose end shall signal the command, and how.
    dies_with: Option<(Tid, Signal)>,
    caps: Option<CapDrop>,
    seal: Option<Seal>,
    /// The launch secret, once it is drawn.
    secret: [u64; 3],
}

// SAFETY: the pointers lead to the heap memory of strings that the plan owns (or leaked, for the one that
// it may write), and to the process's environment, which nobody changes; nothing of it belongs to a thread.
unsafe impl Send for Plan {}
// SAFETY: as above; through a shared reference nothing is written.
unsafe impl Sync for Plan {}

/// A step between fork and exec, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Stage {
    /// Waiting for the launcher's word.
    Gate = 1,
    /// Restoring signal mask and dispositions.
    Signals,
    /// Restoring closed standard streams.
    Streams,
    /// Setting `no_new_privs`.
    NoNewPrivs,
    /// Dropping capabilities.
    Capabilities,
    /// Drawing the launch secret.
    Secret,
    /// Installing the filter.
    Filter,
    /// Handing the filter's listener over.
    Handover,
    /// Executing the command.
    Exec,
}

impl Stage {
    const ALL: [Self; 9] = [
        Self::Gate,
        Self::Signals,
        Self::Streams,
        Self::NoNewPrivs,
        Self::Capabilities,
        Self::Secret,
        Self::Filter,
        Self::Handover,
        Self::Exec,
    ];
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gate => "wait for the launcher",
            Self::Signals => "restore signals",
            Self::Streams => "restore closed standard streams",
            Self::NoNewPrivs => "set no_new_privs",
            Self::Capabilities => "drop capabilities",
            Self::Secret => "draw the launch secret (getrandom)",
            Self::Filter => "install the filter",
            Self::Handover => "hand over the filter's listener",
            Self::Exec => "execute the command",
        })
    }
}

/// Why the command was not executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    pub(crate) errno: Errno,
}

/// Why there is no child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpawnError {
    /// What was tried.
    pub(crate) call: &'static str,
    pub(crate) errno: Errno,
}

/// How a child leaves that could not execute the command; the report says why.
const FAILED: libc::c_int = 125;

/// The room that any pid fits in.
const PID_DIGITS: usize = 10;

impl Plan {
    /// A plan that executes `image` with the caller's signal mask, dispositions and standard streams.
    ///
    /// `mask` is what [`signal::block_all`] returned, `child_ignored` whether `SIGCHLD` was ignored.
    pub(crate) fn new(image: Image, mask: Mask, child_ignored: bool) -> Result<Self, Errno> {
        let words = image.args.iter().map(|word| word.as_ptr());
        let argv = words.chain([ptr::null()]).collect();
        let entries = image.env.iter().map(|entry| entry.as_ptr());
        let mut envp: Vec<_> = entries.chain([ptr::null()]).collect();
        let listen_pid = reserve_listen_pid(&image.env, &mut envp)?;
        Ok(Self {
            argv,
            envp,
            image,
            listen_pid,
            mask,
            child_ignored,
            no_new_privs: true,
            dies_with: None,
            caps: None,
            seal: None,
            secret: [0; 3],
        })
    }

    /// Leaves `no_new_privs` as it is.
    pub(crate) fn allow_new_privs(&mut self) {
        self.no_new_privs = false;
    }

    /// Lets the command have this signal when the thread that spawns it ends.
    pub(crate) fn die_with_launcher(&mut self, signal: Signal) {
        self.dies_with = Some((process::own_id(), signal));
    }

    /// Gives up these capabilities.
    pub(crate) fn drop_caps(&mut self, drop: CapDrop) {
        self.caps = Some(drop);
    }

    /// Installs this filter as the last thing before execve.
    pub(crate) fn seal(&mut self, seal: Seal) {
        self.seal = Some(seal);
    }

    /// Forks. The child takes all steps but the last, and waits behind a gate until [`Child::open_gate`]. When the
    /// launcher dies first, it leaves without executing anything.
    pub(crate) fn spawn(self) -> Result<Child, SpawnError> {
        self.ready()?.spawn()
    }

    /// Makes everything but the child.
    pub(crate) fn ready(self) -> Result<Ready, SpawnError> {
        let pipe = || {
            let pipe = std::io::pipe().map_err(|error| errno_of(&error));
            pipe.map_err(at("make a pipe"))
        };
        let (reader, gate) = pipe()?;
        // Only sockets take descriptors along. Under an outer filter there may be none.
        let (news, teller): (OwnedFd, OwnedFd) = if self.seal.as_ref().is_some_and(Seal::listens) {
            let sockets = UnixStream::pair().map_err(|error| errno_of(&error));
            let (news, teller) = sockets.map_err(at("make a pair of sockets"))?;
            (news.into(), teller.into())
        } else {
            let (news, teller) = pipe()?;
            (news.into(), teller.into())
        };
        let news = File::from(news);
        Ok(Ready {
            plan: self,
            report: Report::new().map_err(at("share a page with the child (mmap)"))?,
            reader,
            gate,
            news,
            teller,
        })
    }

    /// Takes all steps in this very process, which becomes the command. Returns only when a step before
    /// the filter failed; after that it leaves with the exit code that the execve's errno stands for. `code`
    /// must be async-signal-safe: the filter may deny whatever it would call.
    pub(crate) fn exec(mut self, code: fn(Errno) -> u8) -> Failure {
        // Our parent stays the parent, and what it asked for in force.
        self.dies_with = None;
        let failure = match self.steps(None) {
            Ok(never) => match never {},
            Err(failure) => failure,
        };
        if self.seal.is_some() && failure.stage == Stage::Exec {
            exit(libc::c_int::from(code(failure.errno)), self.secret);
        }
        // What is said about it must not end us when nobody reads it.
        let _ = signal::set_ignored(libc::SIGPIPE, true);
        failure
    }

    /// The steps in their order; `link` leads to the launcher, where one stays. Async-signal-safe.
    fn steps(&mut self, link: Option<&Link>) -> Result<std::convert::Infallible, Failure> {
        let at = |stage| move |errno| Failure { stage, errno };
        if let Some((launcher, signal)) = self.dies_with {
            process::die_with(launcher, signal).map_err(at(Stage::Gate))?;
        }
        self.listen_pid.inspect(|&entry| write_pid(entry));
        self.restore_signals().map_err(at(Stage::Signals))?;
        restore_streams().map_err(at(Stage::Streams))?;
        if let Some(plan) = &self.caps {
            caps::limit(plan).map_err(at(Stage::Capabilities))?;
        }
        if self.no_new_privs {
            process::set_no_new_privs().map_err(at(Stage::NoNewPrivs))?;
        }
        if let Some(plan) = &self.caps {
            caps::set(plan).map_err(at(Stage::Capabilities))?;
        }
        if let Some(seal) = &mut self.seal {
            self.secret = seal.draw_secret().map_err(at(Stage::Secret))?;
            let fd = seccomp::install(&seal.program, seal.flags).map_err(at(Stage::Filter))?;
            if let Some(link) = link.filter(|_| seal.listens()) {
                let sent = listener::send(link.ready, fd, self.secret);
                sent.map_err(at(Stage::Handover))?;
            }
        }
        if let Some(link) = link {
            link.wait(self.secret).map_err(at(Stage::Gate))?;
        }
        Err(Failure {
            stage: Stage::Exec,
            errno: self.execve(),
        })
    }

    fn restore_signals(&self) -> Result<(), Errno> {
        signal::set_ignored(libc::SIGPIPE, inherited::pipe_was_ignored())?;
        signal::set_ignored(libc::SIGCHLD, self.child_ignored)?;
        self.mask.set().map(drop)
    }

    /// The one execve. Returns only its error.
    fn execve(&self) -> Errno {
        let [a, b, c] = self.secret;
        let (path, argv, envp) = (
            self.image.path.as_ptr(),
            self.argv.as_ptr(),
            self.envp.as_ptr(),
        );
        // SAFETY: path is a C string, argv and envp are arrays of C strings that a null pointer ends; all
        // are owned by self or belong to the process. The three further arguments are numbers that execve ignores.
        unsafe { libc::syscall(libc::SYS_execve, path, argv, envp, a, b, c) };
        Errno::last()
    }
}

fn at(call: &'static str) -> impl Fn(Errno) -> SpawnError {
    move |errno| SpawnError { call, errno }
}

/// A plan, and the pipes and sockets between launcher and child.
pub(crate) struct Ready {
    plan: Plan,
    report: Report,
    reader: PipeReader,
    gate: PipeWriter,
    news: File,
    teller: OwnedFd,
}

impl Ready {
    /// The numbers of the descriptors by which the child will be signalled, let go and heard, as a filter sees them.
    pub(crate) fn fd_numbers(&self) -> [u64; 3] {
        // The child's end of the gate makes room for the child's own descriptor.
        let fds = [
            self.reader.as_raw_fd(),
            self.gate.as_raw_fd(),
            self.news.as_raw_fd(),
        ];
        fds.map(|fd| u64::from(fd.unsigned_abs()))
    }

    /// Forks, as [`Plan::spawn`] does.
    pub(crate) fn spawn(self) -> Result<Child, SpawnError> {
        let Self {
            mut plan,
            report,
            reader,
            gate,
            news,
            teller,
        } = self;
        // SAFETY: the child makes async-signal-safe calls only, on memory that was prepared before, and
        // leaves by execve or exit_group: it never returns into this function's caller.
        let forked = check(libc::c_long::from(unsafe { libc::fork() })).map_err(at("fork"))?;
        match forked {
            0 => {
                let link = Link {
                    go: reader.as_raw_fd(),
                    ready: teller.as_raw_fd(),
                };
                match close(&gate).and_then(|()| plan.steps(Some(&link))) {
                    Ok(never) => match never {},
                    Err(failure) => report.set(failure),
                }
                exit(FAILED, plan.secret)
            }
            pid => {
                let pid = Tid::try_from(pid).map_err(|_| at("fork")(Errno::EINVAL))?;
                // The child's. There may be no room for another descriptor.
                drop(teller);
                let pidfd = process::pidfd_open(pid)
                    .and_then(|pidfd| process::put_in_place_of(reader.into(), pidfd.as_fd()))
                    .inspect_err(|_| abandon(pid));
                let pidfd = pidfd.map_err(at("get a descriptor for the child (pidfd_open)"))?;
                Ok(Child {
                    pid,
                    pidfd,
                    gate: Some(gate),
                    news,
                    report,
                    plan: Some(plan),
                })
            }
        }
    }
}

/// Closes the child's own copy of the gate's other end, which would keep the end of file from it. It is not used again.
/// Async-signal-safe.
fn close(gate: &PipeWriter) -> Result<(), Failure> {
    // SAFETY: closes a descriptor that is open and that nothing in this process touches any more.
    let closed = check(libc::c_long::from(unsafe { libc::close(gate.as_raw_fd()) }));
    closed.map(drop).map_err(|errno| Failure {
        stage: Stage::Gate,
        errno,
    })
}

/// `exit_group` with the launch secret in the arguments that it ignores. Async-signal-safe.
fn exit(code: libc::c_int, [a, b, c]: [u64; 3]) -> ! {
    // SAFETY: numbers only; nothing of this process is used afterwards.
    unsafe { libc::syscall(libc::SYS_exit_group, code, 0, 0, a, b, c) };
    // Only a filter from outside can have refused that. Whatever happens now, never return.
    // SAFETY: abort takes nothing and does not return.
    unsafe { libc::abort() }
}

/// The child's ends of what connects it with its launcher. Both are close-on-exec, and nothing else in
/// the child touches them: it execs or leaves without running destructors.
struct Link {
    /// A byte: go on. End of file: the launcher died.
    go: i32,
    /// Takes the listener. End of file, for the launcher: the command is executed, or never.
    ready: i32,
}

impl Link {
    /// Waits for the launcher's word. Async-signal-safe.
    fn wait(&self, [a, b, c]: [u64; 3]) -> Result<(), Errno> {
        let mut go = 0_u8;
        loop {
            let (fd, to) = (self.go, &raw mut go);
            // SAFETY: reads at most one byte into a local of one byte. The three further arguments are numbers
            // that read ignores.
            let read = unsafe { libc::syscall(libc::SYS_read, fd, to, 1, a, b, c) };
            match check(read) {
                Ok(0) => return Err(Errno::EPIPE),
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// Closes the standard streams that our caller had closed. Async-signal-safe.
fn restore_streams() -> Result<(), Errno> {
    for fd in (0..3).filter(|&fd| inherited::was_closed(fd)) {
        // SAFETY: it holds the /dev/null that `inherited` opened, which nothing here owns.
        check(libc::c_long::from(unsafe { libc::close(fd) }))?;
    }
    Ok(())
}

impl Seal {
    /// Fills the filter's secret with random bits, and returns them. Async-signal-safe.
    fn draw_secret(&mut self) -> Result<[u64; 3], Errno> {
        let Some(gate) = &self.gate else {
            return Ok([0; 3]);
        };
        let secret = process::secret()?;
        // The program was checked before; what is patched must be what the check saw.
        if !(gate.arm)(&mut self.program, &gate.slots, secret) {
            return Err(Errno::EINVAL);
        }
        Ok(secret)
    }
}

/// systemd's socket activation names the process that may take the sockets. When that is us, the child
/// must be named instead: puts an entry with room for its pid in the place of ours.
fn reserve_listen_pid(
    env: &[&CStr],
    envp: &mut [*const libc::c_char],
) -> Result<Option<*mut libc::c_char>, Errno> {
    let is_ours = |pid: &[u8]| pid == std::process::id().to_string().as_bytes();
    let at = env.iter().position(|entry| {
        let pid = entry.to_bytes().strip_prefix(b"LISTEN_PID=");
        pid.is_some_and(is_ours)
    });
    let Some(slot) = at.and_then(|at| envp.get_mut(at)) else {
        return Ok(None);
    };
    let room = CString::new(format!("LISTEN_PID={:0PID_DIGITS$}", 0)).map_err(|_| Errno::EINVAL)?;
    // Never freed: it belongs to the environment of the command.
    let room = room.into_raw();
    *slot = room;
    Ok(Some(room))
}

/// Writes the caller's pid behind `LISTEN_PID=`. Async-signal-safe.
fn write_pid(entry: *mut libc::c_char) {
    let start = "LISTEN_PID=".len();
    let mut digits = [0_u8; PID_DIGITS];
    let mut count = 0;
    // SAFETY: takes nothing and cannot fail.
    let mut rest = unsafe { libc::getpid() }.unsigned_abs();
    for digit in &mut digits {
        // A single digit: it fits.
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    let text = digits.iter().take(count).rev().copied().chain([0]);
    for (offset, byte) in text.enumerate() {
        // SAFETY: reserve_listen_pid made the entry long enough for PID_DIGITS digits and a null.
        let place = unsafe { entry.add(start + offset) };
        // SAFETY: it lies within the entry, which is this process's own copy of leaked memory.
        unsafe { *place = byte.cast_signed() };
    }
}

/// Ends a child that cannot be looked after. It is not past its gate.
fn abandon(pid: Tid) {
    // SAFETY: numbers only; the child is ours and not yet reaped, so the pid is still its own.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    // The child is dead either way; there is nothing to learn from how.
    let _ = wait::next(pid, wait::Block::Yes);
}

fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// A child on its way to its gate, or already past it.
pub(crate) struct Child {
    pid: Tid,
    pidfd: OwnedFd,
    gate: Option<PipeWriter>,
    /// What the child has to say: see [`Link::ready`].
    news: File,
    report: Report,
    plan: Option<Plan>,
}

impl Child {
    /// Its pid.
    pub(crate) const fn pid(&self) -> Tid {
        self.pid
    }

    /// A descriptor that stands for it even after it was reaped.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The launcher's own descriptors for it.
    pub(crate) fn fds(&self) -> Vec<i32> {
        let gate = self.gate.as_ref().map(PipeWriter::as_raw_fd);
        let rest = [self.pidfd.as_raw_fd(), self.news.as_raw_fd()];
        gate.into_iter().chain(rest).collect()
    }

    /// Lets the child execute the command. A child that has failed or was killed before needs no word: its end tells.
    pub(crate) fn open_gate(&mut self) -> Result<(), Errno> {
        let Some(mut gate) = self.gate.take() else {
            return Ok(());
        };
        match gate.write_all(&[1]) {
            Err(error) if errno_of(&error) != Errno::EPIPE => Err(errno_of(&error)),
            _ => Ok(()),
        }
    }

    /// Our copy of what the child goes by, to be freed when nobody waits: to free memory is to write, and each page that
    /// is written after the fork is copied first.
    pub(crate) fn take_plan(&mut self) -> Option<Plan> {
        self.plan.take()
    }

    /// Takes the listener of the child's filter, as soon as it is installed. The child waits then, for
    /// [`Child::execute`].
    ///
    /// # Errors
    /// There is no listener, because the child failed ([`Child::failure`]); or it cannot be taken. The command was
    /// not executed, and the child must be abandoned.
    pub(crate) fn take_listener(&mut self) -> Result<Listener, Errno> {
        let gone = || {
            let failure = self.failure();
            failure.map_or(Errno::ECHILD, |failure| failure.errno)
        };
        Listener::accept(self.news.as_fd())?.ok_or_else(gone)
    }

    /// Lets the child execute the command. Returns when it has, or has failed ([`Child::failure`]).
    pub(crate) fn execute(&mut self) -> Result<(), Errno> {
        self.open_gate()?;
        // Nothing more is said, so this is the exec, or the end.
        self.hears().map(drop)
    }

    /// Waits for a byte of the child's; false when none will come.
    fn hears(&mut self) -> Result<bool, Errno> {
        let mut byte = [0];
        match self.news.read_exact(&mut byte) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(errno_of(&error)),
        }
    }

    /// Why the command was not executed, once the child has ended. `None`: it was.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.report.get()
    }

    /// Ends the child before it executed anything.
    pub(crate) fn abandon(self) {
        // It fails only when the child has ended already.
        let _ = signal::send(self.pidfd(), Signal::KILL);
        let _ = wait::next(self.pid, wait::Block::Yes);
    }
}

/// A page that the launcher and its child share until the exec.
struct Report(ptr::NonNull<Page>);

#[repr(C)]
struct Page {
    /// 0, or the stage that failed.
    stage: AtomicU32,
    errno: AtomicI32,
}

// SAFETY: the page holds atomics only, and stays mapped until the one owner is dropped.
unsafe impl Send for Report {}
// SAFETY: as above.
unsafe impl Sync for Report {}

impl Report {
    fn new() -> Result<Self, Errno> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh anonymous mapping, zeroed by the kernel, which is a valid Page.
        let page = unsafe { libc::mmap(ptr::null_mut(), size_of::<Page>(), access, flags, -1, 0) };
        if page == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        ptr::NonNull::new(page.cast())
            .map(Self)
            .ok_or(Errno::ENOMEM)
    }

    fn page(&self) -> &Page {
        // SAFETY: mapped, aligned and initialised since `new`, and unmapped only by drop.
        unsafe { self.0.as_ref() }
    }

    /// Async-signal-safe.
    fn set(&self, failure: Failure) {
        self.page()
            .errno
            .store(failure.errno as i32, Ordering::Relaxed);
        self.page()
            .stage
            .store(failure.stage as u32, Ordering::Release);
    }

    fn get(&self) -> Option<Failure> {
        let number = self.page().stage.load(Ordering::Acquire);
        let stage = Stage::ALL
            .into_iter()
            .find(|&stage| stage as u32 == number)?;
        let errno = Errno::from_raw(self.page().errno.load(Ordering::Relaxed));
        Some(Failure { stage, errno })
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // SAFETY: unmaps what `new` mapped; the borrow of `page` has ended.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<Page>()) };
    }
}
