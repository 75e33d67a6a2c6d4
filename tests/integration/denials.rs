//! `--report`: every denied call named, exactly counted, and nothing let through that was not allowed.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{
    Build, Env, Output, SECCOMP_RUN, fixture, installed, needs, needs_root, ordinary_user, skip,
};
use crate::profile::{Profile, all_but};

/// Gives these calls an action that is not allowed, ECONNREFUSED where it is an errno.
fn deny(env: &Env, name: &str, calls: &[&str], action: &str) -> String {
    let mut rule = json!({"names": calls, "action": action});
    if action == "SCMP_ACT_ERRNO" {
        rule["errnoRet"] = json!(111);
    }
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    env.write(name, profile.to_string())
}

/// The rows of the table: `(times, rest of the row)`.
fn rows(out: &Output) -> Vec<(u64, String)> {
    let lines = out.stderr.lines();
    let mut rows = lines.skip_while(|line| !line.contains("TIMES  CALL"));
    rows.next();
    rows.map_while(|line| {
        let line = line.strip_prefix("seccomp-run:  ")?.trim_start();
        let (times, rest) = line.split_once("  ")?;
        Some((times.parse().ok()?, rest.to_owned()))
    })
    .collect()
}

fn lines(env: &Env, name: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    env.read(name).lines().map(parse).collect()
}

/// A copy of both programs where an ordinary user can execute them, and the words to become that user.
struct Users {
    ours: String,
    denied: String,
}

impl Users {
    fn new(env: &Env) -> Self {
        Self {
            ours: env.copy_program(SECCOMP_RUN, "ours"),
            denied: env.copy_program(&fixture("denied", Build::Static), "denied"),
        }
    }

    /// As root, where we are, and as an ordinary user.
    fn each() -> impl Iterator<Item = &'static [&'static str]> {
        let root: Option<&[&str]> = crate::harness::is_root().then_some(&["env"]);
        root.into_iter().chain([ordinary_user()])
    }
}

#[test]
fn every_denied_call_is_counted_exactly() {
    let env = Env::new();
    let users = Users::new(&env);
    let profile = deny(&env, "p.json", &["getppid"], "SCMP_ACT_ERRNO");
    for user in Users::each() {
        let words = [
            user,
            &[
                &users.ours,
                "--enforce",
                &profile,
                "--report",
                "--",
                &users.denied,
                "threads",
                "8",
                "500",
            ],
        ];
        let out = env.run(&words.concat()).output();
        out.succeeds()
            .says("4000\n")
            .complains("report: 4000 calls of 1 syscall denied");
        let rows = rows(&out);
        assert_eq!(rows.len(), 1, "{out}");
        assert_eq!(rows[0].0, 4000, "{out}");
        for part in [
            "getppid()",
            "ERRNO(ECONNREFUSED)",
            "syscalls[0]",
            "/denied",
            "denied+0x",
        ] {
            assert!(rows[0].1.contains(part), "{part}\n{out}");
        }
    }
}

#[test]
fn signals_neither_lose_nor_double_a_call() {
    let env = Env::new();
    let profile = deny(&env, "p.json", &["getppid"], "SCMP_ACT_ERRNO");
    let denied = fixture("denied", Build::Static);
    let out = env
        .ours(&[
            "--enforce",
            &profile,
            "--report",
            "--",
            &denied,
            "timer",
            "2000",
        ])
        .output();
    out.succeeds()
        .says("2000\n")
        .complains("report: 2000 calls of 1 syscall denied");
}

