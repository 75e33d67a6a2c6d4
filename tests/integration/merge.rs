//! `merge`: profiles and their evidence, put together.

use serde_json::{Value, json};

use crate::harness::{Env, needs, skip};
use crate::profile::Profile;

/// An allowlist.
fn allows(names: &[&str]) -> String {
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }],
    })
    .to_string()
}

/// A run as learning writes it; `started` tells runs apart.
fn ran(started: u64) -> Value {
    json!({
        "command": ["app"], "started": started, "seconds": 1.5, "kernel": "6.1.0", "end": "exited 0",
        "libc": "glibc 2.36", "tasks": 1, "filtered": false, "complete": true, "notes": [],
        "calls": [{ "arch": "x86_64", "nr": 0, "name": "read", "count": started }],
    })
}

fn evidence(runs: &[Value]) -> String {
    json!({ "version": 2, "runs": runs }).to_string()
}

fn starts(text: &str) -> Vec<u64> {
    let evidence: Value = serde_json::from_str(text).unwrap();
    let runs = evidence["runs"].as_array().unwrap();
    runs.iter()
        .map(|run| run["started"].as_u64().unwrap())
        .collect()
}

#[test]
fn the_union_goes_to_standard_output_in_any_order() {
    let env = Env::new();
    let a = env.write("a.json", allows(&["write", "read"]));
    let b = env.write("b.json", allows(&["openat", "read"]));
    let merged = env.ours(&["merge", &a, &b]).output();
    merged.succeeds();
    assert_eq!(merged.stderr, "");
    let swapped = env.ours(&["merge", &b, &a]).output();
    assert_eq!(swapped.stdout, merged.stdout);
    let json: Value = serde_json::from_str(&merged.stdout).unwrap();
    assert_eq!(
        json["syscalls"][0]["names"],
        json!(["openat", "read", "write"])
    );
    assert!(!env.path("a.evidence.json").exists());
}

#[test]
fn what_was_merged_can_be_merged_again() {
    let env = Env::new();
    let files = [&["read"][..], &["write"], &["close", "read"]];
    let [a, b, c] = [0, 1, 2].map(|at| env.write(&format!("{at}.json"), allows(files[at])));
    let left = env.text("left.json");
    env.ours(&["merge", &a, &b, "-o", &left])
        .output()
        .succeeds();
    let right = env.text("right.json");
    env.ours(&["merge", &c, &b, "-o", &right])
        .output()
        .succeeds();
    let one = env.ours(&["merge", &left, &c]).output();
    let other = env.ours(&["merge", &a, &right]).output();
    let all = env.ours(&["merge", &c, &a, &b]).output();
    one.succeeds();
    assert_eq!(one.stdout, other.stdout);
    assert_eq!(one.stdout, all.stdout);
}

#[test]
fn a_directory_is_all_its_profiles() {
    let env = Env::new();
    let dir = env.mkdir("learned");
    env.write("learned/b.json", allows(&["write"]));
    env.write("learned/a.json", allows(&["read"]));
    env.write("learned/a.evidence.json", evidence(&[ran(2)]));
    env.write("learned/README", "no profile");
    let output = env.text("out.json");
    env.ours(&["merge", &dir, "-o", &output])
        .output()
        .succeeds();
    let merged = Profile::read(&env.path("out.json"));
    assert_eq!(merged.names(), ["read", "write"].map(str::to_owned).into());
    assert_eq!(starts(&env.read("out.evidence.json")), [2]);

    let empty = env.mkdir("empty");
    env.ours(&["merge", &empty])
        .output()
        .fails_cleanly(125)
        .complains("there is no profile in the directory")
        .complains("hint: profiles in it are named NAME.json");
}

#[test]
fn every_run_is_kept_once_and_in_its_order() {
    let env = Env::new();
    let a = env.write("a.json", allows(&["read"]));
    env.write("a.evidence.json", evidence(&[ran(5), ran(9)]));
    let b = env.write("b.json", allows(&["read"]));
    // An older version's fields are all known to the newer.
    let older = json!({ "version": 1, "runs": [ran(1), ran(9)] });
    env.write("b.evidence.json", older.to_string());
    let c = env.write("c.json", allows(&["write"]));
    let output = env.text("out.json");
    env.ours(&["merge", &a, &b, &c, "-o", &output])
        .output()
        .succeeds();
    let first = env.read("out.evidence.json");
    assert_eq!(starts(&first), [1, 5, 9]);
    let json: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(json["version"], 2);
    assert_eq!(json["runs"][1]["libc"], "glibc 2.36");
    // As a shell gives it: `merge *.json`.
    let (a_too, b_too) = (env.text("a.evidence.json"), env.text("b.evidence.json"));
    env.ours(&[
        "merge", &a_too, &a, &b_too, &b, &c, "-o", &output, "--force",
    ])
    .output()
    .succeeds();
    assert_eq!(env.read("out.evidence.json"), first);
    env.ours(&["merge", &c, &b, &a, "-o", &output, "--force"])
        .output()
        .succeeds();
    assert_eq!(env.read("out.evidence.json"), first);

    env.ours(&["merge", &c, "-o", &output, "--force"])
        .output()
        .succeeds()
        .complains("out.evidence.json' is not of this profile");
    env.write("b.evidence.json", "{}");
    env.ours(&["merge", &a, &b, "-o", &env.text("new.json")])
        .output()
        .fails_cleanly(125)
        .complains("b.evidence.json: not an evidence file");
    assert!(!env.path("new.json").exists());
}

