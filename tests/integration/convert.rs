//! `convert`: what it writes is taken by those that it is for, and what it reads is what was recorded.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Build, Env, fixture, installed, needs, skip, skipped, try_fixture};
use crate::profile::Profile;

/// A profile that every form can say.
const SIMPLE: &str = r#"{
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "syscalls": [
        { "names": ["read", "write", "mmap"], "action": "SCMP_ACT_ALLOW" },
        { "names": ["exit_group"], "action": "SCMP_ACT_ALLOW", "comment": "added: every program ends" }
    ]
}"#;

/// What only Docker and Podman read.
const DOCKERS: &str = r#"{
    "defaultAction": "SCMP_ACT_ERRNO",
    "archMap": [{ "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"] }],
    "syscalls": [
        { "names": ["read", "exit_group"], "action": "SCMP_ACT_ALLOW" },
        { "names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_ADMIN"] } },
        {
            "names": ["socket"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 97,
            "args": [{ "index": 0, "value": 16, "op": "SCMP_CMP_EQ" }]
        }
    ]
}"#;

fn convert(env: &Env, args: &[&str]) -> String {
    let output = env.ours(&[&["convert"], args].concat()).output();
    output.succeeds();
    output.stdout
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Learns and traces the same command, and compares what both give.
fn strace_gives_what_learning_gives(env: &Env, options: &[&str], command: &[&str]) {
    let (learned, log) = (env.text("learned.json"), env.text("app.log"));
    let learn = [&["--learn", "--force", "-o", &learned, "--"], command].concat();
    let ours = env.ours(&learn).cwd(&env.mkdir("ours")).output();
    let trace = [&["strace", "-f", "-o", &log], options, &["--"], command].concat();
    let theirs = env.run(&trace).cwd(&env.mkdir("theirs")).output();
    assert_eq!(ours.status, theirs.status, "{ours}\n\n{theirs}");
    let converted = convert(env, &[&log, "--to", "docker"]);
    assert_eq!(converted, env.read("learned.json"), "{command:?}");
}

#[test]
fn a_log_of_strace_becomes_what_learning_writes() {
    needs!("strace");
    let env = Env::new();
    let lines = env.write("lines", "c\nb\na\n");
    let tracee = fixture("tracee", Build::Dynamic);
    let commands: &[&[&str]] = &[
        &["true"],
        &["echo", "hello"],
        &["cat", &lines],
        &["ls", "-l", "/usr"],
        &["sort", &lines],
        &["sed", "s/a/b/", &lines],
        &["awk", "{ print NR, $0 }", &lines],
        &["find", "/etc/apt", "-type", "f"],
        &[
            "sh",
            "-c",
            "for i in 1 2 3; do echo $i | cat; done; (exit 3)",
        ],
        &[
            "bash",
            "-c",
            "trap 'echo usr1' USR1; kill -USR1 $$; ls /usr | head -n 2 | wc -l",
        ],
        &[
            "python3",
            "-I",
            "-B",
            "-c",
            "import json; print(json.dumps([1]))",
        ],
        &["git", "version"],
        &["mkdir", "-m", "700", "new"],
        &[&tracee, "vfork"],
        &[&tracee, "exec_thread"],
        &[&tracee, "traps"],
    ];
    for command in commands {
        if installed(command[0]) || command[0].starts_with('/') {
            strace_gives_what_learning_gives(&env, &[], command);
        } else {
            skipped(&format!("{} is not installed", command[0]));
        }
    }
}

#[test]
fn processes_of_32_bits_are_known_by_what_strace_says_or_shows() {
    needs!("strace");
    let Some(tracee) = try_fixture("tracee", Build::I386) else {
        skip!("gcc -m32 does not work")
    };
    let env = Env::new();
    let mixed = format!("{tracee} vfork; true");
    for options in [&[][..], &["-e", "quiet=none"][..]] {
        for scene in ["nothing", "vfork", "traps"] {
            strace_gives_what_learning_gives(&env, options, &[&tracee, scene]);
        }
        strace_gives_what_learning_gives(&env, options, &["sh", "-c", &mixed]);
    }
}

#[test]
fn what_is_no_syscall_is_an_error_with_its_line() {
    let env = Env::new();
    let log = env.write(
        "app.log",
        "7 execve(\"/bin/x\", [\"x\"], 0x7 /* 3 vars */) = 0\n7 nope(NULL, 1, 0, 0, -1, 0) = 0\n",
    );
    env.ours(&["convert", &log, "--to", "docker"])
        .output()
        .fails_cleanly(125)
        .complains("app.log:2: x86_64 has no syscall 'nope'")
        .complains("hint: ");
    let words = env.write("words", "this is (just) prose\n");
    env.ours(&["convert", &words, "--to", "docker"])
        .output()
        .fails_cleanly(125)
        .complains("--from FORM");
    env.ours(&["convert", &words, "--from", "strace", "--to", "docker"])
        .output()
        .fails_cleanly(125)
        .complains("no syscall in it");
}

#[test]
fn audit_records_become_what_allows_them() {
    let env = Env::new();
    let record = |arch: &str, nr: u32| {
        format!(
            "type=SECCOMP msg=audit(1700000000.123:45): auid=0 uid=0 gid=0 ses=1 pid=7 comm=\"app\" \
             exe=\"/bin/app\" sig=0 arch={arch} syscall={nr} compat=0 ip=0x7f code=0x7ffc0000\n"
        )
    };
    let log = env.write(
        "audit.log",
        format!(
            "{}noise\n{}",
            record("c000003e", 41),
            record("40000003", 20)
        ),
    );
    let output = env.ours(&["convert", &log, "--to", "docker"]).output();
    output.succeeds().complains("2 record(s) of '/bin/app'");
    let profile = Profile {
        json: json_of(&output.stdout),
    };
    assert_eq!(
        profile.names(),
        ["getpid", "socket"].map(str::to_owned).into()
    );
    assert_eq!(
        profile.architectures(),
        ["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"].into()
    );
}

#[test]
fn docker_takes_the_canonical_profile() {
    let env = Env::new();
    let profile = env.write("p.json", DOCKERS);
    let once = convert(&env, &[&profile, "--to", "docker"]);
    let again = env.write("again.json", &once);
    assert_eq!(convert(&env, &[&again, "--to", "docker"]), once);
    assert!(
        once.contains("includes") && once.contains("archMap"),
        "{once}"
    );
}

#[test]
fn oci_is_settled_for_the_host() {
    let env = Env::new();
    let profile = env.write("p.json", DOCKERS);
    let with = |caps: &str| json_of(&convert(&env, &[&profile, "--to", "oci", "--caps", caps]));
    let none = with("none");
    assert_eq!(
        none["architectures"],
        json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
    );
    assert_eq!(none["syscalls"].as_array().unwrap().len(), 2);
    assert_eq!(none["syscalls"][1]["args"][0]["value"], json!(16));
    assert_eq!(none["syscalls"][1]["errnoRet"], json!(97));
    for field in ["archMap", "includes", "excludes", "comment"] {
        assert!(!none.to_string().contains(field), "{none:#}");
    }
    assert_eq!(with("sys_admin")["syscalls"].as_array().unwrap().len(), 3);
    // Whoever reads only runtime-spec's fields gets the same program.
    let oci = env.write("oci.json", none.to_string());
    let listing = |file: &str, more: &[&str]| {
        let args = [&["compile", file, "--disasm", "--caps", "none"], more].concat();
        let output = env.ours(&args).output();
        output.succeeds();
        output.stdout
    };
    assert_eq!(listing(&profile, &[]), listing(&oci, &["--dialect", "oci"]));
}

#[test]
fn runc_takes_the_oci_form() {
    needs!("runc");
    let env = Env::new();
    let profile = env.write(
        "p.json",
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{"architecture": "SCMP_ARCH_X86_64",
            "subArchitectures": ["SCMP_ARCH_X86"]}], "syscalls": [{"names": ["mkdir", "mkdirat"],
            "action": "SCMP_ACT_ERRNO", "errnoRet": 111}]}"#,
    );
    let bundle = env.mkdir("bundle");
    env.mkdir("bundle/rootfs/bin");
    let Some(shell) = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|path| Path::new(path).exists())
    else {
        skip!("busybox is not installed")
    };
    env.copy_program(shell, "bundle/rootfs/bin/busybox");
    env.run(&["runc", "spec"]).cwd(&bundle).output().succeeds();
    let mut config = json_of(&env.read("bundle/config.json"));
    config["linux"]["seccomp"] = json_of(&convert(&env, &[&profile, "--to", "oci"]));
    config["process"]["args"] = json!(["/bin/busybox", "mkdir", "/tmp-new"]);
    config["process"]["terminal"] = json!(false);
    config["process"]["rlimits"] = json!([]);
    config["linux"]["cgroupsPath"] = Value::Null;
    env.write("bundle/config.json", config.to_string());
    let root = env.mkdir("state");
    let id = format!("seccomp-run-test-{}", std::process::id());
    let output = env
        .run(&["runc", "--root", &root, "run", &id])
        .cwd(&bundle)
        .output();
    let refused = "Connection refused";
    assert!(
        !output.stderr.contains("seccomp:"),
        "runc does not take the profile\n{output}"
    );
    if output.code() != 1 || !output.stderr.contains("busybox") && !output.stderr.contains("mkdir")
    {
        skip!("runc cannot run a container here: {}", output.stderr.trim());
    }
    output.complains(refused);
}

