//! What learning costs: whole commands natively, under `--learn`, and under `strace -f`, in turn.
//!
//! `cargo bench --bench learn` prints medians over alternating runs and ratios to native. Machines are
//! noisy: compare ratios of one run, not milliseconds of two.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench prints, and ends when something is wrong"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;

/// A name, and a script for `sh -c` that runs in an empty directory.
const WORKLOADS: [(&str, &str); 6] = [
    (
        "python3 imports",
        "python3 -c 'import ssl, sqlite3, json, asyncio, subprocess'",
    ),
    (
        "git init+commit+clone",
        "rm -rf a b; git init -q a && cd a && echo x > f && git add f && \
      git -c user.name=n -c user.email=e commit -qm m && git clone -q . ../b",
    ),
    (
        "gcc compile+link",
        "echo 'int main(){return 0;}' > m.c && gcc -O1 -o m m.c",
    ),
    (
        "sh, 100 children",
        "i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i+1)); done",
    ),
    ("find /usr/share", "find /usr/share -name nothing"),
    (
        "dd bs=1, 20k calls",
        "dd if=/dev/zero of=/dev/null bs=1 count=10000",
    ),
];

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let launcher = env!("CARGO_BIN_EXE_seccomp-run");
    println!(
        "{:<24} {:>10} {:>10} {:>10} {:>9} {:>9}",
        "", "native", "--learn", "strace -f", "learn", "strace"
    );
    let mut logs = (0.0, 0.0);
    for (name, script) in WORKLOADS {
        let variants: [&[&str]; 3] = [
            &[],
            &[launcher, "--learn", "--force", "-o", "p.json", "--"],
            &["strace", "-f", "-o", "/dev/null", "--"],
        ];
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            for (variant, times) in variants.iter().zip(&mut times) {
                times.push(run(variant, script, dir.path()));
            }
        }
        let [native, learn, strace] = times.map(median);
        let ratio = |time: Duration| time.as_secs_f64() / native.as_secs_f64();
        logs = (logs.0 + ratio(learn).ln(), logs.1 + ratio(strace).ln());
        println!(
            "{name:<24} {:>8.1}ms {:>8.1}ms {:>8.1}ms {:>8.2}x {:>8.2}x",
            millis(native),
            millis(learn),
            millis(strace),
            ratio(learn),
            ratio(strace)
        );
    }
    let mean = |log: f64| (log / WORKLOADS.len() as f64).exp();
    println!(
        "{:<24} {:>32} {:>8.2}x {:>8.2}x",
        "geometric mean",
        "",
        mean(logs.0),
        mean(logs.1)
    );
}

fn run(wrapper: &[&str], script: &str, dir: &Path) -> Duration {
    let words = [wrapper, &["timeout", "60", "sh", "-c", script]].concat();
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let begun = Instant::now();
    let status = command.status().expect("the command starts");
    let took = begun.elapsed();
    assert!(status.success(), "{words:?}: {status}");
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
