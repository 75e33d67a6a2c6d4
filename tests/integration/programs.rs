//! Programs that are not made for being watched: that trace others, have filters of their own, change who they are, or
//! live in other namespaces. Each does what it does natively, or a message says what was different.

use std::path::Path;
use std::process::Command;

use crate::engines::{self, engines, installs};
use crate::harness::{
    Build, Env, Output, Run, SECCOMP_RUN, fixture, installed, needs, needs_root, ordinary_user,
    skip, skipped,
};
use crate::profile::{Profile, all_but};

/// The command in this way.
fn learned(env: &Env, engine: &[&str], command: &[&str]) -> Output {
    learning(env, engine, command).output()
}

fn learning<'e>(env: &'e Env, engine: &[&str], command: &[&str]) -> Run<'e> {
    let profile = env.text("p.json");
    let head = ["--learn", "--force", "-o", &profile];
    env.ours(&[&head[..], engine, &["--"], command].concat())
}

fn same(native: &Output, ours: &Output) -> bool {
    native.status == ours.status && native.stdout == ours.stdout
}

/// In every way the same as natively.
fn always_the_same(env: &Env, command: &[&str]) {
    let native = env.run(command).output();
    for engine in engines() {
        let run = || learning(env, engine, command);
        let ours = engines::learned(engine, run, |ours| same(&native, ours));
        assert!(
            same(&native, &ours),
            "{engine:?}: natively:\n{native}\n\nbut:\n{ours}"
        );
    }
}

/// Does a warning speak of this?
fn warns(out: &Output, of: &str) -> bool {
    let warnings = out.stderr.lines().filter(|l| l.contains("warning: "));
    warnings.into_iter().any(|l| l.contains(of))
}

#[test]
fn programs_that_trace_others_do_so_or_it_is_told() {
    let env = Env::new();
    let leak = leak_checked(&env);
    let mut commands: Vec<(&[&str], &str)> = Vec::new();
    let line = "echo inside | cat; exit 3";
    let strace = ["strace", "-f", "-o", "trace", "sh", "-c", line];
    let gdb = [
        "gdb", "-q", "-nx", "-batch", "-ex", "run", "--args", "echo", "inside",
    ];
    for (command, proof) in [(&strace[..], "inside\n"), (&gdb, "exited normally")] {
        if installed(command[0]) {
            commands.push((command, proof));
        } else {
            skipped(&format!("{} is not installed", command[0]));
        }
    }
    let checked = [leak.as_deref().unwrap_or_default()];
    if leak.is_some() {
        commands.push((&checked, ""));
    } else {
        skipped("gcc has no LeakSanitizer");
    }
    for (command, proof) in commands {
        let native = env.run(command).output();
        native.says(proof);
        for &engine in engines() {
            let leaks = |out: &Output| out.stderr.contains("detected memory leaks");
            let told = |ours: &Output| warns(ours, "wanted to trace a process");
            let right = |ours: &Output| {
                let same = ours.status == native.status
                    && ours.stdout.contains(proof)
                    && leaks(ours) == leaks(&native);
                same || told(ours)
            };
            let ours = engines::learned(engine, || learning(&env, engine, command), right);
            assert!(right(&ours), "{engine:?}\n{native}\n\n{ours}");
            // A learner that stays attached cannot let them.
            if installs(engine) == Some(false) {
                assert!(told(&ours), "{engine:?}\n{ours}");
                Profile::read(&env.path("p.json")).has(&["ptrace"]);
            }
        }
    }
}

/// A program whose leak the sanitizer finds, by tracing the program from a child that is hidden from tracers.
fn leak_checked(env: &Env) -> Option<String> {
    let source = env.write(
        "leak.c",
        "#include <stdlib.h>\nint main(void) { return malloc(10) == 0; }\n",
    );
    let leak = env.text("leak");
    let gcc = Command::new("gcc")
        .args(["-fsanitize=leak", "-o", &leak, &source])
        .output();
    gcc.is_ok_and(|gcc| gcc.status.success()).then_some(leak)
}

