//! What an init does, and what others have been found not to do. Each test is one behaviour, and holds as the first
//! process of a pid namespace and as any other.
//!
//! The behaviours are those that `tini` (its inner tests: exit codes, reaping, signals, signal configuration, parent
//! death signal) and `dumb-init` (its tests: proxied signals, exit status, zombies, working directory, suspending, bad
//! executables, what outlives the command) promise, and faults that have been reported of inits. Theirs that are not
//! ours: signals for the whole process group (`tini -g`, `dumb-init` without `--single-child`), other exit codes (`tini -e`),
//! rewritten signals (`dumb-init -r`). All exit codes and deadly signals are in `exit_status.rs`, terminals in
//! `terminals.rs`.
//!
//! Where they are installed, the same table is held against both: [`OTHERS`] says what they do differently.

use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{
    Build, Env, Running, SECCOMP_RUN, fixture, is_root, is_witness, needs, needs_root,
    session_members, skip, stat,
};
use crate::profile::all_but;

/// An init, and where it runs.
struct Init {
    env: Env,
    /// What makes it the first process of a namespace.
    unshare: &'static [&'static str],
    words: Vec<String>,
    first: bool,
    /// Seconds that a run may take.
    limit: u64,
}

impl Init {
    fn new(name: &str, first: bool) -> Self {
        let env = Env::new();
        let profile = env.write("p.json", all_but(&[("acct", "SCMP_ACT_ERRNO")]));
        let words: &[&str] = match (name, first) {
            ("tini", true) => &["tini", "--"],
            // Where it is not the first process it adopts only if told to.
            ("tini", false) => &["tini", "-s", "--"],
            ("dumb-init", _) => &["dumb-init", "--single-child", "--"],
            ("report", _) => &[SECCOMP_RUN, "--enforce", &profile, "--report", "--"],
            _ => &[SECCOMP_RUN, "--enforce", &profile, "--"],
        };
        let unshare: &[&str] = &["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
        let words = words.iter().map(|&word| word.to_owned()).collect();
        Self {
            env,
            unshare: if first { unshare } else { &[] },
            words,
            first,
            limit: 40,
        }
    }

    /// The words that start `command` under it; `caller` is what executes it.
    fn words<'a>(&'a self, caller: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
        let words = self.words.iter().map(String::as_str);
        let before = self.unshare.iter().chain(caller).copied().chain(words);
        before.chain(command.iter().copied()).collect()
    }

    fn start(&self, command: &[&str]) -> Running {
        self.env
            .run(&self.words(&[], command))
            .limit(self.limit)
            .start()
    }

    /// The init's own pid.
    fn pid(&self, running: &Running) -> i32 {
        if self.first {
            children(running.pid())[0]
        } else {
            running.pid()
        }
    }

    fn signal(&self, running: &Running, number: i32) {
        send(number, self.pid(running));
    }
}

/// Without the witnesses of our launcher, which are its own.
fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .filter(|&pid| !is_witness(pid))
        .collect()
}

/// By number: nix has no real-time signals. A negative `pid` is a process group.
fn send(number: i32, pid: i32) {
    let status = Command::new("/bin/kill")
        .args([&format!("-{number}"), "--", &pid.to_string()])
        .status();
    assert!(status.unwrap().success(), "kill -{number} {pid}");
}

fn state(pid: i32) -> String {
    stat(pid).map_or_else(|| "gone".into(), |fields| fields[0].clone())
}

/// Signals that a program can handle, but for SIGCHLD, which is the init's own.
fn signals() -> impl Iterator<Item = i32> {
    (1..=64).filter(|s| ![9, 17, 19, 32, 33].contains(s))
}

/// Sends all of them to the init, and waits for each.
fn proxied(init: &Init, signals: impl Iterator<Item = i32>) {
    let mut run = init.start(&[&fixture("signals", Build::Static)]);
    run.until("the command", |r| r.stdout().contains("ready\n"));
    let mut wanted = String::from("ready\n");
    for signal in signals {
        init.signal(&run, signal);
        writeln!(wanted, "got {signal}").unwrap();
        run.until(&format!("signal {signal}"), |r| {
            r.stdout().len() >= wanted.len()
        });
    }
    // The last one ends the command.
    init.signal(&run, 64);
    wanted.push_str("got 64\n");
    let out = run.wait();
    out.ends_with(7);
    assert_eq!(out.stdout, wanted, "each once, in this order");
}

type Case = fn(&Init);

