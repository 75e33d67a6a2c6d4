//! The module as a whole: round trips, hostile texts, real profiles.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::action::Action;
use crate::arch::Arch;
use crate::policy::{Call, Op};
use crate::syscall::{Name, Sysno};

/// Everything that a field can hold, in profiles that parse.
fn profiles() -> impl Strategy<Value = Profile> {
    let errno = || 0..=4095_u16;
    let action = prop_oneof![
        Just(Action::KillProcess),
        Just(Action::KillThread),
        Just(Action::Trap),
        errno().prop_map(Action::Errno),
        any::<u16>().prop_map(Action::Trace),
        Just(Action::Log),
        Just(Action::Allow),
    ];
    let answer = (action, prop::option::of(errno())).prop_map(|(action, errno)| match action {
        Action::Errno(_) | Action::Trace(_) => (action, errno),
        _ => (action, None),
    });
    let arches = || prop::collection::vec(prop::sample::select(Arch::ALL.to_vec()), 0..4);
    let text = || prop::option::of(".*");
    let path = prop::option::of("/[^\\x00]*");
    let flags = prop::option::of(prop::collection::vec(
        prop::sample::select(Flag::ALL.to_vec()),
        0..3,
    ));
    let arch_map =
        prop::collection::vec((prop::sample::select(Arch::ALL.to_vec()), arches()), 1..3).prop_map(
            |entries| {
                let entry = |(architecture, sub_architectures)| ArchMap {
                    architecture,
                    sub_architectures,
                };
                entries.into_iter().map(entry).collect::<Vec<_>>()
            },
        );
    let architectures = prop_oneof![
        arches().prop_map(|arches| (arches, vec![])),
        arch_map.prop_map(|map| (vec![], map)),
    ];
    let rules = prop::collection::vec(rules(answer.clone()), 0..5);
    (answer, architectures, flags, (path, text(), text()), rules).prop_map(
        |(answer, architectures, flags, texts, rules)| Profile {
            default_action: answer.0,
            default_errno: answer.1,
            architectures: architectures.0,
            arch_map: architectures.1,
            flags,
            listener_path: texts.0,
            listener_metadata: texts.1,
            comment: texts.2,
            rules,
        },
    )
}

fn rules(answer: impl Strategy<Value = (Action, Option<u16>)>) -> impl Strategy<Value = Rule> {
    let op = prop_oneof![
        Just(Op::Ne),
        Just(Op::Lt),
        Just(Op::Le),
        Just(Op::Eq),
        Just(Op::Ge),
        Just(Op::Gt),
        any::<u64>().prop_map(Op::MaskedEq),
    ];
    let condition =
        (0..6_u8, op, any::<u64>()).prop_map(|(index, op, value)| Condition { index, op, value });
    let version =
        (1..=255_u32, 0..=255_u32).prop_map(|(major, minor)| KernelVersion { major, minor });
    let scope = || {
        (
            0..1_u64 << 41,
            prop::collection::vec(prop::sample::select(Arch::ALL.to_vec()), 0..3),
            prop::option::of(version.clone()),
        )
            .prop_map(|(caps, arches, min_kernel)| Scope {
                caps: Capabilities::from_bits(caps),
                arches,
                min_kernel,
            })
    };
    let names = prop_oneof![
        prop::collection::vec("[a-z_0-9]{1,12}", 1..5).prop_map(|names| (names, false)),
        "[^\\x00]+".prop_map(|name| (vec![name], true)),
    ];
    let conditions = prop::collection::vec(condition, 0..4);
    let comment = prop::option::of(".*");
    (names, answer, conditions, comment, scope(), scope()).prop_map(
        |(names, answer, conditions, comment, includes, excludes)| Rule {
            names: names.0.into_iter().map(Name::from).collect(),
            old_name_field: names.1,
            action: answer.0,
            errno: answer.1,
            conditions,
            comment,
            includes,
            excludes,
            at: Position::NOWHERE,
        },
    )
}