#[test]
fn arguments_are_shown_as_people_write_them() {
    let env = Env::new();
    let users = Users::new(&env);
    let profile = deny(
        &env,
        "p.json",
        &["mkdir", "rmdir", "getppid"],
        "SCMP_ACT_ERRNO",
    );
    for user in Users::each() {
        let dir = env.mkdir("dir");
        let words = [
            user,
            &[
                &users.ours,
                "--enforce",
                &profile,
                "--report",
                "--",
                &users.denied,
                "kinds",
                &dir,
            ],
        ];
        let out = env.run(&words.concat()).output();
        out.succeeds()
            .complains("report: 3 calls of 3 syscalls denied");
        let all = rows(&out)
            .iter()
            .map(|(_, row)| row.as_str())
            .collect::<Vec<_>>()
            .join("\n");
        assert!(
            all.contains(&format!("mkdir(\"{dir}/new dir\", 0o751)")),
            "{out}"
        );
        // An address where there is nothing.
        assert!(all.contains("rmdir(8)"), "{out}");
        assert!(all.contains("/denied (a-thread)"), "{out}");
        // A rule is meant.
        out.complains("what a rule (syscalls[...]) answers is meant so");
        assert!(!out.stderr.contains("SCMP_ACT_ALLOW"), "{out}");
    }
}

