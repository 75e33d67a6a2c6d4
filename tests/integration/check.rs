//! `check`: every kind of mistake is found where it stands, told in every form, and repaired where that is safe.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::harness::{Env, needs_root, skip};

/// What every program needs, so that nothing else is found.
const NEEDED: &str = r#""clock_getres", "clock_gettime", "exit", "exit_group", "futex", "getcpu", "getrandom", "gettimeofday", "restart_syscall", "rt_sigreturn", "sigreturn", "time""#;

/// An allowlist of what every program needs and these entries.
fn with(entries: &str) -> String {
    let comma = if entries.is_empty() { "" } else { "," };
    format!(
        "{{\n\"defaultAction\": \"SCMP_ACT_ERRNO\",\n\"architectures\": [\"SCMP_ARCH_X86_64\"],\n\"syscalls\": [\n\
         {{ \"names\": [{NEEDED}], \"action\": \"SCMP_ACT_ALLOW\" }}{comma}\n{entries}\n] }}\n"
    )
}

fn entry(names: &str, action: &str, more: &str) -> String {
    format!(r#"{{ "names": [{names}], "action": "SCMP_ACT_{action}"{more} }}"#)
}

fn allow(names: &str) -> String {
    with(&entry(names, "ALLOW", ""))
}

/// Runs of the evidence that made these calls, by name.
fn evidence(runs: &[&[(&str, &str, u32)]]) -> String {
    let runs: Vec<Value> = runs
        .iter()
        .enumerate()
        .map(|(at, calls)| {
            let calls: Vec<Value> = calls
                .iter()
                .map(|(arch, name, nr)| json!({ "arch": arch, "nr": nr, "name": name, "count": 1 }))
                .collect();
            json!({
                "command": ["app"], "started": at, "seconds": 1.0, "kernel": "6.1.0", "end": "exited 0",
                "tasks": 1, "filtered": false, "complete": true, "notes": [], "calls": calls,
            })
        })
        .collect();
    json!({ "version": 1, "runs": runs }).to_string()
}

/// What `check --format json` finds: id, path, line.
fn found(env: &Env, file: &str, more: &[&str]) -> Vec<(String, String, u64)> {
    let args = [
        &["check", file, "--format", "json", "--severity", "note"],
        more,
    ]
    .concat();
    let output = env.ours(&args).output();
    let json: Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|e| panic!("{e}\n{output}"));
    let findings = json["files"][0]["findings"].as_array().unwrap();
    output.ends_with(i32::from(!findings.is_empty()));
    let one = |finding: &Value| {
        let text = |key: &str| finding[key].as_str().unwrap().to_owned();
        for key in ["message", "fix", "severity"] {
            assert!(!text(key).is_empty(), "{finding:#}");
        }
        (
            text("id"),
            text("path"),
            finding["line"].as_u64().unwrap_or(0),
        )
    };
    findings.iter().map(one).collect()
}

