//! Real container engines: one way to start, enter and remove a container of each.
//!
//! Containers use the network of the host, so that a test can talk to them on the loopback address; their root file
//! system is read-only, and `/vol` is a directory of the test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::harness::{Env, Output, Run, Running, installed};

/// What a container without registry, network and privileges needs on the machines that tests run on.
const LIMITS: [&str; 4] = [
    "--ulimit",
    "nofile=1024:1024",
    "--ulimit",
    "nproc=4096:4096",
];

/// The capabilities that a container of runc or crun starts with: some of Docker's.
const CAPABILITIES: [&str; 6] = [
    "CAP_CHOWN",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
];

const PATH: &str = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";

/// How long one command of an engine may take.
const LIMIT: u64 = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    PodmanWithCrun,
    PodmanWithRunc,
    Runc,
    Crun,
    Docker,
    /// `ctr`, which starts everything as root.
    Containerd,
}

impl Engine {
    pub(crate) const ALL: [Self; 6] = [
        Self::PodmanWithCrun,
        Self::PodmanWithRunc,
        Self::Runc,
        Self::Crun,
        Self::Docker,
        Self::Containerd,
    ];

    /// A program that it needs and that is missing.
    pub(crate) fn missing(self) -> Option<&'static str> {
        let needed: &[&str] = match self {
            Self::PodmanWithCrun => &["podman", "crun", "unshare"],
            Self::PodmanWithRunc => &["podman", "runc"],
            Self::Runc => &["runc"],
            Self::Crun => &["crun", "unshare"],
            Self::Docker => &["docker", "dockerd", "runc", "containerd"],
            Self::Containerd => &["ctr", "dockerd", "runc", "containerd"],
        };
        needed.iter().copied().find(|program| !installed(program))
    }
}

/// A container that is wanted.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) engine: Engine,
    /// Its file system.
    pub(crate) root: &'a Root,
    /// The profile's file; `None`: the engine's own.
    pub(crate) profile: Option<&'a str>,
    pub(crate) no_new_privs: bool,
    /// The directory that it sees as `/vol`.
    pub(crate) volume: &'a str,
    pub(crate) command: &'a [&'a str],
}

/// A root file system, and the name of its image where an engine has one.
pub(crate) struct Root {
    pub(crate) path: String,
    pub(crate) image: &'static str,
}

/// All engines, with what they need besides.
pub(crate) struct Engines {
    env: Env,
    dockerd: Mutex<Option<Running>>,
    count: AtomicUsize,
}

impl Engines {
    pub(crate) fn new() -> Self {
        Self {
            env: Env::new(),
            dockerd: Mutex::new(None),
            count: AtomicUsize::new(0),
        }
    }

    /// Starts dockerd, and with it its containerd, and gives it these images.
    pub(crate) fn start_docker(&self, roots: &[&Root]) {
        let text = |name: &str| self.env.text(name);
        let mut dockerd = self
            .env
            // Its mounts go with it.
            .run(&[
                "unshare",
                "-m",
                "dockerd",
                "--iptables=false",
                "--ip6tables=false",
                "--ip-forward=false",
                "--ip-masq=false",
                "--bridge=none",
                "--storage-driver=overlay2",
                "--default-ulimit",
                "nofile=1024:1024",
                "--data-root",
                &text("data"),
                "--exec-root",
                &text("exec"),
                "--pidfile",
                &text("docker.pid"),
                "-H",
                &format!("unix://{}", text("docker.sock")),
            ])
            .limit(600)
            .start();
        dockerd.until("dockerd", |dockerd| {
            dockerd.stderr().contains("API listen on")
        });
        for root in roots {
            let line = "tar -C \"$1\" -c . | docker -H unix://\"$2\" import - \"$3\"";
            let socket = text("docker.sock");
            let import = ["sh", "-c", line, "sh", &root.path, &socket, root.image];
            self.env.run(&import).limit(120).output().succeeds();
        }
        *self.dockerd.lock().unwrap_or_else(PoisonError::into_inner) = Some(dockerd);
    }

    /// Ends dockerd.
    pub(crate) fn stop_docker(&self) {
        let dockerd = self
            .dockerd
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(dockerd) = dockerd {
            dockerd.signal(15);
            dockerd.wait();
        }
    }

