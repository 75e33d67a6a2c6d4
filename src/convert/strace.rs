//! The log of `strace -f` (strace(1)) as a recording.
//!
//! What is read: one call a line, with or without process numbers, time stamps and results, and of a call
//! that was interrupted by others' lines its first part. As when learning, recording begins after the execve
//! that starts the program; a log that begins with another call is one of `strace -p`, and counts from there.
//!
//! strace says which ABI a process uses only when that changes, and with `-o` not at all (unless it is told
//! to: `-e quiet=none`). A process that it did not show before uses the ABI of the call before, as strace
//! itself has it; where it said nothing, a name that only a 32-bit ABI has gives the process away. Names that
//! all have tell nothing, and make no difference either: a profile allows names.

use std::collections::HashMap;
use std::time::Duration;

use super::{Unreadable, quoted};
use crate::arch::{Arch, X32_BIT};
use crate::profile::multiplexer_of;
use crate::recording::{Note, Recording, Sighting};
use crate::syscall::Sysno;

/// What a line of the log says, and of which process (0 where the log is of one only).
struct Line<'a> {
    pid: u32,
    event: Event<'a>,
}

enum Event<'a> {
    /// The beginning of a call: its name, and what follows the parenthesis.
    Call(&'a str, &'a str),
    /// The rest of a call: its name, and what follows.
    Resumed(&'a str, &'a str),
    /// The process of this number runs in this mode from now on.
    Mode(u32, &'a str),
    /// A call that strace could not read.
    Unread,
}

/// Does the line look like a call?
pub(super) fn is_call(line: &str) -> bool {
    let call = line_of(line).is_some_and(|line| matches!(line.event, Event::Call(..)));
    // Prose with parentheses has no result.
    call && (line.contains(") = ") || line.contains("<unfinished ...>") || line.contains(") = ?"))
}

/// The calls in this log of a program on a machine of this architecture.
///
/// # Errors
/// When a call has a name that the architecture does not know, or nothing was run.
pub(crate) fn read(text: &str, native: Arch) -> Result<Recording, Unreadable> {
    let mut reader = Reader {
        native,
        current: native,
        arches: HashMap::new(),
        told: false,
        run: Run::Unknown,
        recording: Recording::default(),
    };
    for (at, line) in text.lines().enumerate() {
        if let Some(line) = line_of(line) {
            reader.take(&line).map_err(|error| Unreadable {
                line: at + 1,
                ..error
            })?;
        }
    }
    match reader.run {
        Run::Begun => Ok(reader.recording),
        Run::Unknown => Err(Unreadable::new(0, "no syscall in it")
            .hint("make the log with 'strace -f -o FILE -- COMMAND'")),
        Run::Starting => Err(Unreadable::new(
            0,
            "no program was executed: every execve failed",
        )),
    }
}

/// Has the program begun to run?
#[derive(PartialEq, Eq)]
enum Run {
    Unknown,
    Starting,
    Begun,
}

struct Reader {
    native: Arch,
    /// The ABI of the last call.
    current: Arch,
    arches: HashMap<u32, Arch>,
    /// Does the log say which ABI a process uses?
    told: bool,
    run: Run,
    recording: Recording,
}

impl Reader {
    fn take(&mut self, line: &Line) -> Result<(), Unreadable> {
        match line.event {
            Event::Mode(pid, mode) => {
                let arch = personality(self.native, mode).ok_or_else(|| {
                    let what = format!("{} has no mode {}", self.native, quoted(mode));
                    Unreadable::new(0, what).hint("--arch ARCH says whose log it is")
                })?;
                self.told = true;
                // A log without numbers is of one process.
                for pid in [pid, line.pid] {
                    self.arches.insert(pid, arch);
                }
            }
            Event::Call(name, rest) => {
                let arch = self.arch_of(line.pid);
                match self.run {
                    Run::Unknown if name == "execve" => self.run = Run::Starting,
                    Run::Unknown => self.run = Run::Begun,
                    Run::Starting | Run::Begun => {}
                }
                if self.run == Run::Begun {
                    self.record(line.pid, arch, name, rest)?;
                }
                self.executed(line.pid, name, rest);
            }
            Event::Resumed(name, rest) => {
                self.arch_of(line.pid);
                self.executed(line.pid, name, rest);
            }
            Event::Unread if self.run == Run::Begun => {
                self.recording.notes.insert(Note::Unread);
            }
            Event::Unread => {}
        }
        Ok(())
    }

