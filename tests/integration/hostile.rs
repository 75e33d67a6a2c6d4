//! A hundred thousand broken profiles: whatever is in the file, there is an answer, and soon.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use seccomp_run::arch::Arch;
use seccomp_run::filter::{Filter, Options};
use seccomp_run::profile::{
    ArgWidth, Capabilities, Dialect, Host, KernelVersion, Profile, Reading, UnknownCalls,
};
use serde_json::{Value, json};

use crate::libseccomp::{self, Random};

/// No profile of this size takes longer, on the best of several tries: others use the machine too.
const LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 100 });

/// What is put into texts: what a profile is made of, and what it should not be.
const WORDS: [&str; 64] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "null",
    "true",
    "0",
    "-1",
    "1e999",
    "1.5",
    "0x10",
    "18446744073709551615",
    "18446744073709551616",
    "4294967295",
    "4294967296",
    "4095",
    "4096",
    "65536",
    "\"\"",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\u{1f980}",
    "\n",
    "\"names\"",
    "\"name\"",
    "\"args\"",
    "\"index\"",
    "\"value\"",
    "\"valueTwo\"",
    "\"op\"",
    "\"action\"",
    "\"errnoRet\"",
    "\"errno\"",
    "\"EPERM\"",
    "\"includes\"",
    "\"excludes\"",
    "\"caps\"",
    "\"CAP_SYS_ADMIN\"",
    "\"arches\"",
    "\"amd64\"",
    "\"minKernel\"",
    "\"4.8\"",
    "\"archMap\"",
    "\"architecture\"",
    "\"subArchitectures\"",
    "\"architectures\"",
    "\"SCMP_ARCH_X86\"",
    "\"SCMP_ARCH_S390X\"",
    "\"SCMP_ARCH_MIPS64N32\"",
    "\"SCMP_ACT_KILL\"",
    "\"SCMP_ACT_NOTIFY\"",
    "\"SCMP_ACT_TRACE\"",
    "\"SCMP_CMP_MASKED_EQ\"",
    "\"SCMP_CMP_LT\"",
    "\"socket\"",
    "\"semop\"",
    "\"syscall_999\"",
    "\"flags\"",
    "\"SECCOMP_FILTER_FLAG_LOG\"",
];

