//! libseccomp, asked through the C program `tests/fixtures/libseccomp.c`, and profiles to ask it about.
//!
//! The profiles are read here as a container runtime reads them, by code that has nothing in common with
//! `profile`. `benches/compile.rs` uses this file too.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use seccomp_run::arch::Arch;
use seccomp_run::bpf::Insn;
use seccomp_run::syscall::Sysno;
use serde_json::{Value, json};

/// What libseccomp is told: the calls of its interface, as a runtime makes them.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) arches: Vec<Arch>,
    default: u32,
    pub(crate) rules: Vec<Line>,
}

/// One `seccomp_rule_add`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    action: u32,
    pub(crate) name: String,
    args: Vec<Comparison>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Comparison {
    index: u64,
    op: usize,
    value: u64,
    value_two: u64,
}

impl Comparison {
    fn holds(self, args: &[u64; 6], seen: u64) -> bool {
        let arg = args[usize::try_from(self.index).unwrap()] & seen;
        let value = self.value & seen;
        match OPS[self.op - 1] {
            "NE" => arg != value,
            "LT" => arg < value,
            "LE" => arg <= value,
            "EQ" => arg == value,
            "GE" => arg >= value,
            "GT" => arg > value,
            _ => arg & value == self.value_two & value,
        }
    }
}

/// In the order of libseccomp's `enum scmp_compare`, from 1.
const OPS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];

/// Who may have all capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caps {
    None,
    All,
}

impl Spec {
    /// A profile as Docker and Podman give it to libseccomp on a machine of this kind; its own lists of
    /// architectures are replaced by `arches`, whose first is the native one.
    pub(crate) fn of(profile: &Value, arches: &[Arch], caps: Caps) -> Self {
        let default = action(
            &profile["defaultAction"],
            profile["defaultErrnoRet"].as_u64(),
        );
        let mut rules = Vec::new();
        for rule in profile["syscalls"].as_array().unwrap() {
            let action = action(&rule["action"], rule["errnoRet"].as_u64());
            // Runtimes leave out what the default says anyway; libseccomp would refuse it.
            if action == default || !counts(rule, arches[0], caps) {
                continue;
            }
            let args: Vec<_> = list(&rule["args"]).iter().map(comparison).collect();
            for name in list(&rule["names"]) {
                for args in alternatives(&args) {
                    rules.push(Line {
                        action,
                        name: name.as_str().unwrap().to_owned(),
                        args,
                    });
                }
            }
        }
        Self {
            arches: arches.to_vec(),
            default,
            rules,
        }
    }

    /// What the rules mean for a call, read plainly, as long as those that overlap do not differ; `numbers`
    /// are libseccomp's for the names of the rules ([`resolve`]), `multiplexers` the numbers of `socketcall`
    /// and `ipc`.
    pub(crate) fn plainly(
        &self,
        arch: Arch,
        nr: u32,
        args: &[u64; 6],
        (numbers, multiplexers): (&[i32], [i32; 2]),
    ) -> u32 {
        let mut found = None;
        for (line, &number) in self.rules.iter().zip(numbers) {
            let mut wanted = line.args.clone();
            let direct = match number {
                // Where there are two ways, libseccomp keeps the number of the direct one to itself.
                -299..=-100 => Sysno::parse(arch, &line.name).map(|sysno| sysno.nr),
                _ => u32::try_from(number).ok(),
            };
            if direct != Some(nr) {
                // -101 is the first call of socketcall, -201 that of ipc.
                let parent = match number {
                    -199..=-100 => multiplexers[0],
                    -299..=-200 => multiplexers[1],
                    _ => continue,
                };
                if i64::from(parent) != i64::from(nr) {
                    continue;
                }
                let selector = u64::from(number.unsigned_abs() % 100);
                wanted.retain(|arg| arg.index != 0);
                wanted.push(Comparison {
                    index: 0,
                    op: 4,
                    value: selector,
                    value_two: 0,
                });
            }
            let seen = if arch.is_64bit() {
                u64::MAX
            } else {
                0xffff_ffff
            };
            if wanted.iter().all(|arg| arg.holds(args, seen)) {
                if wanted.is_empty() {
                    return line.action;
                }
                found = Some(line.action);
            }
        }
        found.unwrap_or(self.default)
    }