    /// Takes note of a program that was started: another ABI may be its.
    fn executed(&mut self, pid: u32, name: &str, rest: &str) {
        if !matches!(name, "execve" | "execveat") || !succeeded(rest) {
            return;
        }
        self.run = Run::Begun;
        if !self.told {
            self.arches.insert(pid, self.native);
        }
    }

    /// The ABI of a process that makes a call now.
    fn arch_of(&mut self, pid: u32) -> Arch {
        self.current = *self.arches.entry(pid).or_insert(self.current);
        self.current
    }

    fn record(&mut self, pid: u32, arch: Arch, name: &str, rest: &str) -> Result<(), Unreadable> {
        if matches!(name, "clone" | "clone3") && rest.contains("CLONE_THREAD") && !failed(rest) {
            self.recording.threads = true;
        }
        let mut calls = calls(arch, name);
        let (silent, others) = (!self.told, relatives(self.native));
        if let Some(&other) = others
            .iter()
            .find(|&&other| calls.is_empty() && silent && !self::calls(other, name).is_empty())
        {
            self.arches.insert(pid, other);
            self.current = other;
            calls = self::calls(other, name);
        }
        if calls.is_empty() {
            let what = format!("{arch} has no syscall {}", quoted(name));
            return Err(Unreadable::new(0, what).hint(
                "the program's own output must not be in the log (strace -f -o FILE); --arch ARCH says \
                 whose log it is",
            ));
        }
        for sysno in calls {
            if sysno.is_expressible() {
                let sighting = Sighting {
                    sysno,
                    args: [0; 6],
                    tid: pid.try_into().unwrap_or_default(),
                    exe: self.recording.executable(""),
                };
                // When it was made is not in every log, and not in the profile.
                self.recording.saw(&sighting, Duration::ZERO);
            } else {
                self.recording.inexpressible(sysno.arch.audit(), sysno.nr);
            }
        }
        Ok(())
    }
}

/// The calls that strace shows by this name: none where the architecture has no such call.
///
/// What socketcall(2) and ipc(2) are asked for is shown as if it were called directly, so it may be both.
fn calls(arch: Arch, name: &str) -> Vec<Sysno> {
    let direct = number(arch, name).or_else(|| Sysno::parse(arch, name));
    let through = multiplexer_of(name).and_then(|name| Sysno::parse(arch, name));
    direct.into_iter().chain(through).collect()
}

/// The other ABIs that a machine may run.
const fn relatives(native: Arch) -> &'static [Arch] {
    match native {
        Arch::X86_64 => &[Arch::X86],
        Arch::Aarch64 => &[Arch::Arm],
        Arch::Ppc64 => &[Arch::Ppc],
        _ => &[],
    }
}

/// `syscall_0x1f2`: a number that strace has no name for.
fn number(arch: Arch, name: &str) -> Option<Sysno> {
    let nr = u32::from_str_radix(name.strip_prefix("syscall_0x")?, 16).ok()?;
    let bit = if arch == Arch::X32 { X32_BIT } else { 0 };
    Some(Sysno { arch, nr: nr | bit })
}

/// The ABI that strace calls by this name on this machine.
fn personality(native: Arch, mode: &str) -> Option<Arch> {
    Some(match (native, mode) {
        (Arch::X86_64, "64 bit") => Arch::X86_64,
        (Arch::X86_64, "32 bit") => Arch::X86,
        (Arch::X86_64, "x32") => Arch::X32,
        (Arch::Aarch64, "64 bit") => Arch::Aarch64,
        (Arch::Aarch64, "32 bit") => Arch::Arm,
        (Arch::Ppc64, "64 bit") => Arch::Ppc64,
        (Arch::Ppc64, "32 bit") => Arch::Ppc,
        _ => return None,
    })
}

/// What stands behind the last ` = ` of a line: the call's result.
fn result(rest: &str) -> Option<&str> {
    let (_, result) = rest.rsplit_once(" = ")?;
    result.split_whitespace().next()
}

fn succeeded(rest: &str) -> bool {
    result(rest) == Some("0")
}

fn failed(rest: &str) -> bool {
    result(rest) == Some("-1")
}