macro_rules! behaviours {
    ($($name:ident)*) => {
        const ALL: &[(&str, Case)] = &[$((stringify!($name), behaviour::$name)),*];
        $(
            #[test]
            fn $name() {
                behaviour::$name(&Init::new("ours", false));
                behaviour::$name(&Init::new("report", false));
                if !is_root() {
                    skip!("not root: only not as the first process of a namespace");
                }
                behaviour::$name(&Init::new("ours", true));
                behaviour::$name(&Init::new("report", true));
            }
        )*
    };
}

behaviours! {
    the_commands_end_is_ours
    a_command_that_cannot_be_executed_is_127_or_126
    every_standard_signal_is_passed_on_once
    every_real_time_signal_is_passed_on_once
    the_c_librarys_own_signals_end_nobody_but_the_command
    a_fault_signal_that_somebody_sends_is_the_commands
    queued_signals_are_neither_merged_nor_lost
    what_a_queued_signal_says_is_passed_on
    a_signal_that_came_before_the_command_was_started_is_not_lost
    a_signal_goes_to_the_command_alone
    the_launchers_children_are_no_affair_of_the_command
    the_command_has_the_callers_signal_mask_and_ignored_signals
    an_ignored_sigchld_loses_no_status_and_stays_ignored
    the_command_has_the_callers_parent_death_signal
    orphans_are_adopted_and_reaped
    a_storm_of_orphans_leaves_no_zombie
    what_outlives_the_command_is_not_told
    the_launcher_is_no_user_of_the_working_directory
    standard_input_and_output_are_the_commands
    a_stopped_command_can_be_continued
    an_init_under_an_init_is_one_too
}

mod behaviour {
    use super::*;

    pub(super) fn the_commands_end_is_ours(init: &Init) {
        let program = fixture("status", Build::Static);
        let cases = [
            ("exit", 0, 0),
            ("exit", 1, 1),
            ("exit", 77, 77),
            ("exit", 143, 143),
            ("exit", 255, 255),
            ("kill", 1, 129),
            ("kill", 9, 137),
            ("kill", 11, 139),
            ("kill", 15, 143),
            ("kill", 32, 160),
            ("kill", 34, 162),
            ("kill", 64, 192),
        ];
        for (how, number, wanted) in cases {
            let run = init.start(&[&program, how, &number.to_string()]);
            run.wait().ends_with(wanted);
        }
    }

    pub(super) fn a_command_that_cannot_be_executed_is_127_or_126(init: &Init) {
        let missing = init.env.text("missing");
        init.start(&[&missing]).wait().ends_with(127);
        let text = init.env.write("text", "no program\n");
        init.start(&[&text]).wait().ends_with(126);
    }

    pub(super) fn every_standard_signal_is_passed_on_once(init: &Init) {
        // Faults are another behaviour.
        let fault = [4, 5, 6, 7, 8, 11, 31];
        proxied(init, signals().filter(|s| *s < 32 && !fault.contains(s)));
    }

    pub(super) fn every_real_time_signal_is_passed_on_once(init: &Init) {
        proxied(init, 34..64);
    }

    pub(super) fn the_c_librarys_own_signals_end_nobody_but_the_command(init: &Init) {
        // By default both end a process, but programs that are started by posix_spawn find them ignored.
        let default = "import ctypes, os, sys; zeros = ctypes.create_string_buffer(32); \
                       [ctypes.CDLL(None).syscall(13, n, zeros, None, 8) for n in (32, 33)]; \
                       os.execvp(sys.argv[1], sys.argv[1:])";
        let tracee = fixture("tracee", Build::Static);
        for signal in [32, 33] {
            let words = init.words(&["python3", "-c", default], &[&tracee, "forever"]);
            let mut run = init.env.run(&words).limit(init.limit).start();
            run.until("the command", |r| r.stdout().contains("pid"));
            let command = children(init.pid(&run))[0];
            init.signal(&run, signal);
            // Not as the default action of somebody who did not see it coming.
            assert_eq!(run.wait().status.code(), Some(128 + signal));
            assert!(!matches!(&*state(command), "S" | "R"), "it lives on");
        }
    }

    pub(super) fn a_fault_signal_that_somebody_sends_is_the_commands(init: &Init) {
        proxied(init, [4, 5, 6, 7, 8, 11, 31].into_iter());
    }

