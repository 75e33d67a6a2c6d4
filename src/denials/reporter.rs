//! The one who is asked about calls: takes down what is denied, and gives the answer of the policy.

use std::cell::RefCell;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::poll::ppoll;
use nix::sys::time::TimeSpec;

use serde::Serialize;

use super::decode::decode;
use super::ledger::{Denial, Details, Kind, Ledger};
use super::lines::Lines;
use super::policy::hides_calls;
use crate::action::Action;
use crate::arch::Arch;
use crate::peek::{Maps, Memory, Status, is_narrow, sleeps_deeply, thread_name};
use crate::policy::Policy;
use crate::supervise::Aside;
use crate::sys::listener::{Answer, Buffer, Listener, Notification};
use crate::sys::signal::{self, Signal, Trapped};
use crate::sys::{Errno, Tid, process};
use crate::syscall::Sysno;

/// Answers the calls that come to a listener.
#[derive(Debug)]
pub(crate) struct Reporter {
    /// `None` when everybody under the filter has ended.
    listener: Option<Listener>,
    /// The command's own process.
    command: Tid,
    buffer: Buffer,
    policy: Policy,
    lines: Option<Lines>,
    report: Report,
}

/// What there is to tell at the end.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What was denied.
    pub(crate) ledger: Ledger,
    /// The command itself was killed for it.
    pub(crate) killed: bool,
    /// Calls that could not be answered by a signal, and failed with `EPERM` instead.
    pub(crate) spared: u64,
    /// Lines that could not be written.
    pub(crate) lines_lost: u64,
}

/// The longest path that is shown, in bytes.
const PATH: usize = 256;

/// How long a call may take to notice its signal. It needs the processor for a moment.
const PATIENCE: Duration = Duration::from_millis(200);

/// How often it is looked at meanwhile, in nanoseconds.
const MOMENT: TimeSpec = TimeSpec::new(0, 50_000);

/// So many calls of a kind have a line each. Later ones have one when their number is a power of two: a denied call in
/// a loop would fill the file with itself.
const LINES_EACH: u64 = 16;

impl Reporter {
    /// Answers by `policy`, from which the listener's filter was made.
    ///
    /// # Errors
    /// The kernel has no listeners.
    pub(crate) fn new(policy: Policy, lines: Option<Lines>) -> Result<Self, Errno> {
        Ok(Self {
            listener: None,
            command: 0,
            buffer: Buffer::new()?,
            policy,
            lines,
            report: Report::default(),
        })
    }

    /// Hears this listener of the command from now on.
    pub(crate) fn listen(&mut self, listener: Listener, command: Tid) {
        self.listener = Some(listener);
        self.command = command;
    }

    /// The number of the report's descriptor.
    pub(crate) fn file(&self) -> Option<i32> {
        self.lines.as_ref().map(|lines| lines.file().as_raw_fd())
    }

    /// What there is to tell; the file gets its last lines.
    pub(crate) fn finish(mut self) -> Report {
        if let Some(lines) = &mut self.lines {
            // Should the file be too small for all, the oldest lines go: the most frequent ones come last.
            for denial in self.report.ledger.sorted().into_iter().rev() {
                lines.add(&Line::total(denial));
            }
            self.report.lines_lost = lines.lost;
        }
        self.report
    }