#[test]
fn the_next_step_can_be_copied() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let profile = env.text("p.json");
    env.learn(&profile, &[&call, "39"]);
    let mut json: Value = serde_json::from_str(&env.read("p.json")).unwrap();
    let rules = json["syscalls"].as_array_mut().unwrap();
    rules.push(json!({"names": ["getuid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}));
    env.write("p.json", json.to_string());
    let run = |flags: &[&str]| {
        let words = [
            &["--enforce", &profile],
            flags,
            &["--", &call, "110", "100", "102"],
        ];
        env.ours(&words.concat()).output()
    };
    run(&["--report"])
        .complains("seccomp-run --learn --update -o ")
        .complains("or add what no rule answers")
        .complains(r#"{"action":"SCMP_ACT_ALLOW","names":["getppid","times"]}"#);
    // What a rule denies is not undone by it.
    let file = env.text("denied.jsonl");
    run(&["--log", &format!("--report={file}")])
        .complains(&format!("merge {profile} {file} --force -o {profile}"));
    env.ours(&["merge", &profile, &file, "--force", "-o", &profile])
        .output()
        .succeeds()
        .complains("getuid is left out: syscalls[");
    let out = run(&["--report"]);
    out.complains("report: 1 call of 1 syscall denied");
    assert!(
        !out.stderr.contains("to allow what the program needs"),
        "{out}"
    );
}

#[test]
fn each_action_has_its_effect_and_is_named() {
    let env = Env::new();
    let denied = fixture("denied", Build::Static);
    let run = |profile: &str, flags: &[&str]| {
        let words = [
            &["--enforce", profile, "--report"],
            flags,
            &["--", &denied, "threads", "1", "1"],
        ];
        env.ours(&words.concat()).output()
    };
    let cases = [
        ("SCMP_ACT_ERRNO", 0, "1\n", "ERRNO(ECONNREFUSED)"),
        ("SCMP_ACT_LOG", 0, "0\n", "LOG"),
        ("SCMP_ACT_KILL", 159, "", "KILL_PROCESS"),
        ("SCMP_ACT_KILL_PROCESS", 159, "", "KILL_PROCESS"),
        ("SCMP_ACT_KILL_THREAD", 159, "", "KILL_THREAD"),
        ("SCMP_ACT_TRACE", 0, "0\n", "TRACE(1)"),
    ];
    for (action, code, says, shown) in cases {
        let profile = deny(&env, "p.json", &["getppid"], action);
        let out = run(&profile, &[]);
        out.ends_with(code);
        assert_eq!(out.stdout, says, "{action}\n{out}");
        let rows = rows(&out);
        assert_eq!(rows.len(), 1, "{action}\n{out}");
        assert!(rows[0].1.contains(shown), "{action}\n{out}");
    }
    // The flags replace the default.
    let text = env
        .read("p.json")
        .replace("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO")
        .replace("SCMP_ACT_TRACE", "SCMP_ACT_LOG");
    let strict = env.write("strict.json", text);
    let out = run(&strict, &["--kill"]);
    out.ends_with(159);
    assert!(rows(&out)[0].1.contains("the default action"), "{out}");
    run(&strict, &["--log"])
        .succeeds()
        .complains("would have been denied");
}

#[test]
fn a_trapped_call_is_handled_as_without_a_report() {
    let env = Env::new();
    let users = Users::new(&env);
    let profile = deny(&env, "p.json", &["getppid"], "SCMP_ACT_TRAP");
    for user in Users::each() {
        let run = |flags: &[&str]| {
            let words = [
                user,
                &[&users.ours, "--enforce", &profile],
                flags,
                &["--", &users.denied, "trap"],
            ];
            env.run(&words.concat()).output()
        };
        let plain = run(&[]);
        plain.ends_with(159).says("300 good\n").says("mask kept\n");
        let reported = run(&["--report"]);
        reported.ends_with(159);
        // Only the kernel may say SYS_SECCOMP (1).
        let queued = plain.stdout.replace(", code 1,", ", code -2,");
        assert_eq!(reported.stdout, queued);
        let rows = rows(&reported);
        assert_eq!(rows[0].0, 303, "{reported}");
        assert!(
            rows[0].1.contains("getppid()") && rows[0].1.contains("TRAP"),
            "{reported}"
        );
    }
}

#[test]
fn a_report_needs_the_proc_of_its_own_processes() {
    needs_root!();
    needs!("unshare");
    let env = Env::new();
    let profile = deny(&env, "p.json", &["getppid"], "SCMP_ACT_TRAP");
    let run = |unshare: &[&str]| {
        let ours = [SECCOMP_RUN, "--enforce", &profile, "--report", "--"];
        env.run(&[unshare, &ours, &["echo", "on"]].concat())
            .output()
    };
    run(&["unshare", "-pf"])
        .fails_cleanly(125)
        .complains("cannot report: /proc is that of another pid namespace")
        .complains("hint: mount one of its own there");
    run(&["unshare", "-pf", "--mount-proc"]).succeeds();
}

/// In both sizes of programs, and namespaces; who has no handler dies of it.
#[test]
fn a_trapped_call_gets_the_signal_of_the_kernel() {
    let env = Env::new();
    let text = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{"names": ["getppid"], "action": "SCMP_ACT_TRAP"}],
    });
    let profile = env.write("p.json", text.to_string());
    let mut programs = vec![fixture("trapped", Build::Static)];
    programs.extend(crate::harness::try_fixture("trapped", Build::I386));
    for program in &programs {
        let run = |flags: &[&str]| {
            let words = [&["--enforce", &profile], flags, &["--", program]].concat();
            env.ours(&words).output()
        };
        let plain = run(&[]);
        plain
            .ends_with(159)
            .says("code 1,")
            .says("default: exit 0, signal 31\n");
        assert!(!plain.stdout.contains("call elsewhere"), "{plain}");
        let reported = run(&["--report"]);
        reported.ends_with(159);
        // Only the kernel says SYS_SECCOMP, and only the kernel kills by a signal that is held off.
        let queued = plain.stdout.replace("code 1,", "code -2,");
        let queued = queued.replace("ignored: exit 0, signal 31", "ignored: exit 0, signal 9");
        let queued = queued.replace("blocked: exit 0, signal 31", "blocked: exit 0, signal 9");
        let queued = queued.replace(
            "not handled by an init: exit 0, signal 31",
            "not handled by an init: exit 0, signal 9",
        );
        assert_eq!(reported.stdout, queued);
    }
    if programs.len() < 2 {
        skip!("gcc -m32 does not work");
    }
}

#[test]
fn lines_tell_it_while_it_runs() {
    let env = Env::new();
    let profile = deny(&env, "p.json", &["getppid", "mkdir"], "SCMP_ACT_ERRNO");
    let denied = fixture("denied", Build::Static);
    let (file, dir) = (env.text("denied.jsonl"), env.mkdir("dir"));
    let report = format!("--report={file}");
    let script = format!("{denied} kinds {dir}; {denied} threads 2 50; read line");
    let fifo = env.text("fifo");
    nix::unistd::mkfifo(fifo.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = format!("{script} <{fifo}");
    let mut running = env
        .ours(&["--enforce", &profile, &report, "--", "sh", "-c", &script])
        .start();
    running.until("the lines of a hundred calls", |_| {
        fs::read_to_string(&file).is_ok_and(|text| text.contains("\"count\":64"))
    });
    fs::write(&fifo, "\n").unwrap();
    let out = running.wait();
    out.complains("report: 103 calls of 2 syscalls denied");
    let lines = lines(&env, "denied.jsonl");
    let of = |event: &str, syscall: &str| -> Vec<&Value> {
        let wanted = |line: &&Value| {
            line["event"] == event
                && line["syscall"] == syscall
                && line["executable"].as_str().unwrap().contains("/denied-")
        };
        lines.iter().filter(wanted).collect()
    };
    let mkdir = of("denied", "mkdir");
    assert_eq!(mkdir.len(), 1, "{lines:#?}");
    let call = format!("mkdir(\"{dir}/new dir\", 0o751)");
    assert_eq!(mkdir[0]["call"], call);
    for (field, want) in [
        ("arch", json!("x86_64")),
        ("nr", json!(83)),
        ("action", json!("ERRNO(ECONNREFUSED)")),
        ("because", json!("syscalls[0]")),
        ("count", json!(1)),
        ("looked_at", json!([])),
    ] {
        assert_eq!(mkdir[0][field], want, "{field}");
    }
    assert!(mkdir[0]["thread"].as_str().unwrap().starts_with("denied-"));
    assert!(mkdir[0]["time"].as_f64().unwrap() > 1.6e9);
    assert!(mkdir[0]["library"].as_str().unwrap().contains("denied"));
    assert!(mkdir[0]["tid"].as_u64().is_some() && mkdir[0]["args"][1] == 0o751);
    // The first sixteen, then when the count is a power of two.
    let counts: Vec<u64> = of("denied", "getppid")
        .iter()
        .map(|line| line["count"].as_u64().unwrap())
        .collect();
    let want: Vec<u64> = (1..=16).chain([32, 64]).collect();
    assert_eq!(counts, want);
    let total = of("total", "getppid");
    assert_eq!((total.len(), &total[0]["count"]), (1, &json!(101)));
}

#[test]
fn a_report_that_nobody_reads_holds_nobody_up() {
    let env = Env::new();
    let profile = deny(&env, "p.json", &["getppid"], "SCMP_ACT_ERRNO");
    let denied = fixture("denied", Build::Static);
    // A pipe that is never read: full after some hundred lines, of as many kinds of calls.
    let script = format!(
        "exec 3<>{fifo}; for i in $(seq 40); do cp {denied} ./d$i; ./d$i threads 1 100 >/dev/null; done; echo done",
        fifo = env.text("fifo"),
    );
    nix::unistd::mkfifo(env.text("fifo").as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let line = format!(
        "exec 3<>fifo; exec {SECCOMP_RUN} --enforce {profile} --report=fifo -- bash -c '{script}'"
    );
    let out = env.run(&["bash", "-c", &line]).output();
    out.succeeds()
        .says("done\n")
        .complains("of the report could not be written");
    out.complains("report: ");
    // And one that nobody has open is refused before anything runs.
    env.ours(&["--enforce", &profile, "--report=fifo", "--", "touch", "ran"])
        .output()
        .fails_cleanly(125)
        .complains("nobody reads this pipe");
    assert!(!env.path("ran").exists());
    env.ours(&[
        "--enforce",
        &profile,
        "--report=no/such/file",
        "--",
        "touch",
        "ran",
    ])
    .output()
    .fails_cleanly(125)
    .complains("cannot write the report 'no/such/file'");
    assert!(!env.path("ran").exists());
}

#[test]
fn the_loop_of_staging_ends_clean() {
    needs!("python3");
    let env = Env::new();
    let (profile, file) = (env.text("p.json"), env.text("denied.jsonl"));
    let part = "import os";
    let all = "import os, socket, subprocess, threading\n\
               s = socket.socketpair()\n\
               threading.Thread(target=lambda: s[0].send(b'x')).start()\n\
               s[1].recv(1)\n\
               print(subprocess.check_output(['uname', '-s']), sorted(os.listdir('/proc/self'))[:1], os.getpriority(0, 0))";
    env.learn(&profile, &["/usr/bin/python3", "-c", part]);
    let run = |flags: &[&str]| {
        let words = [
            &["--enforce", &profile],
            flags,
            &["--", "/usr/bin/python3", "-c", all],
        ];
        env.ours(&words.concat()).output()
    };
    // Not enough, and it says so.
    let out = run(&["--report"]);
    assert_ne!(out.code(), 0, "{out}");
    out.complains("denied");
    // Complain: everything runs, and is listed.
    let native = env.run(&["/usr/bin/python3", "-c", all]).output();
    let complained = run(&["--log", &format!("--report={file}")]);
    complained.succeeds().complains("would have been denied");
    assert_eq!(complained.stdout, native.stdout);
    // The command that it ends with.
    env.ours(&["merge", &profile, &file, "--force", "-o", &profile])
        .output()
        .succeeds();
    let clean = run(&["--kill", "--report"]);
    clean.succeeds().complains("report: nothing was denied");
    assert_eq!(clean.stdout, native.stdout);
    // And the way round by --update.
    env.learn(&env.text("q.json"), &["/usr/bin/python3", "-c", part]);
    let more = env.text("more.json");
    env.ours(&["convert", &file, "--to", "docker", "-o", &more])
        .output()
        .succeeds();
    Profile::read(&env.path("more.json")).has(&["socketpair", "sendto", "getpriority"]);
    let updated = [
        "--learn",
        "--update",
        "-o",
        "q.json",
        "--",
        "/usr/bin/python3",
        "-c",
        all,
    ];
    env.ours(&updated).output().succeeds();
    env.ours(&[
        "--enforce",
        "q.json",
        "--kill",
        "--report",
        "--",
        "/usr/bin/python3",
        "-c",
        all,
    ])
    .output()
    .succeeds();
}

#[test]
fn a_call_denied_for_its_arguments_is_allowed_with_just_these() {
    let env = Env::new();
    let names = seccomp_run::syscall::all(seccomp_run::arch::Arch::X86_64).map(|(_, name)| name);
    let others: Vec<&str> = names.filter(|&name| name != "personality").collect();
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {"names": others, "action": "SCMP_ACT_ALLOW"},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]},
        ],
    });
    let profile = env.write("p.json", profile.to_string());
    let file = env.text("denied.jsonl");
    let script =
        "import ctypes\nc = ctypes.CDLL(None)\nfor p in (0, 0x40000, 0x40000):\n c.personality(p)";
    let report = format!("--report={file}");
    env.ours(&[
        "--enforce",
        &profile,
        &report,
        "--",
        "/usr/bin/python3",
        "-c",
        script,
    ])
    .output()
    .succeeds()
    .complains("report: 2 calls of 1 syscall denied");
    let out = env.ours(&["convert", &file, "--to", "docker"]).output();
    let json: Value = serde_json::from_str(&out.succeeds().stdout).unwrap();
    let args = &json["syscalls"][0]["args"];
    assert_eq!(args[0]["index"], 0, "{out}");
    let value = if args[0]["op"] == "SCMP_CMP_MASKED_EQ" {
        "valueTwo"
    } else {
        "value"
    };
    assert_eq!(args[0][value], 0x40000, "{out}");
    assert_eq!(args.as_array().unwrap().len(), 1, "{out}");
}