    pub(super) fn queued_signals_are_neither_merged_nor_lost(init: &Init) {
        let mut run = init.start(&[&fixture("signals", Build::Static)]);
        run.until("the command", |r| r.stdout().contains("ready\n"));
        let pid = init.pid(&run);
        let burst = format!("i=0; while [ $i -lt 100 ]; do kill -36 {pid}; i=$((i+1)); done");
        init.env.run(&["sh", "-c", &burst]).output().succeeds();
        run.until("all of them", |r| {
            r.stdout().matches("got 36\n").count() >= 100
        });
        init.signal(&run, 64);
        let out = run.wait();
        out.ends_with(7);
        assert_eq!(out.stdout.matches("got 36\n").count(), 100);
    }

    pub(super) fn what_a_queued_signal_says_is_passed_on(init: &Init) {
        let mut run = init.start(&[&fixture("signals", Build::Static)]);
        run.until("the command", |r| r.stdout().contains("ready\n"));
        let pid = init.pid(&run);
        let sender = "import ctypes, sys; c = ctypes.CDLL(None); v = ctypes.c_void_p; \
                      [c.sigqueue(int(sys.argv[1]), n, v(n + 700)) for n in (12, 36, 36)]";
        let words = ["python3", "-c", sender, &pid.to_string()];
        let sent = init.env.run(&words).start();
        // What another namespace sends has no pid in this one.
        let from = if init.first { 0 } else { sent.pid() };
        sent.wait().succeeds();
        let got = |n: i32| format!("got {n}: {} from {from}\n", n + 700);
        let wanted = format!("ready\n{}{}{}", got(12), got(36), got(36));
        run.until("all of them", |r| r.stdout().len() >= wanted.len());
        init.signal(&run, 64);
        let out = run.wait();
        out.ends_with(7);
        assert_eq!(out.stdout, format!("{wanted}got 64\n"));
    }

    pub(super) fn a_signal_that_came_before_the_command_was_started_is_not_lost(init: &Init) {
        // Blocked and pending when the init is started: from its parent, and from itself.
        let before = "import os, signal, sys\n\
             signal.pthread_sigmask(signal.SIG_BLOCK, {10, 12})\n\
             us = os.getpid()\n\
             if os.fork() == 0:\n    os.kill(us, 10)\n    os._exit(0)\n\
             os.wait()\n\
             os.kill(us, 12)\n\
             os.execvp(sys.argv[1], sys.argv[1:])";
        let command = "import signal\n\
             print(sorted(signal.sigtimedwait({10, 12}, 10).si_signo for _ in '12'))";
        let words = init.words(&["python3", "-c", before], &["python3", "-c", command]);
        let run = init.env.run(&words).limit(init.limit).start();
        run.wait().succeeds().says("[10, 12]\n");
    }

    pub(super) fn a_signal_goes_to_the_command_alone(init: &Init) {
        let command = "(trap 'echo child' USR1; while :; do sleep 0.05; done) &
             trap 'echo command; exit 9' USR1; sleep 0.3; echo on; while :; do sleep 0.05; done";
        let mut run = init.start(&["sh", "-c", command]);
        run.until("both", |r| r.stdout().contains("on\n"));
        init.signal(&run, 10);
        let out = run.wait();
        out.ends_with(9);
        assert_eq!(out.stdout, "on\ncommand\n");
    }

    pub(super) fn the_launchers_children_are_no_affair_of_the_command(init: &Init) {
        // An orphan that ends tells its new parent, and nobody else.
        let command = "import os, signal, time\n\
             pid = os.fork()\n\
             if pid == 0:\n    os.fork() or (time.sleep(0.2), os._exit(0))\n    os._exit(0)\n\
             os.waitpid(pid, 0)\n\
             got = []\n\
             signal.signal(signal.SIGCHLD, lambda *_: got.append(1))\n\
             end = time.monotonic() + 0.6\n\
             while time.monotonic() < end: time.sleep(0.05)\n\
             print(len(got))";
        let run = init.start(&["python3", "-c", command]);
        run.wait().succeeds().says("0\n");
    }

    pub(super) fn the_command_has_the_callers_signal_mask_and_ignored_signals(init: &Init) {
        let show = ["grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"];
        let callers: [&[&str]; 4] = [
            &["env"],
            &["env", "--block-signal"],
            &["env", "--ignore-signal", "--default-signal=CHLD"],
            &[
                "env",
                "--block-signal=TTIN,ILL,TERM",
                "--ignore-signal=TTOU,SEGV,INT,PIPE",
            ],
        ];
        for caller in callers {
            let native = init.env.run(&[caller, &show].concat()).output();
            let run = init
                .env
                .run(&init.words(caller, &show))
                .limit(init.limit)
                .start();
            let out = run.wait();
            assert_eq!(
                native.succeeds().stdout,
                out.succeeds().stdout,
                "{caller:?}"
            );
        }
    }

