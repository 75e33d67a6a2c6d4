//! The archive of a release has everything in it, and is the same every time.

use std::path::Path;

use crate::harness::{Env, SECCOMP_RUN, needs};

#[test]
fn an_archive_is_whole_and_reproducible() {
    needs!("bash", "tar", "gzip", "readelf", "git");
    let env = Env::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/release");
    let release = |to: &str| {
        let output = env
            .run(&["bash", script.to_str().unwrap(), &env.mkdir(to)])
            .var("BINARY", SECCOMP_RUN)
            .var("SOURCE_DATE_EPOCH", "1700000000")
            .limit(120)
            .output();
        output.succeeds();
        output.stdout.trim_end().to_owned()
    };
    let (one, other) = (release("one"), release("other"));
    env.run(&["cmp", &one, &other]).output().succeeds();

    let unpacked = env.mkdir("unpacked");
    env.run(&["tar", "-C", &unpacked, "--strip-components=1", "-xzf", &one])
        .output()
        .succeeds();
    for file in [
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "profiles/nginx.json",
        "share/man/man1/seccomp-run.1",
        "share/bash-completion/completions/seccomp-run",
        "share/zsh/site-functions/_seccomp-run",
        "share/fish/vendor_completions.d/seccomp-run.fish",
    ] {
        assert!(Path::new(&unpacked).join(file).exists(), "{file}");
    }
    let program = format!("{unpacked}/bin/seccomp-run");
    env.run(&[
        &program,
        "check",
        &format!("{unpacked}/profiles/nginx.json"),
    ])
    .output()
    .succeeds();

    let dynamic = env.run(&["bash", script.to_str().unwrap(), &unpacked]);
    let dynamic = dynamic.var("BINARY", "/bin/ls").output();
    dynamic.ends_with(1).complains("is not static");
}
