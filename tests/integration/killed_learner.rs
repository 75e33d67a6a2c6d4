//! A learner that is killed at any moment takes the command with it, and leaves nothing half-written.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::engines::engines;
use crate::harness::{Build, Env, fixture, session_members, stat};
use crate::profile::Profile;

const TRIALS: u64 = 40;

/// A storm must have no survivor after this.
const GRACE: Duration = Duration::from_secs(1);

/// Numbers between 0 and `below`, the same in each run.
fn random(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below
}

#[test]
fn leaves_no_command_and_whole_files() {
    let storms = fixture("storms", Build::Static);
    let mut state = 88_172_645_463_325_252;
    let mut files = 0;
    for trial in 0..TRIALS {
        let engine = engines()[usize::try_from(trial).unwrap() % engines().len()];
        let env = Env::new();
        let profile = env.text("p.json");
        let head = ["--learn", "-o", &profile];
        let args = [&head[..], engine, &["--", &storms, "endless"]].concat();
        let mut run = env.ours(&args).start();
        let file = env.path("p.json");
        // Every other one dies while it writes, or soon after; the rest at any time, before the start included.
        let at_a_write = trial % 2 == 1;
        if at_a_write {
            run.until("a checkpoint", |_| file.exists());
        }
        let wait = random(&mut state, if at_a_write { 30 } else { 300 });
        let until = Instant::now() + Duration::from_millis(wait);
        while Instant::now() < until {
            whole(&env);
        }
        let launcher = run.pid();
        run.signal(9);
        let killed = Instant::now();
        let main = run.stdout();
        let main = main.trim().strip_prefix("pid ");
        let main = main.map(|pid| pid.parse::<i32>().unwrap());
        let alive = |pid: i32| stat(pid).is_some_and(|fields| fields[0] != "Z" && fields[0] != "X");
        while main.is_some_and(alive) || session_members(launcher).into_iter().any(alive) {
            assert!(
                killed.elapsed() < GRACE,
                "{engine:?}, trial {trial}: main {main:?}, all {:?}",
                session_members(launcher)
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        let out = run.wait();
        assert_eq!(out.status.signal(), Some(9), "{out}");
        whole(&env);
        if file.exists() {
            let observed = Profile::read(&file).observed();
            assert!(!observed.is_empty(), "{engine:?}, trial {trial}");
            files += 1;
        }
    }
    assert!(files >= TRIALS / 2, "only {files} left a profile");
}

/// Whatever files there are by the names that a user knows, they are whole.
fn whole(env: &Env) {
    for name in ["p.json", "p.evidence.json"] {
        if let Ok(text) = fs::read_to_string(env.path(name)) {
            let json: Result<Value, _> = serde_json::from_str(&text);
            assert!(json.is_ok() && text.ends_with('\n'), "{name}: {text}");
        }
    }
}