    /// Hears one call, and answers it.
    fn hear(&mut self, listener: &Listener) {
        // Whoever was killed, or called away by a signal, meanwhile needs no answer.
        let Ok(asked) = listener.receive(&mut self.buffer) else {
            return;
        };
        let about = self.policy.about(asked.audit, asked.nr);
        let (action, reason) = about.decide(&asked.args);
        let sysno = Sysno::of_call(asked.audit, asked.nr);
        let executable = process::executable(asked.tid);
        let hides = sysno.and_then(|sysno| hides_calls(sysno, &asked.args));
        if let Some(hides) = hides.filter(|_| action.runs()) {
            self.report.ledger.hides(hides, &executable);
        }
        if action == Action::Allow {
            let _ = listener.answer(&asked, Answer::GoOn, &mut self.buffer);
            return;
        }
        let kind = Kind {
            audit: asked.audit,
            nr: asked.nr,
            executable,
            action,
            reason,
            looked_at: about.looked_at(&asked.args),
        };
        // What is told of it must be read before the answer lets it go.
        let count = self.report.ledger.count_of(&kind) + 1;
        let told = count <= LINES_EACH && self.lines.is_some() || count.is_power_of_two();
        let told = told && (count > 1 || self.report.ledger.has_room());
        let details = told.then(|| details(&asked, sysno));
        if !self.answer(listener, &asked, action) {
            // Interrupted, it comes again.
            return;
        }
        let denial = self.report.ledger.count(kind, details.as_ref());
        if let (Some(lines), Some(denial), Some(details)) = (&mut self.lines, denial, &details) {
            lines.add(&Line::one(denial, details));
        }
    }

    /// Gives the answer; false when the call does not wait for it any more.
    fn answer(&mut self, listener: &Listener, asked: &Notification, action: Action) -> bool {
        let answer = match action {
            Action::Allow | Action::Log => Answer::GoOn,
            Action::Errno(errno) => Answer::Fail(errno),
            // Nobody traces it on our behalf: what the kernel gives then.
            Action::Trace(_) | Action::Notify => Answer::Fail(Errno::ENOSYS as u16),
            Action::Trap => return self.trap(listener, asked),
            Action::KillProcess | Action::KillThread => return self.kill(listener, asked),
        };
        listener.answer(asked, answer, &mut self.buffer).is_ok()
    }

    /// Sends it the signal, and lets it go without having run. Who holds the signal off is killed, as by the kernel.
    fn trap(&mut self, listener: &Listener, asked: &Notification) -> bool {
        let takes_it =
            |status: &Status| status.handles(Signal::SYS) || status.is_defenceless(Signal::SYS);
        let Some(status) = Status::of(asked.tid).filter(takes_it) else {
            return self.kill(listener, asked);
        };
        let narrow = is_narrow(asked.tid).unwrap_or_else(|| {
            Arch::of_call(asked.audit, asked.nr).is_some_and(|arch| !arch.is_64bit())
        });
        if !listener.waits(asked) {
            return false;
        }
        let trapped = Trapped {
            ip: asked.ip,
            nr: asked.nr,
            audit: asked.audit,
            narrow,
        };
        let answer = match signal::send_trap(status.process, asked.tid, trapped) {
            Ok(()) => {
                wait_until_patient(asked.tid);
                Answer::RollBack
            }
            Err(_) => self.spare(),
        };
        listener.answer(asked, answer, &mut self.buffer).is_ok()
    }

    fn kill(&mut self, listener: &Listener, asked: &Notification) -> bool {
        let answer = match kill(listener, asked) {
            Ok(process) => {
                self.report.killed |= process == Some(self.command);
                return true;
            }
            Err(Errno::ENOENT) => return false,
            Err(_) => self.spare(),
        };
        listener.answer(asked, answer, &mut self.buffer).is_ok()
    }
}

impl Reporter {
    /// The answer where the right one cannot be given.
    fn spare(&mut self) -> Answer {
        self.report.spared += 1;
        Answer::Fail(Errno::EPERM as u16)
    }
}

impl Aside for Reporter {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(|listener| listener.as_fd())
    }

    fn attend(&mut self) {
        if let Some(listener) = self.listener.take() {
            self.hear(&listener);
            self.listener = Some(listener);
        }
    }

    fn gone(&mut self) {
        self.listener = None;
    }
}

