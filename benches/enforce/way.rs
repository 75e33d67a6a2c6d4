//! The ways to start a command.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde_json::json;

use crate::running::{LIMIT, Running, installed};
use crate::{Outcome, Scene};

/// What was built. `SECCOMP_RUN_BINARY` names one that was built in another way.
const BUILT: &str = match option_env!("SECCOMP_RUN_BINARY") {
    Some(binary) => binary,
    None => env!("CARGO_BIN_EXE_seccomp-run"),
};

/// A copy of it, as all others are here. The page cache keeps a file in the pieces that it was written in, a linker writes
/// small ones, and a start maps each: that takes 0.2 ms.
pub(crate) const OURS: &str = "./seccomp-run";

/// Copies what was built to the directory where everything is started.
pub(crate) fn install(dir: &Path) -> Outcome<()> {
    fs::copy(BUILT, dir.join(OURS))?;
    Ok(())
}

/// How a command is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Plain,
    Ours,
    OursExec,
    OursReport,
    Floor,
    Bwrap,
    Firejail,
    Crun,
    Runc,
    Tini,
    DumbInit,
}

impl Way {
    pub(crate) const ALL: [Self; 11] = [
        Self::Plain,
        Self::Ours,
        Self::OursExec,
        Self::OursReport,
        Self::Floor,
        Self::Bwrap,
        Self::Firejail,
        Self::Crun,
        Self::Runc,
        Self::Tini,
        Self::DumbInit,
    ];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Ours => "seccomp-run --enforce",
            Self::OursExec => "seccomp-run --enforce --exec",
            Self::OursReport => "seccomp-run --enforce --report",
            Self::Floor => "static C, compiled before",
            Self::Bwrap => "bwrap --seccomp",
            Self::Firejail => "firejail --seccomp",
            Self::Crun => "crun run",
            Self::Runc => "runc run",
            Self::Tini => "tini (no filter)",
            Self::DumbInit => "dumb-init (no filter)",
        }
    }

    const fn program(self) -> Option<&'static str> {
        match self {
            Self::Plain | Self::Ours | Self::OursExec | Self::OursReport => None,
            Self::Floor => Some("cc"),
            Self::Bwrap => Some("bwrap"),
            Self::Firejail => Some("firejail"),
            Self::Crun => Some("crun"),
            Self::Runc => Some("runc"),
            Self::Tini => Some("tini"),
            Self::DumbInit => Some("dumb-init"),
        }
    }
}

/// A way to start one command, made ready.
pub(crate) struct Launcher {
    pub(crate) way: Way,
    before: Vec<String>,
    command: Vec<String>,
    /// What it inherits.
    program: Option<File>,
}

