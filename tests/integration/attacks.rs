//! Ways out of the sandbox, as a list: each works without it, and does nothing under it, as root and as an ordinary user, with
//! and without a launcher. The profile allows everything but mkdir and TIOCSTI: open, write, kill and ptrace too.
//!
//! More of them are where their subject is: writing into the launcher (`enforce::whoever_overwrites_the_launcher_gains_nothing`,
//! `enforce::a_command_cannot_write_into_its_launcher`), robbing it (`denials::the_launcher_cannot_be_robbed_of_its_listener`), the
//! secret (`enforce::the_secret_of_the_launching_execve_is_new_each_time_and_nowhere_afterwards`).

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    Build, Env, SECCOMP_RUN, fixture, needs, ordinary_user, session_members, skip,
};

/// Those that make the directory where nothing forbids it.
const MAKES: &[&str] = &[
    "plain",
    "upper_half",
    "int80",
    "untraced",
    "through_exec",
    "own_filter",
    "tracer",
    "rewritten",
];

/// Those that try other things, or need a launcher.
const OTHERS: &[&str] = &["x32", "minus_one", "launcher", "mutual"];

struct Target {
    env: Env,
    ours: String,
    attacks: String,
    profile: String,
    dir: String,
}

impl Target {
    fn new() -> Self {
        let env = Env::new();
        let denied = |names: &[&str]| json!({"names": names, "action": "SCMP_ACT_ERRNO"});
        let mut typing = denied(&["ioctl"]);
        typing["args"] = json!([{"index": 1, "value": 0x5412, "op": "SCMP_CMP_EQ"}]);
        let profile = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [denied(&["mkdir", "mkdirat"]), typing],
        });
        Self {
            ours: env.copy_program(SECCOMP_RUN, "ours"),
            attacks: env.copy_program(&fixture("attacks", Build::Static), "attacks"),
            profile: env.write("p.json", profile.to_string()),
            dir: env.text("made"),
            env,
        }
    }

    /// Was the directory made? Says what the attack printed.
    fn attack(&self, user: &[&str], way: &[&str], scene: &str) -> (bool, String) {
        let enforcing = [
            &[self.ours.as_str(), "--enforce", &self.profile],
            way,
            &["--"],
        ]
        .concat();
        let before: &[&str] = if way == ["native"] { &[] } else { &enforcing };
        let argv = [user, before, &[&self.attacks, scene, &self.dir]].concat();
        let run = self.env.run(&argv).limit(20).start();
        // The attacker may outlive its launcher.
        let (session, begun) = (run.pid(), Instant::now());
        while !session_members(session).is_empty() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let out = run.wait();
        let made = fs::remove_dir(&self.dir).is_ok();
        (made, out.to_string())
    }
}

#[test]
fn no_way_out_leads_out() {
    if !cfg!(target_arch = "x86_64") {
        skip!("the attacks are those of x86-64");
    }
    let target = Target::new();
    let users: [&[&str]; 2] = [&["env"], ordinary_user()];
    for user in users {
        for scene in MAKES {
            let (made, out) = target.attack(user, &["native"], scene);
            assert!(made, "the attack itself does not work: {scene}\n{out}");
        }
        for way in [&[][..], &["--report"], &["--exec"]] {
            for scene in MAKES.iter().chain(OTHERS) {
                // Without a launcher the parent would be the test.
                if way == ["--exec"] && ["launcher", "mutual"].contains(scene) {
                    continue;
                }
                let (made, out) = target.attack(user, way, scene);
                assert!(!made, "{scene} with {way:?} got out\n{out}");
            }
        }
    }
}

#[test]
fn an_attack_on_the_launcher_ends_it_and_nothing_else() {
    let target = Target::new();
    for way in [&[][..], &["--report"]] {
        let (_, out) = target.attack(ordinary_user(), way, "launcher");
        for line in [
            "descriptors none\n",
            "attach EPERM\n",
            "mem EACCES\n",
            "vm_write EPERM\n",
            "stop ok\n",
            "kill ok\n",
        ] {
            assert!(out.contains(line), "{way:?}: {line}\n{out}");
        }
    }
}

#[test]
fn the_launching_call_cannot_be_made_again() {
    let mut target = Target::new();
    let deny = |text: String| text.replace("\"mkdir\",", "\"mkdir\",\"execve\",");
    target.profile = target.env.write("q.json", deny(target.env.read("p.json")));
    for way in [&[][..], &["--report"], &["--exec"]] {
        let (_, out) = target.attack(&["env"], way, "replay");
        assert_eq!(out.matches("execve EPERM\n").count(), 3, "{way:?}\n{out}");
    }
}

#[test]
fn nothing_can_be_typed_at_the_terminal() {
    needs!("script");
    let target = Target::new();
    let typed = |before: &str| {
        let line = format!("{before} {} tiocsti x", target.attacks);
        let out = target
            .env
            .run(&["script", "-qec", &line, "/dev/null"])
            .output();
        out.stdout.replace('\r', "")
    };
    // Since Linux 6.2 the kernel may refuse it to all: dev.tty.legacy_tiocsti.
    let native = typed("");
    if !native.contains("TIOCSTI ok\n") {
        skip!("TIOCSTI does nothing here: {native}");
    }
    let ours = format!("{} --enforce {} --", target.ours, target.profile);
    let out = typed(&ours);
    for line in [
        "TIOCSTI EPERM\n",
        "with high bits EPERM\n",
        "sign extended EPERM\n",
    ] {
        assert!(out.contains(line), "{line}\n{out}");
    }
}

#[test]
fn nothing_is_left_open_for_the_command() {
    let target = Target::new();
    let count = |way: &[&str]| {
        let (_, out) = target.attack(&["env"], way, "descriptors");
        let line = out.lines().find(|line| line.starts_with("descriptors "));
        line.unwrap().to_owned()
    };
    // Those of whoever started the test.
    let native = count(&["native"]);
    for way in [&[][..], &["--report"], &["--exec"]] {
        assert_eq!(count(way), native, "{way:?}");
    }
}

/// The limit that the README states: operations of a ring are no system calls.
#[test]
fn a_ring_passes_by_the_filter_unless_it_is_denied() {
    let mut target = Target::new();
    let (native, out) = target.attack(&["env"], &["native"], "ring");
    if !native {
        skip!("no io_uring here: {out}");
    }
    let (made, out) = target.attack(&["env"], &[], "ring");
    assert!(made, "the README says otherwise\n{out}");
    let deny = |text: String| text.replace("\"mkdir\",", "\"mkdir\",\"io_uring_setup\",");
    target.profile = target.env.write("q.json", deny(target.env.read("p.json")));
    let (made, out) = target.attack(&["env"], &[], "ring");
    assert!(!made && out.contains("setup EPERM\n"), "{out}");
}

/// The page of old time calls is emulated by the kernel, after it has asked the filter.
#[test]
fn a_vsyscall_is_filtered() {
    let mut target = Target::new();
    let (_, out) = target.attack(&["env"], &["native"], "vsyscall");
    if !out.contains("time ok\n") {
        skip!("no vsyscall page here: {out}");
    }
    let (_, out) = target.attack(&["env"], &[], "vsyscall");
    assert!(out.contains("time ok\n"), "{out}");
    let deny = |text: String| text.replace("\"mkdir\",", "\"mkdir\",\"time\",");
    target.profile = target.env.write("q.json", deny(target.env.read("p.json")));
    let (_, out) = target.attack(&["env"], &[], "vsyscall");
    assert!(!out.contains("time ok\n"), "{out}");
}
