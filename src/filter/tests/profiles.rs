//! Large real profiles: Docker's default and Podman's. How good the code is, in numbers.
//!
//! The profiles are not in this repository: the tests look for them beside it, or where `SECCOMP_RUN_DATA`
//! says, and skip where they are not. The reader here understands just these files; `profile` has the real
//! one.

use std::path::PathBuf;

use super::*;
use crate::action::Action;
use crate::policy::{Abi, Condition, Op, Rule, Width};

fn profile(file: &str) -> Option<serde_json::Value> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let directory = std::env::var_os("SECCOMP_RUN_DATA").map_or(beside, PathBuf::from);
    let path = directory.join(file);
    match std::fs::read(&path) {
        Ok(text) => Some(serde_json::from_slice(&text).unwrap()),
        Err(error) => {
            println!("skipped: {}: {error}", path.display());
            None
        }
    }
}

/// Do the architecture and capability lists of a rule hold, for a container with no capabilities?
fn applies(rule: &serde_json::Value) -> bool {
    let has = |list: &str, key: &str, names: &[&str]| {
        rule[list][key].as_array().map(|have| {
            have.iter()
                .any(|name| names.contains(&name.as_str().unwrap()))
        })
    };
    has("includes", "caps", &[]) != Some(false)
        && has("includes", "arches", &["amd64"]) != Some(false)
        && has("excludes", "arches", &["amd64"]) != Some(true)
}

fn condition(json: &serde_json::Value, width: Width) -> Condition {
    let number = |key: &str| json[key].as_u64().unwrap_or(0);
    let (op, value) = match json["op"].as_str().unwrap() {
        "SCMP_CMP_EQ" => (Op::Eq, number("value")),
        "SCMP_CMP_NE" => (Op::Ne, number("value")),
        "SCMP_CMP_LT" => (Op::Lt, number("value")),
        "SCMP_CMP_GT" => (Op::Gt, number("value")),
        "SCMP_CMP_MASKED_EQ" => (Op::MaskedEq(number("value")), number("valueTwo")),
        other => panic!("{other}"),
    };
    Condition::new(number("index").try_into().unwrap(), width, op, value).unwrap()
}

/// A profile for these architectures; `None` where the file is not there.
fn policy(file: &str, archs: &[Arch]) -> Option<Policy> {
    let profile = profile(file)?;
    let abis = archs.iter().map(|&arch| {
        let width = if arch.is_64bit() {
            Width::W64
        } else {
            Width::W32
        };
        let mut rules = Vec::new();
        for (origin, rule) in profile["syscalls"].as_array().unwrap().iter().enumerate() {
            if !applies(rule) {
                continue;
            }
            let errno = rule["errnoRet"].as_u64().unwrap_or(1).try_into().unwrap();
            let args = rule["args"].as_array().map_or(&[][..], Vec::as_slice);
            for name in rule["names"].as_array().unwrap() {
                let Some(sysno) = Sysno::parse(arch, name.as_str().unwrap()) else {
                    continue;
                };
                let rule = Rule {
                    conditions: args.iter().map(|json| condition(json, width)).collect(),
                    action: Action::from_scmp_name(rule["action"].as_str().unwrap(), errno)
                        .unwrap(),
                    origin,
                };
                rules.push((sysno.nr, [rule]));
            }
        }
        Abi {
            arch,
            default: Action::Errno(1),
            newer: None,
            syscalls: rules.into_iter().collect(),
        }
    });
    Some(Policy {
        abis: abis.collect(),
        bad_arch: Action::KillProcess,
    })
}

const ONE: &[Arch] = &[Arch::X86_64];
const THREE: &[Arch] = &[Arch::X86_64, Arch::X86, Arch::X32];

const DOCKER: &str = "docker-default.json";
const PODMAN: &str = "podman-default.json";

#[test]
fn real_profiles_stay_small_and_shallow() {
    let cases = [
        (DOCKER, ONE, 66, 14, 5719),
        (DOCKER, THREE, 217, 16, 12808),
        (PODMAN, ONE, 59, 13, 5107),
        (PODMAN, THREE, 195, 15, 11676),
    ];
    for (file, archs, most, longest, followed) in cases {
        let Some(policy) = policy(file, archs) else {
            return;
        };
        let filter = Filter::compile(&policy, &Options::default()).unwrap();
        let stats = filter.stats();
        println!("{stats:?}");
        if std::env::var_os("SECCOMP_RUN_LISTING").is_some() {
            println!("{}", crate::bpf::disasm::Listing(filter.program()));
        }
        assert!(stats.instructions <= most, "{stats:?}");
        assert!(stats.longest_path <= longest, "{stats:?}");
        assert!(stats.emulated <= followed, "{stats:?}");
    }
}
