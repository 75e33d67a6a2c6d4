//! What our programs cost beside libseccomp's, on Docker's default profile: `cargo bench --bench compile`.
//!
//! Instruction counts are exact; times are of this machine and this run, so compare those of one run. The
//! profile is not part of the project: `SECCOMP_RUN_DATA` names the directory that has `docker-default.json`.
//! Without it, Podman's, which comes with Debian's golang-github-containers-common, takes its place.
//! libseccomp is asked through the C program of the tests, which times itself.

#![expect(
    unsafe_code,
    reason = "filters are installed and calls made in forked children, which std cannot do"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::similar_names,
    reason = "a bench may fail, and prints"
)]
#![expect(clippy::disallowed_methods, reason = "it has a heap of its own")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use seccomp_run::arch::Arch;
use seccomp_run::bpf::vm::Vm;
use seccomp_run::bpf::{Insn, SeccompData, cache};
use seccomp_run::filter::{Filter, Launch, Options};
use seccomp_run::profile::{
    ArgWidth, Capabilities, Dialect, Host, KernelVersion, Profile, Reading, UnknownCalls,
};
use seccomp_run::syscall;
use serde_json::{Value, json};

#[path = "../tests/integration/libseccomp.rs"]
#[expect(dead_code, reason = "most of it is for the tests")]
mod libseccomp;

use libseccomp::{Caps, Random, Spec};

const ONE: &[Arch] = &[Arch::X86_64];
const THREE: &[Arch] = &[Arch::X86_64, Arch::X86, Arch::X32];

/// What the project promises: instructions, longest path, microseconds from JSON to program.
const GOALS: [(&[Arch], usize, usize, f64); 2] = [(ONE, 72, 14, 150.0), (THREE, 280, 16, 300.0)];
/// The same for attaching three architectures.
const ATTACH_GOAL: f64 = 90.0;

/// As libseccomp reads a profile.
const LIBSECCOMPS: Reading = Reading {
    dialect: Dialect::Docker,
    arg_width: ArgWidth::Full,
    unknown: UnknownCalls::Default,
    default_override: None,
};

fn main() {
    // `cargo test --benches` runs this too.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let (name, profile) = match docker() {
        Ok(found) => found,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let helper = match helper() {
        Ok(helper) => helper,
        Err(why) => {
            println!("skipped: the C program that asks libseccomp does not compile: {why}");
            return;
        }
    };
    println!("{name}, no capabilities\n");
    for (arches, instructions, path, build) in GOALS {
        of_a_profile(&helper, &profile, arches, (instructions, path, build));
    }
    random_profiles(&helper);
}

fn docker() -> Result<(String, Value), String> {
    match libseccomp::data("docker-default.json") {
        Ok((_, profile)) => Ok(("Docker's default profile".to_owned(), profile)),
        Err(why) => {
            let podman = Path::new("/usr/share/containers/seccomp.json");
            let text = std::fs::read(podman)
                .map_err(|error| format!("{why}; {}: {error}", podman.display()))?;
            let name = "Podman's default profile (the goals are for Docker's)".to_owned();
            Ok((name, serde_json::from_slice(&text).unwrap()))
        }
    }
}

fn helper() -> Result<String, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/libseccomp.c");
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libseccomp-bench");
    let to = to.to_str().unwrap().to_owned();
    let gcc = Command::new("gcc")
        .args(["-std=gnu11", "-O2", "-o", &to])
        .arg(source)
        .arg("-lseccomp")
        .output()
        .map_err(|error| error.to_string())?;
    let said = || String::from_utf8_lossy(&gcc.stderr).into_owned();
    gcc.status.success().then_some(to).ok_or_else(said)
}

/// One program in the comparison.
struct Contender {
    name: &'static str,
    program: Vec<Insn>,
    /// The fastest and, where it was measured here, the median.
    build: (Duration, Option<Duration>),
}

