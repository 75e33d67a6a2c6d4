//! What learning tells besides the profile: the evidence of each run, how sure it can be, how far it has come.

use serde_json::{Value, json};

use crate::harness::{Build, Env, Output, SECCOMP_RUN, fixture, needs};
use crate::profile::{Names, Profile};

/// The evidence beside the profile `p.json`.
fn evidence(env: &Env) -> Value {
    serde_json::from_str(&env.read("p.evidence.json")).unwrap()
}

/// What is known of one syscall in a run.
fn call<'r>(run: &'r Value, name: &str) -> &'r Value {
    let mut calls = run["calls"].as_array().unwrap().iter();
    calls
        .find(|call| call["name"] == name)
        .unwrap_or_else(|| panic!("{name}: {run:#}"))
}

#[test]
fn a_run_tells_who_made_which_call_first_and_with_what() {
    let env = Env::new();
    let program = fixture("call", Build::Static);
    env.learn(&env.text("p.json"), &[&program, "102", "102", "9999"]);
    let evidence = evidence(&env);
    let run = &evidence["runs"][0];
    assert_eq!(
        (&run["arch"], &run["processes"], &run["ran_free"]),
        (&json!("x86_64"), &json!(1), &json!(false))
    );
    assert!(run["stops"].as_u64() > Some(10), "{run:#}");
    assert_eq!(run["executables"][0]["path"], program.as_str());
    let calls = run["calls"].as_array().unwrap().iter();
    let total: u64 = calls.map(|call| call["count"].as_u64().unwrap()).sum();
    assert_eq!(run["executables"][0]["calls"], total);

    let getuid = call(run, "getuid");
    assert_eq!(getuid["count"], 2);
    assert_eq!(getuid["executables"], json!([program]));
    assert_eq!(getuid["first"]["executable"], program.as_str());
    assert!(getuid["first"]["tid"].as_i64() > Some(1), "{getuid:#}");
    assert!(getuid["first"]["ms"].as_u64() < Some(60_000), "{getuid:#}");
    // It prints what its calls returned to standard output.
    let write = call(run, "write")["args"][0].as_str().unwrap().to_owned();
    let registers: Vec<&str> = write.split(", ").collect();
    assert_eq!((registers.len(), registers[0]), (6, "0x1"), "{write}");
    let unnamed = run["calls"].as_array().unwrap().iter();
    let unnamed = unnamed
        .filter(|call| call["nr"] == 9999)
        .collect::<Vec<_>>();
    assert_eq!(unnamed[0].get("name"), None, "{unnamed:?}");
}

#[test]
fn what_was_added_is_told_as_the_profile_tells_it() {
    let env = Env::new();
    let profile = env.learn(&env.text("p.json"), &["true"]);
    let evidence = evidence(&env);
    let added = evidence["runs"][0]["added"].as_array().unwrap();
    let names = added
        .iter()
        .map(|added| added["name"].as_str().unwrap().to_owned());
    assert_eq!(names.collect::<Names>(), profile.added());
    let comments: Vec<&Value> = profile.json["syscalls"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|rule| rule.get("comment"))
        .collect();
    for added in added {
        assert!(comments.contains(&&added["reason"]), "{added}");
    }
}

