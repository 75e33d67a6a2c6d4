//! What `--help` says, held against `tests/snapshots/help`. `UPDATE_SNAPSHOTS=1 cargo test --test integration help::`
//! writes these files anew; the change is then read as a diff.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::Env;

const VERBS: [&str; 8] = [
    "check", "compile", "convert", "diff", "explain", "merge", "report", "simulate",
];

fn snapshot(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/snapshots/help")
        .join(name)
}

/// The difference to the snapshot, where there is one.
fn changed(env: &Env, name: &str, now: &str) -> Option<String> {
    let file = snapshot(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, now).unwrap();
        return None;
    }
    let new = env.write(name, now);
    let diff = env.run(&["diff", "-uN", file.to_str().unwrap(), &new]);
    let diff = diff.output();
    (diff.code() != 0).then_some(diff.stdout)
}

#[test]
fn it_is_as_it_was_agreed() {
    let env = Env::new();
    let mut different = String::new();
    for verb in [None].into_iter().chain(VERBS.map(Some)) {
        for (flag, length) in [("-h", "short"), ("--help", "long")] {
            let words: Vec<&str> = verb.into_iter().chain([flag]).collect();
            let output = env.ours(&words).output();
            output.succeeds();
            let name = format!("{}.{length}.txt", verb.unwrap_or("seccomp-run"));
            different.extend(changed(&env, &name, &output.stdout));
        }
    }
    assert!(
        different.is_empty(),
        "the help differs from tests/snapshots/help; if it is meant to, UPDATE_SNAPSHOTS=1 takes it over\n{different}"
    );
}

#[test]
fn every_verb_teaches_by_examples() {
    let env = Env::new();
    for verb in VERBS {
        let long = env.ours(&[verb, "--help"]).output();
        // What is a verb's own is not among what it shares with others.
        let (flags, _) = long.stdout.split_once("Examples:").unwrap();
        let (own, shared) = flags.split_once("For another host:").unwrap_or((flags, ""));
        let is_own = |text: &str| text.contains("--format") || text.contains("--output");
        assert!(is_own(own) && !is_own(shared), "{long}");
        long.says("Examples:")
            .says(&format!("  seccomp-run {verb} "));
    }
}
