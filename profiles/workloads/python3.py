"""A web service of the usual kind: HTTP and HTTPS, JSON, SQLite, child processes, threads, asyncio."""

import asyncio
import concurrent.futures
import hashlib
import http.client
import http.server
import json
import logging
import logging.handlers
import multiprocessing
import os
import random
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
import zlib

PORT, TLS_PORT = 8000, 8443
log = logging.getLogger("app")
handler = logging.handlers.WatchedFileHandler("app.log")
log.addHandler(handler)
log.setLevel(logging.INFO)


def database():
    return sqlite3.connect("app.db", timeout=20)


def notes(body):
    with database() as db:
        db.execute("insert into notes values (?, ?)", (str(uuid.uuid4()), body))
    with database() as db:
        return {"notes": db.execute("select count(*) from notes").fetchone()[0]}


def child(body):
    done = subprocess.run(["/usr/bin/sort", "-r"], input=body.encode(), capture_output=True, timeout=10, check=True)
    missing = ""
    try:
        subprocess.run(["/no/such/program"], check=False)
    except FileNotFoundError as error:
        missing = error.strerror
    slow = subprocess.Popen(["/bin/sleep", "60"], start_new_session=True)
    try:
        slow.wait(0.05)
    except subprocess.TimeoutExpired:
        slow.terminate()
    return {"sorted": done.stdout.decode(), "missing": missing, "slow": slow.wait()}


def files(body):
    with tempfile.TemporaryDirectory() as top:
        path = os.path.join(top, "a")
        with open(path, "w", encoding="utf-8") as file:
            file.write(body * 1000)
            file.flush()
            os.fsync(file.fileno())
        shutil.copyfile(path, path + "2")
        os.rename(path, path + "3")
        os.symlink("a3", path)
        os.chmod(path + "2", 0o600)
        os.utime(path + "2")
        names = sorted(os.listdir(top))
        sizes = [entry.stat().st_size for entry in os.scandir(top)]
        os.truncate(path + "2", 10)
        try:
            open(os.path.join(top, "missing"), encoding="utf-8").close()
        except FileNotFoundError:
            names.append("not there")
    return {"names": names, "sizes": sizes}


def square(number):
    return number * number


def threads(_):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        squares = sum(pool.map(square, range(200)))
    event = threading.Event()
    threading.Timer(0.02, event.set).start()
    return {"squares": squares, "woken": event.wait(5)}


def processes(_):
    # A fork of a process with threads must not do much: it has locks of threads that are not there.
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        squares = sum(pool.map(square, range(50)))
    return {"squares": squares, "forked": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}


async def talk():
    async def answer(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello\n")
    line = await reader.readline()
    writer.close()
    server.close()
    process = await asyncio.create_subprocess_exec("/bin/echo", "child", stdout=subprocess.PIPE)
    said, _ = await process.communicate()
    named = await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.02)
    except asyncio.TimeoutError:
        pass
    return line + said + (b"named" if named else b"")


def tasks(_):
    return {"said": asyncio.run(talk()).decode()}


def fetch(_):
    context = ssl._create_unverified_context()
    with urllib.request.urlopen(f"https://localhost:{TLS_PORT}/health", context=context, timeout=10) as answer:
        secure = json.load(answer)
    try:
        urllib.request.urlopen("http://127.0.0.1:9/", timeout=5)
    except urllib.error.URLError as error:
        refused = str(error.reason)
    named = socket.getaddrinfo("service.test", PORT)[0][4][0]
    try:
        socket.getaddrinfo("service.invalid", PORT)
    except socket.gaierror as error:
        named += " " + str(error)
    left, right = socket.socketpair()
    left.sendall(b"x")
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagram.sendto(b"x", ("127.0.0.1", 9))
    return {"secure": secure, "refused": refused, "named": named, "pair": right.recv(1).decode()}


def digest(body):
    return {"sha256": hashlib.sha256(body.encode()).hexdigest(), "crc": zlib.crc32(zlib.compress(body.encode())),
            "random": random.SystemRandom().random(), "cpus": os.cpu_count(), "who": os.getuid()}


ROUTES = {"/notes": notes, "/child": child, "/files": files, "/threads": threads, "/processes": processes,
          "/tasks": tasks, "/fetch": fetch, "/digest": digest}


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        try:
            status, answer = 200, ROUTES[self.path](body)
        except KeyError:
            status, answer = 404, {"error": "no such route"}
        except Exception as error:  # a service answers, whatever happens
            log.exception("failed")
            status, answer = 500, {"error": repr(error)}
        self.reply(status, answer)

    def do_GET(self):
        if self.path == "/health":
            self.reply(200, {"healthy": True, "time": time.time()})
        else:
            super().do_GET()

    def reply(self, status, answer):
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *args):
        log.info(format, *args)


def main():
    with database() as db:
        db.execute("pragma journal_mode = " + ("wal" if sys.argv[1:] == ["wal"] else "delete"))
        db.execute("create table if not exists notes (id text, body text)")
    plain = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    secure = http.server.ThreadingHTTPServer(("127.0.0.1", TLS_PORT), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("cert.pem", "key.pem")
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    signal.signal(signal.SIGINT, lambda *_: over.set())
    signal.signal(signal.SIGHUP, lambda *_: log.info("reloaded"))
    for server in (plain, secure):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    while not over.wait(0.5):
        pass
    for server in (plain, secure):
        server.shutdown()
        server.server_close()
    log.info("ended")
    logging.shutdown()


if __name__ == "__main__":
    main()