#[test]
fn evidence_of_version_1_is_read_and_added_to() {
    let env = Env::new();
    let program = fixture("call", Build::Static);
    let profile = env.text("p.json");
    env.learn(&profile, &[&program, "102"]);
    env.write(
        "p.evidence.json",
        json!({"version": 1, "runs": [{
            "command": ["app"], "started": 1, "seconds": 0.5, "kernel": "6.1.0", "end": "exited 0", "tasks": 1,
            "filtered": false, "complete": true, "notes": [],
            "calls": [{"arch": "x86_64", "nr": 102, "name": "getuid", "count": 5}],
        }]})
        .to_string(),
    );
    let learn = ["--learn", "--update", "-o", &profile, "--", &program, "104"];
    env.ours(&learn).output().succeeds();
    let evidence = evidence(&env);
    assert_eq!(
        (
            &evidence["version"],
            evidence["runs"].as_array().unwrap().len()
        ),
        (&json!(2), 2)
    );
    assert_eq!(call(&evidence["runs"][0], "getuid")["count"], 5);
    assert_eq!(call(&evidence["runs"][1], "getgid")["count"], 1);
    Profile::read(&env.path("p.json")).has(&["getuid", "getgid"]);

    env.write("p.evidence.json", r#"{"version": 3, "pages": []}"#);
    env.ours(&learn)
        .output()
        .fails_cleanly(125)
        .complains("evidence of version 3");
}

/// The last line on standard error.
fn last(out: &Output) -> &str {
    out.stderr.lines().last().unwrap_or_default()
}

#[test]
fn every_run_ends_with_how_sure_the_profile_is() {
    let env = Env::new();
    let program = fixture("call", Build::Static);
    let profile = env.text("p.json");
    let learn = |flags: &[&str], nr: &str| {
        let out = env
            .ours(&[&["--learn", "-o", &profile], flags, &["--", &program, nr]].concat())
            .output();
        out.succeeds();
        last(&out).to_owned()
    };
    assert_eq!(
        learn(&[], "102"),
        "seccomp-run: one run says nothing about the next: learn again with --update"
    );
    let second = learn(&["--update"], "104");
    assert!(
        second.ends_with(" syscalls in 2 runs; another run is likely to need more"),
        "each run made a call of its own: {second}"
    );
    learn(&["--update"], "104");
    let fourth = learn(&["--update"], "104");
    let runs = evidence(&env)["runs"].clone();
    // One call in one run of four; or, where only what is new was seen, one new call in three runs.
    let later_were_seen = (1..4).all(|run| runs[run]["ran_free"] == false);
    let percent = if later_were_seen { 25 } else { 34 };
    let want = format!(" syscalls in 4 runs; about {percent} % chance that another run needs more");
    assert!(fourth.ends_with(&want), "{want}: {fourth}");
    let all = runs[0]["calls"].as_array().unwrap().len() + 1;
    assert!(fourth.contains(&format!(" {all} syscalls in")), "{fourth}");
    learn(&["--force"], "102");
    let same = learn(&["--update"], "102");
    assert!(
        same.ends_with(" syscalls in 2 runs; nothing suggests that another run needs more"),
        "{same}"
    );
    let none = learn(&["--update", "--no-evidence"], "102");
    assert_eq!(
        none,
        "seccomp-run: without evidence of the runs nothing can be said about the next"
    );
}

#[test]
fn portable_profiles_hold_siblings_that_say_so() {
    let env = Env::new();
    let program = fixture("call", Build::Static);
    let profile = env.text("p.json");
    // access, pipe and getuid: the last has no sibling. The first two fail, which does not matter.
    let learn = |flags: &[&str]| {
        let words = [
            &["--learn", "-o", &profile],
            flags,
            &["--", &program, "21", "22", "102"],
        ];
        env.ours(&words.concat()).output().succeeds();
        Profile::read(&env.path("p.json"))
    };
    learn(&[]).lacks(&["faccessat", "faccessat2", "pipe2"]);
    let portable = learn(&["--force", "--portable"]);
    let inferred = |profile: &Profile| -> Names {
        let rules = profile.json["syscalls"].as_array().unwrap().iter();
        let comment = |rule: &Value| rule["comment"].as_str().unwrap_or_default().to_owned();
        rules
            .filter(|rule| comment(rule).starts_with("inferred: "))
            .flat_map(|rule| rule["names"].as_array().unwrap())
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    let names = inferred(&portable);
    for name in ["faccessat", "faccessat2", "pipe2"] {
        assert!(names.contains(name), "{name}: {names:?}");
    }
    assert!(names.is_disjoint(&portable.observed()), "{names:?}");
    let told = evidence(&env)["runs"][0]["added"]
        .as_array()
        .unwrap()
        .clone();
    let told: Names = told
        .iter()
        .filter(|added| added["reason"].as_str().unwrap().starts_with("inferred: "))
        .map(|added| added["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told, names);

    let before = env.read("p.json");
    learn(&["--update", "--portable"]);
    assert_eq!(env.read("p.json"), before, "siblings have no siblings");
    // 269: faccessat.
    env.ours(&["--enforce", &profile, "--", &program, "269", "83"])
        .output()
        .says("83: error 1\n")
        .says("269: error 14\n");

    // What an earlier run needed has siblings too.
    env.ours(&["--learn", "--force", "-o", &profile, "--", &program, "21"])
        .output()
        .succeeds();
    env.ours(&[
        "--learn",
        "--update",
        "--portable",
        "-o",
        &profile,
        "--",
        &program,
        "102",
    ])
    .output()
    .succeeds();
    let names = inferred(&Profile::read(&env.path("p.json")));
    assert!(names.contains("faccessat2"), "{names:?}");
}

/// The line that tells how far learning has come begins so, after its number.
const PROGRESS: &str = " syscalls, newest ";

#[test]
fn progress_is_shown_on_the_terminal_and_nowhere_else() {
    needs!("python3");
    let env = Env::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/progress.py");
    // Where we run, where standard output and error go, the flag; whether the line is shown.
    let cases = [
        ("fore", "out", "err", "", true),
        ("fore", "/dev/null", "err", "", true),
        ("back", "out", "err", "", false),
        ("fore", "out", "-", "", false),
        ("fore", "-", "err", "", false),
        ("fore", "out", "|", "", false),
        ("fore", "-", "-", "--progress", true),
        ("back", "-", "-", "--progress", false),
    ];
    let command = "echo mine; sleep 3.2; echo mine; echo err >&2";
    let started = cases.into_iter().enumerate().map(|(at, case)| {
        let (place, out, err, flag, _) = case;
        let dir = env.mkdir(&format!("{at}"));
        let profile = format!("{dir}/p.json");
        let mut argv = vec!["python3", script, place, out, err];
        argv.extend([SECCOMP_RUN, "--learn", "-o", &profile]);
        argv.extend(Some(flag).filter(|flag| !flag.is_empty()));
        argv.extend(["--", "sh", "-c", command]);
        (at, case, env.run(&argv).cwd(&dir).start())
    });
    for (at, case, run) in started.collect::<Vec<_>>() {
        let (_, out, err, _, shown) = case;
        let run = run.wait();
        run.succeeds();
        let terminal = run.stdout.replace("\\n", "\n").replace("\\r", "\r");
        let terminal = terminal.trim_matches(['\'', '\n']);
        let lines = terminal.matches(PROGRESS).count();
        assert!(
            if shown { lines >= 2 } else { lines == 0 },
            "{case:?}\n{run}"
        );
        if out == "out" {
            assert_eq!(env.read(&format!("{at}/out")), "mine\nmine\n", "{case:?}");
        }
        if err == "err" {
            let told = env.read(&format!("{at}/err"));
            assert!(!told.contains(PROGRESS), "{case:?}\n{told}");
            let whole = |line: &str| line == "err" || line.starts_with("seccomp-run: ");
            assert!(told.lines().all(whole), "{case:?}\n{told}");
        }
        if err == "err" && shown {
            assert!(
                terminal.ends_with(" \r"),
                "{case:?}: erased in the end\n{run}"
            );
            let parts = terminal.split('\r').map(str::trim);
            for part in parts.filter(|part| !part.is_empty()) {
                assert!(part.starts_with("seccomp-run: "), "{case:?}: {part}");
                assert!(part.ends_with("chance of more: ?"), "{case:?}: {part}");
            }
        }
    }
}

#[test]
fn progress_without_a_terminal_is_told_and_learning_goes_on() {
    let env = Env::new();
    let profile = env.text("p.json");
    let out = env
        .ours(&["--learn", "--progress", "-o", &profile, "echo", "mine"])
        .output();
    out.succeeds()
        .complains("warning: --progress: there is no terminal; send SIGUSR1");
    assert_eq!(out.stdout, "mine\n");
}

#[test]
fn sigusr1_asks_how_far_learning_has_come() {
    let env = Env::new();
    let signals = fixture("signals", Build::Static);
    let profile = env.text("p.json");
    let mut run = env
        .ours(&["--learn", "-o", &profile, "--", &signals])
        .limit(30)
        .start();
    run.until("the fixture", |r| r.stdout().contains("ready\n"));
    run.signal(10);
    run.until("the signal is passed on", |r| {
        r.stdout().contains("got 10\n")
    });
    run.until("an answer", |r| r.stderr().contains(PROGRESS));
    let told = run.stderr();
    run.signal(64);
    let out = run.wait();
    out.ends_with(7);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(out.stderr.matches(PROGRESS).count(), 1, "once\n{out}");
    assert!(
        told.starts_with("seccomp-run: ")
            && told.ends_with(" s ago, 1 process, chance of more: ?\n"),
        "{told}"
    );
    let number = told.split(' ').nth(1).unwrap().parse::<u32>();
    assert!(number.is_ok_and(|number| number > 3), "{told}");

    // A command that has no use for it does not end by the question.
    let script = "trap '' HUP; echo ready; read line <&9; echo end";
    let fifo = env.text("fifo");
    nix::unistd::mkfifo(fifo.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let shell = ["sh", "-c", &format!("exec 9<>{fifo}; {script}")];
    let learn = ["--learn", "--force", "-o", &profile, "--"];
    let mut run = env.ours(&[&learn[..], &shell].concat()).limit(30).start();
    run.until("the shell", |r| r.stdout().contains("ready\n"));
    run.signal(10);
    run.until("an answer", |r| r.stderr().contains(PROGRESS));
    std::fs::write(&fifo, "\n").unwrap();
    run.wait().succeeds().says("end\n");
}
