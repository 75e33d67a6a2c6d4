//! What every test stands on: a directory, a fixed environment, time limits, compiled C programs.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a program may take unless the test says otherwise.
const LIMIT: Duration = Duration::from_secs(60);

/// The program under test. `SECCOMP_RUN_BINARY` names one that was built in another way.
pub(crate) const SECCOMP_RUN: &str = match option_env!("SECCOMP_RUN_BINARY") {
    Some(binary) => binary,
    None => env!("CARGO_BIN_EXE_seccomp-run"),
};

/// Says why a test cannot run here, and passes; with `SECCOMP_RUN_NO_SKIP` set it fails instead.
macro_rules! skip {
    ($($why:tt)*) => {{
        $crate::harness::skipped(&format!($($why)*));
        return;
    }};
}
pub(crate) use skip;

/// The part of `skip!` that needs no `return`.
pub(crate) fn skipped(why: &str) {
    assert!(
        std::env::var_os("SECCOMP_RUN_NO_SKIP").is_none(),
        "skipped although SECCOMP_RUN_NO_SKIP is set: {why}"
    );
    eprintln!("skipped: {why}");
    if let Some(log) = std::env::var_os("SECCOMP_RUN_SKIP_LOG") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let line = format!("{name}: {why}\n");
        let _ = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(log)
            .and_then(|mut f| f.write_all(line.as_bytes()));
    }
}

/// A user who may do everything.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The words before a command that make it an ordinary user's.
pub(crate) fn ordinary_user() -> &'static [&'static str] {
    if is_root() {
        &[
            "setpriv",
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
        ]
    } else {
        &["env"]
    }
}

/// Whether `program` is in the fixed PATH.
pub(crate) fn installed(program: &str) -> bool {
    PATH.split(':')
        .any(|dir| Path::new(dir).join(program).exists())
}

/// Skips the test unless all of these programs are installed.
macro_rules! needs {
    ($($program:expr),+) => {
        $(if !$crate::harness::installed($program) {
            $crate::harness::skip!("{} is not installed", $program);
        })+
    };
}
pub(crate) use needs;

/// Skips the test unless it runs as root.
macro_rules! needs_root {
    () => {
        if !$crate::harness::is_root() {
            $crate::harness::skip!("not root");
        }
    };
}
pub(crate) use needs_root;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One test's directory and environment; the directory goes when this does.
pub(crate) struct Env {
    dir: PathBuf,
    runs: AtomicUsize,
}

impl Env {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir =
            std::env::temp_dir().join(format!("seccomp-run-test-{}-{count}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        Self {
            dir,
            runs: AtomicUsize::new(0),
        }
    }

    /// A path in this test's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The same as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A new file in this test's directory.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), content).unwrap();
        self.text(name)
    }

    /// What a file of this test's directory holds.
    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// A new, empty directory in this one.
    pub(crate) fn mkdir(&self, name: &str) -> String {
        fs::create_dir_all(self.path(name)).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o777)).unwrap();
        self.text(name)
    }

    /// A copy of a program where every user can execute it.
    pub(crate) fn copy_program(&self, program: &str, name: &str) -> String {
        // Not by us: a child that another test forks meanwhile would hold our copy open for writing, and
        // executing it would fail with ETXTBSY.
        let copied = Command::new("install")
            .args(["-m", "755", program])
            .arg(self.path(name))
            .status();
        assert!(copied.unwrap().success(), "cannot copy {program}");
        self.text(name)
    }

    /// Any program.
    pub(crate) fn run(&self, argv: &[&str]) -> Run<'_> {
        Run {
            env: self,
            argv: argv.iter().map(OsString::from).collect(),
            vars: BTreeMap::new(),
            cwd: self.dir.clone(),
            limit: LIMIT,
        }
    }

    /// `seccomp-run` with these arguments.
    pub(crate) fn ours(&self, args: &[&str]) -> Run<'_> {
        let mut argv = vec![SECCOMP_RUN];
        argv.extend_from_slice(args);
        self.run(&argv)
    }

    /// `seccomp-run --learn -o PROFILE -- COMMAND`; the command must end with 0.
    pub(crate) fn learn(&self, profile: &str, command: &[&str]) -> crate::profile::Profile {
        let mut args = vec!["--learn", "-o", profile, "--"];
        args.extend_from_slice(command);
        self.ours(&args).output().succeeds();
        crate::profile::Profile::read(Path::new(profile))
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        if std::env::var_os("SECCOMP_RUN_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// A program about to be run, in a session of its own.
pub(crate) struct Run<'e> {
    env: &'e Env,
    argv: Vec<OsString>,
    vars: BTreeMap<OsString, OsString>,
    cwd: PathBuf,
    limit: Duration,
}

impl Run<'_> {
    pub(crate) fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.into(), value.into());
        self
    }

    pub(crate) fn cwd(mut self, dir: &str) -> Self {
        self.cwd = dir.into();
        self
    }

    pub(crate) fn limit(mut self, seconds: u64) -> Self {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// Starts it; its standard input is empty, its output goes to files.
    pub(crate) fn start(self) -> Running {
        let run = self.env.runs.fetch_add(1, Ordering::Relaxed);
        let stdout = self.env.path(&format!(".stdout.{run}"));
        let stderr = self.env.path(&format!(".stderr.{run}"));
        // setsid(1) gives the program its own session: no terminal, a process group that can be killed. env(1)
        // undoes what a shell does to background jobs (SIGINT and SIGQUIT ignored). Both execute in place, so
        // that the process we started is the program.
        let mut command = Command::new("/usr/bin/setsid");
        command
            .args(["/usr/bin/env", "--default-signal"])
            .args(&self.argv)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", &self.env.dir)
            .env("LC_ALL", "C")
            .env("COLUMNS", "100")
            .envs(&self.vars)
            .current_dir(&self.cwd)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&stdout).unwrap())
            .stderr(fs::File::create(&stderr).unwrap());
        let child = command.spawn().unwrap();
        Running {
            pid: i32::try_from(child.id()).unwrap(),
            child,
            argv: self.argv,
            stdout,
            stderr,
            deadline: Instant::now() + self.limit,
            ended: false,
        }
    }

    /// Runs it to its end.
    pub(crate) fn output(self) -> Output {
        self.start().wait()
    }
}