#[test]
fn calls_of_other_architectures_are_named() {
    let Some(call) = crate::harness::try_fixture("call", Build::I386) else {
        skip!("gcc builds no 32-bit programs");
    };
    let env = Env::new();
    let profile = env.write(
        "p.json",
        json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
               "syscalls": [{"names": ["getppid"], "action": "SCMP_ACT_ERRNO"}]})
        .to_string(),
    );
    let out = env
        .ours(&["--enforce", &profile, "--report", "--", &call, "64"])
        .output();
    out.ends_with(159);
    let rows = rows(&out);
    assert_eq!(rows.len(), 1, "{out}");
    assert!(rows[0].1.contains("KILL_PROCESS"), "{out}");
    assert!(
        rows[0].1.contains("its architecture is not listed"),
        "{out}"
    );
}

#[test]
fn what_cannot_be_seen_is_said_and_no_other_listener_gets_in() {
    let env = Env::new();
    let profile = deny(&env, "p.json", &["getppid"], "SCMP_ACT_ERRNO");
    let denied = fixture("denied", Build::Static);
    let out = env
        .ours(&["--enforce", &profile, "--report", "--", &denied, "hide"])
        .output();
    out.succeeds()
        .says("filter ok\nprctl ok\nlistener EBUSY\nring ok\ngetppid ECONNREFUSED\n")
        .complains("installed a seccomp filter of its own: what that one denies is not reported")
        .complains("made an io_uring: operations in it are no syscalls");
    // Where the profile denies them, they are reported like everything else, and there is nothing to add.
    let profile = deny(
        &env,
        "q.json",
        &["getppid", "seccomp", "io_uring_setup", "prctl"],
        "SCMP_ACT_ERRNO",
    );
    let out = env
        .ours(&["--enforce", &profile, "--report", "--", &denied, "hide"])
        .output();
    out.succeeds()
        .complains("report: 5 calls of 4 syscalls denied");
    assert!(!out.stderr.contains("note:"), "{out}");
}