    /// The words before a subcommand of an engine.
    fn words(&self, engine: Engine) -> Vec<String> {
        let text = |name: &str| self.env.text(name);
        // crun refuses the hybrid of both versions of control groups.
        let without_hybrid = [
            "unshare",
            "-m",
            "sh",
            "-c",
            "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"",
            "sh",
        ];
        let podman = |runtime: &str| {
            let (root, run) = (text("storage"), text("run"));
            let words = [
                "podman",
                "--root",
                &root,
                "--runroot",
                &run,
                // Another driver leaves a mount behind.
                "--storage-driver",
                "vfs",
                "--runtime",
                runtime,
            ];
            words.map(str::to_owned).to_vec()
        };
        match engine {
            Engine::PodmanWithRunc => podman("runc"),
            Engine::PodmanWithCrun => {
                let before = without_hybrid.map(str::to_owned).to_vec();
                [before, podman("crun")].concat()
            }
            Engine::Runc => vec!["runc".into(), "--root".into(), text("runc")],
            Engine::Crun => {
                let before = without_hybrid.map(str::to_owned).to_vec();
                [before, vec!["crun".into(), "--root".into(), text("crun")]].concat()
            }
            Engine::Docker => {
                let host = format!("unix://{}", text("docker.sock"));
                vec!["docker".into(), "-H".into(), host]
            }
            Engine::Containerd => {
                let socket = text("exec/containerd/containerd.sock");
                vec!["ctr".into(), "-a".into(), socket]
            }
        }
    }

    fn run(&self, engine: Engine, args: &[&str]) -> Run<'_> {
        let words = self.words(engine);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.env.run(&[&words, args].concat()).limit(LIMIT)
    }

    fn name(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("seccomp-run-test-{}-{count}", std::process::id())
    }

    /// Starts a container that stays in the foreground, by podman or docker: signals reach its first process.
    pub(crate) fn foreground(&self, wanted: &Wanted<'_>) -> Running {
        let name = self.name();
        let mut words = run_words(wanted, &name);
        words.push("--rm".into());
        words.extend(image(wanted));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let all = [&words, wanted.command].concat();
        self.run(wanted.engine, &all).start()
    }

    /// Starts a container in the background.
    ///
    /// # Errors
    /// What the engine said instead.
    pub(crate) fn start(&self, wanted: &Wanted<'_>) -> Result<Container<'_>, String> {
        let name = self.name();
        let container = Container {
            engines: self,
            engine: wanted.engine,
            name: name.clone(),
        };
        let mut words = match wanted.engine {
            Engine::Runc | Engine::Crun => {
                let bundle = self.env.mkdir(&name);
                let config = Path::new(&bundle).join("config.json");
                fs::write(config, oci(wanted).to_string()).unwrap();
                let words = ["run", "-d", "--bundle", &bundle, &name];
                words.map(str::to_owned).to_vec()
            }
            Engine::Containerd => {
                let mount = format!("type=bind,src={},dst=/vol,options=rbind:rw", wanted.volume);
                let mut words = vec!["run", "-d", "--net-host", "--read-only", "--mount", &mount];
                words.extend(["--env", PATH]);
                if let Some(profile) = wanted.profile {
                    words.extend(["--seccomp", "--seccomp-profile", profile]);
                }
                if !wanted.no_new_privs {
                    words.push("--allow-new-privs");
                }
                words.extend(["--rootfs", &wanted.root.path, &name]);
                words.into_iter().map(str::to_owned).collect()
            }
            _ => {
                let mut words = run_words(wanted, &name);
                words.push("-d".into());
                words.extend(image(wanted));
                words
            }
        };
        if !matches!(wanted.engine, Engine::Runc | Engine::Crun) {
            words.extend(wanted.command.iter().map(|word| (*word).to_owned()));
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = self.run(wanted.engine, &words).output();
        match output.code() {
            0 => Ok(container),
            _ => Err(output.to_string()),
        }
    }
}

/// `run` of podman or docker, to be continued with the image or root and the command.
fn run_words(wanted: &Wanted<'_>, name: &str) -> Vec<String> {
    let mut words = vec!["run", "--name", name, "--read-only", "--user", "1000:1000"];
    words.extend(["--cap-drop=all", "--network=host"]);
    words.extend(LIMITS);
    let volume = format!("{}:/vol", wanted.volume);
    words.extend(["-v", &volume]);
    let seccomp = wanted.profile.map(|profile| format!("seccomp={profile}"));
    if let Some(seccomp) = &seccomp {
        words.extend(["--security-opt", seccomp]);
    }
    if wanted.no_new_privs {
        words.extend(["--security-opt", "no-new-privileges"]);
    }
    words.into_iter().map(str::to_owned).collect()
}

/// The words that name the file system.
fn image(wanted: &Wanted<'_>) -> Vec<String> {
    match wanted.engine {
        Engine::Docker => vec![wanted.root.image.to_owned()],
        _ => vec!["--rootfs".to_owned(), wanted.root.path.clone()],
    }
}

/// The `config.json` of a bundle.
fn oci(wanted: &Wanted<'_>) -> serde_json::Value {
    let seccomp = wanted.profile.map(|profile| -> serde_json::Value {
        let text = fs::read_to_string(profile).unwrap();
        serde_json::from_str(&text).unwrap()
    });
    let spaces = ["pid", "ipc", "uts", "mount"].map(|kind| json!({ "type": kind }));
    let sets = ["bounding", "permitted", "effective"].map(|set| (set, CAPABILITIES));
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 1000, "gid": 1000 },
            "args": wanted.command,
            "env": [PATH],
            "cwd": "/",
            "capabilities": std::collections::BTreeMap::from(sets),
            "noNewPrivileges": wanted.no_new_privs,
        },
        "root": { "path": wanted.root.path, "readonly": true },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/vol", "type": "bind", "source": wanted.volume, "options": ["rbind", "rw"] },
        ],
        "linux": { "namespaces": spaces, "seccomp": seccomp },
    })
}