fn host() -> Host {
    Host {
        native: Arch::X86_64,
        kernel: KernelVersion { major: 6, minor: 1 },
        caps: Capabilities::NONE,
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(mut profile in profiles()) {
        let json = profile.to_json();
        let (read, _) = Profile::parse(json.as_bytes(), "written").unwrap();
        prop_assert_eq!(&read.to_json(), &json);
        profile.sort_lists();
        prop_assert_eq!(read, profile);
    }

    #[test]
    fn what_is_canonical_is_read_back(mut profile in profiles()) {
        profile.canonicalize();
        let (read, _) = Profile::parse(profile.to_json().as_bytes(), "written").unwrap();
        prop_assert_eq!(&read, &profile);
        profile.canonicalize();
        prop_assert_eq!(read, profile);
    }

    #[test]
    fn resolving_keeps_the_rules_of_a_policy(profile in profiles()) {
        if let Ok(resolved) = profile.resolve(&host(), &Reading::default()) {
            let arches: Vec<_> = resolved.policy.abis.iter().map(|abi| abi.arch).collect();
            prop_assert_eq!(arches[0], Arch::X86_64);
            for (place, arch) in arches.iter().enumerate() {
                prop_assert!(!arches[..place].contains(arch));
            }
            for rule in resolved.policy.abis.iter().flat_map(|abi| abi.syscalls.all()) {
                prop_assert!(rule.origin < profile.rules.len());
            }
        }
    }

    #[test]
    fn mutated_json_never_panics(
        profile in profiles(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
    ) {
        let mut text = profile.to_json().into_bytes();
        for (place, byte, edit) in edits {
            let place = place.index(text.len().max(1));
            match edit {
                _ if text.is_empty() => text.push(byte),
                0 => text[place] = byte,
                1 => text.insert(place, b"{}[]\",:0-e\\"[usize::from(byte) % 11]),
                2 => drop(text.remove(place)),
                _ => text.truncate(place),
            }
        }
        match Profile::parse(&text, "mutated") {
            Ok((profile, _)) => {
                // Whatever we take is JSON, also to the reader that everybody else uses.
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok());
                let _ = profile.resolve(&host(), &Reading::default());
            }
            Err(error) => {
                let excerpt = error.excerpt();
                prop_assert_eq!(excerpt.lines().count(), 2, "{}", excerpt);
                prop_assert!(!error.to_string().contains('\n'));
            }
        }
    }

    #[test]
    fn any_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Profile::parse(&text, "bytes");
    }
}

/// A profile that others wrote, if it is at hand: their data is not part of the project.
fn real(name: &str) -> Option<Profile> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let data = std::env::var_os("SECCOMP_RUN_DATA").map_or_else(beside, PathBuf::from);
    let path = data.join(name);
    if !path.exists() {
        println!(
            "skipped: there is no {} (set SECCOMP_RUN_DATA)",
            path.display()
        );
        return None;
    }
    let (profile, warnings) = read_profile(&path).unwrap();
    assert_eq!(warnings, []);
    Some(profile)
}

fn ask(policy: &crate::policy::Policy, name: &str, args: [u64; 3]) -> Action {
    let arch = Arch::X86_64;
    let [a, b, c] = args;
    policy.evaluate(&Call {
        audit: arch.audit(),
        nr: Sysno::parse(arch, name).unwrap().nr,
        args: [a, b, c, 0, 0, 0],
    })
}