    /// The same for the C program, without its `build`.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for arch in &self.arches {
            writeln!(text, "arch {arch}").unwrap();
        }
        writeln!(text, "default {:x}", self.default).unwrap();
        for Line { action, name, args } in &self.rules {
            write!(text, "rule {action:x} {name}").unwrap();
            for Comparison {
                index,
                op,
                value,
                value_two,
            } in args
            {
                write!(text, " {index} {op} {value} {value_two}").unwrap();
            }
            text.push('\n');
        }
        text
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn action(name: &Value, errno: Option<u64>) -> u32 {
    let data = u32::try_from(errno.unwrap_or(1)).unwrap();
    match name.as_str().unwrap() {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | data,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | data,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        other => panic!("{other}"),
    }
}

fn counts(rule: &Value, native: Arch, caps: Caps) -> bool {
    let scope = |which: &str, key: &str| list(&rule[which][key]);
    let native = |arch: &Value| arch == native.go_name();
    let has_all = scope("includes", "caps").is_empty() || caps == Caps::All;
    let has_any = !scope("excludes", "caps").is_empty() && caps == Caps::All;
    let arches = scope("includes", "arches");
    has_all
        && !has_any
        && (arches.is_empty() || arches.iter().any(native))
        && !scope("excludes", "arches").iter().any(native)
}

fn comparison(arg: &Value) -> Comparison {
    let op = arg["op"].as_str().unwrap();
    let op = op.strip_prefix("SCMP_CMP_").unwrap();
    Comparison {
        index: arg["index"].as_u64().unwrap(),
        op: 1 + OPS.iter().position(|&known| known == op).unwrap(),
        value: arg["value"].as_u64().unwrap(),
        value_two: arg["valueTwo"].as_u64().unwrap_or(0),
    }
}

/// Two comparisons of one argument make a rule of each of the comparisons.
fn alternatives(args: &[Comparison]) -> Vec<Vec<Comparison>> {
    let again = |at: usize| args[..at].iter().any(|arg| arg.index == args[at].index);
    if (0..args.len()).any(again) {
        args.iter().map(|&arg| vec![arg]).collect()
    } else {
        vec![args.to_vec()]
    }
}

/// A program of libseccomp's.
pub(crate) struct Built {
    pub(crate) program: Vec<Insn>,
    /// The fastest of the times that it took to build.
    pub(crate) nanoseconds: u64,
}

/// libseccomp's answers to the commands of `text`, in which every filter ends with `build`.
pub(crate) fn build(helper: &str, text: &str) -> Vec<Result<Built, String>> {
    let said = ask(helper, text);
    let mut rest = said.as_slice();
    let mut built = Vec::new();
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let line = std::str::from_utf8(&rest[..end]).unwrap();
        rest = &rest[end + 1..];
        let Some(numbers) = line.strip_prefix("ok ") else {
            built.push(Err(line.to_owned()));
            continue;
        };
        let (len, nanoseconds) = numbers.split_once(' ').unwrap();
        let (program, after) = rest.split_at(len.parse::<usize>().unwrap() * 8);
        rest = after;
        built.push(Ok(Built {
            program: program.chunks_exact(8).map(insn).collect(),
            nanoseconds: nanoseconds.parse().unwrap(),
        }));
    }
    built
}

/// What libseccomp knows these names by: numbers, or below zero its own values for calls that the
/// architecture has only through `socketcall` or `ipc` (-100 to -299), or not at all.
pub(crate) fn resolve(helper: &str, arch: Arch, names: &[&str]) -> Vec<i32> {
    let text = names.iter().map(|name| format!("resolve {arch} {name}\n"));
    let said = String::from_utf8(ask(helper, &text.collect::<String>())).unwrap();
    let numbers: Vec<_> = said.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers.len(), names.len());
    numbers
}

/// What libseccomp calls these numbers.
pub(crate) fn names(helper: &str, arch: Arch, numbers: &[u32]) -> Vec<Option<String>> {
    let text = numbers.iter().map(|nr| format!("name {arch} {nr}\n"));
    let said = String::from_utf8(ask(helper, &text.collect::<String>())).unwrap();
    let names: Vec<_> = said
        .lines()
        .map(|line| (line != "-").then(|| line.to_owned()))
        .collect();
    assert_eq!(names.len(), numbers.len());
    names
}