/// A program that was started; it and its session end with this value at the latest.
pub(crate) struct Running {
    child: Child,
    pid: i32,
    argv: Vec<OsString>,
    stdout: PathBuf,
    stderr: PathBuf,
    deadline: Instant,
    ended: bool,
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn signal(&self, number: i32) {
        // By number through kill(1)'s system call: nix's `Signal` has no real-time signals.
        let done = Command::new("/bin/kill")
            .arg(format!("-{number}"))
            .arg(self.pid.to_string())
            .status()
            .unwrap();
        assert!(done.success(), "kill -{number} {}", self.pid);
    }

    /// What it has written to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stdout).unwrap()).into_owned()
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap()).into_owned()
    }

    /// Waits until `happened` says so.
    pub(crate) fn until(&mut self, what: &str, mut happened: impl FnMut(&Self) -> bool) {
        while !happened(self) {
            let over = self.child.try_wait().unwrap();
            if over.is_some() && happened(self) {
                return;
            }
            assert!(
                over.is_none() && Instant::now() < self.deadline,
                "waiting for: {what}\n{:?}: {over:?}\n--- stdout\n{}\n--- stderr\n{}",
                self.argv,
                self.stdout(),
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end, which must come before its time is up.
    pub(crate) fn wait(self) -> Output {
        let (output, left) = self.end();
        assert!(left.is_empty(), "took too long\n{left}{output}");
        output
    }

    /// Waits for its end, or kills it when its time is up: then the text shows the processes that were left.
    pub(crate) fn end(mut self) -> (Output, String) {
        let mut pause = Duration::from_micros(200);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() >= self.deadline {
                break None;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        };
        let left = if status.is_none() {
            processes_of_session(self.pid)
        } else {
            String::new()
        };
        kill_session(self.pid);
        let status = status.unwrap_or_else(|| self.child.wait().unwrap());
        self.ended = true;
        let output = Output {
            command: self
                .argv
                .join(OsStr::new(" "))
                .to_string_lossy()
                .into_owned(),
            stdout: self.stdout(),
            stderr: self.stderr(),
            status,
        };
        let _ = fs::remove_file(&self.stdout);
        let _ = fs::remove_file(&self.stderr);
        (output, left)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            kill_session(self.pid);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Fields of `/proc/PID/stat` after the command's name: state, ppid, pgrp, session ...
pub(crate) fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// What lives in a session, zombies aside.
pub(crate) fn session_members(session: i32) -> Vec<i32> {
    let all = fs::read_dir("/proc").unwrap();
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&pid| stat(pid).is_some_and(|f| f[0] != "Z" && f[3] == session.to_string()))
        .collect()
}

/// Is this one of the two processes that tell a launcher of ours what its group got?
pub(crate) fn is_witness(pid: i32) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm"));
    name.is_ok_and(|name| name == "seccomp-witness\n")
}

fn processes_of_session(session: i32) -> String {
    session_members(session)
        .into_iter()
        .map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let state = stat(pid).unwrap_or_default().join(" ");
            format!("  {pid} {} {state:.40}\n", name.trim_end())
        })
        .chain(std::iter::once(String::from("  (end of the session)\n")))
        .collect()
}