#[test]
fn dockers_default_means_what_docker_makes_of_it() {
    let Some(profile) = real("docker-default.json") else {
        return;
    };
    let resolved = profile.resolve(&host(), &Reading::default()).unwrap();
    assert_eq!(resolved.warnings, []);
    let policy = resolved.policy;
    let arches: Vec<_> = policy.abis.iter().map(|abi| abi.arch).collect();
    assert_eq!(arches, [Arch::X86_64, Arch::X86, Arch::X32]);
    let (eperm, enosys) = (Action::Errno(1), Action::Errno(38));
    let cases = [
        ("read", [0; 3], Action::Allow),
        ("mount", [0; 3], eperm),
        ("clone3", [0; 3], enosys),
        ("clone", [0x10_0000, 0, 0], Action::Allow),
        ("clone", [0x1000_0000, 0, 0], eperm),
        ("socket", [2, 1, 0], Action::Allow),
        ("socket", [38, 1, 0], eperm),
        ("socket", [39, 1, 0], Action::Allow),
        ("socket", [40, 1, 0], eperm),
        ("personality", [0xffff_ffff, 0, 0], Action::Allow),
        ("personality", [1, 0, 0], eperm),
        ("ptrace", [0; 3], Action::Allow),
        ("syscall_999", [0; 3], enosys),
    ];
    for (name, args, want) in cases {
        assert_eq!(ask(&policy, name, args), want, "{name} {args:?}");
    }
    let root = Host {
        caps: Capabilities::ALL,
        ..host()
    };
    let policy = profile.resolve(&root, &Reading::default()).unwrap().policy;
    for name in ["mount", "clone3", "reboot", "bpf"] {
        assert_eq!(ask(&policy, name, [0; 3]), Action::Allow, "{name}");
    }
}

#[test]
fn real_profiles_survive_being_written() {
    for name in ["docker-default.json", "podman-default.json"] {
        let Some(mut profile) = real(name) else {
            return;
        };
        let before = profile.resolve(&host(), &Reading::default()).unwrap();
        let json = profile.to_json();
        let (read, _) = Profile::parse(json.as_bytes(), name).unwrap();
        profile.sort_lists();
        assert_eq!(read, profile);
        let after = read.resolve(&host(), &Reading::default()).unwrap();
        assert_eq!(before.policy, after.policy);
    }
}

#[test]
fn what_is_learned_can_be_added_to_dockers_default() {
    let Some(base) = real("docker-default.json") else {
        return;
    };
    let learned = |name: &str| Profile::learned([Arch::X86_64], [(vec![name.to_owned()], None)]);
    let merged = Profile::union(&[base.clone(), learned("mount")]).unwrap();
    let before = base.resolve(&host(), &Reading::default()).unwrap().policy;
    let after = merged.resolve(&host(), &Reading::default()).unwrap().policy;
    assert_eq!(ask(&before, "mount", [0; 3]), Action::Errno(1));
    assert_eq!(ask(&after, "mount", [0; 3]), Action::Allow);
    let names = crate::syscall::all(Arch::X86_64).map(|(_, name)| name);
    for name in names.filter(|&name| name != "mount") {
        for args in [[0; 3], [0x1000_0000, 9, 9], [38, 0, 0]] {
            let want = ask(&before, name, args);
            assert_eq!(ask(&after, name, args), want, "{name}");
        }
    }
    // It says ENOSYS, on purpose, where the program was seen to get through.
    let error = Profile::union(&[base, learned("clone3")]).unwrap_err();
    assert!(error.to_string().starts_with("clone3 gets "), "{error}");
}

#[test]
fn podmans_default_means_what_podman_makes_of_it() {
    let Some(profile) = real("podman-default.json") else {
        return;
    };
    let reading = Reading {
        dialect: Dialect::Podman,
        ..Reading::default()
    };
    let (eperm, enosys) = (Action::Errno(1), Action::Errno(38));
    let einval = Action::Errno(22);
    let cases = [
        ("read", [0; 3], Action::Allow, Action::Allow),
        ("bpf", [0; 3], eperm, Action::Allow),
        ("kexec_file_load", [0; 3], eperm, eperm),
        ("socket", [16, 3, 9], einval, Action::Allow),
        ("socket", [16, 3, 8], Action::Allow, Action::Allow),
        ("socket", [2, 3, 9], Action::Allow, Action::Allow),
        ("socket", [40, 1, 0], Action::Allow, Action::Allow),
        ("syscall_999", [0; 3], enosys, enosys),
    ];
    for (caps, place) in [(Capabilities::NONE, 0), (Capabilities::ALL, 1)] {
        let host = Host { caps, ..host() };
        let resolved = profile.resolve(&host, &reading).unwrap();
        // It allows setns to everybody and then denies it to all but the administrator: the first wins.
        let odd = |warning: &Warning| match &warning.about {
            Oddity::NoEffect { name, .. } => name != "setns",
            _ => true,
        };
        assert!(
            !resolved.warnings.iter().any(odd),
            "{:?}",
            resolved.warnings
        );
        for (name, args, plain, root) in cases {
            let want = [plain, root][place];
            assert_eq!(ask(&resolved.policy, name, args), want, "{name} {args:?}");
        }
    }
}