/// The fields of the resource (security-profiles-operator, v1beta1), and what they may hold.
fn is_seccomp_profile(resource: &Value) {
    const TOP: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];
    const SPEC: [&str; 7] = [
        "defaultAction",
        "architectures",
        "syscalls",
        "flags",
        "listenerPath",
        "listenerMetadata",
        "baseProfileName",
    ];
    let keys_in = |value: &Value, known: &[&str]| {
        for key in value.as_object().unwrap().keys() {
            assert!(known.contains(&key.as_str()), "{key} in {value:#}");
        }
    };
    let action = |value: &Value| {
        let kinds = [
            "KILL",
            "KILL_PROCESS",
            "KILL_THREAD",
            "TRAP",
            "ERRNO",
            "TRACE",
            "ALLOW",
            "LOG",
        ];
        let name = value.as_str().unwrap().strip_prefix("SCMP_ACT_").unwrap();
        assert!(kinds.contains(&name), "{value}");
    };
    keys_in(resource, &TOP);
    assert_eq!(
        resource["apiVersion"],
        "security-profiles-operator.x-k8s.io/v1beta1"
    );
    assert_eq!(resource["kind"], "SeccompProfile");
    assert!(resource["metadata"]["name"].is_string());
    let spec = &resource["spec"];
    keys_in(spec, &SPEC);
    action(&spec["defaultAction"]);
    for arch in spec["architectures"].as_array().unwrap() {
        assert!(arch.as_str().unwrap().starts_with("SCMP_ARCH_"));
    }
    for rule in spec["syscalls"].as_array().unwrap() {
        keys_in(rule, &["names", "action", "errnoRet", "args"]);
        action(&rule["action"]);
        assert!(!rule["names"].as_array().unwrap().is_empty());
        assert!(
            rule.get("errnoRet")
                .is_none_or(|errno| errno.as_u64() > Some(0))
        );
        for arg in rule
            .get("args")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            keys_in(arg, &["index", "value", "valueTwo", "op"]);
            assert!(arg["index"].is_u64() && arg["value"].is_u64() && arg["op"].is_string());
        }
    }
}