fn of_a_profile(helper: &str, profile: &Value, arches: &[Arch], goal: (usize, usize, f64)) {
    let mut named = profile.clone();
    let fields = named.as_object_mut().unwrap();
    fields.remove("archMap");
    let names: Vec<_> = arches.iter().map(|arch| arch.scmp_name()).collect();
    fields.insert("architectures".to_owned(), json!(names));
    let text = serde_json::to_string_pretty(&named).unwrap();
    let told = Spec::of(profile, arches, Caps::None).text();
    let repeat = "repeat 15\n";
    let built = libseccomp::build(
        helper,
        &format!("{told}{repeat}build\n{told}{repeat}optimize 2\nbuild\n"),
    );
    let theirs = ["libseccomp", "libseccomp, tree"].into_iter().zip(built);
    let mut contenders: Vec<Contender> = theirs
        .map(|(name, built)| {
            let built = built.unwrap();
            Contender {
                name,
                program: built.program,
                build: (Duration::from_nanos(built.nanoseconds), None),
            }
        })
        .collect();
    for (name, reading, launch) in [
        ("ours", LIBSECCOMPS, Launch::None),
        ("ours, by default", Reading::default(), Launch::None),
        ("ours, as launched", Reading::default(), Launch::Exec),
    ] {
        let options = Options {
            launch,
            weights: None,
        };
        let compile = || compile(text.as_bytes(), arches[0], reading, &options);
        let mut times: Vec<Duration> = (0..400)
            .map(|_| {
                let begun = Instant::now();
                black_box(compile());
                begun.elapsed()
            })
            .collect();
        times.sort_unstable();
        contenders.push(Contender {
            name,
            program: compile().program().to_vec(),
            build: (times[0], Some(times[times.len() / 2])),
        });
    }
    print(arches, &contenders, goal);
    stages(text.as_bytes(), arches[0]);
}

/// Where our time goes: the fastest of each step.
fn stages(text: &[u8], native: Arch) {
    let mut best = [Duration::MAX; 3];
    for _ in 0..400 {
        let mut last = Instant::now();
        let mut lap = |at: usize| {
            best[at] = best[at].min(last.elapsed());
            last = Instant::now();
        };
        let profile = Profile::parse(text, "profile").unwrap().0;
        lap(0);
        let policy = profile.resolve(&host(native), &LIBSECCOMPS).unwrap().policy;
        lap(1);
        black_box(Filter::compile(&policy, &Options::default()).unwrap());
        lap(2);
    }
    let [parse, resolve, compile] = best.map(micros);
    println!(
        "ours: {} bytes parsed in {parse:.1} us, resolved in {resolve:.1}, compiled and checked in {compile:.1}\n",
        text.len()
    );
}

fn host(native: Arch) -> Host {
    Host {
        native,
        kernel: KernelVersion {
            major: 6,
            minor: 12,
        },
        caps: Capabilities::NONE,
    }
}

fn print(arches: &[Arch], contenders: &[Contender], goal: (usize, usize, f64)) {
    let attach = attach(contenders);
    let calls = calls(contenders);
    let names: Vec<String> = arches.iter().map(Arch::to_string).collect();
    println!("{}", names.join(" + "));
    println!(
        "{:<20}{:>7}{:>8}{:>9}{:>10}{:>9}{:>9}{:>18}{:>16}{:>9}{:>9}{:>9}",
        "",
        "instr",
        "longest",
        "average",
        "emulated",
        "cached",
        "same set",
        "JSON to program",
        "attach",
        "allowed",
        "checked",
        "denied"
    );
    println!(
        "{:<20}{:>7}{:>8}{:>9}{:>10}{:>9}{:>9}{:>18}{:>16}{:>9}{:>9}{:>9}",
        "", "", "path", "path", "", "", "", "min/median us", "min/median us", "ns", "ns", "ns"
    );
    let reference = cached(&contenders[0].program, arches);
    for (at, contender) in contenders.iter().enumerate() {
        let set = cached(&contender.program, arches);
        let (min, median) = contender.build;
        let build = match median {
            Some(median) => format!("{:.1}/{:.1}", micros(min), micros(median)),
            None => format!("{:.1}", micros(min)),
        };
        println!(
            "{:<20}{:>7}{:>8}{:>9.1}{:>10}{:>9}{:>9}{:>18}{:>16}{:>9.0}{:>9.0}{:>9.0}",
            contender.name,
            contender.program.len(),
            Vm::new(&contender.program).unwrap().longest_path(),
            average_path(&contender.program, arches),
            emulated(&contender.program, arches),
            set.len(),
            if set == reference { "yes" } else { "NO" },
            build,
            format!("{:.0}/{:.0}", attach[at].0, attach[at].1),
            calls[at][0],
            calls[at][1],
            calls[at][2],
        );
    }
    let none = calls[contenders.len()];
    println!(
        "{:<20}{:>95}{:>9.0}{:>9.0}{:>9.0}",
        "no filter", "", none[0], none[1], none[2]
    );
    let attach_goal = if arches.len() == 3 {
        format!("{ATTACH_GOAL:.0}")
    } else {
        "-".to_owned()
    };
    println!(
        "{:<20}{:>7}{:>8}{:>9}{:>10}{:>9}{:>9}{:>18.0}{:>16}",
        "goal", goal.0, goal.1, "", "", "", "yes", goal.2, attach_goal
    );
}

/// The whole way, the program's check of itself included.
fn compile(text: &[u8], native: Arch, reading: Reading, options: &Options) -> Filter {
    let (profile, _) = Profile::parse(text, "profile").unwrap_or_else(|error| panic!("{error}"));
    let resolved = profile.resolve(&host(native), &reading).unwrap();
    Filter::compile(&resolved.policy, options).unwrap()
}