/// Kills whatever is left of a session that we started.
fn kill_session(session: i32) {
    for _ in 0..100 {
        let members = session_members(session);
        if members.is_empty() {
            return;
        }
        for pid in members {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Ends a process that a test's program started outside its session.
pub(crate) fn kill_stray(pid: i32) {
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

/// How a program ended, and what it said.
pub(crate) struct Output {
    pub(crate) command: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: ExitStatus,
}

impl Output {
    /// The status as a shell shows it.
    pub(crate) fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    #[track_caller]
    pub(crate) fn ends_with(&self, code: i32) -> &Self {
        assert!(
            self.status.code() == Some(code),
            "expected exit code {code}\n{self}"
        );
        self
    }

    #[track_caller]
    pub(crate) fn succeeds(&self) -> &Self {
        self.ends_with(0)
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(
            self.stdout.contains(text),
            "expected on stdout: {text}\n{self}"
        );
        self
    }

    #[track_caller]
    pub(crate) fn complains(&self, text: &str) -> &Self {
        assert!(
            self.stderr.contains(text),
            "expected on stderr: {text}\n{self}"
        );
        self
    }

    /// Our own failure: one of these codes, nothing on stdout, and on stderr one message, perhaps with the
    /// line of the file that it is about, warnings before and hints after it.
    #[track_caller]
    pub(crate) fn fails_cleanly(&self, code: i32) -> &Self {
        self.ends_with(code);
        assert!(
            self.stdout.is_empty(),
            "stdout belongs to the command\n{self}"
        );
        let mut errors = 0;
        let mut more = 0;
        for line in self.stderr.lines() {
            let text = line.strip_prefix("seccomp-run: ");
            let text = text.unwrap_or_else(|| panic!("every line has our prefix\n{self}"));
            if text.starts_with("error: ") {
                errors += 1;
            } else if !(text.starts_with("hint: ") || errors == 0 && text.starts_with("warning: "))
            {
                more += 1;
            }
        }
        assert!(errors == 1, "one message, not {errors}\n{self}");
        assert!(
            more <= 2,
            "{more} lines that are neither message nor hint\n{self}"
        );
        assert!(!self.stderr.contains("panicked"), "a panic\n{self}");
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            command,
            stdout,
            stderr,
            status,
        } = self;
        write!(
            f,
            "{command}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n--- {status}"
        )
    }
}

/// How a C program of `tests/fixtures` is built.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Build {
    Dynamic,
    Static,
    /// For i386, static.
    I386,
    /// With libseccomp, which is not on every machine.
    Libseccomp,
}

/// The path of a compiled `tests/fixtures/NAME.c`, or `None` where the compiler cannot make one.
pub(crate) fn try_fixture(name: &str, build: Build) -> Option<String> {
    static DONE: Mutex<BTreeMap<String, Option<String>>> = Mutex::new(BTreeMap::new());
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(format!("{name}.c"));
    let text = fs::read(&source).unwrap_or_else(|e| panic!("{}: {e}", source.display()));
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let (flags, libraries): (&[&str], &[&str]) = match build {
        Build::Dynamic => (&[], &[]),
        Build::Static => (&["-static"], &[]),
        Build::I386 => (&["-static", "-m32"], &[]),
        Build::Libseccomp => (&[], &["-lseccomp"]),
    };
    let file = format!("{name}-{build:?}-{:016x}", hasher.finish()).to_lowercase();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&file);
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    done.entry(file.clone())
        .or_insert_with(|| {
            if !path.exists() {
                let scratch = path.with_extension(format!("{}.tmp", std::process::id()));
                fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).unwrap();
                let gcc = Command::new("gcc")
                    .args(["-std=gnu11", "-O1", "-Wall", "-Werror", "-pthread"])
                    .args(flags)
                    .arg("-o")
                    .arg(&scratch)
                    .arg(&source)
                    .args(libraries)
                    .output()
                    .ok()?;
                if !gcc.status.success() {
                    let said = String::from_utf8_lossy(&gcc.stderr).into_owned();
                    let may_fail = matches!(build, Build::I386 | Build::Libseccomp);
                    assert!(may_fail, "{}: {said}", source.display());
                    return None;
                }
                fs::rename(&scratch, &path).unwrap();
            }
            Some(path.to_str()?.to_owned())
        })
        .clone()
}

/// The path of a compiled fixture that any machine can build.
pub(crate) fn fixture(name: &str, build: Build) -> String {
    try_fixture(name, build)
        .unwrap_or_else(|| panic!("gcc cannot build {name} ({build:?}); see tests/run.sh"))
}

/// A port of the loopback address that nobody uses at the moment.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Waits until somebody listens there.
pub(crate) fn wait_for_port(running: &mut Running, port: u16) {
    running.until(&format!("port {port}"), |_| {
        let connected = std::net::TcpStream::connect(("127.0.0.1", port));
        // Where nobody listens, a connection that gets this very port for its own end meets itself.
        connected.is_ok_and(|stream| stream.local_addr().is_ok_and(|own| own.port() != port))
    });
}