impl Launcher {
    /// Makes ready to start `command` this way. Fails with the reason where that does not work here.
    pub(crate) fn new(way: Way, command: &[&str], scene: &Scene<'_>) -> Outcome<Self> {
        if let Some(program) = way.program().filter(|program| !installed(program)) {
            return Err(format!("{program} is not installed").into());
        }
        let profile = scene.profiles.large.display().to_string();
        let mut program = None;
        let mut command: Vec<String> = command.iter().map(|&word| word.into()).collect();
        let before = match way {
            Way::Plain | Way::Floor => vec![],
            Way::Ours => vec![OURS, "--enforce", &profile, "--"],
            Way::OursExec => vec![OURS, "--enforce", &profile, "--exec", "--"],
            Way::OursReport => vec![OURS, "--enforce", &profile, "--report", "--"],
            Way::Firejail => vec!["firejail", "--quiet", "--noprofile", "--seccomp", "--"],
            Way::Tini => vec!["tini", "-s", "--"],
            Way::DumbInit => vec!["dumb-init", "--"],
            Way::Bwrap => vec!["bwrap", "--dev-bind", "/", "/", "--seccomp"],
            Way::Crun => vec!["crun", "--cgroup-manager=disabled", "run", "--bundle"],
            Way::Runc => vec!["runc", "run", "--bundle"],
        };
        let mut before: Vec<String> = before.into_iter().map(Into::into).collect();
        match way {
            Way::Bwrap => {
                let file = File::open(&scene.profiles.program)?;
                fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty()))?;
                before.extend([file.as_raw_fd().to_string(), "--".into()]);
                program = Some(file);
            }
            Way::Floor => {
                before.push(build_floor(scene)?);
                before.push(scene.profiles.program.display().to_string());
            }
            Way::Crun | Way::Runc => {
                let bundle = scene.dir.join(format!("{way:?}"));
                write_bundle(&bundle, &command, scene)?;
                before.push(bundle.display().to_string());
                command.clear();
            }
            _ => {}
        }
        let launcher = Self {
            way,
            before,
            command,
            program,
        };
        Ok(launcher)
    }

    /// Starts it.
    pub(crate) fn start(&self, dir: &Path) -> Outcome<Running> {
        static CONTAINERS: AtomicU32 = AtomicU32::new(0);
        let mut words: Vec<&str> = self.before.iter().map(String::as_str).collect();
        // A descriptor is read to its end, which all who inherit it share.
        if let Some(program) = &self.program {
            std::io::Seek::rewind(&mut { program })?;
        }
        let container = format!(
            "seccomp-run-bench-{}-{}",
            std::process::id(),
            CONTAINERS.fetch_add(1, Ordering::Relaxed)
        );
        if matches!(self.way, Way::Crun | Way::Runc) {
            words.push(&container);
        }
        words.extend(self.command.iter().map(String::as_str));
        Running::start(&words, dir, false, LIMIT)
    }

    /// How long it takes, from start to end.
    pub(crate) fn time(&self, dir: &Path) -> Outcome<Duration> {
        self.start(dir)?.end()
    }
}

/// The path of the least that a launcher can be: a C program that is linked like ours.
fn build_floor(scene: &Scene<'_>) -> Outcome<String> {
    let source = scene.dir.join("floor.c");
    fs::write(&source, include_str!("floor.c"))?;
    let program = scene.dir.join("floor").display().to_string();
    let source = source.display().to_string();
    let words = ["cc", "-O2", "-static-pie", "-o", &program, &source];
    Running::start(&words, scene.dir, false, LIMIT)?.end()?;
    Ok(program)
}

/// A container with the host's `/usr`, in two namespaces of its own.
fn write_bundle(bundle: &Path, command: &[String], scene: &Scene<'_>) -> Outcome<()> {
    let root = bundle.join("rootfs");
    if !root.exists() {
        fs::create_dir_all(root.join("usr"))?;
        fs::create_dir(root.join("proc"))?;
        for link in ["bin", "lib", "lib64"] {
            symlink(format!("usr/{link}"), root.join(link))?;
        }
    }
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": command,
            "env": ["PATH=/bin"],
            "cwd": "/",
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "mounts": [
            { "destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"] },
            { "destination": "/proc", "type": "proc", "source": "proc" },
        ],
        "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "mount" }],
            "seccomp": scene.profiles.oci,
        },
    });
    Ok(fs::write(
        bundle.join("config.json"),
        serde_json::to_vec(&config)?,
    )?)
}

/// Those of these ways that work here, each tried once; and why others do not.
pub(crate) fn ready(
    ways: &[Way],
    command: &[&str],
    scene: &Scene<'_>,
) -> (Vec<Launcher>, Vec<String>) {
    let (mut launchers, mut notes) = (Vec::new(), Vec::new());
    for &way in ways {
        let tried = Launcher::new(way, &["/bin/true"], scene)
            .and_then(|launcher| launcher.time(scene.dir))
            .and_then(|_| Launcher::new(way, command, scene));
        match tried {
            Ok(launcher) => launchers.push(launcher),
            Err(why) => notes.push(format!("{}: {why}", way.title())),
        }
    }
    (launchers, notes)
}
