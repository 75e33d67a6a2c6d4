//! `extras`: manual pages and completions, as the programs that read them see them.

use crate::harness::{Env, needs};

const PAGES: [&str; 9] = [
    "seccomp-run",
    "seccomp-run-check",
    "seccomp-run-compile",
    "seccomp-run-convert",
    "seccomp-run-diff",
    "seccomp-run-explain",
    "seccomp-run-merge",
    "seccomp-run-report",
    "seccomp-run-simulate",
];

fn pages(env: &Env) -> Vec<String> {
    let path = |name: &&str| env.text(&format!("share/man/man1/{name}.1"));
    PAGES.iter().map(path).collect()
}

fn written() -> Env {
    let env = Env::new();
    let output = env.ours(&["extras", &env.text("share")]).output();
    output.succeeds().complains("wrote 12 files below ");
    env
}

#[test]
fn they_are_written_where_a_share_directory_has_them() {
    let env = written();
    for page in pages(&env) {
        assert!(std::fs::metadata(&page).unwrap().len() > 1000, "{page}");
    }
    for script in [
        "bash-completion/completions/seccomp-run",
        "zsh/site-functions/_seccomp-run",
        "fish/vendor_completions.d/seccomp-run.fish",
    ] {
        let text = env.read(&format!("share/{script}"));
        assert!(
            text.contains("no-evidence") && text.contains("simulate"),
            "{script}"
        );
    }
    // A second time replaces them; a place that is none is told.
    env.ours(&["extras", &env.text("share")])
        .output()
        .succeeds();
    let file = env.write("file", "");
    env.ours(&["extras", &file])
        .output()
        .fails_cleanly(125)
        .complains("cannot make directory");
    assert!(!env.ours(&["--help"]).output().stdout.contains("extras"));
}

#[test]
fn pages_are_clean_for_mandoc() {
    needs!("mandoc");
    let env = written();
    for page in pages(&env) {
        let lint = env.run(&["mandoc", "-Tlint", "-Wwarning", &page]).output();
        let wrong: Vec<_> = lint.stdout.lines().chain(lint.stderr.lines()).collect();
        // A page that is made anew by every release needs no date.
        let wrong = wrong.iter().filter(|line| !line.contains("missing date"));
        assert_eq!(wrong.count(), 0, "{lint}");
    }
}

#[test]
fn pages_are_clean_for_groff_and_man_shows_them() {
    needs!("groff");
    needs!("man");
    let env = written();
    for page in pages(&env) {
        let groff = env.run(&["groff", "-man", "-ww", "-Tutf8", &page]).output();
        assert!(groff.succeeds().stderr.is_empty(), "{groff}");
    }
    env.run(&["man", "-l", &env.text("share/man/man1/seccomp-run.1")])
        .var("MANWIDTH", "120")
        .output()
        .succeeds()
        .says("seccomp-run --enforce PROFILE [OPTIONS] [--] COMMAND [ARG]...")
        .says("EXIT STATUS")
        .says("128+n  signal n ended the command");
}

#[test]
fn bash_completes_flags_verbs_and_their_flags() {
    let env = written();
    let script = env.text("share/bash-completion/completions/seccomp-run");
    env.run(&["bash", "-n", &script]).output().succeeds();
    for (line, want) in [
        ("seccomp-run --enf", "--enforce"),
        ("seccomp-run sim", "simulate"),
        ("seccomp-run diff --sub", "--subset"),
        ("seccomp-run convert --to kub", "kubernetes"),
    ] {
        let ask = format!(
            "source {script}; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); \
             _seccomp__run seccomp-run \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        let answer = env.run(&["bash", "-c", &ask]).output();
        assert_eq!(answer.succeeds().stdout.trim(), want, "{line}");
    }
}

#[test]
fn zsh_and_fish_read_their_completions() {
    needs!("zsh");
    needs!("fish");
    let env = written();
    let zsh = env.text("share/zsh/site-functions/_seccomp-run");
    env.run(&["zsh", "-n", &zsh]).output().succeeds();
    let fish = env.text("share/fish/vendor_completions.d/seccomp-run.fish");
    let ask = format!("source {fish}; complete -C 'seccomp-run --enf'");
    let answer = env.run(&["fish", "-c", &ask]).output();
    answer.succeeds().says("--enforce\t");
}