/// Waits until a call that has got a signal waits on where no other signal reaches it. Not every kernel takes an answer that is
/// faster: the call would be interrupted, and begin anew with what the handler left in its registers.
fn wait_until_patient(tid: Tid) {
    let by = Instant::now() + PATIENCE;
    while !sleeps_deeply(tid) && Instant::now() < by {
        // Of nothing: a sleep that the launcher's own filter allows.
        let _ = ppoll(&mut [], Some(MOMENT), None);
    }
}

/// Kills the process that waits. Returns which it was, where `/proc` tells.
///
/// # Errors
/// `ENOENT`: it does not wait any more. Anything else: it still does.
fn kill(listener: &Listener, asked: &Notification) -> Result<Option<Tid>, Errno> {
    let process = Status::of(asked.tid).map(|status| status.process);
    let fd = process::pidfd_of_thread(asked.tid)
        .or_else(|errno| process::pidfd_open(process.ok_or(errno)?));
    // Only while it waits are tid and descriptor surely its own.
    if !listener.waits(asked) {
        return Err(Errno::ENOENT);
    }
    match fd {
        Ok(fd) => signal::send(fd.as_fd(), Signal::KILL)?,
        // The program can take our descriptors away (prlimit), not its own end.
        Err(_) => signal::send_to_thread(process.unwrap_or(asked.tid), asked.tid, Signal::KILL)?,
    }
    Ok(process)
}

/// What is told of a call. Some of it is the program's own word.
fn details(asked: &Notification, sysno: Option<Sysno>) -> Details {
    let memory = Memory::open_to_read(asked.tid);
    let maps = RefCell::new(Maps::default());
    let text = |address| {
        let at_hand = maps.borrow_mut().is_at_hand(asked.tid, address, asked.ip);
        let memory = memory.as_ref().ok().filter(|_| at_hand)?;
        memory.text(address, PATH)
    };
    let place = maps.borrow_mut().place(asked.tid, asked.ip);
    Details {
        call: match sysno {
            Some(sysno) => decode(sysno, &asked.args, &text),
            None => format!("syscall_{}()", asked.nr),
        },
        tid: asked.tid,
        thread: thread_name(asked.tid),
        place,
        args: asked.args,
    }
}

/// A line of the report. The names of its fields are what others read: see the README.
#[derive(Debug, Serialize)]
struct Line<'a> {
    event: &'static str,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<f64>,
    call: &'a str,
    /// How often this kind of call was denied by now.
    count: u64,
    action: String,
    because: String,
    executable: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<Tid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    library: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    syscall: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arch: Option<String>,
    nr: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<[u64; 6]>,
    looked_at: Vec<LookedAt>,
}

#[derive(Debug, Serialize)]
struct LookedAt {
    index: u8,
    value: u64,
}

impl<'a> Line<'a> {
    /// All calls of a kind.
    fn total(denial: &'a Denial) -> Self {
        let looked_at = denial.looked_at().iter();
        Self {
            event: "total",
            time: None,
            call: &denial.call,
            count: denial.count,
            action: denial.action().to_string(),
            because: denial.reason().to_string(),
            executable: denial.executable(),
            tid: None,
            thread: None,
            library: denial.place.as_ref().map(|place| place.library.as_str()),
            offset: denial.place.as_ref().map(|place| place.offset),
            syscall: denial.sysno().map(|sysno| sysno.to_string()),
            arch: denial.sysno().map(|sysno| sysno.arch.to_string()),
            nr: denial.nr(),
            args: None,
            looked_at: looked_at
                .map(|&(index, value)| LookedAt { index, value })
                .collect(),
        }
    }

    /// One of them.
    fn one(denial: &'a Denial, details: &'a Details) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            event: "denied",
            time: Some(now.unwrap_or_default().as_secs_f64()),
            call: &details.call,
            tid: Some(details.tid),
            thread: Some(&details.thread),
            library: details.place.as_ref().map(|place| place.library.as_str()),
            offset: details.place.as_ref().map(|place| place.offset),
            args: Some(details.args),
            ..Self::total(denial)
        }
    }
}