fn ask(helper: &str, text: &str) -> Vec<u8> {
    let mut child = Command::new("timeout")
        .args(["600", helper])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let said = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(text.as_bytes()).unwrap());
        let mut said = Vec::new();
        stdout.read_to_end(&mut said).unwrap();
        said
    });
    let status = child.wait().unwrap();
    assert!(status.success(), "{helper}: {status}");
    said
}

fn insn(bytes: &[u8]) -> Insn {
    let (code, rest) = bytes.split_first_chunk().unwrap();
    let (&[jt, jf], k) = rest.split_first_chunk().unwrap();
    Insn {
        code: u16::from_ne_bytes(*code),
        jt,
        jf,
        k: u32::from_ne_bytes(k.try_into().unwrap()),
    }
}

/// A profile that is not part of the project: beside it, or where `SECCOMP_RUN_DATA` says.
pub(crate) fn data(name: &str) -> Result<(Vec<u8>, Value), String> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let dir = std::env::var_os("SECCOMP_RUN_DATA").map_or(beside, PathBuf::from);
    let path = dir.join(name);
    let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let value = serde_json::from_slice(&text).unwrap();
    Ok((text, value))
}

/// Reproducible random numbers (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap();
        usize::try_from(self.next() % end).unwrap()
    }

    /// True once in `n`.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A constant: small, or near the border of a word, or anything.
    pub(crate) fn constant(&mut self) -> u64 {
        const NEAR: [u64; 7] = [0, 1 << 16, 1 << 31, 1 << 32, 2 << 32, 1 << 63, 0x7e02_0000];
        match self.below(9) {
            0..4 => self.next() % 10,
            4..7 => (*self.pick(&NEAR))
                .wrapping_add(self.next() % 3)
                .wrapping_sub(1),
            7 => self.next(),
            _ => self.next() & 0xffff_ffff,
        }
    }
}

const SOCKETCALL: [&str; 20] = [
    "accept",
    "accept4",
    "bind",
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "listen",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "send",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "socket",
    "socketpair",
];
const IPC: [&str; 12] = [
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
];

/// The call that rules for this one are also rules for, on an architecture that has such a call.
fn multiplexer(name: &str) -> Option<&'static str> {
    if SOCKETCALL.contains(&name) {
        Some("socketcall")
    } else {
        IPC.contains(&name).then_some("ipc")
    }
}

/// What the conditional rules of one syscall are like. libseccomp makes a tree of them in which it does not
/// turn back, so it does not find every rule of several that are unlike.
#[derive(Clone, Copy)]
enum Kind {
    /// One rule with anything in it.
    One,
    /// Several that compare for equality.
    Equal,
    /// Several of one comparison each; every argument has at most one bound.
    Single,
}

