//! On deterministic programs the learner books what strace sees: no call more, none less.

use crate::engines::{engines, learned};
use crate::harness::{Build, Env, Output, fixture, installed, needs, skip, skipped, try_fixture};
use crate::profile::{Names, Profile, strace_names};

const IMPLICIT: &[&str] = &["exit", "exit_group", "rt_sigreturn", "restart_syscall"];
const VDSO: &[&str] = &[
    "clock_gettime",
    "clock_getres",
    "gettimeofday",
    "time",
    "getcpu",
    "getrandom",
];

fn set(names: &[&str]) -> Names {
    names.iter().map(|&n| n.to_owned()).collect()
}

/// What strace saw of a command, and how that ended.
pub(crate) struct Oracle<'a> {
    env: &'a Env,
    command: &'a [&'a str],
    pub(crate) run: Output,
    pub(crate) seen: Names,
    threads: bool,
    i386: bool,
}

impl<'a> Oracle<'a> {
    /// Runs the command under strace, in a directory of its own.
    pub(crate) fn ask(env: &'a Env, command: &'a [&'a str]) -> Self {
        let trace = env.text("trace");
        let mut args = vec!["strace", "-f", "-o", &trace, "--"];
        args.extend_from_slice(command);
        let run = env.run(&args).cwd(&fresh(env)).output();
        let text = env.read("trace");
        let seen = strace_names(&text);
        Self {
            env,
            command,
            run,
            threads: text.contains("CLONE_THREAD"),
            // strace does not say it; any 32-bit C library makes one of these, and no 64-bit one does.
            i386: !seen.is_disjoint(&set(&["set_thread_area", "mmap2"])),
            seen,
        }
    }

    /// Learns the command; it must do and end as under strace.
    pub(crate) fn learn(&self, engine: &[&str]) -> Profile {
        let profile = self.env.text("exact.json");
        let args = [
            &["--learn", "--force", "-o", &profile],
            engine,
            &["--"],
            self.command,
        ]
        .concat();
        let run = || self.env.ours(&args).cwd(&fresh(self.env));
        let theirs = &self.run;
        let same = |ours: &Output| ours.status == theirs.status && ours.stdout == theirs.stdout;
        let ours = learned(engine, run, same);
        assert!(same(&ours), "{ours}\n\n{theirs}");
        Profile::read(&self.env.path("exact.json"))
    }

    /// The profile has what strace saw as observed, the documented additions as added, and nothing else.
    pub(crate) fn agrees(&self, engine: &[&str], profile: &Profile) {
        let mut observed = profile.observed();
        // The learner's own stops can be what the kernel restarts a call after.
        if !self.seen.contains("restart_syscall") {
            observed.remove("restart_syscall");
        }
        let missing: Vec<_> = self.seen.difference(&observed).collect();
        let extra: Vec<_> = observed.difference(&self.seen).collect();
        assert!(
            missing.is_empty() && extra.is_empty(),
            "{engine:?} {:?}: strace saw also {missing:?}; only we saw {extra:?}",
            self.command
        );
        self.adds_what_is_documented(engine, profile);
    }

    /// What is marked as added is what is documented, less what was observed.
    pub(crate) fn adds_what_is_documented(&self, engine: &[&str], profile: &Profile) {
        let mut wanted = set(IMPLICIT);
        wanted.extend(set(VDSO));
        if self.threads {
            wanted.extend(set(&["futex"]));
        }
        if self.i386 {
            wanted.extend(set(&[
                "sigreturn",
                "clock_gettime64",
                "clock_getres_time64",
            ]));
        }
        let observed = profile.observed();
        let wanted: Names = wanted.difference(&observed).cloned().collect();
        assert_eq!(
            profile.added(),
            wanted,
            "{engine:?} {:?}: what is added, and marked as added",
            self.command
        );
        let architectures: &[&str] = if self.i386 {
            &["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"]
        } else {
            &["SCMP_ARCH_X86_64"]
        };
        assert_eq!(
            profile.architectures(),
            architectures.iter().copied().collect(),
            "{engine:?} {:?}",
            self.command
        );
    }
}

/// A new directory, whose name is as long as every other's.
fn fresh(env: &Env) -> String {
    let dir = env.text("work");
    let _ = std::fs::remove_dir_all(&dir);
    env.mkdir("work")
}

/// Learns the command in every way, and compares with strace's view of another run.
pub(crate) fn agrees_with_strace(env: &Env, command: &[&str]) {
    let oracle = Oracle::ask(env, command);
    for engine in engines() {
        let profile = oracle.learn(engine);
        oracle.agrees(engine, &profile);
    }
}

#[test]
fn programs_of_the_machine() {
    needs!("strace");
    let env = Env::new();
    env.write("lines", "c\nb\na\n");
    let lines = env.text("lines");
    let archive = env.text("archive.tar");
    let commands: &[&[&str]] = &[
        &["true"],
        &["echo", "hello"],
        &["cat", &lines],
        &["ls", "-l", "/usr"],
        &["sort", &lines],
        &["sed", "s/a/b/", &lines],
        &["awk", "{ print NR, $0 }", &lines],
        &["find", "/etc/apt", "-type", "f"],
        &[
            "dd",
            &format!("if={lines}"),
            "of=copy",
            "bs=1",
            "status=none",
        ],
        &["tar", "-cf", &archive, "-C", "/etc", "passwd"],
        &[
            "sh",
            "-c",
            "for i in 1 2 3; do echo $i | cat; done; (exit 3)",
        ],
        &[
            "bash",
            "-c",
            "trap 'echo usr1' USR1; kill -USR1 $$; ls /usr | head -n 2 | wc -l",
        ],
        &["busybox", "sh", "-c", "echo $((6 * 7)) | busybox tr 4 5"],
        &[
            "python3",
            "-I",
            "-B",
            "-c",
            "import json; print(json.dumps([1]))",
        ],
        &["git", "version"],
        &["date", "-u", "-d", "@0"],
        &["mkdir", "-m", "700", "new"],
    ];
    for command in commands {
        if installed(command[0]) {
            agrees_with_strace(&env, command);
        } else {
            skipped(&format!("{} is not installed", command[0]));
        }
    }
}

// Not among them: children killed while they run, of which strace prints numbers that were never called.
#[test]
fn programs_that_are_hard_on_a_tracer() {
    needs!("strace");
    let env = Env::new();
    for build in [Build::Dynamic, Build::Static] {
        let tracee = fixture("tracee", build);
        for scene in [
            "nothing",
            "vfork",
            "exec_thread",
            "traps",
            "realtime",
            "storm",
            "undumpable",
        ] {
            agrees_with_strace(&env, &[&tracee, scene]);
        }
    }
}

#[test]
fn i386_programs() {
    needs!("strace");
    let Some(tracee) = try_fixture("tracee", Build::I386) else {
        skip!("gcc -m32 does not work")
    };
    let env = Env::new();
    for scene in ["nothing", "vfork", "traps", "storm"] {
        agrees_with_strace(&env, &[&tracee, scene]);
    }
    agrees_with_strace(&env, &["sh", "-c", &format!("{tracee} vfork; true")]);
}
