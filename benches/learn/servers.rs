//! Servers: what a client sees of them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::running::Running;
use crate::way::Scene;
use crate::{Outcome, Row, Unit};

/// From the first request on, so that warming up counts.
pub(crate) const NODE: Row = Row {
    name: "node, 5000 requests in turn",
    needs: &["node"],
    unit: Unit::Seconds,
    many: false,
    prepare: |dir| Ok(fs::write(dir.join("server.js"), include_str!("server.js"))?),
    measure: node,
};

/// Once warm.
pub(crate) const RATES: [Row; 2] = [
    Row {
        name: "redis, GET, 50 clients",
        needs: &["redis-server", "redis-benchmark"],
        unit: Unit::PerSecond,
        many: false,
        prepare: |_| Ok(()),
        measure: redis,
    },
    Row {
        name: "nginx, 2 workers, 32 clients",
        needs: &["nginx", "wrk"],
        unit: Unit::PerSecond,
        many: false,
        prepare: |dir| {
            fs::create_dir_all(dir.join("www"))?;
            Ok(fs::write(dir.join("www/page"), "x".repeat(1024))?)
        },
        measure: nginx,
    },
];

/// So long a server may take until it accepts connections, or to answer.
const PATIENCE: Duration = Duration::from_secs(30);

fn node(scene: &Scene<'_>) -> Outcome<f64> {
    let mut server = scene.launch(&["node", "server.js"], true)?;
    let port = server.command.line()?.parse()?;
    let mut stream = BufReader::new(connect(port)?);
    let begun = Instant::now();
    for _ in 0..5000 {
        get(&mut stream, "/")?;
    }
    let took = begun.elapsed();
    get(&mut stream, "/end")?;
    server.end()?;
    Ok(took.as_secs_f64())
}

/// One request on a connection that is kept.
fn get(stream: &mut BufReader<TcpStream>, path: &str) -> Outcome<()> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes())?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err("the server hung up".into());
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        } else if line.is_empty() {
            break;
        }
    }
    Ok(stream.read_exact(&mut vec![0; length])?)
}

fn redis(scene: &Scene<'_>) -> Outcome<f64> {
    let port = free_port()?;
    let number = port.to_string();
    let server = [
        "redis-server",
        "--bind",
        "127.0.0.1",
        "--port",
        &number,
        "--save",
        "",
        "--appendonly",
        "no",
    ];
    let server = scene.launch(&server, false)?;
    let mut stream = connect(port)?;
    let load = |requests: f64| benchmark(scene.dir, &number, requests);
    // The first tells how fast the second may be, which tells what takes about two seconds.
    let slow = load(5000.0)?;
    let warm = load((slow / 2.0).max(5000.0))?;
    let rate = load((warm * 2.0).max(5000.0))?;
    stream.write_all(b"SHUTDOWN NOSAVE\r\n")?;
    server.end()?;
    Ok(rate)
}

/// Requests per second.
fn benchmark(dir: &Path, port: &str, requests: f64) -> Outcome<f64> {
    let requests = format!("{requests:.0}");
    let words = [
        "redis-benchmark",
        "--csv",
        "-p",
        port,
        "-t",
        "get",
        "-n",
        &requests,
    ];
    let said = Running::output(&words, dir)?;
    let line = said.lines().find_map(|line| line.strip_prefix("\"GET\","));
    let rate = line.and_then(|line| line.split('"').nth(1));
    Ok(rate.ok_or("redis-benchmark tells no rate")?.parse()?)
}

fn nginx(scene: &Scene<'_>) -> Outcome<f64> {
    let port = free_port()?;
    fs::write(scene.dir.join("nginx.conf"), configuration(port))?;
    let prefix = format!("{}/", scene.dir.display());
    let server = [
        "nginx",
        "-e",
        "error.log",
        "-p",
        &prefix,
        "-c",
        "nginx.conf",
    ];
    let server = scene.launch(&server, false)?;
    drop(connect(port)?);
    wrk(scene.dir, port, "1s")?;
    let rate = wrk(scene.dir, port, "2s")?;
    let pid = fs::read_to_string(scene.dir.join("nginx.pid"))?;
    kill(Pid::from_raw(pid.trim().parse()?), Signal::SIGTERM)?;
    server.end()?;
    Ok(rate)
}

/// Nothing outside its directory, which belongs to who runs this.
fn configuration(port: u16) -> String {
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = kinds.map(|kind| format!("{kind}_temp_path {kind};"));
    format!(
        "daemon off; user root; worker_processes 2; pid nginx.pid; error_log error.log;
        events {{ worker_connections 256; }}
        http {{
            access_log access.log; {}
            server {{ listen 127.0.0.1:{port}; location / {{ root www; }} }}
        }}",
        temporary.join(" ")
    )
}

/// Requests per second. Every answer must be a success.
fn wrk(dir: &Path, port: u16, duration: &str) -> Outcome<f64> {
    let page = format!("http://127.0.0.1:{port}/page");
    let words = ["wrk", "-t", "1", "-c", "32", "-d", duration, &page];
    let said = Running::output(&words, dir)?;
    if let Some(line) = said.lines().find(|line| line.contains("Non-2xx")) {
        return Err(line.trim().into());
    }
    let rate = said
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(rate.ok_or("wrk tells no rate")?.trim().parse()?)
}

/// One that nobody listens on now.
fn free_port() -> Outcome<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Connects as soon as somebody listens.
fn connect(port: u16) -> Outcome<TcpStream> {
    let begun = Instant::now();
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}
