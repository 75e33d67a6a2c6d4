//! Real programs: learned, then run under what was learned, then caught doing something else.

use crate::harness::{
    Build, Env, Output, Running, fixture, free_port, needs, skip, try_fixture, wait_for_port,
};
use crate::profile::Profile;

/// The ways in which a learned profile is enforced: as it is, and so that the first denial is deadly.
const WAYS: &[&[&str]] = &[&[], &["--kill"], &["--exec"]];

/// Runs a command natively, learns it, and runs it under the profile in several ways, each time in a fresh
/// directory: always the same output, always the same end.
fn learns_and_holds(env: &Env, command: &[&str]) -> Profile {
    let native = env.run(command).cwd(&env.mkdir("native")).output();
    let profile = env.text("learned.json");
    let mut args = vec!["--learn", "-o", &profile, "--"];
    args.extend_from_slice(command);
    same(&native, &env.ours(&args).cwd(&env.mkdir("learn")).output());
    for (i, way) in WAYS.iter().enumerate() {
        let mut args = vec!["--enforce", &profile];
        args.extend_from_slice(way);
        args.push("--");
        args.extend_from_slice(command);
        let enforced = env
            .ours(&args)
            .cwd(&env.mkdir(&format!("enforce{i}")))
            .output();
        same(&native, &enforced);
        assert_eq!(native.stderr, enforced.stderr, "{way:?}\n{enforced}");
    }
    Profile::read(&env.path("learned.json"))
}

#[track_caller]
fn same(native: &Output, other: &Output) {
    assert!(
        native.stdout == other.stdout && native.status == other.status,
        "natively:\n{native}\n\nbut:\n{other}"
    );
}

/// Runs a command under the learned profile.
fn held(env: &Env, flags: &[&str], command: &[&str]) -> Output {
    let profile = env.text("learned.json");
    let mut args = vec!["--enforce", &profile];
    args.extend_from_slice(flags);
    args.push("--");
    args.extend_from_slice(command);
    let fresh = env.text("held");
    let _ = std::fs::remove_dir_all(&fresh);
    env.ours(&args).cwd(&env.mkdir("held")).output()
}

/// A server: started, driven, stopped by a signal to the process we started.
fn serve(env: &Env, args: &[&str], port: u16, signal: i32, drive: impl Fn(&mut Running)) -> Output {
    let mut server = env.run(args).start();
    wait_for_port(&mut server, port);
    drive(&mut server);
    server.signal(signal);
    server.wait()
}

const PYTHON: &str = r#"
import os, sqlite3, ssl, subprocess, sys, threading
context = ssl.create_default_context()
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
try:
    client.do_handshake()
except ssl.SSLWantReadError:
    print("client hello", len(outgoing.read()) > 100)
with sqlite3.connect("test.db") as db:
    db.execute("create table t(a, b)")
    db.executemany("insert into t values(?, ?)", ((i, i * i) for i in range(100)))
    print("sum", db.execute("select sum(b) from t").fetchone()[0])
total, lock = [], threading.Lock()
def work(n):
    with lock:
        total.append(sum(range(n)))
threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print("threads", sum(total))
done = subprocess.run(["/bin/sh", "-c", "echo child; exit 3"], capture_output=True)
print("subprocess", done.stdout, done.returncode)
if len(sys.argv) > 1:
    try:
        os.mkfifo("fifo")
        print("fifo made")
    except OSError as e:
        print("fifo errno", e.errno)
sys.exit(5)
"#;

