//! `tests/HAZARDS.md` names tests that exist; and hazards of learning that no other file here is about.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::engines::{engines, installs};
use crate::harness::{Build, Env, SECCOMP_RUN, fixture, needs, needs_root, ordinary_user};
use crate::profile::Profile;

/// The text of a file of this repository.
fn source(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

/// Does this text hold a test of this name, or one that a macro makes of a list of names?
fn has_test(text: &str, name: &str) -> bool {
    if text.lines().any(|line| line.trim() == name) {
        return true;
    }
    text.match_indices(&format!("fn {name}()")).any(|(at, _)| {
        // Attributes may follow the first one.
        let before = text[..at].lines().rev();
        before
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .take_while(|line| line.starts_with("#["))
            .any(|line| line == "#[test]")
    })
}

#[test]
fn every_test_that_is_named_exists() {
    let text = source("tests/HAZARDS.md").unwrap();
    let mut wrong = Vec::new();
    let mut named = 0;
    for word in text.split('`').skip(1).step_by(2) {
        // A command is none.
        let Some((module, name)) = word.rsplit_once("::").filter(|_| !word.contains(' ')) else {
            continue;
        };
        named += 1;
        let module = module.replace("::", "/");
        let files = [
            format!("tests/integration/{module}.rs"),
            format!("src/{module}.rs"),
            format!("src/{module}/mod.rs"),
        ];
        let found = files.iter().find_map(|file| source(file));
        if !found.is_some_and(|text| has_test(&text, name)) {
            wrong.push(word);
        }
    }
    assert!(wrong.is_empty() && named > 60, "{named}: {wrong:?}");

    for (kind, last) in [("| L", 60), ("| E", 40)] {
        let rows = text.lines().filter(|line| {
            let number = line.strip_prefix(kind);
            number.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        let mut numbers = Vec::new();
        for row in rows {
            let number = row[kind.len()..].split(' ').next().unwrap();
            numbers.push(number.parse::<u32>().unwrap());
            let reason = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
            assert!(reason.len() > 20, "a test or a reason: {row}");
        }
        assert_eq!(numbers, (1..=last).collect::<Vec<_>>(), "each once");
    }
}

#[test]
fn what_this_file_takes_for_a_test_is_one() {
    let text = "#[test]\n#[cfg(x)]\nfn a() {}\nfn b() {}\n#[test]\n\nfn c() {}";
    let tests = ["a", "b", "c", "d"].map(|name| has_test(text, name));
    assert_eq!(tests, [true, false, true, false]);
}

#[test]
fn a_command_cannot_trace_its_learner() {
    needs_root!();
    needs!("python3", "setpriv");
    let env = Env::new();
    let dir = env.mkdir("user");
    let ours = env.copy_program(SECCOMP_RUN, "ours");
    // It would not stop: that takes another request.
    let script = "import ctypes, os\n\
        c = ctypes.CDLL(None, use_errno=True)\n\
        r = c.ptrace(0x4206, os.getppid(), None, None)\n\
        print(r, os.strerror(ctypes.get_errno()) if r else '')";
    let python = ["python3", "-I", "-c", script];
    // The same without a learner, so that it is known to be possible.
    let line = ["sh", "-c", "\"$@\"; exit $?", "sh"];
    let native = env
        .run(&[ordinary_user(), &line, &python].concat())
        .output();
    native.says("0 \n");
    for engine in engines() {
        let profile = format!("{dir}/p.json");
        let head = [&ours, "--learn", "--force", "-o", &profile];
        let args = [ordinary_user(), &head, engine, &["--"], &python].concat();
        let out = env.run(&args).output();
        out.succeeds().says("-1 Operation not permitted\n");
    }
}

#[test]
fn a_restarted_call_is_counted_whenever_it_is_entered() {
    let env = Env::new();
    let tracee = fixture("tracee", Build::Static);
    let profile = env.text("p.json");
    for &engine in engines() {
        if installs(engine) != Some(false) {
            continue;
        }
        let head = ["--learn", "--force", "-o", &profile];
        let args = [&head[..], engine, &["--", &tracee, "restarted"]].concat();
        let out = env.ours(&args).output();
        out.succeeds();
        let handled = out.stdout.trim().strip_prefix("handled ").unwrap();
        let handled: u64 = handled.parse().unwrap();
        assert!(handled > 3, "{out}");
        let evidence: Value = serde_json::from_str(&env.read("p.evidence.json")).unwrap();
        let mut calls = evidence["runs"][0]["calls"].as_array().unwrap().iter();
        let read = calls.find(|call| call["name"] == "read").unwrap();
        assert_eq!(read["count"], 1 + handled, "{engine:?}");
    }
}

#[test]
fn what_no_profile_can_hold_is_told() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let profile = env.text("p.json");
    for engine in engines() {
        let head = ["--learn", "--force", "-o", &profile];
        let args = [&head[..], engine, &["--", &call, "-1", "102"]].concat();
        env.ours(&args)
            .output()
            .succeeds()
            .says("-1: error 38\n102: ok\n")
            .complains("the command made call number 0xffffffff")
            .complains("which no profile can hold");
        Profile::read(&env.path("p.json")).has(&["getuid"]);
    }
}

#[test]
fn an_io_uring_is_told() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let profile = env.text("p.json");
    for engine in engines() {
        let head = ["--learn", "--force", "-o", &profile];
        let learn = |nr: &str| {
            let args = [&head[..], engine, &["--", &call, nr]].concat();
            env.ours(&args).output()
        };
        learn("425")
            .complains("the command uses io_uring: operations in its rings are no syscalls");
        Profile::read(&env.path("p.json")).has(&["io_uring_setup"]);
        assert!(!learn("102").stderr.contains("io_uring"));
    }
}

#[test]
fn a_program_may_close_every_descriptor() {
    needs!("python3");
    let env = Env::new();
    let profile = env.text("p.json");
    // At first, and long after the start.
    let close = "os.closerange(3, 65536)\n";
    let calls = "for _ in range(3000): os.getppid()\n";
    let script = format!("import os\n{close}{calls}{close}{calls}os.times(); print('on')");
    for engine in engines() {
        let head = ["--learn", "--strict", "--force", "-o", &profile];
        let args = [&head[..], engine, &["--", "python3", "-I", "-c", &script]].concat();
        env.ours(&args).output().succeeds().says("on\n");
        Profile::read(&env.path("p.json")).has(&["close_range", "times"]);
    }
}

#[test]
fn the_callers_limits_are_lived_with() {
    needs!("bash");
    let env = Env::new();
    let tracee = fixture("tracee", Build::Static);
    let profile = env.text("p.json");
    let learn = |limits: &str| {
        let line = format!("{limits}; exec \"$@\"");
        let head = ["bash", "-c", &line, "bash", SECCOMP_RUN];
        let args = ["--learn", "--force", "-o", &profile, "--", &tracee, "storm"];
        env.run(&[&head[..], &args].concat()).output()
    };
    // Memory in KiB, descriptors, seconds of the processor.
    for limits in ["ulimit -v 200000", "ulimit -n 8", "ulimit -t 20"] {
        learn(limits).succeeds();
        Profile::read(&env.path("p.json")).has(&["times"]);
        fs::remove_file(env.path("p.json")).unwrap();
    }
    // A file of 1 KiB is none for a profile: it is said, and no piece of one is there.
    let out = learn("ulimit -f 1");
    out.ends_with(125)
        .complains("File too large")
        .complains("ulimit -f");
    let left: BTreeSet<String> = fs::read_dir(env.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("seccomp-run-") || name == "p.json")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_link_that_the_command_plants_is_not_followed() {
    let env = Env::new();
    let profile = env.text("p.json");
    let (victim, proof) = (env.write("victim", "precious\n"), "precious\n");
    // While checkpoints are written, and at the end.
    let script = format!(
        "for i in $(seq 150); do ln -sf {victim} p.json; ln -sf {victim} p.evidence.json; sleep 0.01; done"
    );
    for more in [&[][..], &["--force"]] {
        let args = [
            &["--learn", "-o", &profile],
            more,
            &["--", "sh", "-c", &script],
        ]
        .concat();
        let out = env.ours(&args).output();
        assert_eq!(env.read("victim"), proof, "{out}");
        if more.is_empty() {
            // Somebody else has made the file: ours is beside it.
            out.ends_with(125).complains("in its place");
        } else {
            out.succeeds();
            let meta = fs::symlink_metadata(&profile).unwrap();
            assert!(meta.is_file(), "{out}");
            Profile::read(&env.path("p.json")).has(&["write"]);
        }
        for name in ["p.json", "p.evidence.json"] {
            let _ = fs::remove_file(env.path(name));
        }
    }
}

/// Where returns are seen: not of those that come to a listener.
#[test]
fn what_was_refused_each_time_is_told() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let profile = env.text("p.json");
    for &engine in engines() {
        if installs(engine) != Some(false) {
            continue;
        }
        let learn = |calls: &[&str]| {
            let head = ["--learn", "--force", "-o", &profile];
            env.ours(&[&head[..], engine, &["--", &call], calls].concat())
                .output()
        };
        learn(&["9999", "102", "9999"]).complains("all the same: syscall_9999 (ENOSYS)\n");
        assert!(!learn(&["102"]).stderr.contains("all the same"));
    }
}

#[test]
fn an_outer_filter_is_told() {
    let env = Env::new();
    let (outer, call) = (
        fixture("outer", Build::Static),
        fixture("call", Build::Static),
    );
    let profile = env.text("p.json");
    for &engine in engines() {
        let head = [&outer, "100", "-", "1", SECCOMP_RUN];
        let learn = ["--learn", "--force", "-o", &profile];
        let args = [&head[..], &learn, engine, &["--", &call, "100"]].concat();
        let out = env.run(&args).output();
        out.succeeds()
            .says("100: error 1\n")
            .complains("a seccomp filter is already in force here");
        // Where the learner has a filter of its own, the outer one answers first.
        if installs(engine) == Some(false) {
            out.complains("in the profile all the same: times (EPERM)\n");
            Profile::read(&env.path("p.json")).has(&["times"]);
        }
        let evidence: Value = serde_json::from_str(&env.read("p.evidence.json")).unwrap();
        assert_eq!(evidence["runs"][0]["filtered"], true);
    }
}