#[test]
fn the_launcher_cannot_be_robbed_of_its_listener() {
    let env = Env::new();
    let users = Users::new(&env);
    let profile = deny(&env, "p.json", &["getppid"], "SCMP_ACT_ERRNO");
    for user in Users::each() {
        let words = [
            user,
            &[
                &users.ours,
                "--enforce",
                &profile,
                "--report",
                "--",
                &users.denied,
                "steal",
            ],
        ];
        let out = env.run(&words.concat()).output();
        out.succeeds()
            .says("descriptors 0\nattach EPERM\nseize EPERM\nmem EACCES\n");
        out.says("read EPERM\nwrite EPERM\n");
    }
    // A parent that does not defend itself loses its descriptors, or the attack proves nothing.
    needs_root!();
    let line = format!("{} steal descriptors; true", users.denied);
    let out = env.run(&["sh", "-c", &line]).output();
    assert_ne!(out.stdout, "descriptors 0\n", "{out}");
}

#[test]
fn the_command_has_no_cap_sys_ptrace() {
    needs_root!();
    let env = Env::new();
    let profile = deny(&env, "p.json", &["getppid"], "SCMP_ACT_ERRNO");
    let script = "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status";
    let out = env
        .ours(&["--enforce", &profile, "--report", "--", "sh", "-c", script])
        .output();
    out.succeeds();
    for line in out.stdout.lines() {
        let bits = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        assert_eq!(bits >> 19 & 1, 0, "{out}");
    }
    assert_eq!(out.stdout.lines().count(), 5);
}

