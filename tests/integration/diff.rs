//! `diff`: what one profile allows and another does not, and that nothing else is said.

use seccomp_run::action::Action;
use seccomp_run::arch::Arch;
use seccomp_run::diff::{Calls, compare};
use seccomp_run::filter::points;
use seccomp_run::policy::{Abi, Condition, Newer, Op, Policy, Rule, Width};
use serde_json::Value;

use crate::harness::{Env, skip};
use crate::libseccomp::Random;

/// An allowlist with these entries.
fn allowlist(architectures: &str, entries: &str) -> String {
    format!(
        r#"{{ "defaultAction": "SCMP_ACT_ERRNO", "architectures": [{architectures}], "syscalls": [{entries}] }}"#
    )
}

const X86_64: &str = r#""SCMP_ARCH_X86_64""#;
const BOTH: &str = r#""SCMP_ARCH_X86_64", "SCMP_ARCH_X86""#;

fn allow(names: &str) -> String {
    format!(r#"{{ "names": [{names}], "action": "SCMP_ACT_ALLOW" }}"#)
}

fn socket_if(op: &str, value: u64) -> String {
    format!(
        r#"{{ "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{{ "index": 0, "op": "SCMP_CMP_{op}", "value": {value} }}] }}"#
    )
}

#[test]
fn how_a_profile_is_written_does_not_matter() {
    let env = Env::new();
    let one = allowlist(
        X86_64,
        &[
            allow(r#""read", "write""#),
            socket_if("LT", 2),
            socket_if("GT", 2),
        ]
        .join(","),
    );
    let other = allowlist(
        X86_64,
        &[
            socket_if("NE", 2),
            allow(r#""write""#),
            allow(r#""read""#),
            allow(r#""read""#),
        ]
        .join(","),
    );
    let (one, other) = (env.write("a.json", one), env.write("b.json", other));
    let same = env.ours(&["diff", &one, &other]).output();
    same.succeeds();
    assert_eq!((&*same.stdout, &*same.stderr), ("", ""));
    env.ours(&["diff", "--subset", &one, &other])
        .output()
        .succeeds();
}

#[test]
fn what_differs_is_told_by_syscall_architecture_and_argument() {
    let env = Env::new();
    let a = allowlist(
        BOTH,
        &[allow(r#""read", "mount""#), socket_if("NE", 40)].join(","),
    );
    let b = allowlist(X86_64, &allow(r#""read", "socket", "getpid""#));
    env.write("a.json", a);
    env.write("b.json", b);
    let dir = env.text("");
    let diff = env
        .ours(&["diff", "a.json", "b.json", "--unknown", "default"])
        .cwd(&dir)
        .output();
    diff.ends_with(1);
    let want = "\
architectures:
  x86: not in b.json: every call gets KILL_PROCESS
allowed by a.json only:
  x86_64, x86: mount
  x86: read socket socketcall
allowed by b.json only:
  x86_64: getpid
different by argument:
  x86_64: socket
    socket(40) gets ERRNO(EPERM) in a.json, ALLOW in b.json
    a.json: ALLOW if arg0 != 40; else ERRNO(EPERM)
    b.json: ALLOW
";
    assert_eq!(diff.stdout, want);

    // What is shown is what simulate says.
    for (profile, action) in [("a.json", "ERRNO(EPERM)"), ("b.json", "ALLOW")] {
        let answer = env
            .ours(&["simulate", &env.text(profile), "socket(40)"])
            .output();
        answer.succeeds();
        assert_eq!(answer.stdout.split('\t').next(), Some(action));
    }
}

#[test]
fn json_holds_the_same() {
    let env = Env::new();
    let a = env.write("a.json", allowlist(X86_64, &socket_if("EQ", 1)));
    let b = env.write("b.json", allowlist(X86_64, &socket_if("LE", 1)));
    let diff = env.ours(&["diff", "--format", "json", &a, &b]).output();
    diff.ends_with(1);
    let json: Value = serde_json::from_str(&diff.stdout).unwrap();
    assert_eq!(json["same"], false);
    let differences = json["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 1, "{json:#}");
    let one = &differences[0];
    assert_eq!(
        (&one["arch"], &one["syscall"], &one["nr"]),
        (&"x86_64".into(), &"socket".into(), &41.into())
    );
    assert_eq!(one["answers"][0]["left"], "ERRNO(EPERM)");
    assert_eq!(one["answers"][0]["right"], "ALLOW");
    assert_eq!(one["answers"][0]["call"], "socket(0)");
    assert_eq!(one["rightRules"][0], "ALLOW if arg0 <= 1");
    let same = env.ours(&["diff", "--format", "json", &a, &a]).output();
    same.succeeds();
    let json: Value = serde_json::from_str(&same.stdout).unwrap();
    assert_eq!(json["same"], true);
}

#[test]
fn a_subset_is_a_gate() {
    let env = Env::new();
    let needs = env.write(
        "needs.json",
        allowlist(X86_64, &[allow(r#""read""#), socket_if("EQ", 1)].join(",")),
    );
    let wide = env.write(
        "wide.json",
        allowlist(
            BOTH,
            &[allow(r#""read", "mount""#), socket_if("LE", 2)].join(","),
        ),
    );
    let narrow = env.write("narrow.json", allowlist(BOTH, &socket_if("GE", 2)));
    let yes = env.ours(&["diff", "--subset", &needs, &wide]).output();
    yes.succeeds();
    assert_eq!(yes.stdout, "");
    env.ours(&["diff", "--subset", &wide, &needs])
        .output()
        .ends_with(1)
        .says("mount");
    let no = env.ours(&["diff", "--subset", &needs, &narrow]).output();
    no.ends_with(1)
        .says("  x86_64: read\n")
        .says("socket(1) gets ALLOW in ");
    assert!(
        !no.stdout.contains("mount") && !no.stdout.contains("x86:"),
        "{no}"
    );
    // A denial by another errno is no less allowed.
    let log = allowlist(X86_64, &allow(r#""read""#)).replace("SCMP_ACT_ALLOW", "SCMP_ACT_LOG");
    let log = env.write("log.json", log);
    env.ours(&["diff", "--subset", &log, &wide])
        .output()
        .succeeds();
    env.ours(&["diff", &log, &wide]).output().ends_with(1);
}

#[test]
fn the_host_decides_what_counts() {
    let env = Env::new();
    let admin = r#"{ "names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_ADMIN"] } }"#;
    let a = env.write(
        "a.json",
        allowlist(
            X86_64,
            &[allow(r#""read", "mseal""#), admin.to_owned()].join(","),
        ),
    );
    let b = env.write("b.json", allowlist(X86_64, &allow(r#""read", "mseal""#)));
    env.ours(&["diff", &a, &b, "--caps", "none"])
        .output()
        .succeeds();
    env.ours(&["diff", &a, &b, "--caps", "SYS_ADMIN"])
        .output()
        .ends_with(1)
        .says("mount");
    env.ours(&["diff", &a, &b, "--caps", "none", "--dialect", "oci"])
        .output()
        .ends_with(1)
        .says("mount");
    env.ours(&["diff", &a, &b, "--caps", "all", "--arch", "aarch64"])
        .output()
        .ends_with(1)
        .says("  aarch64: mount");
}

#[test]
fn mistakes_are_failures_and_not_differences() {
    let env = Env::new();
    let good = env.write("good.json", allowlist(X86_64, ""));
    let bad = env.write("bad.json", "{}");
    env.ours(&["diff", &good, &bad])
        .output()
        .fails_cleanly(125)
        .complains("bad.json");
    env.ours(&["diff", &good, &env.text("missing.json")])
        .output()
        .fails_cleanly(125);
    env.ours(&["diff", &good]).output().ends_with(125);
}

#[test]
fn dockers_default_is_itself_and_not_podmans() {
    let (docker, podman) = match (
        crate::libseccomp::data("docker-default.json"),
        crate::libseccomp::data("podman-default.json"),
    ) {
        (Ok(docker), Ok(podman)) => (docker.0, podman.0),
        (Err(why), _) | (_, Err(why)) => skip!("{why}"),
    };
    let env = Env::new();
    let (docker, podman) = (
        env.write("docker.json", docker),
        env.write("podman.json", podman),
    );
    let written = env.ours(&["merge", &docker]).output();
    let rewritten = env.write("rewritten.json", &written.stdout);
    for caps in ["none", "all"] {
        env.ours(&["diff", &docker, &rewritten, "--caps", caps])
            .output()
            .succeeds();
        let both = env.text(&format!("{caps}.json"));
        env.ours(&["merge", &docker, &podman, "-o", &both])
            .output()
            .succeeds();
        for part in [&docker, &podman] {
            env.ours(&["diff", "--subset", part, &both, "--caps", caps])
                .output()
                .succeeds();
        }
        env.ours(&["diff", &docker, &podman, "--caps", caps])
            .output()
            .ends_with(1)
            .says("    socket(38) gets ERRNO(EPERM) in ");
    }
}

fn action(random: &mut Random) -> Action {
    [Action::Allow, Action::Allow, Action::Errno(1), Action::Log][random.below(4)]
}

fn rules(random: &mut Random) -> Vec<Rule> {
    let count = random.below(4);
    (0..count)
        .map(|_| {
            let conditions = (0..random.below(3)).map(|_| {
                let ops = [
                    Op::Ne,
                    Op::Lt,
                    Op::Le,
                    Op::Eq,
                    Op::Ge,
                    Op::Gt,
                    Op::MaskedEq(random.constant()),
                ];
                let op = ops[random.below(7)];
                let width = if random.one_in(2) {
                    Width::W32
                } else {
                    Width::W64
                };
                let arg = u8::try_from(random.below(2)).unwrap();
                Condition::new(arg, width, op, random.constant()).unwrap()
            });
            Rule {
                conditions: conditions.collect(),
                action: action(random),
                origin: 0,
            }
        })
        .collect()
}

fn policy(random: &mut Random) -> Policy {
    let syscalls = (0..6).map(|nr| (nr, rules(random))).collect();
    let newer = random.one_in(2).then(|| Newer {
        from: u32::try_from(random.below(12)).unwrap(),
        action: Action::Errno(38),
    });
    Policy {
        abis: vec![Abi {
            arch: Arch::X86_64,
            default: action(random),
            newer,
            syscalls,
        }],
        bad_arch: Action::KillProcess,
    }
}

/// One policy like another, but for the rules of one syscall.
fn changed(policy: &Policy, random: &mut Random) -> Policy {
    let mut policy = policy.clone();
    let other = u32::try_from(random.below(6)).unwrap();
    let syscalls = policy.abis[0].syscalls.iter();
    policy.abis[0].syscalls = syscalls
        .map(|(nr, old)| {
            let new = nr == other;
            (nr, if new { rules(random) } else { old.to_vec() })
        })
        .collect();
    policy
}

#[test]
fn what_is_not_told_is_the_same_at_every_border() {
    let mut random = Random(11);
    let mut same = 0;
    for _ in 0..300 {
        let left = policy(&mut random);
        let right = changed(&left, &mut random);
        let found = compare(&left, &right);
        assert!(found.iter().all(|one| !one.undecided));
        for call in points(&left, 400).into_iter().chain(points(&right, 400)) {
            let (one, other) = (left.evaluate(&call), right.evaluate(&call));
            let told = found.iter().any(|difference| {
                let concerned = match difference.calls {
                    Calls::One(sysno) => sysno.nr == call.nr,
                    Calls::Unnamed { first, last, .. } => (first..=last).contains(&call.nr),
                };
                concerned
                    && difference
                        .outcomes
                        .iter()
                        .any(|outcome| (outcome.left, outcome.right) == (one, other))
            });
            assert!(
                one == other || told,
                "{call:?}: {one} and {other}, not in {found:?}"
            );
        }
        same += usize::from(found.is_empty());
    }
    assert!(
        (10..290).contains(&same),
        "{same} of 300 pairs are the same: both must occur"
    );
}
