//! Commands that are timed from start to end.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::running::Running;
use crate::{Outcome, Row, Unit};

pub(crate) const ROWS: [Row; 8] = [
    Row {
        name: "dd bs=1, 1 M calls",
        needs: &["dd"],
        many: true,
        prepare: |_| Ok(()),
        measure: |scene| {
            let count = format!("count={}", 500_000 / scene.part);
            scene.time(&["dd", "if=/dev/zero", "of=/dev/null", "bs=1", &count])
        },
        ..Row::TIMED
    },
    Row {
        name: "getppid, 1 M calls",
        needs: &["gcc"],
        many: true,
        prepare: compile_load,
        measure: |scene| {
            let calls = (1_000_000 / scene.part).to_string();
            scene.time(&["./load", "getppid", &calls])
        },
        ..Row::TIMED
    },
    Row {
        name: "find /usr",
        needs: &["find"],
        measure: |scene| scene.time(&["find", "/usr", "-name", "nothing"]),
        ..Row::TIMED
    },
    Row {
        name: "git status, git gc",
        needs: &["git", "cp"],
        prepare: generate_repository,
        measure: |scene| {
            let copy = scene.dir.join("copy");
            if copy.exists() {
                fs::remove_dir_all(&copy)?;
            }
            Running::output(&["cp", "-a", "repository", "copy"], scene.dir)?;
            scene.time(&["sh", "-c", "cd copy && git status && git gc -q"])
        },
        ..Row::TIMED
    },
    Row {
        name: "64 threads, 144 k mixed calls",
        needs: &["gcc"],
        prepare: compile_load,
        measure: |scene| scene.time(&["./load", "threads", "64", "250"]),
        ..Row::TIMED
    },
    Row {
        name: "python3, 5 imports",
        needs: &["/usr/bin/python3"],
        measure: |scene| {
            let imports = "import ssl, sqlite3, json, asyncio, subprocess";
            scene.time(&["/usr/bin/python3", "-c", imports])
        },
        ..Row::TIMED
    },
    Row {
        name: "gcc, compile and link",
        needs: &["gcc"],
        prepare: write_load,
        measure: |scene| scene.time(&["gcc", "-O2", "-pthread", "-o", "out", "load.c"]),
        ..Row::TIMED
    },
    Row {
        name: "sh, 1000 children",
        needs: &["sh"],
        measure: |scene| {
            let script = "i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i+1)); done";
            scene.time(&["sh", "-c", script])
        },
        ..Row::TIMED
    },
];

impl Row {
    /// What most rows here have in common.
    const TIMED: Self = Self {
        name: "",
        needs: &[],
        unit: Unit::Seconds,
        many: false,
        prepare: |_| Ok(()),
        measure: |_| Err("nothing to measure".into()),
    };
}

fn write_load(dir: &Path) -> Outcome<()> {
    Ok(fs::write(dir.join("load.c"), include_str!("load.c"))?)
}

/// Makes `load`.
pub(crate) fn compile_load(dir: &Path) -> Outcome<()> {
    write_load(dir)?;
    let words = ["gcc", "-O2", "-pthread", "-o", "load", "load.c"];
    Running::output(&words, dir).map(drop)
}

/// Makes `repository`: 100 commits in 300 files, all objects loose, as work leaves them.
fn generate_repository(dir: &Path) -> Outcome<()> {
    let mut stream = String::new();
    for commit in 0..100 {
        let time = 1_700_000_000 + commit * 1000;
        writeln!(stream, "commit refs/heads/main")?;
        writeln!(stream, "committer n <n@example.org> {time} +0000")?;
        writeln!(stream, "data <<END\nchange {commit}\nEND\n")?;
        let files = if commit == 0 { 0..300 } else { 0..6 };
        for file in files.map(|file| (commit * 37 + file) % 300) {
            writeln!(stream, "M 100644 inline d{}/f{file}\ndata <<END", file % 20)?;
            for line in 0..50 {
                writeln!(stream, "{commit} {file} {}", (line * 7919 + file) % 997)?;
            }
            writeln!(stream, "END\n")?;
        }
    }
    fs::write(dir.join("stream"), stream)?;
    let script = "git init -q repository && cd repository && git symbolic-ref HEAD refs/heads/main && \
        git -c fastimport.unpackLimit=100000 fast-import --quiet <../stream && git reset -q --hard";
    Running::output(&["sh", "-c", script], dir).map(drop)
}
