//! What a program can see of how it was started is the same with and without the launcher.

use crate::harness::{Build, Env, SECCOMP_RUN, fixture, ordinary_user};
use crate::profile::all_but;

/// Ways of starting a command, as bash lines; `"$@"` is the command.
const SITUATIONS: &[(&str, &str)] = &[
    ("plain", r#"exec "$@""#),
    ("stdin closed", r#"exec "$@" <&-"#),
    ("stdout closed", r#"exec "$@" >&-"#),
    ("stderr closed", r#"exec "$@" 2>&-"#),
    ("0, 1 and 2 closed", r#"exec "$@" <&- >&- 2>&-"#),
    (
        "more files open",
        r#"exec 5</etc/passwd 9>>"$HOME/nine" 200<&0; exec "$@""#,
    ),
    (
        "0, 1 and 2 closed, others open",
        r#"exec 3</etc/passwd 4>>"$HOME/four" <&- >&- 2>&-; exec "$@""#,
    ),
    ("SIGPIPE ignored", r#"trap '' PIPE; exec "$@""#),
    ("SIGCHLD ignored", r#"exec env --ignore-signal=CHLD "$@""#),
    ("everything ignored", r#"exec env --ignore-signal "$@""#),
    ("everything blocked", r#"exec env --block-signal "$@""#),
    ("nohup", r#"exec nohup "$@""#),
    ("umask", r#"umask 027; exec "$@""#),
    (
        "limits",
        r#"ulimit -n 64; ulimit -c 0; ulimit -s 4096; ulimit -S -t 500; exec "$@""#,
    ),
    ("another directory", r#"cd /usr; exec "$@""#),
    ("no environment", r#"exec env -i "$@""#),
    (
        "a hostile environment",
        r#"exec env -i RUST_BACKTRACE=full RUST_LOG=trace A= =x 'B C=d' LD_PRELOAD=/nonexistent.so "$@""#,
    ),
    (
        "a parent death signal",
        r#"exec setpriv --pdeathsig USR2 "$@""#,
    ),
    ("nice", r#"exec nice -n 5 "$@""#),
    ("batch scheduling", r#"exec chrt --batch 0 "$@""#),
    ("one processor", r#"exec taskset -c 0 "$@""#),
    ("idle io", r#"exec ionice -c 3 "$@""#),
    ("no address randomisation", r#"exec setarch -R "$@""#),
    ("arguments", r#"exec "$@" '' ' ' '--learn' '-x' '*'"#),
    (
        "killable first",
        r#"echo 500 > /proc/self/oom_score_adj; exec "$@""#,
    ),
];

#[test]
fn a_command_sees_no_difference() {
    let env = Env::new();
    let probe = fixture("probe", Build::Dynamic);
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let learned = env.text("l.json");
    let ways: [(&str, &[&str]); 4] = [
        ("enforce", &["--enforce", &profile, "--"]),
        ("enforce --exec", &["--enforce", &profile, "--exec", "--"]),
        ("learn", &["--learn", "--force", "-o", &learned, "--"]),
        (
            "learn --transparent",
            &["--learn", "--transparent", "--force", "-o", &learned, "--"],
        ),
    ];
    // A command that is not traced to its end must not outlive the learner whose answers it needs.
    let told = |way: &str, line: &str| way == "learn" && line.starts_with("parent death signal: ");
    let mut wrong = Vec::new();
    for &(situation, line) in SITUATIONS {
        let report = |prefix: &[&str]| {
            let file = env.text("report");
            let _ = std::fs::remove_file(&file);
            let args = [&["bash", "-c", line, "bash"], prefix, &[&probe, &file]].concat();
            let out = env.run(&args).output();
            assert!(out.code() == 0, "{situation}\n{out}");
            let text = env.read("report");
            // bash tells the program which file it executed.
            text.lines()
                .filter(|l| !l.starts_with("env: _="))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let native = report(&[]);
        assert!(native.len() > 150, "{native:#?}");
        for (way, args) in ways {
            let ours = report(&[&[SECCOMP_RUN], args].concat());
            let differs =
                |line: &&String, other: &[String]| !other.contains(line) && !told(way, line);
            for line in native.iter().filter(|l| differs(l, &ours)) {
                wrong.push(format!("{situation}, {way}: lost      {line}"));
            }
            for line in ours.iter().filter(|l| differs(l, &native)) {
                wrong.push(format!("{situation}, {way}: has       {line}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_command_is_found_on_the_callers_path_and_keeps_its_own_name() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    env.mkdir("bin");
    env.copy_program(&fixture("probe", Build::Static), "bin/our-probe");
    let path = format!("{}:/usr/bin:/bin", env.text("bin"));
    env.run(&["sh", "-c", "exec our-probe native"])
        .var("PATH", &path)
        .output()
        .succeeds();
    env.ours(&["--enforce", &profile, "our-probe", "enforce"])
        .var("PATH", &path)
        .output()
        .succeeds();
    env.ours(&["--learn", "our-probe", "learn"])
        .var("PATH", &path)
        .output()
        .succeeds();
    assert!(env.path("profile.json").exists(), "the default output file");
    for file in ["native", "enforce", "learn"] {
        let report = env.read(file);
        assert!(report.contains("\nargv 0: our-probe\n"), "{file}: {report}");
        assert!(
            report.contains(&format!("\nexecfn: {}/our-probe\n", env.text("bin"))),
            "{file}: {report}"
        );
    }
}

#[test]
fn the_launcher_does_not_hold_the_commands_pipes() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let learned = env.text("l.json");
    let time = |name: &str| -> i128 { env.read(name).trim().parse().unwrap() };
    let mut held = Vec::new();
    for way in [
        format!("--enforce {profile}"),
        format!("--learn -o {learned}"),
    ] {
        // The command closes its input at once, and goes on: the writer must notice long before its end.
        let line = format!(
            "{{ yes; date +%s%N >writer; }} 2>/dev/null | (exec {SECCOMP_RUN} {way} -- \
             sh -c 'exec <&-; sleep 1; date +%s%N >command'); echo ${{PIPESTATUS[1]}}"
        );
        env.run(&["bash", "-c", &line])
            .limit(20)
            .output()
            .succeeds()
            .says("0\n");
        if time("command") - time("writer") < 500_000_000 {
            held.push(format!("{way}: the writer of its input"));
        }
        // The same for its output, with a reader that waits for the end of it.
        let way = way.replace("--learn", "--learn --force");
        let line = format!(
            "(exec {SECCOMP_RUN} {way} -- sh -c 'exec >&-; sleep 1') | {{ cat; date +%s%N >reader; }}; \
             echo ${{PIPESTATUS[0]}}; date +%s%N >command"
        );
        env.run(&["bash", "-c", &line])
            .limit(20)
            .output()
            .succeeds()
            .says("0\n");
        if time("command") - time("reader") < 500_000_000 {
            held.push(format!("{way}: the reader of its output"));
        }
    }
    assert!(
        held.is_empty(),
        "held up until the launcher ends: {held:#?}"
    );
}

#[test]
fn a_launcher_whose_stderr_is_gone_still_does_its_work() {
    let env = Env::new();
    let learned = env.text("l.json");
    let line = format!(
        "{{ {SECCOMP_RUN} --learn -o {learned} -- sh -c 'echo out; exit 3'; echo $? >code; }} 2>&1 >out | true"
    );
    env.run(&["bash", "-c", &line]).output();
    assert_eq!(env.read("code"), "3\n");
    assert_eq!(env.read("out"), "out\n");
    crate::profile::Profile::read(&env.path("l.json")).has(&["write"]);
}

#[test]
fn an_ordinary_user_can_use_both_modes() {
    let env = Env::new();
    let dir = env.mkdir("user");
    let ours = env.copy_program(SECCOMP_RUN, "ours");
    let tracee = env.copy_program(&fixture("tracee", Build::Static), "tracee");
    let user = ordinary_user();
    for scene in ["undumpable", "exec_thread", "storm", "stopped"] {
        let learned = format!("{dir}/{scene}.json");
        let native = env.run(&[user, &[&tracee, scene]].concat()).output();
        let learn = env
            .run(
                &[
                    user,
                    &[&ours, "--learn", "-o", &learned, "--", &tracee, scene],
                ]
                .concat(),
            )
            .output();
        let enforce = env
            .run(&[user, &[&ours, "--enforce", &learned, "--", &tracee, scene]].concat())
            .output();
        for out in [learn, enforce] {
            assert!(
                out.status == native.status && out.stdout == native.stdout,
                "{native}\n\n{out}"
            );
        }
    }
    // Something else is denied.
    let storm = format!("{dir}/undumpable.json");
    let out = env
        .run(
            &[
                user,
                &[&ours, "--enforce", &storm, "--kill", "--", &tracee, "vfork"],
            ]
            .concat(),
        )
        .output();
    out.ends_with(159);
}

#[test]
fn sockets_that_are_passed_are_passed_to_the_command() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let learned = env.text("l.json");
    for way in [
        format!("--enforce {profile}"),
        format!("--enforce {profile} --exec"),
        format!("--learn -o {learned}"),
    ] {
        // As systemd does it: the process that may take the sockets is named by its pid.
        let line = format!(
            "export LISTEN_PID=$$ LISTEN_FDS=1; exec {SECCOMP_RUN} {way} -- sh -c 'echo $$ $LISTEN_PID $LISTEN_FDS'"
        );
        let out = env.run(&["sh", "-c", &line]).output();
        out.succeeds();
        let words: Vec<&str> = out.stdout.split_whitespace().collect();
        assert_eq!((words[0], words[2]), (words[1], "1"), "{way}");
    }
    // Meant for somebody else, it stays as it is.
    let line =
        format!("LISTEN_PID=1 exec {SECCOMP_RUN} --enforce {profile} -- sh -c 'echo $LISTEN_PID'");
    let out = env.run(&["sh", "-c", &line]).output();
    assert_eq!(out.stdout, "1\n");
}
