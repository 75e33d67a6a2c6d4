//! Profiles for container runtimes: what they hold, and that real runtimes start containers under them.

use crate::harness::{Env, needs};
use crate::profile::{Names, Profile};

/// The names that the profile allows for the runtime's sake.
fn for_the_runtime(profile: &Profile) -> Names {
    let starts = |rule: &serde_json::Value| {
        let comment = rule.get("comment").and_then(serde_json::Value::as_str);
        comment.is_some_and(|comment| comment.starts_with("runtime: "))
    };
    let rules = profile.json["syscalls"].as_array().unwrap().iter();
    let rules = rules.filter(|rule| starts(rule));
    let names = rules.flat_map(|rule| rule["names"].as_array().unwrap());
    names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_is_added_for_a_runtime_says_so_everywhere() {
    needs!("true");
    let env = Env::new();
    let path = env.text("p.json");
    let learn = |more: &[&str]| {
        let args = [&["--learn", "-o", &path], more, &["--", "true"]].concat();
        env.ours(&args).output().succeeds();
        Profile::read(&env.path("p.json"))
    };
    let check = || env.ours(&["check", "--for", "runtime", &path]).output();

    let alone = learn(&[]);
    alone.lacks(&["execve", "capset", "setuid"]);
    assert!(for_the_runtime(&alone).is_empty());
    check().says("[missing-execve]").says("[missing-runtime]");

    let with = learn(&["--update", "--for", "runtime"]);
    let added = for_the_runtime(&with);
    for name in ["execve", "capset", "setuid", "setresuid", "pselect6"] {
        assert!(added.contains(name), "{name}: {added:?}");
    }
    assert!(added.is_disjoint(&with.observed()), "each has one reason");
    let found = check();
    assert!(!found.stdout.contains("[missing-"), "{found}");
    env.ours(&["explain", &path])
        .output()
        .succeeds()
        .says("    runtime: runc and crun make these")
        .says("no_new_privs");
    let evidence: serde_json::Value = serde_json::from_str(&env.read("p.evidence.json")).unwrap();
    let told = evidence["runs"][1]["added"].as_array().unwrap();
    let told = told.iter().find(|added| added["name"] == "execve").unwrap();
    assert!(told["reason"].as_str().unwrap().starts_with("runtime: "));

    // Learning on does not take away what was asked for once.
    assert_eq!(for_the_runtime(&learn(&["--update"])), added);
}
