//! The kernel's own record of the same run: what the tracepoint of syscall entry counts for a command and all its
//! descendants is what the learner observed.
//!
//! Programs need not be deterministic for that: both look at one run. The tracepoint comes after ptrace and seccomp,
//! so it sees the calls that are carried out. It does not tell the ABI, so all programs here are 64-bit.

use std::collections::BTreeMap;

use seccomp_run::arch::Arch;
use seccomp_run::syscall;

use crate::engines::{engines, installs};
use crate::harness::{Build, Env, Running, fixture, installed, needs, needs_root, skip, skipped};
use crate::profile::{Names, Profile};

/// Follows the children of one thread, the test's. A child and what it executes is a launcher, known by its pid; what a
/// child of that executes is a command; and all that a command makes, threads included, belongs to it.
const SCRIPT: &str = "
BEGIN { printf(\"ready\\n\"); }
tracepoint:sched:sched_process_fork /args->parent_pid == TEST/ { @launcher[args->child_pid] = args->child_pid; }
tracepoint:sched:sched_process_fork /@launcher[args->parent_pid]/
    { @launcher[args->child_pid] = @launcher[args->parent_pid]; }
tracepoint:sched:sched_process_fork /@command[args->parent_pid]/
    { @command[args->child_pid] = @command[args->parent_pid]; }
tracepoint:sched:sched_process_exec /@command[args->old_pid] && args->pid != args->old_pid/
    { @command[args->pid] = @command[args->old_pid]; delete(@command[args->old_pid]); }
tracepoint:sched:sched_process_exec /@launcher[args->old_pid] && @launcher[args->old_pid] != args->old_pid/
    { @command[args->pid] = @launcher[args->old_pid]; delete(@launcher[args->old_pid]); }
tracepoint:sched:sched_process_exit { delete(@launcher[tid]); delete(@command[tid]); }
tracepoint:raw_syscalls:sys_enter /@command[tid]/ { @calls[@command[tid], args->id] = count(); }
END { clear(@launcher); clear(@command); }
";

/// What the learner makes a process do that it gives a filter: the kernel sees these, and they are not the command's.
const INJECTED: &[&str] = &["mmap", "munmap", "seccomp", "prctl", "close"];

/// The second run of a program, which starts with what the first one learned.
const UPDATE: &[&str] = &["--update"];

#[test]
fn the_kernel_saw_the_same_calls() {
    needs_root!();
    needs!("bpftrace", "unshare");
    // bpftrace speaks of threads as the first pid namespace numbers them.
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap();
    if namespace.as_os_str() != "pid:[4026531836]" {
        skip!("in a pid namespace");
    }
    let env = Env::new();
    let Some(watcher) = watch(&env) else { return };
    let late = fixture("late", Build::Static);
    let storms = fixture("storms", Build::Static);
    let tracee = fixture("tracee", Build::Dynamic);
    let python = "import threading, subprocess, ssl, asyncio; t = [threading.Thread(target=sum, args=([1],)) for _ in \
        range(9)]; [x.start() for x in t]; [x.join() for x in t]; subprocess.run(['true']); asyncio.run(asyncio.sleep(0))";
    let git = "git init -q r; cd r; echo x >f; git add f; git -c user.name=n -c user.email=e commit -qm m; git gc -q";
    let programs: &[&[&str]] = &[
        &["true"],
        &["find", "/usr/share/doc", "-name", "copyright"],
        &[
            "sh",
            "-c",
            "ls /usr | sort -R | xargs -n 3 echo | tail -n 1; (exit 3)",
        ],
        &[
            "bash",
            "-c",
            "trap 'echo usr1' USR1; kill -USR1 $$; sleep 0.1 & wait; echo $(seq 3)",
        ],
        &["python3", "-c", python],
        &["perl", "-e", "print `echo x`; fork; sleep 0"],
        &["sh", "-c", git],
        &[
            "sh",
            "-c",
            "echo 'int main(void) { return 0; }' >m.c; gcc -o m m.c && ./m",
        ],
        &["node", "-e", "setTimeout(() => console.log(1), 5)"],
        &[&tracee, "storm"],
        &[&tracee, "vfork"],
        &[&tracee, "threads"],
        &[&tracee, "exec_thread"],
        &[&tracee, "restart"],
        &[&tracee, "stopped"],
        &[&tracee, "realtime"],
        &[&tracee, "untraced"],
        &[&late, "waiting"],
        &[&late, "race"],
        &[&late, "grandchild"],
        &[&storms, "bomb"],
        &[&storms, "exec_threads"],
    ];
    let mut learned = BTreeMap::new();
    for &command in programs {
        if !installed(command[0]) && !command[0].starts_with('/') {
            continue;
        }
        let again: &[&str] = UPDATE;
        for &engine in engines().iter().chain([&again]) {
            let work = env.text("work");
            let _ = std::fs::remove_dir_all(&work);
            let (profile, existing) = (env.text("p.json"), ["--force"]);
            let existing = if engine == UPDATE { &[][..] } else { &existing };
            let head = ["--learn", "--strict", "-o", &profile];
            let args = [&head[..], existing, engine, &["--"], command].concat();
            let run = env.ours(&args).cwd(&env.mkdir("work")).start();
            let launcher = run.pid();
            let out = run.wait();
            assert!(out.code() < 100, "{out}");
            let profile = Profile::read(&env.path("p.json"));
            let earlier = learned.insert(launcher, (engine, command, profile));
            assert!(earlier.is_none(), "pid {launcher} came twice");
        }
    }
    watcher.signal(2);
    let counted = watcher.wait();
    let counted = calls(&counted.stdout);

    compare(&learned, &counted);
}

type Learned<'a> = BTreeMap<i32, (&'a [&'a str], &'a [&'a str], Profile)>;

fn compare(learned: &Learned<'_>, counted: &BTreeMap<i32, Names>) {
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (launcher, (engine, command, profile)) in learned {
        let Some(seen) = counted.get(launcher) else {
            wrong.push(format!(
                "{engine:?} {command:?}: the kernel saw nothing of it"
            ));
            continue;
        };
        let observed = profile.observed();
        compared += seen.len();
        let ours = if installs(engine) == Some(false) {
            &[]
        } else {
            INJECTED
        };
        let missing: Vec<_> = seen.difference(&observed).collect();
        let missing: Vec<_> = missing
            .iter()
            .filter(|n| !ours.contains(&n.as_str()))
            .collect();
        // What a second run updates has also what the first one saw.
        let only_ours = observed.difference(seen).filter(|_| *engine != UPDATE);
        let extra: Vec<_> = only_ours.collect();
        if !missing.is_empty() || !extra.is_empty() {
            wrong.push(format!(
                "{engine:?} {command:?}: only the kernel saw {missing:?}; only we saw {extra:?}"
            ));
        }
    }
    eprintln!("{} runs, {compared} syscalls", learned.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Starts bpftrace, and waits until it counts.
fn watch(env: &Env) -> Option<Running> {
    let script = SCRIPT.replace("TEST", &nix::unistd::gettid().to_string());
    let script = env.write("script.bt", script);
    let watch =
        format!("mount -t tracefs none /sys/kernel/tracing; exec bpftrace -B line {script}");
    let mut watcher = env
        .run(&["unshare", "-m", "sh", "-c", &watch])
        .var("BPFTRACE_MAP_KEYS_MAX", "100000")
        .limit(300)
        .start();
    watcher.until("bpftrace", |w| {
        let said = w.stderr().to_lowercase();
        w.stdout().contains("ready") || said.contains("error: ") && said.contains("failed")
    });
    if !watcher.stdout().contains("ready") {
        skipped(&format!("bpftrace cannot attach: {}", watcher.stderr()));
        return None;
    }
    Some(watcher)
}

/// Lines of `@calls[LAUNCHER, NUMBER]: COUNT`, as names by launcher.
fn calls(text: &str) -> BTreeMap<i32, Names> {
    let names: BTreeMap<u32, &str> = syscall::all(Arch::X86_64)
        .map(|(sysno, name)| (sysno.nr, name))
        .collect();
    let mut calls: BTreeMap<i32, Names> = BTreeMap::new();
    for line in text.lines() {
        let Some((key, _)) = line.strip_prefix("@calls[").and_then(|l| l.split_once(']')) else {
            continue;
        };
        let (launcher, number) = key.split_once(", ").unwrap();
        let number = number.parse().unwrap();
        let name = names
            .get(&number)
            .map_or_else(|| format!("syscall_{number}"), |&n| n.to_owned());
        calls
            .entry(launcher.parse().unwrap())
            .or_default()
            .insert(name);
    }
    calls
}