/// What a line says; `None` for lines about signals and ends, and for what is not strace's.
fn line_of(line: &str) -> Option<Line<'_>> {
    let mut rest = line.trim_start();
    let mut pid = 0;
    if let Some((number, after)) = rest
        .strip_prefix("[pid")
        .and_then(|rest| rest.split_once(']'))
    {
        pid = number.trim().parse().ok()?;
        rest = after.trim_start();
    } else if let Some((word, after)) = rest.split_once(char::is_whitespace)
        && word.bytes().all(|byte| byte.is_ascii_digit())
    {
        pid = word.parse().ok()?;
        rest = after.trim_start();
    }
    if let Some((number, mode)) = rest
        .strip_prefix("[ Process PID=")
        .and_then(|rest| rest.split_once(" runs in "))
    {
        let mode = mode.strip_suffix(" mode. ]")?;
        let event = Event::Mode(number.parse().ok()?, mode);
        return Some(Line { pid, event });
    }
    rest = after_stamps(rest);
    let event = if rest.starts_with("????") {
        Event::Unread
    } else if let Some((name, rest)) = rest
        .strip_prefix("<... ")
        .and_then(|rest| rest.split_once(" resumed>"))
    {
        Event::Resumed(name, rest)
    } else {
        let (name, rest) = rest.split_once('(')?;
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_name = begins && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        is_name.then_some(Event::Call(name, rest))?
    };
    Some(Line { pid, event })
}