/// The calls that the kernel never asks the filter about: audit value and number. The tables of the
/// comparison end where libseccomp 2.5.4's do, newer calls aside.
fn cached(program: &[Insn], arches: &[Arch]) -> BTreeSet<(u32, u32)> {
    each_number(arches)
        .filter(|&(audit, nr)| cache::emulate(program, audit, nr).cached)
        .filter(|&(_, nr)| nr <= 450 && !(335..=336).contains(&nr))
        .collect()
}

/// How many instructions the kernel follows to know that.
fn emulated(program: &[Insn], arches: &[Arch]) -> usize {
    each_number(arches)
        .map(|(audit, nr)| cache::emulate(program, audit, nr).steps)
        .sum()
}

/// The average over the numbers that do run the filter, arguments zero.
fn average_path(program: &[Insn], arches: &[Arch]) -> f64 {
    let vm = Vm::new(program).unwrap();
    let (mut steps, mut calls) = (0, 0);
    for (audit, nr) in each_number(arches) {
        if cache::emulate(program, audit, nr).cached {
            continue;
        }
        let data = SeccompData {
            nr,
            arch: audit,
            ip: 0,
            args: [0; 6],
        };
        steps += vm.run(&data.words(false)).steps;
        calls += 1;
    }
    steps as f64 / f64::from(calls)
}

/// Every number of the native table and the compat one.
fn each_number(arches: &[Arch]) -> impl Iterator<Item = (u32, u32)> {
    let arches = arches.iter().filter(|&&arch| arch != Arch::X32);
    arches.flat_map(|&arch| {
        let end = syscall::all(arch).last().map_or(0, |(last, _)| last.nr + 1);
        (0..end).map(move |nr| (arch.audit(), nr))
    })
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Sizes and paths over many profiles: those of the tests, which have every action and many conditions, and
/// plain lists of allowed calls.
fn random_profiles(helper: &str) {
    let names: Vec<&str> = syscall::all(Arch::X86_64).map(|(_, name)| name).collect();
    let known = libseccomp::resolve(helper, Arch::X86_64, &names);
    let names = names.into_iter().zip(known);
    let names: Vec<&str> = names.filter(|row| row.1 >= 0).map(|row| row.0).collect();
    for plain in [false, true] {
        for arches in [ONE, THREE] {
            let mut random = Random(7);
            let profile = |_| {
                let most = 1 + random.below(200);
                let size = 1 + random.below(most);
                if plain {
                    allow_list(&mut random, &names, size)
                } else {
                    libseccomp::profile(&mut random, &names, size, arches == THREE)
                }
            };
            let profiles: Vec<Value> = (0..PROFILES).map(profile).collect();
            let kind = if plain {
                "allow-lists"
            } else {
                "mixed profiles"
            };
            println!("{PROFILES} random {kind}, architectures: {}", arches.len());
            sizes(helper, profiles, arches);
        }
    }
}

/// Of each kind, and for each list of architectures.
const PROFILES: usize = 1000;

fn allow_list(random: &mut Random, names: &[&str], size: usize) -> Value {
    let allowed: BTreeSet<&str> = (0..size).map(|_| *random.pick(names)).collect();
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": allowed, "action": "SCMP_ACT_ALLOW", "args": []}],
    })
}

fn sizes(helper: &str, mut profiles: Vec<Value>, arches: &[Arch]) {
    let mut text = String::new();
    for profile in &mut profiles {
        let told = Spec::of(profile, arches, Caps::None).text();
        write!(text, "{told}build\n{told}optimize 2\nbuild\n").unwrap();
        let scmp: Vec<_> = arches.iter().map(|arch| arch.scmp_name()).collect();
        profile["architectures"] = json!(scmp);
    }
    let theirs = libseccomp::build(helper, &text);
    let mut rows = Vec::new();
    for (profile, theirs) in profiles.iter().zip(theirs.chunks(2)) {
        let [Ok(linear), Ok(tree)] = theirs else {
            continue;
        };
        let ours = compile(
            profile.to_string().as_bytes(),
            Arch::X86_64,
            LIBSECCOMPS,
            &Options::default(),
        );
        let programs = [ours.program(), &linear.program, &tree.program];
        rows.push(programs.map(|program| {
            let path = Vm::new(program).unwrap().longest_path();
            [program.len() as f64, path as f64]
        }));
    }
    println!(
        "{:<26}{:>9}{:>9}{:>9}{:>26}{:>26}",
        "", "ours", "linear", "tree", "worst ours/linear", "worst ours/tree"
    );
    for (what, at) in [("instructions", 0), ("longest path", 1)] {
        let mean = |of: usize| rows.iter().map(|row| row[of][at]).sum::<f64>() / rows.len() as f64;
        let worst = |of: usize| {
            let ratio = |row: &[[f64; 2]; 3]| row[0][at] / row[of][at];
            let worst = rows.iter().max_by(|a, b| ratio(a).total_cmp(&ratio(b)));
            let worst = worst.unwrap();
            let larger = rows.iter().filter(|row| row[0][at] > row[of][at]).count();
            format!(
                "{:.2} ({}/{}; {larger} >)",
                ratio(worst),
                worst[0][at],
                worst[of][at]
            )
        };
        println!(
            "{what:<26}{:>9.1}{:>9.1}{:>9.1}{:>26}{:>26}",
            mean(0),
            mean(1),
            mean(2),
            worst(1),
            worst(2)
        );
    }
    println!();
}