#[test]
fn python_with_ssl_sqlite_threads_and_subprocesses() {
    needs!("python3");
    let env = Env::new();
    let script = env.write("script.py", PYTHON);
    let command = ["python3", &script];
    let profile = learns_and_holds(&env, &command);
    profile
        .has(&["openat", "execve", "wait4", "exit_group", "futex"])
        .lacks(&["mknod", "mknodat", "chroot"]);

    let off_the_path = ["python3", script.as_str(), "fifo"];
    env.run(&off_the_path)
        .cwd(&env.mkdir("native2"))
        .output()
        .ends_with(5)
        .says("fifo made");
    held(&env, &[], &off_the_path)
        .ends_with(5)
        .says("fifo errno 1\n");
    held(&env, &["--errno=ENOSYS"], &off_the_path)
        .ends_with(5)
        .says("fifo errno 38\n");
    let killed = held(&env, &["--kill"], &off_the_path);
    killed.ends_with(159).complains("seccomp-run: ");
    assert!(!killed.stdout.contains("fifo"), "{killed}");
}

#[test]
fn nginx_with_two_workers_under_load() {
    needs!("nginx", "wrk");
    let env = Env::new();
    env.mkdir("www");
    env.write("www/index.html", "it works\n".repeat(500));
    let port = free_port();
    let temps: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|t| format!("{t}_temp_path {};\n", env.mkdir(&format!("temp_{t}"))))
        .concat();
    let config = env.write(
        "nginx.conf",
        format!(
            "daemon off; worker_processes 2; pid {pid}; error_log {log} warn;\nevents {{ worker_connections 64; }}\n\
             http {{ access_log off; {temps} server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n",
            pid = env.text("nginx.pid"),
            log = env.text("error.log"),
            root = env.text("www"),
        ),
    );
    let log = env.text("early.log");
    let nginx = ["nginx", "-e", &log, "-c", &config];
    let load = |_: &mut Running| {
        let url = format!("http://127.0.0.1:{port}/");
        let wrk = env.run(&["wrk", "-t1", "-c8", "-d1s", &url]).output();
        wrk.succeeds().says("requests in");
        assert!(
            !wrk.stdout.contains("Non-2xx") && !wrk.stdout.contains("Socket errors"),
            "{wrk}"
        );
        let missing = format!("{url}missing");
        for (url, status) in [(url.as_str(), "200"), (missing.as_str(), "404")] {
            env.run(&["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url])
                .output()
                .succeeds()
                .says(status);
        }
    };
    let profile = env.text("learned.json");
    let run = |args: &[&str]| {
        let mut all = vec![crate::harness::SECCOMP_RUN];
        all.extend_from_slice(args);
        all.extend_from_slice(&nginx);
        let out = serve(&env, &all, port, 3, load);
        out.succeeds();
        let log = std::fs::read_to_string(env.path("error.log")).unwrap();
        assert!(
            !log.contains("[alert]") && !log.contains("[emerg]") && !log.contains("[crit]"),
            "{log}\n{out}"
        );
    };
    run(&["--learn", "-o", &profile, "--"]);
    let learned = Profile::read(&env.path("learned.json"));
    learned
        .has(&["accept4", "epoll_wait", "bind", "listen", "socketpair"])
        .lacks(&["kill", "execve", "ptrace"]);
    run(&["--enforce", &profile, "--"]);
    run(&["--enforce", &profile, "--kill", "--"]);

    // `nginx -s quit` sends a signal, which no nginx did so far.
    let mut victim = env.run(&["sleep", "30"]).start();
    env.write("nginx.pid", format!("{}\n", victim.pid()));
    held(
        &env,
        &[],
        &["nginx", "-e", &log, "-c", &config, "-s", "quit"],
    )
    .ends_with(1)
    .complains("Operation not permitted");
    assert!(!victim.is_over(), "the signal got through");
    env.run(&["nginx", "-e", &log, "-c", &config, "-s", "quit"])
        .output()
        .succeeds();
    assert_eq!(victim.wait().code(), 128 + 3, "without the filter it does");
}

#[test]
fn redis_under_its_benchmark() {
    needs!("redis-server", "redis-benchmark", "redis-cli");
    let env = Env::new();
    let port = free_port();
    let number = port.to_string();
    let dir = env.mkdir("data");
    let redis = [
        "redis-server",
        "--port",
        &number,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        &dir,
    ];
    let load = |_: &mut Running| {
        let bench = env.run(&[
            "redis-benchmark",
            "-p",
            &number,
            "-n",
            "2000",
            "-c",
            "10",
            "-q",
            "-t",
            "ping,set,get,lpush",
        ]);
        bench.output().succeeds().says("requests per second");
        env.run(&["redis-cli", "-p", &number, "set", "k", "v"])
            .output()
            .succeeds()
            .says("OK");
        env.run(&["redis-cli", "-p", &number, "get", "k"])
            .output()
            .succeeds()
            .says("v");
    };
    let profile = env.text("learned.json");
    let args = |first: &[&'static str], rest: &[&'static str]| -> Vec<String> {
        let ours = std::iter::once(crate::harness::SECCOMP_RUN).chain(first.iter().copied());
        let all = ours
            .chain([profile.as_str()])
            .chain(rest.iter().copied())
            .chain(["--"])
            .chain(redis);
        all.map(str::to_owned).collect()
    };
    let run = |args: &[String], drive: &dyn Fn(&mut Running)| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        serve(&env, &args, port, 15, drive)
    };
    run(&args(&["--learn", "-o"], &[]), &load)
        .succeeds()
        .says("bye bye");
    Profile::read(&env.path("learned.json"))
        .has(&["epoll_wait", "listen"])
        .lacks(&["rename", "execve"]);
    run(&args(&["--enforce"], &[]), &load)
        .succeeds()
        .says("bye bye");
    run(&args(&["--enforce"], &["--kill"]), &load)
        .succeeds()
        .says("bye bye");

    // Saving renames a file, which it never did before.
    let save = |_: &mut Running| {
        env.run(&["redis-cli", "-p", &number, "save"])
            .output()
            .says("ERR");
    };
    run(&args(&["--enforce"], &[]), &save).says("Operation not permitted");
    let save = |_: &mut Running| {
        env.run(&["redis-cli", "-p", &number, "save"]).output();
    };
    let out = run_until_killed(&env, &args(&["--enforce"], &["--kill"]), port, save);
    out.ends_with(159);
}

