//! The mode by environment, as an image is switched: `ENTRYPOINT ["seccomp-run", "--"]`.

use crate::harness::{Build, Env, Output, SECCOMP_RUN, fixture};
use crate::profile::{Profile, all_but};

fn run(env: &Env, vars: &[(&str, &str)], command: &[&str]) -> Output {
    let words = [&[SECCOMP_RUN, "--"], command].concat();
    let run = env.run(&words);
    let run = vars
        .iter()
        .fold(run, |run, (name, value)| run.var(name, value));
    run.output()
}

#[test]
fn one_image_learns_complains_enforces_and_steps_aside() {
    let env = Env::new();
    let (learned, denied) = (env.text("learned.json"), env.text("denied.jsonl"));
    let with = |mode: &'static str| {
        [
            ("SECCOMP_RUN_MODE", mode),
            ("SECCOMP_RUN_OUTPUT", &learned),
            ("SECCOMP_RUN_PROFILE", &learned),
            ("SECCOMP_RUN_REPORT", &denied),
            ("SECCOMP_RUN_ACTION", "kill"),
        ]
    };
    // Learning, and again after a restart.
    run(&env, &with("learn"), &["cat", "/dev/null"])
        .succeeds()
        .complains("(");
    run(&env, &with("learn"), &["cat", "/dev/null"])
        .succeeds()
        .complains("in 2 runs");
    Profile::read(&env.path("learned.json")).has(&["openat", "read"]);
    // Complaining: everything runs.
    let new = env.text("new");
    let made = run(&env, &with("complain"), &["mkdir", &new]);
    made.succeeds().complains("would have been denied");
    assert!(env.path("new").is_dir());
    assert!(env.read("denied.jsonl").contains("\"syscall\":\"mkdir\""));
    // Enforcing.
    run(&env, &with("enforce"), &["cat", "/dev/null"]).succeeds();
    run(&env, &with("enforce"), &["mkdir", &env.text("newer")]).ends_with(159);
    assert!(!env.path("newer").exists());
    // Off, and saying so.
    let off = run(
        &env,
        &with("off"),
        &["grep", "-E", "^(Seccomp|NoNewPrivs):", "/proc/self/status"],
    );
    off.succeeds()
        .says("NoNewPrivs:\t0\nSeccomp:\t0\n")
        .complains("SECCOMP_RUN_MODE=off");
    run(&env, &with("off"), &["sh", "-c", "exit 7"]).ends_with(7);
    run(&env, &with("off"), &["no-such-command"]).ends_with(127);
}

#[test]
fn off_changes_nothing_about_the_command() {
    let env = Env::new();
    let probe = fixture("probe", Build::Static);
    let probed = |words: &[&str], file: &str| {
        let script = format!(
            "trap '' PIPE; exec {} {probe} {} <&-",
            words.join(" "),
            env.text(file)
        );
        env.run(&["sh", "-c", &script])
            .var("SECCOMP_RUN_MODE", "off")
            .output()
            .succeeds();
        env.read(file)
    };
    assert_eq!(probed(&[], "native"), probed(&[SECCOMP_RUN, "--"], "off"));
}

#[test]
fn nothing_said_runs_nothing() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[], "neither --learn nor --enforce"),
        (&[("SECCOMP_RUN_MODE", "")], "neither --learn nor --enforce"),
        (
            &[("SECCOMP_RUN_PROFILE", &profile)],
            "neither --learn nor --enforce",
        ),
        (
            &[
                ("SECCOMP_RUN_MODE", "enforced"),
                ("SECCOMP_RUN_PROFILE", &profile),
            ],
            "no mode 'enforced'",
        ),
        (
            &[("SECCOMP_RUN_MODE", "enforce")],
            "needs SECCOMP_RUN_PROFILE",
        ),
        (
            &[
                ("SECCOMP_RUN_MODE", "enforce"),
                ("SECCOMP_RUN_PROFILE", "/no/such"),
            ],
            "/no/such",
        ),
    ];
    for (vars, says) in cases {
        let out = run(&env, vars, &["touch", "ran"]);
        out.fails_cleanly(125).complains(says);
        assert!(!env.path("ran").exists(), "{out}");
    }
    // What the command line says cannot be undone by a variable.
    let out = env
        .run(&[
            SECCOMP_RUN,
            "--enforce",
            &profile,
            "--",
            "grep",
            "^Seccomp:",
            "/proc/self/status",
        ])
        .var("SECCOMP_RUN_MODE", "off")
        .var("SECCOMP_RUN_ACTION", "log")
        .output();
    out.succeeds().says("Seccomp:\t2\n");
    assert!(!out.stderr.contains("log"), "{out}");
}
