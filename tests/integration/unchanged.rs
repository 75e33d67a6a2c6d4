//! A program that has made thousands of calls, and so may have the learner's filter, finds nothing changed: no
//! register, no signal, no file, no mapping.

use crate::engines::{engines, installs};
use crate::harness::{Build, Env, fixture, try_fixture};
use crate::profile::fields;

/// Each prints and ends as it does natively, however it is watched.
fn same_in_every_way(scenes: &[&str], builds: &[Build]) {
    let env = Env::new();
    let profile = env.text("unchanged.json");
    let mut wrong = Vec::new();
    for &build in builds {
        let Some(unchanged) = try_fixture("unchanged", build) else {
            continue;
        };
        for scene in scenes {
            let native = env.run(&[&unchanged, scene]).output();
            native.succeeds();
            let mut compare = |flags: &[&str]| {
                let head = ["--learn", "-o", &profile];
                let args = [&head[..], flags, &["--", &unchanged, scene]].concat();
                let ours = env.ours(&args).output();
                if ours.status != native.status || ours.stdout != native.stdout {
                    wrong.push(format!("{flags:?}, natively:\n{native}\n\nbut:\n{ours}"));
                }
            };
            for engine in engines() {
                compare(&[engine, &["--force"][..]].concat());
            }
            // A second run, which knows it all.
            compare(&["--update"]);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

const ALL: &[Build] = &[Build::Dynamic, Build::Static, Build::I386];

#[test]
#[cfg(target_arch = "x86_64")]
fn registers_flags_and_the_stack() {
    same_in_every_way(
        &["registers", "threads_registers"],
        &[Build::Dynamic, Build::Static],
    );
}

#[test]
fn errno() {
    same_in_every_way(&["errno"], ALL);
}

#[test]
fn signals_that_come_meanwhile() {
    same_in_every_way(&["storm", "timers"], &[Build::Static]);
}

#[test]
fn pending_signals_masks_and_handlers() {
    same_in_every_way(&["pending", "interrupted"], ALL);
}

#[test]
fn open_files_of_the_program_and_of_its_children() {
    same_in_every_way(&["files", "childrens_files"], &[Build::Static]);
}

#[test]
fn mappings() {
    same_in_every_way(&["maps"], ALL);
}

#[test]
fn processors_and_what_the_kernel_says_of_the_process() {
    same_in_every_way(&["processors", "status"], ALL);
}

/// `no_new_privs` is set as under `--enforce`, and some ways install a filter; nothing else.
#[test]
fn what_differs_is_what_is_documented() {
    let env = Env::new();
    let unchanged = fixture("unchanged", Build::Static);
    let profile = env.text("p.json");
    let before = env.run(&[&unchanged, "differs"]).output();
    let native = numbers(&before.stdout);
    for engine in engines() {
        for more in [&[][..], &["--allow-new-privs"]] {
            let head = ["--learn", "--force", "-o", &profile];
            let args = [&head[..], engine, more, &["--", &unchanged, "differs"]].concat();
            let out = env.ours(&args).output();
            out.succeeds();
            let seen = numbers(&out.stdout);
            let new_privs = i64::from(more.is_empty());
            let wanted = native["NoNewPrivs"].max(new_privs);
            assert_eq!(seen["NoNewPrivs"], wanted, "{engine:?}\n{out}");
            assert_eq!(seen["PR_GET_NO_NEW_PRIVS"], wanted, "{engine:?}\n{out}");
            assert_eq!(seen["PR_GET_SECCOMP"], seen["Seccomp"], "{out}");
            let filters = seen["Seccomp_filters"] - native["Seccomp_filters"];
            match installs(engine) {
                // Without privileges there is no filter without no_new_privs.
                Some(true) if more.is_empty() => assert!(filters >= 1, "{engine:?}\n{out}"),
                Some(false) => assert_eq!(filters, 0, "{engine:?}\n{out}"),
                _ => assert!(filters >= 0, "{engine:?}\n{out}"),
            }
            assert_eq!(
                seen["Seccomp"] == 2,
                seen["Seccomp_filters"] > 0,
                "{engine:?}\n{out}"
            );
        }
    }
}

/// `NAME VALUE` lines.
fn numbers(text: &str) -> std::collections::BTreeMap<String, i64> {
    fields(&text.replace(' ', ": "))
        .into_iter()
        .map(|(name, value)| (name, value.parse().unwrap()))
        .collect()
}