#[test]
fn a_dialect_that_ignores_scopes_says_so() {
    let Some(profile) = real("docker-default.json") else {
        return;
    };
    let reading = Reading {
        dialect: Dialect::Oci,
        ..Reading::default()
    };
    let resolved = profile.resolve(&host(), &reading).unwrap();
    // What Docker allows to the administrator only, plain OCI runtimes allow to everybody.
    assert_eq!(ask(&resolved.policy, "mount", [0; 3]), Action::Allow);
    let fields: Vec<_> = resolved
        .warnings
        .iter()
        .filter_map(|warning| match warning.about {
            Oddity::Ignored { field, .. } => Some(field),
            _ => None,
        })
        .collect();
    assert_eq!(fields, ["archMap", "includes", "excludes"]);
}

/// Texts made to cost time or memory: each must be answered, and soon.
#[test]
fn hostile_profiles_are_answered_soon() {
    let fill = |begin: &str, unit: &str, end: &str| {
        let room = MAX_SIZE - begin.len() - end.len();
        format!("{begin}{}{end}", unit.repeat(room / unit.len()))
    };
    let head = r#"{"defaultAction":"SCMP_ACT_ERRNO","#;
    let names = r#""syscalls":[{"action":"SCMP_ACT_ALLOW","names":["#;
    let last_arg = r#"{"index":0,"value":0,"op":"SCMP_CMP_EQ"}"#;
    let last_rule = r#"{"names":["read"],"action":"SCMP_ACT_TRAP"}"#;
    let each = |count: usize, unit: &dyn Fn(usize) -> String| {
        (0..count).map(unit).collect::<Vec<_>>().concat()
    };
    let texts = [
        "[".repeat(MAX_SIZE),
        "\"".repeat(MAX_SIZE),
        " ".repeat(MAX_SIZE),
        "9".repeat(MAX_SIZE),
        fill("\"", "\\u0000", "\""),
        fill(&format!(r#"{head}"x-a":["#), "1,", "1]}"),
        fill(&format!(r#"{head}"x-"#), "a", r#"":1}"#),
        fill(&format!(r#"{head}"comment":""#), "é", r#""}"#),
        fill(&format!("{head}{names}"), r#""a","#, r#""a"]}]}"#),
        format!(
            r#"{head}{names}{}"a"]}}]}}"#,
            each(60_000, &|n| format!(r#""raed{n}","#))
        ),
        fill(
            &format!("{head}\"syscalls\":["),
            &format!("{last_rule},"),
            &format!("{last_rule}]}}"),
        ),
        fill(
            &format!(r#"{head}"syscalls":[{{"names":["read"],"action":"SCMP_ACT_ALLOW","args":["#),
            &format!("{last_arg},"),
            &format!("{last_arg}]}}]}}"),
        ),
        format!(
            r#"{head}"syscalls":[{}{last_rule}]}}"#,
            each(15_000, &|n| format!(
                r#"{{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":{},"args":[
                {{"index":0,"value":{n},"op":"SCMP_CMP_NE"}}]}},"#,
                2 + n % 4000
            ))
        ),
    ];
    for text in texts {
        let start = std::time::Instant::now();
        if let Ok((profile, _)) = Profile::parse(text.as_bytes(), "hostile") {
            let _ = profile.resolve(&host(), &Reading::default());
        }
        // Far above what it takes; what must not come is minutes.
        let took = start.elapsed();
        let begin: String = text.chars().take(80).collect();
        assert!(took.as_secs() < 5, "{took:?} for {begin}");
        println!("{took:?} {begin}");
    }
}