#[test]
fn a_file_that_exists_is_kept_unless_forced() {
    let env = Env::new();
    let a = env.write("a.json", allows(&["read"]));
    let output = env.write("out.json", "precious");
    env.ours(&["merge", &a, "-o", &output])
        .output()
        .fails_cleanly(125)
        .complains("exists")
        .complains("hint: --force replaces it");
    assert_eq!(env.read("out.json"), "precious");
    env.ours(&["merge", &a, "-o", &output, "--force"])
        .output()
        .succeeds();
    assert_eq!(
        Profile::read(&env.path("out.json")).names(),
        ["read".to_owned()].into()
    );

    // The evidence is part of the output.
    env.write("a.evidence.json", evidence(&[ran(1)]));
    env.write("new.evidence.json", "precious");
    env.ours(&["merge", &a, "-o", &env.text("new.json")])
        .output()
        .fails_cleanly(125)
        .complains("new.evidence.json' exists");
    assert!(!env.path("new.json").exists());
    env.ours(&["merge", &a, "--force"])
        .output()
        .fails_cleanly(125);
}

#[test]
fn contradictions_are_decided_for_what_allows_and_told() {
    let env = Env::new();
    let a = env.write(
        "a.json",
        r#"{ "defaultAction": "SCMP_ACT_KILL", "syscalls": [
            { "names": ["clone3", "ptrace"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 }] }"#,
    );
    let b = env.write("b.json", allows(&["clone3"]));
    let output = env.text("out.json");
    env.ours(&["merge", &a, &b, "-o", &output])
        .output()
        .succeeds()
        .complains("warning: the default actions differ (ERRNO(EPERM), KILL_PROCESS): ERRNO(EPERM) is taken")
        .complains("warning: ALLOW, ERRNO(ENOSYS) in different profiles: ALLOW goes first, for clone3\n");
    let answers = env
        .ours(&["simulate", &output, "clone3", "ptrace", "read"])
        .output();
    answers.succeeds();
    let actions: Vec<_> = answers
        .stdout
        .lines()
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    assert_eq!(actions, ["ALLOW", "ERRNO(ENOSYS)", "ERRNO(EPERM)"]);
    let strict = ["merge", "--strict", &a, &b, "-o", &env.text("strict.json")];
    env.ours(&strict)
        .output()
        .fails_cleanly(125)
        .complains("2 contradiction(s)");
    assert!(!env.path("strict.json").exists());
}

#[test]
fn mistakes_are_named_with_their_file() {
    let env = Env::new();
    let good = env.write("good.json", allows(&["read"]));
    let bad = env.write("bad.json", "{\n  \"defaultAction\": \"SCMP_ACT_ALOW\"\n}");
    env.ours(&["merge", &good, &bad])
        .output()
        .fails_cleanly(125)
        .complains("bad.json:2:20")
        .complains("did you mean 'SCMP_ACT_ALLOW'?");
    env.ours(&["merge", &good, &env.text("missing.json")])
        .output()
        .fails_cleanly(125)
        .complains("missing.json");
    env.ours(&["merge"])
        .output()
        .ends_with(125)
        .complains("PROFILE|DIR");
}

#[test]
fn what_is_learned_in_parts_runs_as_a_whole() {
    needs!("python3");
    let env = Env::new();
    let parts = [
        ("a", "print(sum(range(9)))"),
        ("b", "import os; os.chdir('/'); os.getppid()"),
    ];
    for (part, script) in parts {
        let file = env.text(&format!("{part}.json"));
        env.learn(&file, &["python3", "-c", script]);
    }
    let output = env.text("both.json");
    env.ours(&[
        "merge",
        &env.text("a.json"),
        &env.text("b.json"),
        "-o",
        &output,
    ])
    .output()
    .succeeds();
    assert_eq!(starts(&env.read("both.evidence.json")).len(), 2);
    for (_, script) in parts {
        env.ours(&[
            "--enforce",
            &output,
            "--kill",
            "--",
            "python3",
            "-c",
            script,
        ])
        .output()
        .succeeds();
    }
}

#[test]
fn dockers_default_merged_with_itself_is_itself() {
    let (text, _) = match crate::libseccomp::data("docker-default.json") {
        Ok(found) => found,
        Err(why) => skip!("{why}"),
    };
    let env = Env::new();
    let path = &*env.write("docker.json", text);
    let once = env.ours(&["merge", path]).output();
    once.succeeds();
    let output = env.write("once.json", &once.stdout);
    let twice = env.ours(&["merge", path, &output, path]).output();
    twice.succeeds();
    assert_eq!(twice.stderr, "");
    assert_eq!(twice.stdout, once.stdout);
}