#[test]
fn programs_with_filters_of_their_own_do_the_same_or_it_is_told() {
    let env = Env::new();
    let own = fixture("ownfilter", Build::Static);
    let mut wrong = Vec::new();
    for scene in [
        "errno", "tsync", "trap", "trace", "kill", "listener", "strict",
    ] {
        for more in [&[][..], &["settled"]] {
            let command = [&[own.as_str(), scene], more].concat();
            let native = env.run(&command).output();
            native.succeeds();
            for &engine in engines() {
                let ours = learned(&env, engine, &command);
                let same = same(&native, &ours);
                // Stops see what a filter refuses; the learner's own filter does not.
                let seen = Profile::read(&env.path("p.json"))
                    .observed()
                    .contains("times");
                let warned = warns(&ours, "filter") || warns(&ours, "listener");
                let told = installs(engine) != Some(false) && warned;
                if !(same && seen || told) {
                    wrong.push(format!("{engine:?}, seen: {seen}\n{native}\n\n{ours}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_sandbox_that_installs_a_filter_of_ours() {
    needs_root!();
    needs!("bwrap");
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let profile = env.write("denied.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let filter = env.text("filter.bpf");
    env.ours(&["compile", &profile, "-o", &filter])
        .output()
        .succeeds();
    let line = format!("exec bwrap --bind / / --dev /dev --seccomp 9 -- {call} 110 102 9<{filter}");
    let command = ["sh", "-c", &line];
    let native = env.run(&command).output();
    if native.code() != 0 {
        skip!("bwrap cannot run here: {}", native.stderr);
    }
    native.says("110: error 1\n102: ok\n");
    for &engine in engines() {
        let ours = learned(&env, engine, &command);
        assert!(
            same(&native, &ours),
            "{engine:?}: natively:\n{native}\n\nbut:\n{ours}"
        );
        let learned = Profile::read(&env.path("p.json"));
        learned.has(&["getuid", "execve"]);
        let seen = learned.observed().contains("getppid");
        let told = installs(engine) != Some(false) && warns(&ours, "filter");
        assert!(seen || told, "{engine:?}\n{ours}");
    }
}

#[test]
fn programs_that_drop_privileges_or_enter_namespaces() {
    needs_root!();
    needs!("setpriv", "unshare", "python3");
    let env = Env::new();
    let set = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
    ];
    let capless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let show = ["sh", "-c", "id; grep Cap /proc/self/status; exit 3"];
    always_the_same(&env, &[&set[..], &show].concat());
    always_the_same(&env, &[&capless[..], &show].concat());
    always_the_same(&env, &[&capless[..], &set, &show].concat());
    always_the_same(&env, &["su", "-s", "/bin/sh", "nobody", "-c", "id -u"]);
    for spaces in ["-pf", "-Ur", "-n", "-m", "-i", "-Upfr", "-u"] {
        let inside = ["sh", "-c", "echo $$ >/dev/null; id -u; (exit 3); echo $?"];
        always_the_same(&env, &[&["unshare", spaces], &inside[..]].concat());
    }
    let init = [
        "unshare",
        "-pf",
        "--mount-proc",
        "sh",
        "-c",
        "sleep 9 & echo $$; kill $!; wait; ps -e | wc -l",
    ];
    always_the_same(&env, &init);
    always_the_same(&env, &["chroot", "/", "true"]);

    // Long after the start, and with a call that comes first when the privileges are gone.
    let script = "import os\nfor _ in range(3000): os.getppid()\n\
        os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n\
        for _ in range(3000): os.getppid()\n\
        os.times(); print(os.getresuid(), os.spawnlp(os.P_WAIT, 'id', 'id', '-u'))";
    let command = ["python3", "-I", "-c", script];
    always_the_same(&env, &command);
    for engine in engines() {
        learned(&env, engine, &command);
        Profile::read(&env.path("p.json")).has(&["times", "setresuid"]);
    }
}

/// A copy of id that belongs to root and gives whoever runs it root's rights; `None` where there is no such thing.
fn set_user_id(env: &Env) -> Option<String> {
    let id = env.copy_program("/usr/bin/id", "id");
    env.run(&["chmod", "4755", &id]).output().succeeds();
    let native = env.run(&[ordinary_user(), &[&id, "-u"]].concat()).output();
    if native.stdout == "0\n" {
        return Some(id);
    }
    skipped("set-user-ID programs have no effect in the temporary directory");
    None
}

#[test]
fn set_user_id_programs_keep_their_rights_when_asked() {
    needs_root!();
    needs!("setpriv");
    let env = Env::new();
    let Some(id) = set_user_id(&env) else { return };
    let command = [ordinary_user(), &[&id, "-u"]].concat();
    for &engine in engines() {
        let flags = [engine, &["--allow-new-privs"]].concat();
        let ours = learned(&env, &flags, &command);
        ours.succeeds();
        assert_eq!(ours.stdout, "0\n", "{engine:?}\n{ours}");
    }
}

#[test]
fn set_user_id_programs_that_lose_their_rights_are_named() {
    needs_root!();
    needs!("setpriv");
    let env = Env::new();
    let Some(id) = set_user_id(&env) else { return };
    let dir = env.mkdir("user");
    let ours = env.copy_program(SECCOMP_RUN, "ours");
    let profile = format!("{dir}/p.json");
    for &engine in engines() {
        // By no_new_privs, and since an ordinary user's tracer does not let them have rights that it has not itself.
        for more in [&[][..], &["--allow-new-privs"]] {
            let head = [&ours, "--learn", "--force", "-o", &profile];
            let args = [ordinary_user(), &head[..], engine, more, &["--", &id, "-u"]].concat();
            let out = env.run(&args).output();
            out.succeeds();
            let kept = out.stdout == "0\n";
            assert!(kept || warns(&out, &id), "{engine:?} {more:?}\n{out}");
        }
        // Root's learner, by no_new_privs.
        let command = [ordinary_user(), &[&id, "-u"]].concat();
        let out = learned(&env, engine, &command);
        out.succeeds();
        assert!(warns(&out, &id), "{engine:?}\n{out}");
    }
    assert!(Path::new(&profile).exists());
}