    pub(super) fn an_ignored_sigchld_loses_no_status_and_stays_ignored(init: &Init) {
        let ignoring = &["env", "--ignore-signal=CHLD"];
        let show = ["grep", "SigIgn:", "/proc/self/status"];
        let native = init.env.run(&[&ignoring[..], &show].concat()).output();
        let words = init.words(ignoring, &show);
        let out = init.env.run(&words).limit(init.limit).output();
        assert_eq!(out.succeeds().stdout, native.succeeds().stdout);
        let words = init.words(ignoring, &["sh", "-c", "exit 3"]);
        init.env.run(&words).limit(init.limit).output().ends_with(3);
    }

    pub(super) fn the_command_has_the_callers_parent_death_signal(init: &Init) {
        let caller = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 12); os.execvp(sys.argv[1], sys.argv[1:])";
        let show = "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); print('signal', n.value)";
        let words = init.words(&["python3", "-c", caller], &["python3", "-c", show]);
        init.env
            .run(&words)
            .limit(init.limit)
            .output()
            .succeeds()
            .says("signal 12\n");
    }

    pub(super) fn orphans_are_adopted_and_reaped(init: &Init) {
        let mut run = init.start(&["sh", "-c", "(sleep 1 &); echo on; exec sleep 60"]);
        run.until("the orphan", |r| r.stdout().contains("on\n"));
        let pid = init.pid(&run);
        run.until("a second child", |_| children(pid).len() == 2);
        run.until("its end", |_| children(pid).len() == 1);
        init.signal(&run, 15);
        run.wait().ends_with(143);
    }

    pub(super) fn a_storm_of_orphans_leaves_no_zombie(init: &Init) {
        // All end at about the same time: their SIGCHLD are one.
        let storm = "import os, time\n\
             for i in range(300):\n    pid = os.fork()\n    \
             if pid == 0:\n        if os.fork() == 0:\n            time.sleep(0.01)\n        os._exit(0)\n    \
             os.waitpid(pid, 0)\n\
             print('on', flush=True); time.sleep(20)";
        let mut run = init.start(&["python3", "-c", storm]);
        run.until("the storm", |r| r.stdout().contains("on\n"));
        let pid = init.pid(&run);
        run.until("only the command", |_| children(pid).len() == 1);
        init.signal(&run, 15);
        run.wait().ends_with(143);
    }

    pub(super) fn what_outlives_the_command_is_not_told(init: &Init) {
        let command = "(trap 'echo told' HUP TERM; sleep 0.1; echo started; sleep 2.5; echo late) & sleep 1.5; exit 3";
        let mut run = init.start(&["sh", "-c", command]);
        // Before that it may not even have its session.
        run.until("the command", |r| r.stdout().contains("started\n"));
        let session = run.pid();
        let by = Instant::now() + Duration::from_secs(init.limit);
        while !session_members(session).is_empty() && Instant::now() < by {
            std::thread::sleep(Duration::from_millis(5));
        }
        let out = run.wait();
        out.ends_with(3);
        // The end of a namespace's first process is the end of all others.
        let late = if init.first { "" } else { "late\n" };
        assert_eq!(out.stdout, format!("started\n{late}"));
    }

    pub(super) fn the_launcher_is_no_user_of_the_working_directory(init: &Init) {
        let dir = init.env.mkdir("dir");
        let words = init.words(&[], &["sh", "-c", "pwd; sleep 20"]);
        let mut run = init.env.run(&words).cwd(&dir).limit(init.limit).start();
        run.until("the command", |r| r.stdout().contains('\n'));
        assert_eq!(run.stdout(), format!("{dir}\n"));
        let cwd = format!("/proc/{}/cwd", init.pid(&run));
        run.until("the root", |_| {
            fs::read_link(&cwd).unwrap() == Path::new("/")
        });
    }

    pub(super) fn standard_input_and_output_are_the_commands(init: &Init) {
        let words = init.words(&[], &["tac"]);
        let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let line = format!("printf '1\\n2\\n3\\n' | {}", words.join(" "));
        let out = init.env.run(&["sh", "-c", &line]).output();
        assert_eq!(out.succeeds().stdout, "3\n2\n1\n");
    }

    pub(super) fn a_stopped_command_can_be_continued(init: &Init) {
        let mut run = init.start(&[&fixture("signals", Build::Static)]);
        run.until("the command", |r| r.stdout().contains("ready\n"));
        let launcher = init.pid(&run);
        let command = children(launcher)[0];
        send(19, command);
        run.until("a stop", |_| state(command) == "T");
        // Stopped alone: who looks after it goes on.
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(state(launcher), "S");
        init.signal(&run, 18);
        run.until("its going on", |_| state(command) == "S");
        run.until("the signal", |r| r.stdout().contains("got 18\n"));
        init.signal(&run, 64);
        let out = run.wait();
        out.ends_with(7);
        assert_eq!(out.stdout, "ready\ngot 18\ngot 64\n");
    }

    pub(super) fn an_init_under_an_init_is_one_too(init: &Init) {
        let inner = Init::new("ours", false);
        let signals = fixture("signals", Build::Static);
        let words = inner.words(&[], &[&signals]);
        let mut run = init.start(&words);
        run.until("the command", |r| r.stdout().contains("ready\n"));
        for signal in [1, 15, 40, 64] {
            init.signal(&run, signal);
            run.until("a signal", |r| {
                r.stdout().contains(&format!("got {signal}\n"))
            });
        }
        let out = run.wait();
        out.ends_with(7);
        assert_eq!(out.stdout, "ready\ngot 1\ngot 15\ngot 40\ngot 64\n");
    }
}