/// Whole profiles with everything in them, to be spoilt.
fn seeds(random: &mut Random) -> Vec<Vec<u8>> {
    let everything = json!({
        "$schema": "x",
        "comment": "c",
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "defaultErrno": "ENOSYS",
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
            {"architecture": "SCMP_ARCH_S390X", "subArchitectures": ["SCMP_ARCH_S390"]},
        ],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            {"name": "read", "action": "SCMP_ACT_ALLOW", "comment": "why"},
            {"names": ["socket", "clone", "no_such_call"], "action": "SCMP_ACT_TRACE", "errnoRet": 7, "args": [
                {"index": 0, "value": 2_114_060_288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"},
                {"index": 5, "value": u64::MAX, "op": "SCMP_CMP_LE"},
            ]},
            {"names": ["mmap"], "action": "SCMP_ACT_KILL", "args": [
                {"index": 2, "value": 4, "op": "SCMP_CMP_GT"}, {"index": 2, "value": 1, "op": "SCMP_CMP_NE"},
            ], "includes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["amd64"], "minKernel": "4.8"}},
            {"names": ["ptrace"], "action": "SCMP_ACT_LOG", "excludes": {"caps": ["CAP_BPF"], "arches": ["s390x"]},
                "errno": "EPERM"},
        ],
    });
    let mut seeds = vec![
        everything.to_string(),
        serde_json::to_string_pretty(&everything).unwrap(),
    ];
    let names = [
        "read", "write", "socket", "semop", "futex", "clone", "mmap", "ioctl", "openat", "close",
    ];
    let names: Vec<&str> = names
        .into_iter()
        .chain(["bind", "bpf", "kill", "prctl", "personality"])
        .collect();
    for _ in 0..12 {
        let size = 1 + random.below(12);
        let mut profile = libseccomp::profile(random, &names, size, false);
        profile["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
        seeds.push(profile.to_string());
    }
    seeds.into_iter().map(String::into_bytes).collect()
}

/// Most of them stay JSON, and so come further.
fn spoil(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    if !random.one_in(4) {
        let mut value = serde_json::from_slice(random.pick::<Vec<u8>>(seeds)).unwrap();
        for _ in 0..=random.below(2) {
            bend(random, &mut value);
        }
        return value.to_string().into_bytes();
    }
    let mut text = random.pick(seeds).clone();
    for _ in 0..=random.below(4) {
        let (at, to) = (random.below(text.len() + 1), random.below(text.len() + 1));
        let (from, to) = (at.min(to), at.max(to));
        match random.below(10) {
            // A byte.
            0 if from < to => text[from] ^= 1 << random.below(8),
            // A piece goes, or comes twice.
            1 => drop(text.drain(from..to.min(from + 40))),
            2 if text.len() < 1 << 16 => {
                let piece = text[from..to].to_vec();
                for _ in 0..=random.below(4) {
                    text.splice(
                        at.min(text.len())..at.min(text.len()),
                        piece.iter().copied(),
                    );
                }
            }
            // A word comes, or takes the place of another.
            3 => drop(text.splice(at..at, random.pick(&WORDS).bytes())),
            4 => text.truncate(at),
            5 => {
                let other = random.pick(seeds);
                let start = random.below(other.len());
                drop(text.splice(from..to, other[start..].iter().copied()));
            }
            _ => replace(random, &mut text, at),
        }
    }
    text.truncate(1 << 17);
    text
}

/// Changes one thing in a JSON value, mostly deep inside.
fn bend(random: &mut Random, value: &mut Value) {
    let constant = random.constant();
    match value {
        Value::Array(list) if !list.is_empty() => {
            let at = random.below(list.len());
            match random.below(12) {
                0 => drop(list.remove(at)),
                1 if list.len() < 200 => list.insert(at, list[random.below(list.len())].clone()),
                2 => list.swap(0, at),
                3 if list.len() < 50 => {
                    for _ in 0..4 {
                        list.extend_from_within(..);
                    }
                }
                _ => bend(random, &mut list[at]),
            }
        }
        Value::Object(fields) if !fields.is_empty() => {
            let at = random.below(fields.len());
            let key = fields.keys().nth(at).unwrap().clone();
            if random.one_in(12) {
                fields.remove(&key);
            } else {
                bend(random, &mut fields[&key]);
            }
        }
        Value::Number(_) => {
            let small = constant % 6;
            *value = json!(*random.pick(&[constant, small, small, constant % 4096]));
        }
        _ => {
            let word = random.pick(&WORDS);
            // Another name of the kind, so that it stays a profile.
            let alike = WORDS.iter().filter(|word| match value.as_str() {
                Some(text) => text.get(..6) == word.get(1..7) || text.get(..5) == word.get(1..6),
                None => false,
            });
            let alike: Vec<_> = alike.collect();
            let word = if !alike.is_empty() {
                *random.pick(&alike)
            } else if random.one_in(3) {
                word
            } else {
                random.pick(&["\"socket\"", "\"semop\"", "\"read\"", "\"syscall_999\""])
            };
            *value = serde_json::from_str(word).unwrap_or(Value::Null);
        }
    }
}

/// Replaces the token that begins at or after this place.
fn replace(random: &mut Random, text: &mut Vec<u8>, at: usize) {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_\"".contains(byte);
    let Some(start) = text[at..].iter().position(part) else {
        return;
    };
    let start = at + start;
    let len = text[start..].iter().position(|byte| !part(byte));
    let end = len.map_or(text.len(), |len| start + len);
    text.splice(start..end, random.pick(&WORDS).bytes());
}

/// The whole way of a profile. Answers how far it came.
fn compile(text: &[u8], host: &Host, reading: Reading) -> usize {
    let Ok((profile, _)) = Profile::parse(text, "hostile") else {
        return 0;
    };
    let Ok(resolved) = profile.resolve(host, &reading) else {
        return 1;
    };
    match Filter::compile(&resolved.policy, &Options::default()) {
        Ok(_) => 3,
        Err(error) => {
            assert!(error.to_string().contains("instructions, where"), "{error}");
            2
        }
    }
}

#[test]
fn hostile_profiles_get_an_answer() {
    let wanted = if cfg!(debug_assertions) {
        5_000
    } else {
        120_000
    };
    let mut random = Random(3);
    let seeds = seeds(&mut random);
    let mut reached = [0; 4];
    let mut slowest = Duration::ZERO;
    for _ in 0..wanted {
        let text = spoil(&mut random, &seeds);
        let host = Host {
            native: *random.pick(&[
                Arch::X86_64,
                Arch::X86_64,
                Arch::S390x,
                Arch::Aarch64,
                Arch::Mips,
            ]),
            kernel: KernelVersion { major: 6, minor: 1 },
            caps: *random.pick(&[Capabilities::NONE, Capabilities::ALL]),
        };
        let reading = Reading {
            dialect: *random.pick(&[Dialect::Docker, Dialect::Podman, Dialect::Oci]),
            arg_width: *random.pick(&[ArgWidth::Kernel, ArgWidth::Full]),
            unknown: *random.pick(&[UnknownCalls::EnosysNewer, UnknownCalls::Default]),
            default_override: None,
        };
        let timed = || {
            let begun = Instant::now();
            let came = catch_unwind(AssertUnwindSafe(|| compile(&text, &host, reading)));
            let shown = || String::from_utf8_lossy(&text).into_owned();
            (
                came.unwrap_or_else(|_| panic!("panics: {}", shown())),
                begun.elapsed(),
            )
        };
        let (came, mut took) = timed();
        reached[came] += 1;
        for _ in 0..5 {
            if took > LIMIT {
                took = took.min(timed().1);
            }
        }
        slowest = slowest.max(took);
        assert!(
            took <= LIMIT,
            "{took:?}: {}",
            String::from_utf8_lossy(&text)
        );
    }
    let [text, profile, policy, program] = reached;
    eprintln!(
        "{wanted} texts: {text} no profiles, {profile} not for the host, {policy} too long, {program} compiled; the slowest took {slowest:?}"
    );
    // Otherwise it tests the JSON reader only.
    assert!(program * 20 > wanted, "{reached:?}");
}