#[test]
fn the_resource_of_the_operator_is_written_and_read() {
    let env = Env::new();
    let profile = env.write("My_App.json", DOCKERS);
    let resource = convert(&env, &[&profile, "--to", "spo", "--caps", "none"]);
    is_seccomp_profile(&json_of(&resource));
    assert_eq!(json_of(&resource)["metadata"]["name"], "my-app");
    let back = env.write("resource.json", &resource);
    assert_eq!(
        convert(&env, &[&back, "--to", "oci"]),
        convert(&env, &[&profile, "--to", "oci", "--caps", "none"])
    );
    env.ours(&["convert", &back, "--from", "profile", "--to", "docker"])
        .output()
        .fails_cleanly(125);
}

#[test]
fn systemd_takes_the_drop_in() {
    let env = Env::new();
    let profile = env.write("p.json", SIMPLE);
    let drop_in = convert(&env, &[&profile, "--to", "systemd"]);
    for line in [
        "SystemCallArchitectures=x86-64 x86",
        "SystemCallErrorNumber=EPERM",
        "SystemCallFilter=mmap read write",
        "# added: every program ends",
    ] {
        assert!(
            drop_in.lines().any(|found| found == line),
            "{line}\n{drop_in}"
        );
    }
    // What is read back allows all of it, and what systemd allows anyway.
    let unit = env.write("p.conf", &drop_in);
    let back = env.ours(&["convert", &unit, "--to", "docker"]).output();
    back.succeeds().complains("@default");
    let subset = Profile {
        json: json_of(&back.stdout),
    };
    for name in ["read", "write", "mmap", "exit_group", "nanosleep"] {
        assert!(subset.names().contains(name), "{back}");
    }
    needs!("systemd-analyze");
    let verify = |name: &str, text: &str| {
        let unit = format!("[Unit]\nDescription=x\n{text}ExecStart=/bin/true\n");
        let unit = env.write(name, unit);
        env.run(&["systemd-analyze", "verify", "--man=no", &unit])
            .output()
    };
    let said = verify("good.service", &drop_in);
    assert!(!said.stderr.contains("good.service"), "{said}");
    // It does complain where there is reason to.
    let wrong = drop_in.replace("mmap", "nmap").replace("EPERM", "ENOPE");
    verify("wrong.service", &wrong)
        .complains("nmap")
        .complains("ENOPE");
}