/// A container that was started; it is removed with this value.
pub(crate) struct Container<'e> {
    engines: &'e Engines,
    engine: Engine,
    name: String,
}

impl Container<'_> {
    /// Runs a program in it, under its profile. It prints something, or fails.
    ///
    /// `ctr` can end before what the program has printed comes to it; then it is asked again.
    pub(crate) fn exec(&self, command: &[&str]) -> Output {
        let mut output = self.exec_once("second", command);
        for id in ["third", "fourth"] {
            if self.engine != Engine::Containerd || output.code() != 0 || !output.stdout.is_empty()
            {
                break;
            }
            eprintln!("again: {output}");
            output = self.exec_once(id, command);
        }
        output
    }

    fn exec_once(&self, id: &str, command: &[&str]) -> Output {
        let head: &[&str] = match self.engine {
            Engine::Containerd => &["tasks", "exec", "--exec-id", id, &self.name],
            _ => &["exec", &self.name],
        };
        self.engines
            .run(self.engine, &[head, command].concat())
            .output()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let name = self.name.as_str();
        let steps: &[&[&str]] = match self.engine {
            Engine::Runc | Engine::Crun => &[&["delete", "--force", name]],
            Engine::Docker => &[&["rm", "-f", name]],
            Engine::Containerd => &[&["tasks", "rm", "-f", name], &["containers", "rm", name]],
            Engine::PodmanWithCrun | Engine::PodmanWithRunc => &[&["rm", "-f", "-t", "0", name]],
        };
        for step in steps {
            // It may not have come so far.
            let _ = self.engines.run(self.engine, step).output();
        }
    }
}

/// An image with nothing but busybox.
pub(crate) fn busybox(env: &Env) -> Root {
    let root = Root {
        path: env.mkdir("busybox"),
        image: "busybox:test",
    };
    furnish(Path::new(&root.path));
    fs::create_dir_all(env.path("busybox/bin")).unwrap();
    env.copy_program("/bin/busybox", "busybox/bin/busybox");
    root
}

/// A Debian with python3, node, nginx and redis; made once, which takes minutes.
///
/// # Errors
/// Why there can be none here.
pub(crate) fn debian(env: &Env) -> Result<Root, String> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_makes_it = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("debian-bookworm");
    let root = Root {
        path: path.to_str().unwrap().to_owned(),
        image: "debian:test",
    };
    if path.exists() {
        return Ok(root);
    }
    if !installed("debootstrap") {
        return Err("debootstrap is not installed".to_owned());
    }
    // Where apt gets its packages from.
    let format = [
        "--format",
        "$(REPO_URI)",
        "Codename: bookworm",
        "Identifier: Packages",
    ];
    let mirrors = env
        .run(&[&["apt-get", "indextargets"], &format[..]].concat())
        .output();
    let Some(mirror) = mirrors.stdout.lines().next() else {
        return Err("apt has no mirror of Debian bookworm".to_owned());
    };
    let scratch = format!("{}.{}.tmp", root.path, std::process::id());
    let packages = "--include=python3,nodejs,nginx-light,redis-server";
    let make = [
        "debootstrap",
        "--variant=minbase",
        packages,
        "bookworm",
        &scratch,
        mirror,
    ];
    let made = env.run(&make).limit(600).output();
    if made.code() != 0 {
        let _ = fs::remove_dir_all(&scratch);
        let last = made.stdout.lines().last().unwrap_or_default().to_owned();
        return Err(format!("debootstrap cannot run here: {last}"));
    }
    for needless in [
        "var/cache",
        "var/lib/apt",
        "usr/share/doc",
        "usr/share/locale",
    ] {
        let _ = fs::remove_dir_all(Path::new(&scratch).join(needless));
    }
    furnish(Path::new(&scratch));
    fs::rename(&scratch, &path).unwrap();
    Ok(root)
}

/// What engines mount over.
fn furnish(root: &Path) {
    for place in ["proc", "dev", "sys", "tmp", "etc", "vol", "run"] {
        fs::create_dir_all(root.join(place)).unwrap();
    }
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(root.join("vol"), fs::Permissions::from_mode(0o777)).unwrap();
}
