//! Programs that nobody here wrote: whatever way the learner watches them, it books the set of `strace -f`.
//!
//! They are those that make the same set each time. Where threads meet by chance, what strace sees in a few
//! runs gives a lower and an upper bound.

use crate::engines::engines;
use crate::exactness::{Oracle, agrees_with_strace};
use crate::harness::{Build, Env, installed, needs, skip, skipped, try_fixture};
use crate::profile::Names;

/// Scripts for sh, each of which starts in an empty directory; the program that each is about comes first.
const FILES: &[(&str, &str)] = &[
    (
        "cp",
        "cp -a /etc/apt a; ln -s a b; mv a c; du -s c >/dev/null; rm -r c; ls; stat -c %F b",
    ),
    (
        "grep",
        "grep -rc deb /etc/apt | wc -l; grep -q root /etc/passwd",
    ),
    (
        "sed",
        "printf 'a\\nb\\n' >f; sed -i -e s/a/x/ -e '$d' f; cat f",
    ),
    (
        "awk",
        "awk 'BEGIN { \"echo piped\" | getline x; print x; print x | \"cat\"; close(\"cat\"); system(\"true\") }'",
    ),
    (
        "sort",
        "seq 3000 | sort -R --random-source=/etc/passwd | sort -n -S 32k -T . --parallel=1 | tail -n 1",
    ),
    (
        "find",
        "find /etc/apt -name 'sources*' -newer /etc/passwd; find /etc/apt -maxdepth 1 -type d -exec basename {} ';'",
    ),
    (
        "xargs",
        "seq 20 | xargs -n 5 echo; echo a b | xargs -I% -P1 echo %",
    ),
    (
        "tar",
        "tar -C /etc -cf a.tar apt passwd; mkdir x; tar -C x -xf a.tar; ls x; tar -tf a.tar | wc -l",
    ),
    (
        "gzip",
        "gzip -9 </etc/passwd >a.gz; gzip -t a.gz; seq 99 >s; gzip s; gunzip -k s.gz; ls s*",
    ),
    (
        "xz",
        "seq 9999 >s; xz -T1 s; xz -dc s.xz | tail -n1; xz -l s.xz | wc -l",
    ),
    ("bzip2", "seq 9999 >s; bzip2 s; bunzip2 -c s.bz2 | tail -n1"),
    (
        "split",
        "seq 100 >s; split -l 30 s p; cat p* | cmp - s; tac s | head -n1; paste s s | tail -n1; od -c s | head -n1",
    ),
    (
        "dd",
        "dd if=/dev/zero of=z bs=4k count=9 conv=fsync status=none; truncate -s 5 z; stat -c %s z; sync z; shred -n1 -u z",
    ),
    (
        "sha256sum",
        "sha256sum /etc/passwd >s; sha256sum -c s; md5sum </dev/null; cksum /etc/passwd | wc -w",
    ),
    (
        "diff",
        "seq 9 >a; seq 8 >b; diff -u a b | tail -n1; diff -u a b >p; patch -R b p 2>&1; cmp a b",
    ),
    (
        "install",
        "install -d d; install -m 600 /etc/passwd d/p; chmod 644 d/p; touch -d @0 d/p; stat -c '%a %Y' d/p",
    ),
    (
        "mkfifo",
        "mkfifo f; (echo through >f &) ; cat f; mknod g p; test -p g; rm f g",
    ),
    ("zip", "seq 9 >s; zip -q z.zip s; zip -T z.zip"),
];

#[test]
fn programs_that_work_on_files() {
    all_agree(FILES);
}