#[test]
fn what_a_form_cannot_say_is_an_error_that_names_the_rule() {
    let env = Env::new();
    let profile = env.write("p.json", DOCKERS);
    let enosys = env.write(
        "enosys.json",
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38}"#,
    );
    let cases: [(&str, &[&str], &str); 7] = [
        (
            &profile,
            &["systemd"],
            "p.json:7:9: syscalls[2]: args: systemd compares no arguments",
        ),
        (
            &profile,
            &["kubernetes"],
            "'archMap' is ignored in the oci dialect",
        ),
        (&enosys, &["spo"], "enosys.json: defaultErrnoRet: "),
        (
            &enosys,
            &["systemd"],
            "enosys.json: syscalls: an empty SystemCallFilter=",
        ),
        (
            &profile,
            &["oci", "--default-action", "LOG"],
            "--default-action is for --to bpf",
        ),
        (
            &profile,
            &["oci", "--strict", "--dialect", "oci"],
            "--strict makes them errors",
        ),
        (&profile, &["wasm"], "invalid value 'wasm'"),
    ];
    for (file, to, want) in cases {
        let out = env.text("out");
        let args = [&["convert", file, "-o", &out, "--to"], to].concat();
        let output = env.ours(&args).output();
        output.ends_with(125).complains(want);
        assert!(
            output.stdout.is_empty() && !env.path("out").exists(),
            "{output}"
        );
    }
}

#[test]
fn forms_that_name_a_file_need_one() {
    let env = Env::new();
    let profile = env.write("p.json", SIMPLE);
    let pod = env
        .ours(&["convert", &profile, "--to", "kubernetes"])
        .output();
    pod.succeeds().complains("/var/lib/kubelet/seccomp/p.json");
    assert_eq!(
        json_of(&pod.stdout)["spec"]["securityContext"]["seccompProfile"],
        json!({"type": "Localhost", "localhostProfile": "p.json"})
    );
    let compose = json_of(&convert(&env, &[&profile, "--to", "compose"]));
    assert_eq!(
        compose["services"]["p"]["security_opt"],
        json!([format!("seccomp:{profile}")])
    );
    let unit = env.write("x.service", "[Service]\nSystemCallFilter=read\n");
    env.ours(&["convert", &unit, "--to", "kubernetes"])
        .output()
        .ends_with(125)
        .complains("--to docker -o FILE.json first");
}