/// One mistake: its id and path, the profile, and flags.
type Case = (&'static str, &'static str, String, &'static [&'static str]);

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    let eq = |index: u8, value: u64| {
        format!(r#", "args": [{{ "index": {index}, "op": "SCMP_CMP_EQ", "value": {value} }}]"#)
    };
    let without = |name: &str| with("").replace(&format!("\"{name}\","), "");
    let deny = |entries: &str| {
        format!(r#"{{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{entries}] }}"#)
    };
    let clone_by_flags = entry(
        r#""clone""#,
        "ALLOW",
        r#", "args": [{ "index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 2114060288 }]"#,
    );
    let twice = r#", "args": [{ "index": 0, "op": "SCMP_CMP_NE", "value": 1 }, { "index": 0, "op": "SCMP_CMP_NE", "value": 2 }]"#;
    let default = |action: &str| with("").replace("SCMP_ACT_ERRNO", action);
    let x86 = |text: String| {
        text.replace(
            r#""SCMP_ARCH_X86_64"]"#,
            r#""SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]"#,
        )
    };
    vec![
        ("missing-exit-group", "syscalls", without("exit_group"), &[]),
        ("missing-exit", "syscalls", without("exit"), &[]),
        (
            "missing-rt-sigreturn",
            "syscalls",
            without("rt_sigreturn"),
            &[],
        ),
        (
            "missing-restart-syscall",
            "syscalls",
            without("restart_syscall"),
            &[],
        ),
        (
            "missing-futex",
            "syscalls",
            allow(r#""clone""#).replace("\"futex\",", ""),
            &[],
        ),
        (
            "missing-sigreturn",
            "syscalls",
            x86(without("sigreturn")),
            &[],
        ),
        ("missing-vdso", "syscalls", without("gettimeofday"), &[]),
        (
            "missing-execve",
            "syscalls",
            with(""),
            &["--for", "runtime"],
        ),
        (
            "missing-runtime",
            "syscalls",
            allow(r#""execve""#),
            &["--for", "runtime"],
        ),
        (
            "kill-default",
            "defaultAction",
            default("SCMP_ACT_KILL"),
            &[],
        ),
        ("log-default", "defaultAction", default("SCMP_ACT_LOG"), &[]),
        (
            "allow-default",
            "defaultAction",
            deny(&entry(r#""mount""#, "ERRNO", "")),
            &[],
        ),
        (
            "kill-thread",
            "syscalls[1]",
            with(&entry(r#""mount""#, "KILL_THREAD", "")),
            &[],
        ),
        (
            "trace-action",
            "syscalls[1]",
            with(&entry(r#""mount""#, "TRACE", "")),
            &[],
        ),
        (
            "not-enosys",
            "syscalls[1].names[1]",
            with(&entry(
                r#""mount", "clone3""#,
                "ERRNO",
                r#", "errnoRet": 22"#,
            )),
            &[],
        ),
        (
            "default-not-enosys",
            "defaultAction",
            allow(r#""mseal""#),
            &[],
        ),
        (
            "upper-half",
            "syscalls[0].names[0]",
            deny(&entry(r#""ioctl""#, "ERRNO", &eq(1, 0x5412))),
            &[],
        ),
        (
            "clone3-evades-clone",
            "syscalls[2].names[0]",
            with(&[clone_by_flags, entry(r#""clone3""#, "ALLOW", "")].join(",")),
            &[],
        ),
        (
            "argument-twice",
            "syscalls[1]",
            with(&entry(r#""ioctl""#, "ALLOW", twice)),
            &[],
        ),
        (
            "no-effect",
            "syscalls[2].names[0]",
            with(
                &[
                    entry(r#""read""#, "ALLOW", ""),
                    entry(r#""read""#, "TRAP", ""),
                ]
                .join(","),
            ),
            &[],
        ),
        (
            "overlap",
            "syscalls[2]",
            with(
                &[
                    entry(r#""read""#, "ALLOW", &eq(0, 1)),
                    entry(r#""read""#, "TRAP", &eq(1, 1)),
                ]
                .join(","),
            ),
            &[],
        ),
        (
            "wide-constant",
            "syscalls[1]",
            with(&entry(r#""socket""#, "ALLOW", &eq(0, 1 << 33))),
            &[],
        ),
        (
            "multiplexed",
            "syscalls[1].names[0]",
            x86(with(&entry(r#""socket""#, "ALLOW", &eq(0, 1)))),
            &[],
        ),
        (
            "unknown-name",
            "syscalls[1].names[0]",
            allow(r#""raed""#),
            &[],
        ),
        ("no-names", "syscalls[1]", allow(""), &[]),
        (
            "native-not-listed",
            "architectures",
            with("").replace("X86_64", "AARCH64"),
            &[],
        ),
        (
            "x32-number",
            "syscalls[1].names[0]",
            allow(r#""syscall_520""#),
            &[],
        ),
        (
            "numbered-name",
            "syscalls[1].names[0]",
            allow(r#""syscall_999""#),
            &[],
        ),
        (
            "no-table",
            "",
            with("").replace(
                "\"SCMP_ARCH_X86_64\"",
                "\"SCMP_ARCH_X86_64\", \"SCMP_ARCH_SH\"",
            ),
            &[],
        ),
        (
            "dangerous-grant",
            "syscalls[1].names[1]",
            allow(r#""read", "ptrace""#),
            &[],
        ),
        (
            "dangerous-argument",
            "syscalls[1].names[0]",
            allow(r#""socket""#),
            &[],
        ),
        (
            "ignored-by-oci",
            "syscalls[1]",
            with(&entry(
                r#""read""#,
                "ALLOW",
                r#", "includes": { "caps": ["CAP_BPF"] }"#,
            )),
            &[],
        ),
        (
            "ignored-field",
            "syscalls[1]",
            with(&entry(
                r#""read""#,
                "ALLOW",
                r#", "includes": { "caps": ["CAP_BPF"] }"#,
            )),
            &["--dialect", "oci"],
        ),
        (
            "tsync",
            "flags",
            with("").replacen('{', r#"{ "flags": ["SECCOMP_FILTER_FLAG_TSYNC"], "#, 1),
            &[],
        ),
        (
            "listener-ignored",
            "",
            with("").replacen('{', r#"{ "listenerMetadata": "x", "#, 1),
            &[],
        ),
        ("unseen-too-likely", "", with(""), &["--max-unseen", "5%"]),
        (
            "not-a-profile",
            "",
            "{ \"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultErrnoRet\": 5000 }".to_owned(),
            &[],
        ),
        (
            "not-enforceable",
            "",
            deny(&entry(r#""moutn""#, "ERRNO", "")),
            &[],
        ),
    ]
}

#[test]
fn every_mistake_is_found_where_it_stands() {
    let env = Env::new();
    let mut tried = BTreeSet::new();
    for (id, path, profile, flags) in cases() {
        let file = env.write("p.json", &profile);
        let found = found(&env, &file, flags);
        let hits: Vec<_> = found.iter().filter(|one| one.0 == id).collect();
        assert!(
            hits.iter().any(|hit| hit.1 == path),
            "{id} at {path}: {found:?}\n{profile}"
        );
        if path.starts_with("syscalls[1]") {
            assert!(
                hits.iter().any(|hit| hit.2 == 6),
                "{id} on line 6: {found:?}\n{profile}"
            );
        }
        tried.insert(id.to_owned());
    }
    // Those that need evidence, another owner or another mode have tests of their own.
    for id in [
        "one-run",
        "unused-architecture",
        "dangerous-grant-seen",
        "allows-most",
        "many-programs",
        "foreign-owner",
        "writable",
    ] {
        tried.insert(id.to_owned());
    }
    let file = env.write("p.json", with(""));
    let sarif = env.ours(&["check", &file, "--format", "sarif"]).output();
    let sarif: Value = serde_json::from_str(&sarif.stdout).unwrap();
    let rules = sarif["runs"][0]["tool"]["driver"]["rules"]
        .as_array()
        .unwrap();
    let known: BTreeSet<String> = rules
        .iter()
        .map(|rule| rule["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(known.len(), rules.len(), "each id is there once");
    assert_eq!(known, tried, "every kind has a case");
}

#[test]
fn what_is_in_order_is_clean() {
    let env = Env::new();
    let file = env.write("p.json", with(""));
    assert_eq!(found(&env, &file, &[]), []);
    // Without clone there are no threads.
    let file = env.write("p.json", with("").replace("\"futex\",", ""));
    assert_eq!(found(&env, &file, &[]), []);
    let clean = env.ours(&["check", &file]).output();
    clean
        .succeeds()
        .says("p.json: 0 errors, 0 warnings, 0 notes\n");
    assert_eq!(clean.stderr, "");
}

#[test]
fn the_five_classic_mistakes_are_caught() {
    let env = Env::new();
    let base = with("");
    let names = seccomp_run::syscall::all(seccomp_run::arch::Arch::X86_64)
        .map(|(_, name)| format!("{name:?}"));
    let broad: Vec<String> = names.take(335).collect();
    let mistakes = [
        ("missing-exit-group", base.replace("\"exit_group\",", "")),
        (
            "missing-futex",
            allow(r#""clone""#).replace("\"futex\",", ""),
        ),
        (
            "kill-default",
            base.replace("SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"),
        ),
        ("allows-most", with(&entry(&broad.join(","), "ALLOW", ""))),
    ];
    for (id, profile) in mistakes {
        let file = env.write("p.json", profile);
        env.ours(&["check", &file])
            .output()
            .ends_with(1)
            .says(&format!("[{id}]"));
    }
    let file = env.write("p.json", base);
    env.write("p.evidence.json", evidence(&[&[("x86_64", "read", 0)]]));
    env.ours(&["check", &file])
        .output()
        .ends_with(1)
        .says("[one-run]");

    // One profile for everything, though each program needs little. A service may have a start script and tools.
    let of_programs = |programs: &[&str]| {
        let run: &[_] = &[("x86_64", "read", 0)];
        let mut json: Value = serde_json::from_str(&evidence(&vec![run; programs.len()])).unwrap();
        for (at, program) in programs.iter().enumerate() {
            json["runs"][at]["command"] = json!([program]);
        }
        env.write("p.evidence.json", json.to_string());
        env.ours(&["check", &file]).output()
    };
    of_programs(&["/usr/sbin/nginx", "nginx", "/bin/sh", "certbot", "sh"]).succeeds();
    of_programs(&["nginx", "/bin/python3", "redis-server", "/opt/app", "git"])
        .ends_with(1)
        .says("the evidence is of 5 programs (app, git, nginx, python3 ...)")
        .says("[many-programs]");
}

#[test]
fn evidence_tells_what_was_needed() {
    let env = Env::new();
    let profile = allow(r#""ptrace""#).replace("\"futex\",", "").replace(
        r#""SCMP_ARCH_X86_64"]"#,
        r#""SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]"#,
    );
    let file = env.write("p.json", profile);
    let run: &[_] = &[("x86_64", "ptrace", 101)];
    env.write("p.evidence.json", evidence(&[run, run]));
    let ids: Vec<String> = found(&env, &file, &[])
        .into_iter()
        .map(|one| one.0)
        .collect();
    assert_eq!(
        ids,
        ["unused-architecture", "dangerous-grant-seen"],
        "no thread was seen, so no futex is missed"
    );

    let with_futex: &[_] = &[("x86_64", "ptrace", 101), ("x86", "futex", 240)];
    env.write("p.evidence.json", evidence(&[run, with_futex]));
    let ids: Vec<String> = found(&env, &file, &[])
        .into_iter()
        .map(|one| one.0)
        .collect();
    assert!(
        ids.contains(&"missing-futex".to_owned())
            && !ids.contains(&"unused-architecture".to_owned()),
        "{ids:?}"
    );
    env.write("p.evidence.json", "{");
    env.ours(&["check", &file])
        .output()
        .fails_cleanly(125)
        .complains("p.evidence.json");
}

#[test]
fn evidence_beside_its_profile_is_no_profile() {
    let env = Env::new();
    let profile = env.write("app.json", with(""));
    let beside = env.write("app.evidence.json", evidence(&[&[], &[]]));
    let alone = env.ours(&["check", &profile]).output();
    let both = env.ours(&["check", &beside, &profile]).output();
    assert_eq!(alone.succeeds().stdout, both.succeeds().stdout);
    // Named without its profile, it is taken for one.
    env.ours(&["check", &beside])
        .output()
        .ends_with(1)
        .says("[not-a-profile]");
}

#[test]
fn too_little_learning_is_a_gate() {
    let env = Env::new();
    let file = env.write("p.json", with(""));
    let read = ("x86_64", "read", 0);
    let write = ("x86_64", "write", 1);
    let gate = |most: &str| env.ours(&["check", &file, "--max-unseen", most]).output();
    gate("1").ends_with(1).says("there is no evidence");
    env.write("p.evidence.json", evidence(&[&[read]]));
    gate("1").ends_with(1).says("one run says nothing");
    // One of the two calls is in one of four runs only: a chance of a quarter.
    env.write(
        "p.evidence.json",
        evidence(&[&[read], &[read, write], &[read], &[read]]),
    );
    gate("25%").succeeds();
    gate("0.24")
        .ends_with(1)
        .says("up to 25.0 %, after 4 runs; at most 24.0 %");
    gate("2").ends_with(125).complains("--max-unseen");
}

#[test]
fn only_what_is_bad_enough_counts() {
    let env = Env::new();
    let note = env.write("note.json", allow(r#""socket""#));
    let warning = env.write("warning.json", allow(r#""ptrace""#));
    let error = env.write("error.json", with("").replace("\"exit_group\",", ""));
    for (level, codes) in [
        ("note", [1, 1, 1]),
        ("warning", [0, 1, 1]),
        ("error", [0, 0, 1]),
    ] {
        for (file, code) in [&note, &warning, &error].into_iter().zip(codes) {
            env.ours(&["check", file, "--severity", level])
                .output()
                .ends_with(code);
        }
    }
    env.ours(&["check", &warning, "--severity", "error", "--strict"])
        .output()
        .ends_with(1);
    env.ours(&["check", &note, &error]).output().ends_with(1);
    env.ours(&["check", &error, &env.text("missing.json")])
        .output()
        .fails_cleanly(125)
        .complains("missing.json");
    env.ours(&["check"]).output().ends_with(125);
}

#[test]
fn what_is_safe_is_repaired() {
    let env = Env::new();
    let eq = r#", "args": [{ "index": 1, "op": "SCMP_CMP_EQ", "value": 21522 }]"#;
    let allowed = entry(r#""read", "ioctl", "faccessat2""#, "ALLOW", "");
    let denied = entry(r#""clone3""#, "ERRNO", "");
    let allowlist =
        format!(r#"{{ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{allowed}, {denied}] }}"#);
    let denylist = format!(
        r#"{{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{}] }}"#,
        entry(r#""ioctl""#, "ERRNO", eq)
    );
    for (profile, ids) in [
        (
            allowlist,
            &[
                "missing-exit-group",
                "missing-exit",
                "missing-rt-sigreturn",
                "missing-restart-syscall",
                "not-enosys",
                "default-not-enosys",
            ][..],
        ),
        (denylist, &["upper-half"]),
    ] {
        let before = env.write("before.json", &profile);
        let file = env.write("p.json", &profile);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let output = env.ours(&["check", "--fix", &file]).output();
        output.complains("p.json: fixed ");
        let left = found(&env, &file, &[]);
        for id in ids {
            output.complains(id);
            assert!(
                left.iter().all(|one| one.0 != *id),
                "{id} is left: {left:?}"
            );
        }
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o640
        );
        // Nothing that ran before is denied now, and what is written is canonical.
        env.ours(&["diff", "--subset", &before, &file])
            .output()
            .succeeds();
        let fixed = env.read("p.json");
        let merged = env.ours(&["merge", &file]).output();
        assert_eq!(merged.stdout, fixed);
        let again = env.ours(&["check", "--fix", &file]).output();
        assert!(!again.stderr.contains("fixed"), "{again}");
        assert_eq!(env.read("p.json"), fixed);
    }
}

#[test]
fn what_runs_for_some_arguments_or_somewhere_goes_on_to_run() {
    let env = Env::new();
    let flags = r#", "args": [{ "index": 1, "op": "SCMP_CMP_EQ", "value": 2048 }]"#;
    let admin = r#", "includes": { "caps": ["CAP_SYS_ADMIN"] }"#;
    let entries = [
        entry(r#""pidfd_open""#, "ALLOW", flags),
        entry(r#""clone3""#, "ALLOW", admin),
        entry(r#""openat2""#, "KILL_PROCESS", admin),
        entry(r#""mseal""#, "ALLOW", ""),
    ];
    let text = with(&entries.join(","));
    let before = env.write("before.json", &text);
    let file = env.write("p.json", &text);
    env.ours(&["check", "--fix", "--caps", "none", &file])
        .output()
        .complains("fixed default-not-enosys");
    for caps in ["none", "all"] {
        env.ours(&["diff", "--subset", "--caps", caps, &before, &file])
            .output()
            .succeeds();
    }
    let answers = env
        .ours(&["simulate", "--caps", "all", &file, "openat2", "statx"])
        .output();
    answers
        .says("KILL_PROCESS\topenat2")
        .says("ERRNO(ENOSYS)\tstatx");
}

#[test]
fn what_was_denied_on_purpose_is_not_repaired() {
    let env = Env::new();
    let text = format!(
        r#"{{ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{}] }}"#,
        entry(r#""exit_group""#, "TRAP", "")
    );
    let file = env.write("p.json", text);
    env.ours(&["check", "--fix", &file])
        .output()
        .ends_with(1)
        .says("[missing-exit-group]");
    assert!(env.read("p.json").contains("SCMP_ACT_TRAP"));
    let broken = env.write("broken.json", "{");
    env.ours(&["check", "--fix", &broken])
        .output()
        .ends_with(1)
        .says("[not-a-profile]");
    assert_eq!(env.read("broken.json"), "{");
}

#[test]
fn github_gets_annotations() {
    let env = Env::new();
    env.write("a,b.json", allow(r#""read", "ptrace""#));
    let dir = env.text("");
    let output = env
        .ours(&["check", "a,b.json", "--format", "github"])
        .cwd(&dir)
        .output();
    output.ends_with(1);
    let want = "::warning file=a%2Cb.json,line=6,col=21,title=dangerous-grant::ptrace: takes over other processes of the same user, whose profiles may allow more%0Afix: leave it out, unless the program cannot do without\n";
    assert_eq!(output.stdout, want);
    env.write("bad.json", "{\n  \"defaultAction\": \"SCMP_ACT_ALOW\" }");
    let bad = env
        .ours(&["check", "bad.json", "--format", "github"])
        .cwd(&dir)
        .output();
    bad.ends_with(1).says("::error file=bad.json,line=2,col=20,title=not-a-profile::defaultAction: unknown action 'SCMP_ACT_ALOW'%0Afix: did you mean 'SCMP_ACT_ALLOW'?\n");
}

#[test]
fn sarif_is_as_the_standard_has_it() {
    let env = Env::new();
    let file = env.write(
        "p.json",
        allow(r#""read", "ptrace""#).replace("\"exit_group\",", ""),
    );
    let output = env.ours(&["check", &file, "--format", "sarif"]).output();
    output.ends_with(1);
    let log: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    assert!(
        log["$schema"]
            .as_str()
            .unwrap()
            .contains("sarif-schema-2.1.0")
    );
    let run = &log["runs"][0];
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "seccomp-run");
    let rules = driver["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 2, "{results:#?}");
    for result in results {
        assert!(["note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(
            !rule["shortDescription"]["text"]
                .as_str()
                .unwrap()
                .is_empty()
        );
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(
            uri.starts_with("file:///") && uri.ends_with("/p.json"),
            "{uri}"
        );
        assert!(place["region"]["startLine"].as_u64().unwrap() >= 1);
        assert!(place["region"]["startColumn"].as_u64().unwrap() >= 1);
        assert!(result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"].is_string());
    }
}

#[test]
fn whoever_can_write_the_file_is_told() {
    let env = Env::new();
    let file = env.write("p.json", with(""));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(
        found(&env, &file, &[]),
        [("writable".to_owned(), String::new(), 0)]
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    needs_root!();
    std::os::unix::fs::chown(&file, Some(12345), None).unwrap();
    assert_eq!(
        found(&env, &file, &[]),
        [("foreign-owner".to_owned(), String::new(), 0)]
    );
}

#[test]
fn what_is_learned_is_in_order() {
    let env = Env::new();
    let file = env.text("true.json");
    env.learn(&file, &["true"]);
    env.ours(&["check", &file])
        .output()
        .ends_with(1)
        .says("[one-run]")
        .says(" 0 errors, 1 warning,");
    env.ours(&["--learn", "--update", "-o", &file, "--", "true"])
        .output()
        .succeeds();
    env.ours(&["check", &file]).output().succeeds();
    env.ours(&["check", &file, "--max-unseen", "0"])
        .output()
        .succeeds();
}

#[test]
fn real_profiles_have_no_errors() {
    for name in ["docker-default.json", "podman-default.json"] {
        let text = match crate::libseccomp::data(name) {
            Ok((text, _)) => text,
            Err(why) => skip!("{why}"),
        };
        let env = Env::new();
        let file = env.write(name, text);
        env.ours(&["check", &file, "--severity", "error"])
            .output()
            .succeeds();
        let fixed = env
            .ours(&["check", "--fix", &file, "--severity", "error"])
            .output();
        fixed.succeeds();
        env.ours(&["check", &file, "--caps", "none"])
            .output()
            .ends_with(1)
            .says("[allows-most]")
            .says("[upper-half]");
    }
}
