//! On deterministic programs the learner books what strace sees: no call more, none less.

use crate::harness::{Build, Env, fixture, installed, needs, skip, skipped, try_fixture};
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

/// Learns the command and compares it with strace's view of another run.
fn agrees_with_strace(env: &Env, command: &[&str], threads: bool, i386: bool) {
    let profile = env.text("exact.json");
    let trace = env.text("trace");
    let mut args = vec!["--learn", "--force", "-o", &profile, "--"];
    args.extend_from_slice(command);
    let ours = env.ours(&args).cwd(&env.mkdir("ours")).output();
    let mut args = vec!["strace", "-f", "-o", &trace, "--"];
    args.extend_from_slice(command);
    let theirs = env.run(&args).cwd(&env.mkdir("theirs")).output();
    assert_eq!(ours.status, theirs.status, "{ours}\n\n{theirs}");
    assert_eq!(ours.stdout, theirs.stdout, "{ours}\n\n{theirs}");

    let profile = Profile::read(&env.path("exact.json"));
    let seen = strace_names(&env.read("trace"));
    let observed = profile.observed();
    let missing: Vec<_> = seen.difference(&observed).collect();
    let extra: Vec<_> = observed.difference(&seen).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{command:?}: strace saw also {missing:?}; only we saw {extra:?}"
    );

    let mut wanted = set(IMPLICIT);
    wanted.extend(set(VDSO));
    if threads {
        wanted.extend(set(&["futex"]));
    }
    if i386 {
        wanted.extend(set(&[
            "sigreturn",
            "clock_gettime64",
            "clock_getres_time64",
        ]));
    }
    let wanted: Names = wanted.difference(&observed).cloned().collect();
    assert_eq!(
        profile.added(),
        wanted,
        "{command:?}: what is added, and marked as added"
    );
    let native: &[&str] = if i386 {
        &["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"]
    } else {
        &["SCMP_ARCH_X86_64"]
    };
    assert_eq!(
        profile.architectures(),
        native.iter().copied().collect(),
        "{command:?}"
    );
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
            agrees_with_strace(&env, command, false, false);
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
            agrees_with_strace(&env, &[&tracee, scene], scene == "exec_thread", false);
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
        agrees_with_strace(&env, &[&tracee, scene], false, true);
    }
    agrees_with_strace(
        &env,
        &["sh", "-c", &format!("{tracee} vfork; true")],
        false,
        true,
    );
}
