//! The profiles of `profiles/`: each is what its file says it is, and holds its program to it. The programs run under the
//! loads that the profiles were learned from (`profiles/workloads/`), which are shorter here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use seccomp_run::evidence::Evidence;
use serde_json::Value;

use crate::harness::{
    Build, Env, Output, SECCOMP_RUN, fixture, installed, is_root, needs, needs_root, skip,
};
use crate::profile::Profile;

/// No program in `profiles/` makes these: ptrace, mount, bpf, `init_module`.
const FOREIGN: [(&str, &str); 4] = [
    ("101", "ptrace"),
    ("165", "mount"),
    ("321", "bpf"),
    ("175", "init_module"),
];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles")
}

fn path_of(name: &str) -> String {
    let path = directory().join(format!("{name}.json"));
    path.to_str().unwrap().to_owned()
}

/// The names of all that have this ending in a directory, without it.
fn names_in(directory: &Path, ending: &str) -> BTreeSet<String> {
    let files = fs::read_dir(directory).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names
        .filter_map(|name| Some(name.strip_suffix(ending)?.to_owned()))
        .collect()
}

/// All profiles that are shipped.
fn shipped() -> BTreeSet<String> {
    let mut names = names_in(&directory(), ".json");
    names.retain(|name| !name.ends_with(".evidence"));
    names
}

fn evidence_of(name: &str) -> Evidence {
    let path = Evidence::path_for(Path::new(&path_of(name)));
    Evidence::parse(&fs::read(path).unwrap(), name).unwrap()
}

#[test]
fn every_shipped_profile_has_a_workload_and_evidence() {
    let names = shipped();
    assert!(names.contains("minimal") && names.len() >= 9, "{names:?}");
    assert_eq!(names, names_in(&directory().join("workloads"), ".sh"));
    assert_eq!(names, names_in(&directory(), ".evidence.json"));
}

#[test]
fn shipped_profiles_are_canonical_and_give_no_reason_to_warn() {
    let env = Env::new();
    for name in shipped() {
        let path = path_of(&name);
        let merged = env.ours(&["merge", "--strict", &path]).output();
        merged.succeeds();
        assert_eq!(merged.stderr, "", "{name}");
        assert!(
            merged.stdout == fs::read_to_string(&path).unwrap(),
            "{name} is not what merge writes: {merged}"
        );
        let check = env.ours(&["check", "--strict", &path]).output();
        check.succeeds().says("0 errors, 0 warnings");
        // Nor by the rules of the others who read it.
        for dialect in ["podman", "oci"] {
            let check = ["check", "--strict", "--dialect", dialect, &path];
            env.ours(&check).output().succeeds();
        }
    }
}

#[test]
fn shipped_profiles_say_where_they_come_from_and_why_they_grant_what_is_dangerous() {
    let env = Env::new();
    for name in shipped() {
        let profile = Profile::read(Path::new(&path_of(&name)));
        let comment = profile.json["comment"].as_str().unwrap();
        for part in [
            "learn.sh",
            "runs)",
            "libc6 ",
            "Linux ",
            "Shown: ",
            "Not shown: ",
        ] {
            assert!(
                comment.contains(part),
                "{name} does not say {part}: {comment}"
            );
        }
        assert_eq!(profile.json["defaultAction"], "SCMP_ACT_ERRNO", "{name}");
        let explained = env
            .ours(&["explain", "--format", "json", &path_of(&name)])
            .output();
        let explained: Value = serde_json::from_str(&explained.succeeds().stdout).unwrap();
        let reasons = profile.added();
        for danger in explained["dangerous"].as_array().unwrap() {
            for granted in danger["syscalls"].as_array().unwrap() {
                let granted = granted.as_str().unwrap();
                assert!(reasons.contains(granted), "{name}: {granted} has no reason");
            }
        }
    }
}

#[test]
fn the_evidence_of_shipped_profiles_matches_them_and_names_no_place_of_the_machine() {
    for name in shipped() {
        let evidence = evidence_of(&name);
        let profile = Profile::read(Path::new(&path_of(&name)));
        assert!(evidence.runs.len() > 1, "{name}: one run");
        let mut seen = BTreeSet::new();
        for run in &evidence.runs {
            assert!(run.complete && !run.filtered, "{name}: {run:?}");
            let calls = run.calls.iter();
            seen.extend(calls.filter_map(|call| call.name.clone()));
            let files = run.executables.iter().map(|executable| &executable.path);
            let libraries = run.calls.iter().filter_map(|call| call.library.as_ref());
            for path in files.chain(libraries).chain(&run.command) {
                let path = Path::new(path);
                let neutral = ["/usr", "/bin", "/srv/demo"];
                assert!(
                    path.is_relative() || neutral.iter().any(|top| path.starts_with(top)),
                    "{name}: {}",
                    path.display()
                );
            }
        }
        // What was seen has a rule, and what has a rule without a reason was seen.
        let missing: Vec<_> = seen.difference(&profile.names()).cloned().collect();
        assert!(
            missing.is_empty(),
            "{name} lacks what was seen: {missing:?}"
        );
        let idle: Vec<_> = profile.observed().difference(&seen).cloned().collect();
        assert!(idle.is_empty(), "{name} has what was not seen: {idle:?}");
    }
}