#[test]
fn without_its_launcher_nothing_denied_runs_and_nobody_else_can_answer() {
    let env = Env::new();
    let users = Users::new(&env);
    let profile = deny(&env, "p.json", &["getppid"], "SCMP_ACT_ERRNO");
    for user in Users::each() {
        let words = [
            user,
            &[
                &users.ours,
                "--enforce",
                &profile,
                "--report",
                "--",
                &users.denied,
                "orphan",
            ],
        ];
        // The command outlives its launcher, whose end is all that can be waited for.
        let running = env.run(&words.concat()).start();
        let begun = Instant::now();
        while !running.stdout().contains("again") && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(
            running.stdout(),
            "before ECONNREFUSED\nkill ok\nafter ENOSYS\nlistener EBUSY\nagain ENOSYS\n"
        );
    }
}

/// Killed at random moments, the launcher never lets a denied call through.
#[test]
fn a_thousand_kills_let_nothing_through() {
    let env = Env::new();
    let profile = deny(&env, "p.json", &["mkdir"], "SCMP_ACT_ERRNO");
    let denied = fixture("denied", Build::Static);
    let kills = |worker: u64| {
        let dir = env.mkdir(&format!("dir{worker}"));
        let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(worker + 1);
        let mut running_at_kill = 0;
        for _ in 0..500 {
            // xorshift: the moments differ, and are the same in every run of the test.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let running = env
                .ours(&[
                    "--enforce",
                    &profile,
                    "--report",
                    "--",
                    &denied,
                    "through",
                    &dir,
                ])
                .start();
            std::thread::sleep(Duration::from_micros(state % 12_000));
            let _ = kill(Pid::from_raw(running.pid()), Signal::SIGKILL);
            running_at_kill += u32::from(crate::harness::session_members(running.pid()).len() > 1);
            std::thread::sleep(Duration::from_millis(1));
            drop(running);
            assert!(
                !fs::exists(format!("{dir}/through")).unwrap(),
                "let through"
            );
        }
        running_at_kill
    };
    let counts: Vec<u32> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|worker| scope.spawn(move || kills(worker)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    // Else none was killed in the middle of it.
    assert!(counts.iter().sum::<u32>() > 50, "{counts:?}");
}

#[test]
fn reports_nest() {
    let env = Env::new();
    let outer = deny(&env, "outer.json", &["getppid"], "SCMP_ACT_ERRNO");
    let inner = deny(&env, "inner.json", &["mkdir"], "SCMP_ACT_ERRNO");
    let denied = fixture("denied", Build::Static);
    let dir = env.mkdir("dir");
    let inner_words = |report: &'static [&'static str]| {
        [
            &[SECCOMP_RUN, "--enforce", &inner],
            report,
            &["--", &denied, "kinds", &dir],
        ]
        .concat()
    };
    // A plain filter outside is the outer one's affair, and the report says what it sees.
    let words = [
        &["--enforce", &outer, "--"],
        &inner_words(&["--report"])[..],
    ]
    .concat();
    let out = env.ours(&words).output();
    out.succeeds()
        .complains("report: 1 call of 1 syscall denied");
    assert!(rows(&out)[0].1.starts_with("mkdir("), "{out}");
    // A reporting one outside names what it denies, and that there is another filter.
    let words = [
        &["--enforce", &outer, "--report", "--"],
        &inner_words(&[])[..],
    ]
    .concat();
    let out = env.ours(&words).output();
    out.succeeds()
        .complains("installed a seccomp filter of its own");
    assert!(
        rows(&out)
            .iter()
            .any(|(_, row)| row.starts_with("getppid()")),
        "{out}"
    );
    // Two cannot both listen: the inner one is refused, and runs nothing.
    let words = [
        &["--enforce", &outer, "--report", "--"],
        &inner_words(&["--report"])[..],
    ]
    .concat();
    let out = env.ours(&words).output();
    out.ends_with(125).complains("already has a listener");
}