/// Like `serve`, for a server that does not live to see its signal.
fn run_until_killed(env: &Env, args: &[String], port: u16, drive: impl Fn(&mut Running)) -> Output {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut server = env.run(&args).start();
    wait_for_port(&mut server, port);
    drive(&mut server);
    server.wait()
}

const GIT: &str = r"
set -e
export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
git init -q -b main one
cd one
echo hello > file
git add file
git -c gc.auto=0 commit -q -m first
cd ..
git clone -q --no-hardlinks one two
cat two/file
git -C two log --format=%H
git -C two status --short
";

#[test]
fn git_init_commit_and_local_clone() {
    needs!("git");
    let env = Env::new();
    let script = env.write("git.sh", GIT);
    learns_and_holds(&env, &["sh", &script])
        .has(&["execve", "unlink", "chdir"])
        .lacks(&["bind", "listen"]);

    let port = free_port().to_string();
    let daemon = [
        "git",
        "daemon",
        "--listen=127.0.0.1",
        &format!("--port={port}"),
        "--base-path=.",
    ];
    held(&env, &[], &daemon).complains("unable to allocate any listen sockets");
}

#[test]
fn gcc_compiles_links_and_the_result_runs() {
    let env = Env::new();
    let source = env.write(
        "hello.c",
        "#include <stdio.h>\nint main(void) { return puts(\"compiled\") < 0; }\n",
    );
    let line = format!("gcc -O1 -Wall -o hello {source} && ./hello");
    learns_and_holds(&env, &["sh", "-c", &line])
        .has(&["execve", "unlink", "mmap"])
        .lacks(&["mkdir", "symlink"]);

    let line = format!("{line} && mkdir new");
    let out = held(&env, &[], &["sh", "-c", &line]);
    out.ends_with(1)
        .says("compiled")
        .complains("mkdir: cannot create directory 'new': Operation not permitted");
    held(&env, &["--kill"], &["sh", "-c", &line])
        .ends_with(159)
        .says("compiled");
}