#[test]
fn kubernetes_takes_the_pod() {
    needs!("python3");
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubernetes-validate");
    let validate = venv.join("bin/kubernetes-validate");
    if !validate.exists() {
        let done =
            |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        let made = done(Command::new("python3").args(["-m", "venv"]).arg(&venv))
            && done(Command::new(venv.join("bin/pip")).args([
                "--quiet",
                "--disable-pip-version-check",
                "install",
                "kubernetes-validate",
            ]));
        if !made {
            skip!("kubernetes-validate cannot be installed (PyPI, python3-venv)");
        }
    }
    let env = Env::new();
    let profile = env.write("p.json", SIMPLE);
    let pod = convert(&env, &[&profile, "--to", "kubernetes"]);
    let validate = validate.to_str().unwrap().to_owned();
    let judge = |text: &str| {
        let file = env.write("pod.json", text);
        env.run(&[&validate, "--strict", &file]).output()
    };
    judge(&pod).succeeds();
    // It does refuse what is no Pod.
    let wrong = judge(&pod.replace("localhostProfile", "localProfile"));
    assert_ne!(wrong.code(), 0, "{wrong}");
}

#[test]
fn compose_takes_the_snippet() {
    needs!("docker-compose");
    let env = Env::new();
    let profile = env.write("p.json", SIMPLE);
    let snippet = env.text("seccomp.yaml");
    convert(&env, &[&profile, "--to", "compose", "-o", &snippet]);
    let base = env.write(
        "compose.yaml",
        "version: '3'\nservices:\n  p:\n    image: busybox\n",
    );
    let merged = env
        .run(&["docker-compose", "-f", &base, "-f", &snippet, "config"])
        .output();
    merged
        .succeeds()
        .says(&format!("seccomp:{profile}"))
        .says("image: busybox");
}

#[test]
fn bpf_is_what_compile_writes() {
    let env = Env::new();
    let profile = env.text("p.json");
    env.learn(&profile, &["true"]);
    let (one, two) = (env.text("one"), env.text("two"));
    env.ours(&["compile", &profile, "-o", &one])
        .output()
        .succeeds();
    convert(&env, &[&profile, "--to", "bpf", "-o", &two]);
    let (one, two) = (std::fs::read(one).unwrap(), std::fs::read(two).unwrap());
    assert!(one == two && one.len() > 80 && one.len().is_multiple_of(8));
    needs!("bwrap", "strace");
    // From a log straight to a program that bwrap installs.
    let (log, bpf) = (env.text("ls.log"), env.text("ls.bpf"));
    env.run(&["strace", "-f", "-o", &log, "--", "sh", "-c", "ls /usr"])
        .output()
        .succeeds();
    convert(&env, &[&log, "--to", "bpf", "-o", &bpf]);
    let under = |script: &str| {
        let wrapped = format!("exec bwrap --dev-bind / / --seccomp 3 sh -c '{script}' 3<'{bpf}'");
        env.run(&["sh", "-c", &wrapped]).output()
    };
    under("ls /usr").succeeds().says("bin");
    let dir = env.text("dir");
    let refused = under(&format!("ls /usr; mkdir {dir}"));
    assert!(
        refused.code() != 0 && !env.path("dir").exists(),
        "{refused}"
    );
}

#[test]
fn the_help_teaches_with_examples() {
    let env = Env::new();
    env.ours(&["convert", "--help"])
        .output()
        .succeeds()
        .says("Examples:")
        .says("strace -f -o app.log")
        .says("SystemCallFilter=");
}