/// A profile within the limits in which libseccomp 2.5.4 is to be trusted: conditional rules of one syscall
/// that differ in their action do not overlap, and are of one [`Kind`].
///
/// `names` are the syscalls to choose from, `size` is about how many of them get a rule.
pub(crate) fn profile(
    random: &mut Random,
    names: &[&str],
    size: usize,
    multiplexed: bool,
) -> Value {
    let kill = *random.pick(&["KILL", "KILL_PROCESS", "KILL_THREAD"]);
    let mut actions = vec![
        ("ALLOW", None),
        ("ALLOW", None),
        ("ERRNO", None),
        ("ERRNO", Some(38)),
        ("ERRNO", Some(random.next() % 4095)),
        ("TRAP", None),
        ("TRACE", Some(7)),
        ("LOG", None),
        (kill, None),
    ];
    let default = actions.swap_remove(match random.below(4) {
        0 => random.below(actions.len()),
        1 => 0,
        _ => 2,
    });
    actions.retain(|action| *action != default);
    let mut entries: Vec<Value> = Vec::new();
    let mut unused: Vec<&str> = names.to_vec();
    let mut take = |random: &mut Random| {
        let at = random.below(unused.len());
        unused.swap_remove(at)
    };
    // What one multiplexed call's rules may do, once for all of them.
    let shared = [*random.pick(&actions), *random.pick(&actions)];
    let mut left = size;
    while left > 0 {
        let action = *random.pick(&actions);
        if !random.one_in(3) {
            let count = (1 + random.below(left.min(60))).min(left);
            let names: Vec<_> = (0..count).map(|_| take(random)).collect();
            left -= count;
            entries.push(entry(&names, action, &[]));
            // What is said again without conditions has no effect, nor has anything with conditions.
            let again = names[0];
            if random.one_in(6) && !(multiplexed && multiplexer(again).is_some()) {
                let other = *random.pick(&actions);
                // To libseccomp, a comparison without bits is none.
                let mut args = conditions(random, Kind::One, &mut [false; 6]);
                args.retain(|arg| arg["op"] != "SCMP_CMP_MASKED_EQ");
                let args = if random.one_in(2) { &args[..] } else { &[] };
                entries.push(entry(&[again], other, args));
            }
            continue;
        }
        left -= 1;
        let name = take(random);
        if multiplexed && matches!(name, "socketcall" | "ipc") {
            // What is said of their calls with conditions would overlap with conditions of their own.
            entries.push(entry(&[name], action, &[]));
            continue;
        }
        let group = multiplexer(name).filter(|_| multiplexed);
        if group.is_none() && random.one_in(3) {
            // Values of one argument, each with an action of its own.
            let (index, first) = (random.below(6), random.constant());
            for step in 0..=random.next() % 12 {
                let value = first.wrapping_add(step * 3);
                let action = *random.pick(&actions);
                entries.push(entry(&[name], action, &[condition(index, "EQ", value, 0)]));
            }
            continue;
        }
        let (action, kinds) = match group {
            Some("ipc") => (shared[0], &[Kind::Equal][..]),
            Some(_) => (shared[1], &[Kind::Equal][..]),
            None => (action, &[Kind::One, Kind::Equal, Kind::Single][..]),
        };
        let (kind, mut bounded) = (*random.pick(kinds), [false; 6]);
        let most = if matches!(kind, Kind::One) { 1 } else { 5 };
        for _ in 0..=random.below(most) {
            let args = conditions(random, kind, &mut bounded);
            entries.push(entry(&[name], action, &args));
        }
    }
    // The default's own action, which must not win over anything.
    if random.one_in(4) {
        let name = *random.pick(names);
        entries.push(entry(&[name], default, &[]));
    }
    for at in 0..entries.len() {
        // The order counts among those without conditions only; elsewhere it must not.
        let other = random.below(entries.len());
        let plain = |entry: &Value| entry["args"] == json!([]);
        if !plain(&entries[at]) && !plain(&entries[other]) {
            entries.swap(at, other);
        }
    }
    let mut profile = json!({
        "defaultAction": format!("SCMP_ACT_{}", default.0),
        "syscalls": entries,
    });
    if let Some(errno) = default.1 {
        profile["defaultErrnoRet"] = json!(errno);
    }
    profile
}

fn entry(names: &[&str], (action, errno): (&str, Option<u64>), args: &[Value]) -> Value {
    let mut entry = json!({"names": names, "action": format!("SCMP_ACT_{action}"), "args": args});
    if let Some(errno) = errno {
        entry["errnoRet"] = json!(errno);
    }
    entry
}

fn condition(index: usize, op: &str, value: u64, value_two: u64) -> Value {
    json!({"index": index, "op": format!("SCMP_CMP_{op}"), "value": value, "valueTwo": value_two})
}

/// Conditions of one entry; sometimes two of one argument.
fn conditions(random: &mut Random, kind: Kind, bounded: &mut [bool; 6]) -> Vec<Value> {
    let (ops, most) = match kind {
        Kind::One => (&OPS[..], 3),
        Kind::Equal => (&["EQ", "MASKED_EQ"][..], 3),
        Kind::Single => (&OPS[..], 1),
    };
    let mut conditions = Vec::new();
    let mut at = random.below(6);
    for _ in 0..=random.below(most) {
        let index = at % 6;
        let again = random.one_in(12) && matches!(kind, Kind::Equal);
        at += if again { 0 } else { 1 + random.below(2) };
        let mut op = *random.pick(ops);
        if matches!(op, "LT" | "LE" | "GE" | "GT") && std::mem::replace(&mut bounded[index], true) {
            op = "EQ";
        }
        conditions.push(condition(index, op, random.constant(), random.constant()));
    }
    conditions
}