/// An init, its version, and which behaviours it lacks where.
type Other = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static [bool])],
);

/// The places where an init runs: as the first process of a namespace, and not.
const BOTH: &[bool] = &[true, false];
const NOT_FIRST: &[bool] = &[false];

/// What other inits do differently, in the versions that Debian 12 has, and where.
const OTHERS: &[Other] = &[
    (
        "tini",
        "tini version 0.19.0",
        &[
            // It ignores SIGTTIN and SIGTTOU.
            ("every_standard_signal_is_passed_on_once", BOTH),
            // They end it, and nobody tells the command; as PID 1 it does not notice them.
            ("a_fault_signal_that_somebody_sends_is_the_commands", BOTH),
            (
                "the_c_librarys_own_signals_end_nobody_but_the_command",
                BOTH,
            ),
            ("what_a_queued_signal_says_is_passed_on", BOTH),
            // It waits for ever.
            ("an_ignored_sigchld_loses_no_status_and_stays_ignored", BOTH),
            ("the_command_has_the_callers_parent_death_signal", BOTH),
            ("the_launcher_is_no_user_of_the_working_directory", BOTH),
        ],
    ),
    (
        "dumb-init",
        "dumb-init v1.2.5",
        &[
            // 2 for both.
            ("a_command_that_cannot_be_executed_is_127_or_126", BOTH),
            // It stops itself at SIGTSTP, SIGTTIN and SIGTTOU, whether the command does or not.
            ("every_standard_signal_is_passed_on_once", NOT_FIRST),
            (
                "the_c_librarys_own_signals_end_nobody_but_the_command",
                BOTH,
            ),
            ("what_a_queued_signal_says_is_passed_on", BOTH),
            // The command starts with no signal blocked, and with SIGCHLD at its default.
            (
                "a_signal_that_came_before_the_command_was_started_is_not_lost",
                BOTH,
            ),
            (
                "the_command_has_the_callers_signal_mask_and_ignored_signals",
                BOTH,
            ),
            ("an_ignored_sigchld_loses_no_status_and_stays_ignored", BOTH),
            ("the_command_has_the_callers_parent_death_signal", BOTH),
            // It is no subreaper.
            ("orphans_are_adopted_and_reaped", NOT_FIRST),
        ],
    ),
];

#[test]
fn what_other_inits_do_differently() {
    needs_root!();
    for &(name, version, known) in OTHERS {
        needs!(name);
        let env = Env::new();
        let said = env.run(&[name, "--version"]).output();
        if !format!("{}{}", said.stdout, said.stderr).contains(version) {
            skip!("this {name} is not {version}");
        }
        let mut wrong = Vec::new();
        for &(behaviour, case) in ALL {
            for first in [true, false] {
                let mut init = Init::new(name, first);
                let fails = known
                    .iter()
                    .any(|(name, places)| *name == behaviour && places.contains(&first));
                if fails {
                    // Some of them wait for ever.
                    init.limit = 4;
                }
                let failed = catch_unwind(AssertUnwindSafe(|| case(&init))).is_err();
                if failed != fails {
                    wrong.push((behaviour, first, failed));
                }
            }
        }
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
}