const LANGUAGES: &[(&str, &str)] = &[
    (
        "git",
        "git init -q r; cd r; echo x >f; git add f; git -c user.name=n -c user.email=e commit -qm m; \
         git log --format=%s; git status -s; git branch b; git checkout -q b; git diff HEAD; git tag t",
    ),
    (
        "gcc",
        "echo 'int main(void) { return 3; }' >m.c; gcc -O1 -c m.c; gcc -o m m.o; ./m; echo $?",
    ),
    (
        "ar",
        "echo 'int x;' >x.c; gcc -c x.c; ar rcs x.a x.o; nm x.a | tail -n1; strip x.o; objdump -f x.o | wc -l",
    ),
    (
        "make",
        "printf 'all: a b\\n\\t@cat a b\\na b:\\n\\t@echo $@ >$@\\n' >Makefile; make -s; make -n; make -s -B",
    ),
    (
        "python3",
        "python3 -I -B -c 'import subprocess as s; print(s.run([\"echo\", \"x\"], capture_output=True).stdout, \
         s.call([\"sh\", \"-c\", \"exit 3\"]), s.getoutput(\"pwd | wc -l\"))'",
    ),
    (
        "python3",
        "python3 -I -B -c 'import sqlite3; d = sqlite3.connect(\"d.db\"); d.execute(\"create table t(a)\"); \
         d.execute(\"insert into t values(42)\"); d.commit(); print(d.execute(\"select * from t\").fetchall())'",
    ),
    (
        "python3",
        "python3 -I -B -c 'import os; r, w = os.pipe(); p = os.fork(); p or (os.write(w, b\"child\"), os._exit(4)); \
         print(os.read(r, 9), os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]), os.spawnlp(os.P_WAIT, \"true\", \"true\"))'",
    ),
    (
        "python3",
        "python3 -I -B -c 'import socket; a, b = socket.socketpair(); s = socket.create_server((\"127.0.0.1\", 0)); \
         c = socket.create_connection(s.getsockname()); d = s.accept()[0]; c.sendall(b\"x\"); print(d.recv(9)); \
         d.shutdown(2); print(c.recv(9)); a.send(b\"y\"); print(b.recv(9))'",
    ),
    (
        "perl",
        "perl -e '$| = 1; pipe R, W; if (!fork) { print W \"child\\n\"; exit 2 } close W; print <R>; wait; \
         print $? >> 8, `echo ticks`; $SIG{USR1} = sub { print \"usr1\\n\" }; kill USR1 => $$; system \"true\"; \
         print map { \"$_\\n\" } sort glob \"/etc/apt/*.d\"'",
    ),
    (
        "bash",
        "bash -c 'a=(1 2 3); for i in \"${a[@]}\"; do echo $i; done | while read -r x; do echo \"<$x>\"; done; \
         cat <<<here; cat <(echo sub); trap \"echo bye\" EXIT; (exit 3); echo $?; f() { local x=$(echo in); echo $x; }; f'",
    ),
    ("bc", "echo 'scale=20; 4*a(1)' | bc -l; echo '2^100' | bc"),
    ("jq", "echo '{\"a\": [1, 2]}' | jq -c '.a | add'"),
    (
        "sqlite3",
        "sqlite3 d.db 'create table t(a); insert into t values(1), (2); select sum(a) from t; vacuum'",
    ),
    (
        "openssl",
        "openssl dgst -sha256 /etc/passwd | wc -w; echo x | openssl enc -aes-128-cbc -k k -pbkdf2 -S 00 | wc -c",
    ),
];

#[test]
fn compilers_and_interpreters() {
    all_agree(LANGUAGES);
}

const SYSTEM: &[(&str, &str)] = &[
    (
        "busybox",
        "busybox ls /etc/apt; busybox seq 20 | busybox sort -n | busybox tail -n 1; busybox sha256sum /etc/passwd | \
         busybox cut -c1-4; busybox tar -C /etc -cf a.tar passwd; busybox gzip a.tar; busybox zcat a.tar.gz | busybox wc -c; \
         busybox awk 'BEGIN { print 6 * 7 }'; busybox sh -c 'busybox true && echo ok | busybox sed s/o/0/'; busybox vi -H >/dev/null 2>&1; \
         busybox find /etc/apt -type d | busybox xargs busybox basename -a; busybox md5sum </dev/null",
    ),
    (
        "nice",
        "nice -n 3 nice; env -i A=b env; printenv HOME | wc -l; nohup true; setsid -w true; id -u; tty; uname; groups",
    ),
    (
        "date",
        "date -u -d @0; cal 1 1970 2>/dev/null; sleep 0.01; mktemp -u XXX | wc -c; nproc | wc -l; hostname | wc -l",
    ),
    (
        "flock",
        "flock l echo locked; flock -n l true; ipcs >/dev/null; mcookie | wc -c; getopt -o a -- -a",
    ),
    (
        "setpriv",
        "setpriv --dump | wc -l; unshare --help | wc -l; taskset -p $$ | wc -l; chrt -p $$ | wc -l; ionice",
    ),
    (
        "dpkg-query",
        "dpkg-query -W -f '${Package}\\n' dash; dpkg --print-architecture; dpkg --compare-versions 1 lt 2",
    ),
    (
        "ps",
        "ps -o comm= -p $$; kill -0 $$; kill -l 9; pidof -s no_such_program; free | wc -l; uptime | wc -l",
    ),
    (
        "getconf",
        "file -b /bin/sh 2>/dev/null | wc -l; getconf PAGESIZE; locale -a | wc -l",
    ),
];

