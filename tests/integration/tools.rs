//! The tools: what they print, what they write, and that others can use it.

use crate::harness::{Env, needs};

/// Everything is allowed but two calls, one of them by its arguments.
const DENY: &str = r#"{
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "syscalls": [
        { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 111 },
        {
            "names": ["socket"],
            "action": "SCMP_ACT_ERRNO",
            "args": [{ "index": 0, "value": 16, "op": "SCMP_CMP_EQ" }]
        }
    ]
}"#;

#[test]
fn simulate_tells_the_action_and_the_rule() {
    let env = Env::new();
    let profile = env.write("p.json", DENY);
    let cases = [
        ("mkdir", "ERRNO(ECONNREFUSED)", "syscalls[0]"),
        ("x86:mkdir(1, 2)", "ERRNO(ECONNREFUSED)", "syscalls[0]"),
        ("socket(16, 3, 9)", "ERRNO(EPERM)", "syscalls[1]"),
        ("socket(2)", "ALLOW", "the default action"),
        // The kernel takes a domain as an int, so the upper half must not hide it.
        ("socket(0x100000010)", "ERRNO(EPERM)", "syscalls[1]"),
        (
            "x32:read",
            "KILL_PROCESS",
            "x32 is not among the architectures",
        ),
    ];
    for (call, action, because) in cases {
        let answer = env.ours(&["simulate", &profile, call]).output();
        answer.succeeds();
        assert_eq!(answer.stdout, format!("{action}\t{call}\t{because}\n"));
    }
    let full = [
        "simulate",
        &profile,
        "--arg-width",
        "64",
        "socket(0x100000010)",
    ];
    env.ours(&full).output().succeeds().says("ALLOW");
    let json = ["simulate", &profile, "--format", "json", "mkdir"];
    env.ours(&json)
        .output()
        .succeeds()
        .says(r#""action":"ERRNO(ECONNREFUSED)""#);
    env.ours(&["simulate", &profile, "no_such_call"])
        .output()
        .fails_cleanly(125)
        .complains("no_such_call");
}

#[test]
fn compile_writes_what_bwrap_reads() {
    needs!("bwrap");
    let env = Env::new();
    let profile = env.write("p.json", DENY);
    let program = env.text("p.bpf");
    env.ours(&["compile", &profile, "-o", &program])
        .output()
        .succeeds();
    let (dir, open) = (env.text("dir"), env.text("open"));
    let under = |script: &str| {
        let wrapped =
            format!("exec bwrap --dev-bind / / --seccomp 3 sh -c '{script}' 3<'{program}'");
        env.run(&["sh", "-c", &wrapped]).output()
    };
    under(&format!("mkdir {dir}"))
        .ends_with(1)
        .complains("Connection refused");
    assert!(!env.path("dir").exists());
    under(&format!(": > {open}")).succeeds();
    assert!(env.path("open").exists());
}

#[test]
fn compile_shows_the_program_and_what_it_costs() {
    let env = Env::new();
    let profile = env.write("p.json", DENY);
    let listing = env.ours(&["compile", &profile, "--disasm"]).output();
    listing
        .succeeds()
        .says("ld   [4] ; arch")
        .says("ret  #0x7fff0000 ; ALLOW");
    let instructions = listing.stdout.lines().count();

    let raw = env.text("p.bpf");
    env.ours(&["compile", &profile, "-o", &raw])
        .output()
        .succeeds();
    let size = std::fs::metadata(&raw).unwrap().len();
    assert_eq!(
        size,
        8 * u64::try_from(instructions).unwrap(),
        "one sock_filter a line"
    );

    let stats = env.ours(&["compile", &profile, "--stats"]).output();
    stats
        .succeeds()
        .says("longest path")
        .says("followed at attach");
    let json = env
        .ours(&["compile", &profile, "--stats", "--format", "json"])
        .output();
    json.succeeds()
        .says(&format!("\"instructions\": {instructions},"));
}

#[test]
fn programs_for_other_architectures_are_made_here() {
    let env = Env::new();
    let profile = env.write("p.json", DENY);
    for (arch, audit) in [
        ("aarch64", "0xc00000b7"),
        ("s390x", "0x80000016"),
        ("arm", "0x40000028"),
    ] {
        let listing = env
            .ours(&["compile", &profile, "--disasm", "--arch", arch])
            .output();
        listing.succeeds().says(audit);
        let raw = env.text("p.bpf");
        env.ours(&["compile", &profile, "-o", &raw, "--arch", arch])
            .output()
            .succeeds();
        // The first instruction loads the architecture: ld [4], in the byte order of the machine.
        let first = &std::fs::read(&raw).unwrap()[..8];
        let want = if arch == "s390x" {
            [0, 0x20, 0, 0, 0, 0, 0, 4]
        } else {
            [0x20, 0, 0, 0, 4, 0, 0, 0]
        };
        assert_eq!(first, want, "{arch}");
        assert!(
            !listing.stdout.contains("0xc000003e"),
            "only what was asked for\n{listing}"
        );
    }
}

#[test]
fn dialects_read_the_same_file_differently() {
    let env = Env::new();
    let profile = env.write(
        "p.json",
        r#"{
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [
                { "names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_ADMIN"] } },
                { "names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "4.8" } }
            ]
        }"#,
    );
    let ask = |more: &[&str], call: &str| {
        let args = [
            &[
                "simulate", &profile, "--caps", "none", "--kernel", "4.7", call,
            ],
            more,
        ]
        .concat();
        let answer = env.ours(&args).output();
        answer.succeeds();
        answer.stdout.split('\t').next().unwrap().to_owned()
    };
    assert_eq!(ask(&[], "mount"), "ERRNO(EPERM)");
    assert_eq!(ask(&["--caps", "SYS_ADMIN"], "mount"), "ALLOW");
    assert_eq!(
        ask(&["--dialect", "oci"], "mount"),
        "ALLOW",
        "the field is unknown there"
    );
    assert_eq!(ask(&[], "ptrace"), "ERRNO(EPERM)");
    assert_eq!(
        ask(&["--dialect", "podman"], "ptrace"),
        "ALLOW",
        "the field is unknown there"
    );
    env.ours(&[
        "simulate",
        "--strict",
        "--dialect",
        "oci",
        &profile,
        "mount",
    ])
    .output()
    .fails_cleanly(125)
    .complains("includes");
}

#[test]
fn what_is_newer_than_the_profile_gets_enosys_or_the_default() {
    let env = Env::new();
    let profile = env.write(
        "p.json",
        r#"{ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{ "names": ["openat2"], "action": "SCMP_ACT_ALLOW" }] }"#,
    );
    let newer = ["simulate", &profile, "faccessat2"];
    env.ours(&newer).output().succeeds().says("ERRNO(ENOSYS)");
    let default = ["simulate", &profile, "--unknown", "default", "faccessat2"];
    env.ours(&default).output().succeeds().says("ERRNO(EPERM)");
}
