#!/usr/bin/env python3
"""Finds the calls of src/closure/runtime.rs: what a container runtime makes under the profile itself.

    runtime_calls.py [--runs N] RUNTIME...        (as root; RUNTIME: runc, crun, or a path to one)

Between loading the filter and executing the program the runtime lives under the program's profile. Which calls it
makes there depends on no_new_privs: with it the filter is loaded last, without it before the user and the
capabilities change. Two sources, for each runtime and both settings:

  seen    strace of the whole start: in how many of N starts a call was made between the two. A start is create, start
          and exec, for root and for another user, at a terminal and without one.
  needed  the profile is shrunk until the container does not start any more: all calls are allowed, then halves of
          them are taken away as long as everything still works. What is left is then denied alone, N times:
          in how many starts something failed.

A call that is seen and not needed is one whose failure the runtime does not notice, or hardly ever makes: runc is a
Go program, whose threads do what their timing says. Such calls belong to the table too: a runtime that cannot close
its descriptors starts the container all the same.

strace, gcc and the runtimes have to be installed. Takes some ten minutes for a runtime.
"""

import argparse
import array
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

# Writes a line; then it waits to be killed, or with an argument ends.
PROBE = r"""
static long call(long nr, long a, long b, long c)
{
    long out;
    __asm__ volatile("syscall" : "=a"(out) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return out;
}
__attribute__((force_align_arg_pointer, used)) void body(long *stack)
{
    struct { const char *base; long size; } line = { "ok\n", 3 };
    call(20, 1, (long)&line, 1);
    while (stack[0] < 2)
        call(34, 0, 0, 0);
    call(231, 0, 0, 0);
}
__asm__(".globl _start\n_start: mov %rsp, %rdi\n call body\n");
"""
OWN = {"writev", "pause", "exit_group"}  # Of the probe: no runtime makes these.

CAPABILITIES = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"]
LIMIT = 10


class Failed(Exception):
    """A container did not start."""