#[test]
fn tools_of_the_system() {
    all_agree(SYSTEM);
}

fn all_agree(programs: &[(&str, &str)]) {
    needs!("strace");
    let env = Env::new();
    let mut compared = 0;
    for (program, script) in programs {
        if installed(program) {
            agrees_with_strace(&env, &["sh", "-c", script]);
            compared += 1;
        } else {
            skipped(&format!("{program} is not installed"));
        }
    }
    assert!(compared > 5, "only {compared} programs are installed");
}

#[test]
fn a_tree_of_64_and_32_bit_programs() {
    needs!("strace");
    let Some(call) = try_fixture("call", Build::I386) else {
        skip!("gcc -m32 does not work")
    };
    let env = Env::new();
    let script = format!("{call} 20 24; echo between | cat; {call} 47 execve; busybox true");
    agrees_with_strace(&env, &["sh", "-c", &script]);
    agrees_with_strace(&env, &[&call, "13", "execve"]);
}

/// So many times strace looks at a program whose threads meet by chance.
const LOOKS: usize = 6;

/// Whether a thread finds a lock taken, and has to wait, is chance, and so is which thread comes last and gives memory
/// back. A call that strace saw each time must be there, and one that it never saw must not.
fn within_bounds(env: &Env, command: &[&str]) {
    let mut all = Names::new();
    let mut always: Option<Names> = None;
    let mut last = None;
    for _ in 0..LOOKS {
        let oracle = Oracle::ask(env, command);
        all.extend(oracle.seen.iter().cloned());
        always = Some(match always {
            Some(always) => always.intersection(&oracle.seen).cloned().collect(),
            None => oracle.seen.clone(),
        });
        last = Some(oracle);
    }
    let (mut always, last) = (always.unwrap(), last.unwrap());
    for engine in engines() {
        let profile = last.learn(engine);
        let mut observed = profile.observed();
        observed.remove("restart_syscall");
        // How long a thread spins, and whether it yields then, is chance, too.
        observed.remove("sched_yield");
        always.remove("sched_yield");
        let missing: Vec<_> = always.difference(&observed).collect();
        let extra: Vec<_> = observed.difference(&all).collect();
        assert!(
            missing.is_empty() && extra.is_empty(),
            "{engine:?} {command:?}: strace saw each time {missing:?}; strace never saw {extra:?}"
        );
        last.adds_what_is_documented(engine, &profile);
    }
}

#[test]
fn programs_whose_threads_meet_by_chance() {
    needs!("strace");
    let env = Env::new();
    let threads = "import threading, queue, concurrent.futures as f\n\
        with f.ThreadPoolExecutor(4) as pool: print(sum(pool.map(lambda n: n * n, range(100))))\n\
        q = queue.Queue(); t = threading.Thread(target=lambda: q.put(q.get(timeout=5) + 1)); q2 = q\n\
        e = threading.Event(); u = threading.Thread(target=e.wait); u.start(); e.set(); u.join()\n\
        print(threading.active_count())";
    let asyncio = "import asyncio, sys\n\
        async def main():\n \
         p = await asyncio.create_subprocess_exec('echo', 'x', stdout=-1)\n \
         print(await p.communicate(), await asyncio.to_thread(sum, [1, 2]))\n\
        asyncio.run(main())";
    let node = "const fs = require('fs'); fs.writeFileSync('f', 'x'); \
        fs.promises.readFile('f').then(b => { console.log(String(b)); setTimeout(() => \
        require('child_process').execFile('echo', ['child'], (e, out) => console.log(out)), 5) })";
    let pipeline =
        "seq 20000 | sort -n --parallel=2 | xz -T2 --block-size=32768 | xz -d | tail -n 1";
    let programs: &[&[&str]] = &[
        &["python3", "-I", "-B", "-c", threads],
        &["python3", "-I", "-B", "-c", asyncio],
        &["node", "-e", node],
        &["bash", "-c", pipeline],
    ];
    for command in programs {
        if installed(command[0]) {
            within_bounds(&env, command);
        } else {
            skipped(&format!("{} is not installed", command[0]));
        }
    }
}