const BASH: &str = r#"
trap 'echo term' TERM
trap 'echo bye; exit 7' EXIT
seq 1 1000 | grep 7 | sort -rn | head -n 3 | tr '\n' ' '
kill -TERM $$
while read -r a b; do echo "$b-$a"; done < <(printf '1 2\n3 4\n')
(exit 4) || echo "sub $?"
echo "${BASH_VERSION:+bash}" | cat > out; cat out
wait
"#;

#[test]
fn bash_pipeline_with_traps() {
    needs!("bash");
    let env = Env::new();
    let script = env.write("script.bash", BASH);
    learns_and_holds(&env, &["bash", &script])
        .has(&["execve", "kill", "rt_sigreturn"])
        .lacks(&["chdir", "symlink"]);

    let line = "cd / && pwd";
    env.run(&["bash", "-c", line])
        .output()
        .succeeds()
        .says("/\n");
    held(&env, &[], &["bash", "-c", line])
        .ends_with(1)
        .complains("Operation not permitted");
    held(&env, &["--kill"], &["bash", "-c", line]).ends_with(159);
}

#[test]
fn static_binary() {
    needs!("busybox");
    let env = Env::new();
    env.write("file", "b\na\n");
    let file = env.text("file");
    let command = ["busybox", "sort", &file];
    learns_and_holds(&env, &command).lacks(&["execve", "mknod", "clone"]);
    let mkfifo = ["busybox", "mkfifo", "fifo"];
    held(&env, &[], &mkfifo)
        .ends_with(1)
        .complains("Operation not permitted");
    held(&env, &["--kill"], &mkfifo).ends_with(159);
    env.run(&mkfifo).output().succeeds();
}

#[test]
fn i386_binary() {
    let Some(tracee) = try_fixture("tracee", Build::I386) else {
        skip!("gcc -m32 does not work")
    };
    let env = Env::new();
    let profile = learns_and_holds(&env, &[&tracee, "storm"]);
    assert!(
        profile.architectures().contains("SCMP_ARCH_X86"),
        "{:?}",
        profile.architectures()
    );
    assert!(
        profile.architectures().contains("SCMP_ARCH_X86_64"),
        "{:?}",
        profile.architectures()
    );
    profile
        .has(&["getppid", "geteuid", "exit_group", "mknod"])
        .lacks(&["mkdir", "vfork"]);
    assert!(
        profile.added().contains("sigreturn"),
        "{:?}",
        profile.added()
    );

    env.run(&[&tracee, "vfork"])
        .output()
        .succeeds()
        .says("vforked 20");
    held(&env, &[], &[&tracee, "vfork"]).ends_with(1);
    held(&env, &["--kill"], &[&tracee, "vfork"]).ends_with(159);
}

#[test]
fn what_was_not_learned_is_logged_and_runs_on() {
    let call = fixture("call", Build::Static);
    let env = Env::new();
    let name = format!("log{}", std::process::id());
    let call = env.copy_program(&call, &name);
    // 39 getpid, 102 getuid.
    learns_and_holds(&env, &[&call, "39"]);
    held(&env, &[], &[&call, "39", "102"])
        .succeeds()
        .says("39: ok\n102: error 1\n");
    let mut records = String::new();
    // The kernel keeps ten records in five seconds, and other tests make thousands.
    for _ in 0..20 {
        held(&env, &["--log"], &[&call, "39", "102"])
            .succeeds()
            .says("39: ok\n102: ok\n");
        let dmesg = env.run(&["dmesg"]).output();
        if dmesg.code() != 0 || !dmesg.stdout.contains("type=1326") {
            skip!("the kernel's log cannot be read, or holds no audit records");
        }
        let ours = dmesg
            .stdout
            .lines()
            .filter(|l| l.contains(&format!("comm=\"{name}\"")) && l.contains("syscall=102 "));
        records = ours.collect();
        if !records.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    assert!(records.contains("code=0x7ffc0000"), "{records}");
}