def config(rootfs, seccomp, nnp, uid, terminal):
    caps = {kind: CAPABILITIES for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")}
    user = {"uid": uid, "gid": uid, "additionalGids": [uid + 1]}
    process = {
        "terminal": terminal,
        "user": user,
        "args": ["/probe"],
        "env": ["PATH=/"],
        "cwd": "/tmp",
        "capabilities": caps,
        "noNewPrivileges": nnp,
    }
    spaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")]
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"}]
    mounts.append({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]})
    mounts.append({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance"]})
    linux = {"namespaces": spaces, "seccomp": seccomp}
    return {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": str(rootfs)},
        "hostname": "probe",
        "mounts": mounts,
        "linux": linux,
    }


class Lab:
    """Starts containers of one runtime."""

    def __init__(self, runtime, folder):
        self.runtime = shutil.which(runtime)
        self.folder = folder
        self.count = 0
        self.rootfs = folder / "rootfs"
        for sub in ("proc", "dev", "tmp"):
            (self.rootfs / sub).mkdir(parents=True, exist_ok=True)
        source = folder / "probe.c"
        source.write_text(PROBE)
        flags = "-O1 -static -nostdlib -fno-stack-protector -o".split()
        subprocess.run(["gcc", *flags, self.rootfs / "probe", source], check=True)

    def version(self):
        out = subprocess.run([self.runtime, "--version"], check=True, capture_output=True, text=True).stdout
        return out.splitlines()[0]

    def call(self, *args, around=(), **more):
        argv = [*around, self.runtime, "--root", str(self.folder / "state"), *args]
        try:
            return subprocess.run(argv, timeout=LIMIT, **more).returncode
        except subprocess.TimeoutExpired:
            return -1

    def create(self, name, args, trace, **more):
        """Creates a container, and returns when it waits to be started."""
        args = ["create", *args, name]
        if not trace:
            return self.call(*args, **more), None
        # strace stays as long as the container lives.
        argv = [*tracing(trace), self.runtime, "--root", str(self.folder / "state"), *args]
        strace = subprocess.Popen(argv, **more)
        deadline = time.monotonic() + LIMIT
        while self.state(name) != "created":
            if strace.poll() is not None or time.monotonic() > deadline:
                strace.terminate()
                return -1, None
            time.sleep(0.02)
        return 0, strace

    def start(self, seccomp, nnp, uid, terminal=False, traces=()):
        """One life of a container: create, start, exec, kill, delete. Raises Failed."""
        self.count += 1
        name = f"probe{os.getpid()}-{self.count}"
        bundle = self.folder / name
        bundle.mkdir()
        whole = config(self.rootfs, seccomp, nnp, uid, terminal)
        (bundle / "config.json").write_text(json.dumps(whole))
        traces = list(traces) or [None, None]
        out, log = bundle / "out", bundle / "log"
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, bundle, ignore_errors=True)
            err = stack.enter_context(log.open("w"))
            quiet = {"stdin": subprocess.DEVNULL, "stderr": err}
            console = []
            if terminal:
                console = ["--console-socket", str(bundle / "console")]
                stack.callback(receive(console[1], out).join)
            # Undone in reverse: the terminal's reader ends with the container.
            stack.callback(self.call, "delete", "--force", name, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with out.open("a") as sink:
                code, strace = self.create(name, ["--bundle", str(bundle), *console], traces[0], stdout=sink, **quiet)
            if strace:
                stack.callback(strace.wait)
                stack.callback(strace.terminate)
            if code or out.read_text():
                raise Failed(f"create: {code} {log.read_text()[-200:]}")
            if self.call("start", name, stdout=err, **quiet):
                raise Failed(f"start: {log.read_text()[-200:]}")
            deadline = time.monotonic() + LIMIT / 2
            while "ok" not in out.read_text():
                if time.monotonic() > deadline or self.state(name) not in ("created", "running"):
                    if "ok" in out.read_text():
                        break
                    raise Failed("the program was not executed")
                time.sleep(0.01)
            again, process = bundle / "again", bundle / "process.json"
            process.write_text(json.dumps({**whole["process"], "terminal": False, "args": ["/probe", "end"]}))
            with again.open("w") as sink:
                code = self.call("exec", "--process", str(process), name, around=tracing(traces[1]), stdout=sink, **quiet)
            if code or again.read_text() != "ok\n":
                raise Failed(f"exec: {code} {log.read_text()[-200:]}")

    def state(self, name):
        out = subprocess.run([self.runtime, "--root", str(self.folder / "state"), "state", name],
                             capture_output=True, text=True, timeout=LIMIT, check=False).stdout
        return json.loads(out).get("status") if out.startswith("{") else None

    def works(self, seccomp, nnp, **more):
        try:
            self.start(seccomp, nnp, **more)
        except Failed:
            return False
        return True


def tracing(trace):
    return ["strace", "-f", "-I1", "-o", str(trace)] if trace else []


def receive(path, out):
    """Takes the terminal that a runtime sends, and copies what is written to it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    listener.settimeout(LIMIT)

    def copy():
        with contextlib.suppress(OSError):
            peer, _ = listener.accept()
            peer.settimeout(LIMIT)
            _, parts, _, _ = peer.recvmsg(4096, socket.CMSG_SPACE(4))
            fds = array.array("i")
            fds.frombytes(parts[0][2][:4])
            with out.open("ab") as sink:
                while got := os.read(fds[0], 4096):
                    sink.write(got)
                    sink.flush()

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    return thread


def uid(run):
    """Runs take turns: root, another user."""
    return 1000 * (run % 2)


def allowing(names):
    rule = {"names": sorted(names), "action": "SCMP_ACT_ALLOW"}
    return {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [rule]}


def denying(name):
    rule = {"names": [name], "action": "SCMP_ACT_ERRNO"}
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [rule]}


LINE = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(\(| resumed>)(.*)$")
LOADS = re.compile(r"seccomp\(SECCOMP_SET_MODE_FILTER, [^,]+, [{]|prctl\(PR_SET_SECCOMP, SECCOMP_MODE_FILTER")


def window(trace):
    """The calls in a strace log between loading the filter and executing the probe, by who is under the filter."""
    threads, filtered, names = {}, set(), set()
    for line in trace.read_text(errors="replace").splitlines():
        match = LINE.match(line)
        if not match:
            continue
        pid, name, kind, rest = match.groups()
        if name in ("clone", "clone3") and "CLONE_THREAD" in rest and kind == "(":
            threads[pid] = True
        if name in ("clone", "clone3") and (child := re.search(r" = (\d+)$", rest)):
            if threads.pop(pid, False) and pid in filtered:
                filtered.add(child[1])
        if LOADS.search(line):
            if "TSYNC" in line:
                raise Failed(f"a filter for all threads is more than this program understands: {line}")
            filtered, names = {pid}, set()
        elif pid in filtered and kind == "(":
            names.add(name)
            if name == "execve" and '"/probe"' in rest:
                return names
    raise Failed(f"no filter was loaded in {trace}")


def seen(lab, nnp, runs, everything):
    counts = {}
    for run in range(runs):
        logs = [lab.folder / f"trace{part}" for part in range(2)]
        lab.start(allowing(everything), nnp, uid(run), run % 4 >= 2, logs)
        for name in set().union(*(window(log) for log in logs)):
            counts[name] = counts.get(name, 0) + 1
    return counts


def shrink(lab, nnp, everything, hints, tries=3):
    """A smallest set with which containers start. What the hints name is looked at last."""
    kept = set(everything)

    def enough(names):
        return all(lab.works(allowing(names | OWN), nnp, uid=uid(n)) for n in range(tries))

    def drop(names):
        if not names or enough(kept - set(names)):
            kept.difference_update(names)
        elif len(names) > 1:
            middle = len(names) // 2
            drop(names[:middle])
            drop(names[middle:])

    if not enough(kept):
        raise Failed("the container does not start with everything allowed")
    drop(sorted(kept - set(hints)))
    drop(sorted(kept & set(hints)))
    return kept - OWN


def all_names():
    text = subprocess.run(["gcc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"],
                          check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"#define __NR_(\w+) \d+", text))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("runtimes", nargs="+", metavar="RUNTIME")
    args = parser.parse_args()
    everything = all_names()
    for runtime in args.runtimes:
        with tempfile.TemporaryDirectory(prefix="runtime-calls-") as folder:
            lab = Lab(runtime, Path(folder))
            for nnp in (False, True):
                counts = seen(lab, nnp, args.runs, everything)
                minimal = shrink(lab, nnp, everything, counts)
                print(f"// {lab.version()}, {'with' if nnp else 'without'} no_new_privs")
                for name in sorted(minimal | set(counts)):
                    fails = sum(not lab.works(denying(name), nnp, uid=uid(n)) for n in range(args.runs))
                    print(f'("{name}", {counts.get(name, 0)}, {fails}),', flush=True)
                unseen = minimal - set(counts)
                assert not unseen, f"needed, and never seen: {unseen}"


if __name__ == "__main__":
    sys.exit(main())