/// Microseconds of the `seccomp` call, minimum and median, each in a child of its own.
fn attach(contenders: &[Contender]) -> Vec<(f64, f64)> {
    const ROUNDS: usize = 101;
    let mut times = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for (contender, times) in contenders.iter().zip(&mut times) {
            let [nanoseconds, ..] = in_child(Some(&contender.program), |_| {});
            times.push(nanoseconds as f64 / 1000.0);
        }
    }
    times.into_iter().map(min_and_median).collect()
}

/// Nanoseconds of an allowed, an argument-checked and a denied call, per program and without one: the
/// fastest rounds, since others use the machine too.
fn calls(contenders: &[Contender]) -> Vec<[f64; 3]> {
    const ROUNDS: usize = 15;
    const CALLS: u32 = 20_000;
    /// `getppid`, `personality(0xffffffff)`, which only asks, and `swapon(NULL)`, which no container may.
    const MADE: [(libc::c_long, libc::c_ulong); 3] = [
        (libc::SYS_getppid, 0),
        (libc::SYS_personality, 0xffff_ffff),
        (libc::SYS_swapon, 0),
    ];
    let programs = contenders
        .iter()
        .map(|contender| Some(&contender.program[..]));
    let programs: Vec<Option<&[Insn]>> = programs.chain([None]).collect();
    let mut times = vec![[const { Vec::new() }; 3]; programs.len()];
    for _ in 0..ROUNDS {
        for (&program, times) in programs.iter().zip(&mut times) {
            let [_, measured @ ..] = in_child(program, |slots| {
                for ((nr, arg), slot) in MADE.into_iter().zip(slots) {
                    let begun = Instant::now();
                    for _ in 0..CALLS {
                        // SAFETY: none of these calls takes a pointer that is not null.
                        unsafe { libc::syscall(nr, arg, 0, 0, 0, 0, 0) };
                    }
                    let took = begun.elapsed().as_nanos();
                    slot.store(u64::try_from(took).unwrap_or(0), Ordering::Relaxed);
                }
            });
            for (time, times) in measured.into_iter().zip(times) {
                times.push(time as f64 / f64::from(CALLS));
            }
        }
    }
    times
        .into_iter()
        .map(|times| times.map(|times| min_and_median(times).0))
        .collect()
}

fn min_and_median(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_unstable_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}

/// Installs the program in a child and does this there; answers with what installing took and what it left
/// in the three slots, all nanoseconds.
fn in_child(program: Option<&[Insn]>, then: impl FnOnce(&[AtomicU64; 3])) -> [u64; 4] {
    // SAFETY: a fresh anonymous mapping of our own.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert!(page != libc::MAP_FAILED);
    // SAFETY: the page is zeroed, aligned, large enough, and lives until the end of this function.
    let (attach, slots) = unsafe { &*page.cast::<(AtomicU64, [AtomicU64; 3])>() };
    let filter = program.map(|program| libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap(),
        filter: program.as_ptr().cast_mut(),
    });
    // SAFETY: this program has one thread.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // SAFETY: plain numbers.
        let mut failed = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0;
        if let Some(filter) = &filter {
            let begun = Instant::now();
            // SAFETY: the filter and its program are alive; the kernel checks the rest.
            let installed = unsafe {
                libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, filter)
            };
            let took = begun.elapsed().as_nanos();
            attach.store(u64::try_from(took).unwrap_or(0), Ordering::Relaxed);
            failed |= installed != 0;
        }
        then(slots);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(failed)) };
    }
    let mut status = 0;
    // SAFETY: our own child, and a place for its status.
    let reaped = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert!(
        reaped == pid && status == 0,
        "a child ended with {status:#x}"
    );
    let times = [attach, &slots[0], &slots[1], &slots[2]].map(|slot| slot.load(Ordering::Relaxed));
    // SAFETY: mapped above, and no reference to it is left.
    unsafe { libc::munmap(page, 4096) };
    times
}