#[test]
fn shipped_profiles_deny_what_their_programs_do_not_do() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    for name in shipped() {
        let path = path_of(&name);
        let simulate = ["simulate", &path, "ptrace", "mount", "bpf", "init_module"];
        let simulated = env.ours(&simulate).output();
        simulated.succeeds();
        for (nr, call_name) in FOREIGN {
            simulated.says(&format!("ERRNO(EPERM)\t{call_name}\t"));
            env.ours(&["--enforce", &path, "--", &call, nr])
                .output()
                .succeeds()
                .says(&format!("{nr}: error 1\n"));
        }
        env.ours(&["--enforce", &path, "--kill", "--", &call, "101"])
            .output()
            .ends_with(159);
    }
}

/// What the workload says that it needs and this machine does not have.
fn missing(workload: &str) -> Vec<String> {
    let path = directory().join(format!("workloads/{workload}.sh"));
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("needs="));
    let needs = line.unwrap().trim_matches('"').split(' ');
    let all = needs.chain(["ip", "unshare", "mount"]).map(str::to_owned);
    all.filter(|program| !installed(program)).collect()
}

/// May we make the namespaces that a workload runs in?
fn can_unshare() -> bool {
    let tried = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "true"])
        .output();
    tried.is_ok_and(|out| out.status.success())
}

/// What a report says was denied by the default action: all but what a rule leaves out on purpose.
fn denied(report: &str) -> BTreeSet<String> {
    let lines = report.lines().map(serde_json::from_str);
    let lines = lines.map(|line: Result<Value, _>| line.unwrap());
    lines
        .filter(|line| line["because"] == "the default action")
        .map(|line| format!("{} by {}", line["call"], line["executable"]))
        .collect()
}

/// Runs a workload under this profile, and gives also what was denied.
fn under(env: &Env, workload: &str, profile: &str) -> (Output, BTreeSet<String>) {
    let script = directory().join("workload.sh");
    let dir = env.mkdir("out");
    env.copy_program(SECCOMP_RUN, "out/seccomp-run");
    fs::copy(path_of(profile), env.path("out/profile.json")).unwrap();
    let words = [
        "/srv/out/seccomp-run",
        "--enforce",
        "/srv/out/profile.json",
        "--kill",
        "--report=/srv/out/denied.jsonl",
        "--",
    ];
    let command = [
        &["bash", script.to_str().unwrap(), workload, &dir],
        &words[..],
    ]
    .concat();
    let out = env.run(&command).var("LOAD", "light").output();
    // Not there when the program was never started: what the workload says is the better message.
    let report = fs::read_to_string(env.path("out/denied.jsonl")).unwrap_or_default();
    (out, denied(&report))
}

/// A shipped profile lets its program do its work, and end as it should, with nothing denied.
fn serves(name: &str) {
    if !is_root() {
        skip!("not root");
    }
    let missing = missing(name);
    if !missing.is_empty() {
        skip!("not installed: {}", missing.join(" "));
    }
    if !can_unshare() {
        skip!("no namespaces can be made here");
    }
    let env = Env::new();
    let (out, denied) = under(&env, name, name);
    out.succeeds().says(&format!("{name}: done\n"));
    assert!(env.path("out/denied.jsonl").exists(), "no report\n{out}");
    assert!(denied.is_empty(), "{denied:#?}\n{out}");
}

#[test]
fn minimal_serves() {
    serves("minimal");
}

#[test]
fn static_c_serves() {
    serves("static-c");
}

#[test]
fn python3_serves() {
    serves("python3");
}

#[test]
fn node_serves() {
    serves("node");
}

#[test]
fn nginx_serves() {
    serves("nginx");
}

#[test]
fn redis_serves() {
    serves("redis");
}

#[test]
fn postgres_serves() {
    serves("postgres");
}

#[test]
fn go_http_serves() {
    serves("go-http");
}

#[test]
fn git_serves() {
    serves("git");
}

#[test]
fn a_workload_fails_under_a_profile_that_is_not_its_own() {
    needs_root!();
    needs!("gcc", "ip", "unshare", "setpriv");
    if !can_unshare() {
        skip!("no namespaces can be made here");
    }
    let env = Env::new();
    let (out, denied) = under(&env, "static-c", "minimal");
    out.ends_with(1).complains("static-c: ended with 159");
    let killed = denied
        .iter()
        .any(|call| call.contains("/srv/demo/static-c"));
    assert!(killed, "{denied:?}");
}