/// The line without time stamps (`-t`, `-tt`, `-ttt`, `-r`), numbers (`-n`) and addresses (`-i`).
fn after_stamps(mut line: &str) -> &str {
    loop {
        let rest = if let Some(inside) = line.strip_prefix("(+").or_else(|| line.strip_prefix('['))
        {
            inside.split_once([')', ']']).map(|(_, rest)| rest)
        } else {
            let stamp = |word: &str| {
                word.bytes()
                    .all(|b| b.is_ascii_digit() || b".:+-T".contains(&b))
            };
            let word = line.split_once(char::is_whitespace);
            word.filter(|(word, _)| stamp(word) && !word.is_empty())
                .map(|(_, rest)| rest)
        };
        match rest {
            Some(rest) => line = rest.trim_start(),
            None => return line,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn names(text: &str) -> BTreeSet<String> {
        let recording = read(text, Arch::X86_64).expect(text);
        let calls = recording.calls();
        calls
            .iter()
            .map(|(sysno, call)| format!("{}:{sysno}:{}", sysno.arch, call.count))
            .collect()
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn recording_begins_with_the_program() {
        let log = "\
7  execve(\"/no/such\", [\"true\"], 0x7ffe /* 35 vars */) = -1 ENOENT (No such file or directory)
7  getpid() = 7
7  execve(\"/usr/bin/true\", [\"true = 1\"], 0x7ffe /* 35 vars */) = 0 <0.000474>
7  brk(NULL)                         = 0x55f8e5fc4000
7  execve(\"/usr/bin/other\", [\"other\"], 0x7ffe /* 35 vars */) = 0
7  --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED} ---
7  exit_group(0)                     = ?
7  +++ exited with 0 +++
";
        let want = ["x86_64:brk:1", "x86_64:execve:1", "x86_64:exit_group:1"];
        assert_eq!(names(log), set(&want));
        let slow = "\
7  execve(\"/usr/bin/true\", [\"true\"], 0x7ffe <unfinished ...>
8  read(0,  <unfinished ...>
7  <... execve resumed>) = 0
7  brk(NULL) = 0
";
        assert_eq!(names(slow), set(&["x86_64:brk:1"]));
        let attached = "read(0, \"x\", 1) = 1\nexecve(\"/x\", [], 0) = 0\n";
        assert_eq!(names(attached), set(&["x86_64:execve:1", "x86_64:read:1"]));
    }

    #[test]
    fn every_layout_of_strace_is_read() {
        let head = "execve(\"/x\", [], 0) = 0\n";
        for line in [
            "read(0, \"\", 1) = 0",
            "123 read(0, \"\", 1) = 0",
            "[pid  123] read(0, \"\", 1) = 0",
            "[pid 123] 06:30:41.194467 read(0, \"\", 1) = 0 <0.0001>",
            "123  06:30:41 read(0, \"\", 1) = 0",
            "123  1700000000.123456 read(0, \"\", 1) = 0",
            "1700000000.123456 read(0, \"\", 1) = 0",
            "     0.005050 read(0, \"\", 1) = 0",
            "123 06:30:41.1 (+     0.000012) read(0, \"\", 1) = 0",
            "123 [00007f8a1c2d3e4f] read(0, \"\", 1) = 0",
            "123 [   0] read(0, \"\", 1) = 0",
            "123 read(3</etc/passwd>,  <unfinished ...>",
        ] {
            assert!(is_call(line), "{line}");
            assert_eq!(
                names(&format!("{head}{line}\n")),
                set(&["x86_64:read:1"]),
                "{line}"
            );
        }
        for line in [
            "123 <... read resumed>\"\", 1) = 0",
            "123 +++ exited with 0 +++",
            "123 --- SIGSEGV {si_addr=(nil)} ---",
            "strace: Process 123 attached",
            " > /usr/lib/x86_64-linux-gnu/libc.so.6(__write+0x14) [0xf7a00]",
            "Hello (world)",
            "",
        ] {
            assert!(!is_call(line), "{line}");
            assert_eq!(
                names(&format!("{head}brk(0) = 0\n{line}\n")),
                set(&["x86_64:brk:1"]),
                "{line}"
            );
        }
    }

    #[test]
    fn a_process_has_the_abi_that_strace_said_last() {
        let log = "\
1 execve(\"/bin/sh\", [], 0) = 0
1 vfork( <unfinished ...>
2 execve(\"/bin/i386\", [], 0) = 0
[ Process PID=2 runs in 32 bit mode. ]
2 mmap2(NULL, 1, 0, 0, -1, 0) = 0
2 clone(child_stack=NULL, flags=SIGCHLD) = 3
3 getpid() = 3
3 socket(AF_UNIX, SOCK_STREAM, 0) = 3
3 accept(3, NULL, NULL) = -1 EINVAL (Invalid argument)
1 <... vfork resumed>) = 2
1 getpid() = 1
4 getuid() = 0
1 syscall_0x1f2(0x1, 0, 0, 0, 0, 0) = -1 ENOSYS (Function not implemented)
2 syscall_0x1f3(0x1, 0, 0, 0, 0, 0) = -1 ENOSYS (Function not implemented)
";
        let want = [
            "x86_64:vfork:1",
            "x86_64:execve:1",
            "x86:mmap2:1",
            "x86:clone:1",
            "x86:getpid:1",
            "x86:socket:1",
            "x86:socketcall:2",
            "x86_64:getpid:1",
            "x86_64:getuid:1",
            "x86_64:syscall_498:1",
            "x86:syscall_499:1",
        ];
        assert_eq!(names(log), set(&want));
    }

    #[test]
    fn a_name_that_only_one_abi_has_gives_a_process_away() {
        let log = "\
1 execve(\"/bin/sh\", [], 0) = 0
2 execve(\"/bin/i386\", [], 0) = 0
2 brk(NULL) = 0
2 mmap2(NULL, 1, 0, 0, -1, 0) = 0
2 getpid() = 2
1 getpid() = 1
2 execve(\"/bin/sh\", [], 0) = 0
2 getuid() = 0
";
        let want = [
            "x86_64:execve:1",
            "x86_64:brk:1",
            "x86:mmap2:1",
            "x86:getpid:1",
            "x86_64:getpid:1",
            "x86:execve:1",
            "x86_64:getuid:1",
        ];
        assert_eq!(names(log), set(&want));
    }

    #[test]
    fn threads_are_noticed_and_losses_too() {
        let head = "execve(\"/x\", [], 0) = 0\n";
        let thread = "clone3({flags=CLONE_VM|CLONE_THREAD, exit_signal=0}, 88 <unfinished ...>\n";
        assert!(
            read(&format!("{head}{thread}"), Arch::X86_64)
                .unwrap()
                .threads
        );
        let failed = "clone(child_stack=0, flags=CLONE_THREAD) = -1 EAGAIN (Resource)\n";
        assert!(
            !read(&format!("{head}{failed}"), Arch::X86_64)
                .unwrap()
                .threads
        );
        let unread = read(&format!("{head}5 ????( <unfinished ...>\n"), Arch::X86_64).unwrap();
        assert!(unread.notes.contains(&Note::Unread));
        let strange = format!("{head}syscall_0x80000001(0) = -1\n");
        let strange = read(&strange, Arch::X86_64).unwrap();
        assert_eq!((strange.distinct(), strange.notes.len()), (0, 1));
    }

    #[test]
    fn what_is_not_understood_is_said_with_its_line() {
        let cases = [
            ("", 0, "no syscall in it"),
            ("hello\n", 0, "no syscall in it"),
            (
                "execve(\"/x\", [], 0) = -1 ENOENT\n",
                0,
                "every execve failed",
            ),
            (
                "execve(\"/x\", [], 0) = 0\nnope(1) = 0\n",
                2,
                "x86_64 has no syscall 'nope'",
            ),
            (
                "execve(\"/x\", [], 0) = 0\n[ Process PID=1 runs in 64 bit mode. ]\n1 mmap2(1) = 0\n",
                3,
                "x86_64 has no syscall 'mmap2'",
            ),
            (
                "[ Process PID=1 runs in 31 bit mode. ]\n",
                1,
                "x86_64 has no mode '31 bit'",
            ),
        ];
        for (text, line, want) in cases {
            let error = read(text, Arch::X86_64).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.to_string().contains(want), "{text}: {error}");
        }
    }
}