#[test]
fn what_is_allowed_does_not_come_to_the_launcher() {
    let env = Env::new();
    let profile = deny(&env, "p.json", &["getppid"], "SCMP_ACT_ERRNO");
    let mut running = env
        .ours(&[
            "--enforce",
            &profile,
            "--report",
            "--",
            "sh",
            "-c",
            "while :; do /bin/true; done",
        ])
        .start();
    let switches = |pid: i32| -> u64 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let of = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map_or(0, |text: &str| text.trim().parse().unwrap())
        };
        of("voluntary_ctxt_switches:")
    };
    running.until("a shell that is at work", |running| {
        crate::harness::session_members(running.pid()).len() > 1
    });
    std::thread::sleep(Duration::from_millis(300));
    let (before, since) = (switches(running.pid()), Instant::now());
    std::thread::sleep(Duration::from_millis(500));
    let after = switches(running.pid());
    assert!(!running.is_over());
    assert!(
        after - before <= 2,
        "{} wake-ups in {:?}",
        after - before,
        since.elapsed()
    );
}

#[test]
fn lingering_waits_for_descendants_and_no_longer_than_it_should() {
    let env = Env::new();
    let profile = deny(&env, "p.json", &["getppid"], "SCMP_ACT_ERRNO");
    let script = |seconds: &str| format!("(sleep {seconds}; echo late) & exit 3");
    let took = |flags: &[&str], script: &str| {
        let words = [&["--enforce", &profile], flags, &["--", "sh", "-c", script]];
        let begun = Instant::now();
        let out = env.ours(&words.concat()).output();
        out.ends_with(3);
        (begun.elapsed(), out)
    };
    for report in [&[][..], &["--report"]] {
        let with = |flags: &[&'static str]| [flags, report].concat();
        let (time, out) = took(&with(&[]), &script("2"));
        assert!(
            time < Duration::from_millis(1500) && out.stdout.is_empty(),
            "{time:?} {out}"
        );
        let (time, out) = took(&with(&["--linger", "20"]), &script("1"));
        assert!(time > Duration::from_millis(900), "{time:?} {out}");
        out.says("late\n");
        let (time, out) = took(&with(&["--linger", "1"]), &script("20"));
        assert!(
            time < Duration::from_secs(10) && out.stdout.is_empty(),
            "{time:?} {out}"
        );
        // Somebody wants an end of it.
        let words = [
            &["--enforce", &profile, "--linger", "50"],
            report,
            &["--", "sh", "-c", "sleep 50 & echo up"],
        ];
        let mut running = env.ours(&words.concat()).start();
        running.until("the command's end", |running| running.stdout() == "up\n");
        std::thread::sleep(Duration::from_millis(200));
        running.signal(15);
        running.wait().ends_with(0);
    }
    // What a descendant is denied meanwhile is in the report.
    let denied = fixture("denied", Build::Static);
    let script = format!("(sleep 1; {denied} threads 1 3) & exit 3");
    let (_, out) = took(&["--linger", "20", "--report"], &script);
    assert!(
        rows(&out)
            .iter()
            .any(|(times, row)| *times == 3 && row.contains("denied")),
        "{out}"
    );
}

#[test]
fn servers_report_and_serve() {
    needs!("redis-server", "redis-cli");
    let env = Env::new();
    let port = crate::harness::free_port().to_string();
    let profile = env.write(
        "p.json",
        all_but(&[("getpid", "SCMP_ACT_ALLOW"), ("sysinfo", "SCMP_ACT_ERRNO")]),
    );
    let mut running = env
        .ours(&[
            "--enforce",
            &profile,
            "--report",
            "--",
            "redis-server",
            "--port",
            &port,
            "--save",
            "",
        ])
        .start();
    crate::harness::wait_for_port(&mut running, port.parse().unwrap());
    let set = env
        .run(&["redis-cli", "-p", &port, "set", "a", "1"])
        .output();
    set.succeeds().says("OK\n");
    running.signal(15);
    let out = running.wait();
    out.succeeds();
    let by: BTreeMap<String, u64> = rows(&out)
        .into_iter()
        .map(|(times, row)| (row, times))
        .collect();
    assert!(by.keys().all(|row| row.starts_with("sysinfo(")), "{out}");
    assert!(
        installed("redis-server") && out.stderr.contains("report: "),
        "{out}"
    );
}
