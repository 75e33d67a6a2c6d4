//! Profiles for container runtimes: what they hold, and that real runtimes start containers under them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::containers::{Engine, Engines, Root, Wanted, busybox, debian};
use crate::harness::{
    Build, Env, SECCOMP_RUN, fixture, free_port, needs, needs_root, skipped, wait_for_port,
};
use crate::profile::{Names, Profile};

/// The names that the profile allows for the runtime's sake.
fn for_the_runtime(profile: &Profile) -> Names {
    let starts = |rule: &serde_json::Value| {
        let comment = rule.get("comment").and_then(serde_json::Value::as_str);
        comment.is_some_and(|comment| comment.starts_with("runtime: "))
    };
    let rules = profile.json["syscalls"].as_array().unwrap().iter();
    let rules = rules.filter(|rule| starts(rule));
    let names = rules.flat_map(|rule| rule["names"].as_array().unwrap());
    names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_is_added_for_a_runtime_says_so_everywhere() {
    needs!("true");
    let env = Env::new();
    let path = env.text("p.json");
    let learn = |more: &[&str]| {
        let args = [&["--learn", "-o", &path], more, &["--", "true"]].concat();
        env.ours(&args).output().succeeds();
        Profile::read(&env.path("p.json"))
    };
    let check = || env.ours(&["check", "--for", "runtime", &path]).output();

    let alone = learn(&[]);
    alone.lacks(&["execve", "capset", "setuid"]);
    assert!(for_the_runtime(&alone).is_empty());
    check().says("[missing-execve]").says("[missing-runtime]");

    let with = learn(&["--update", "--for", "runtime"]);
    let added = for_the_runtime(&with);
    for name in ["execve", "capset", "setuid", "setresuid", "pselect6"] {
        assert!(added.contains(name), "{name}: {added:?}");
    }
    assert!(added.is_disjoint(&with.observed()), "each has one reason");
    let found = check();
    assert!(!found.stdout.contains("[missing-"), "{found}");
    env.ours(&["explain", &path])
        .output()
        .succeeds()
        .says("    runtime: runc and crun make these")
        .says("no_new_privs");
    let evidence: serde_json::Value = serde_json::from_str(&env.read("p.evidence.json")).unwrap();
    let told = evidence["runs"][1]["added"].as_array().unwrap();
    let told = told.iter().find(|added| added["name"] == "execve").unwrap();
    assert!(told["reason"].as_str().unwrap().starts_with("runtime: "));

    // Learning on does not take away what was asked for once.
    assert_eq!(for_the_runtime(&learn(&["--update"])), added);
}

/// A server, and how it is used.
#[derive(Clone, Copy)]
struct Workload {
    name: &'static str,
    /// `PORT` stands for the port of the loopback address that it serves.
    command: &'static [&'static str],
    request: &'static str,
    /// What is in a good answer.
    answer: &'static str,
    /// Whether it needs no more than busybox.
    small: bool,
}

/// How long a server may take to serve.
const PATIENCE: Duration = Duration::from_secs(30);

const GET: &str = "GET /served HTTP/1.0\r\n\r\n";

const WORKLOADS: [Workload; 5] = [
    Workload {
        name: "static",
        command: &[
            "/bin/busybox",
            "httpd",
            "-f",
            "-p",
            "127.0.0.1:PORT",
            "-h",
            "/vol",
        ],
        request: GET,
        answer: "good service",
        small: true,
    },
    Workload {
        name: "python3",
        command: &[
            "python3",
            "-m",
            "http.server",
            "-d",
            "/vol",
            "-b",
            "127.0.0.1",
            "PORT",
        ],
        request: GET,
        answer: "good service",
        small: false,
    },
    Workload {
        name: "node",
        command: &[
            "node",
            "-e",
            "require('http').createServer((q, s) => s.end('good service')).listen(PORT, '127.0.0.1')",
        ],
        request: GET,
        answer: "good service",
        small: false,
    },
    Workload {
        name: "nginx",
        command: &["nginx", "-e", "stderr", "-c", "/vol/nginx-PORT.conf"],
        request: GET,
        answer: "good service",
        small: false,
    },
    Workload {
        name: "redis",
        command: &[
            "redis-server",
            "--bind",
            "127.0.0.1",
            "--port",
            "PORT",
            "--save",
            "",
        ],
        request: "SET key good-service\r\nGET key\r\nQUIT\r\n",
        answer: "good-service",
        small: false,
    },
];

const NGINX: &str = "
daemon off; worker_processes 2; pid /vol/nginx-PORT.pid; events {}
http {
    access_log off; root /vol; client_body_temp_path /vol/t1; proxy_temp_path /vol/t2; fastcgi_temp_path /vol/t3;
    uwsgi_temp_path /vol/t4; scgi_temp_path /vol/t5;
    server { listen 127.0.0.1:PORT; }
}";

impl Workload {
    /// The command that serves this port, with what it reads in the volume.
    fn on(&self, port: u16, volume: &str) -> Vec<String> {
        let port = port.to_string();
        let config = NGINX.replace("PORT", &port);
        fs::write(format!("{volume}/nginx-{port}.conf"), config).unwrap();
        self.command
            .iter()
            .map(|word| word.replace("PORT", &port))
            .collect()
    }

    /// Asks until there is an answer, for so long, then some more.
    fn is_served(&self, port: u16, patience: Duration) -> bool {
        let ask = || -> Option<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            stream.write_all(self.request.as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer)
        };
        let good = || ask().is_some_and(|answer| answer.contains(self.answer));
        let deadline = Instant::now() + patience;
        while !good() {
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(50));
        }
        (0..20).all(|_| good())
    }
}

/// Where everything of one test is.
struct Lab {
    engines: Engines,
    env: Env,
    /// Every container's `/vol`.
    volume: String,
    small: Root,
    large: Option<Root>,
}

impl Lab {
    fn small() -> Self {
        let env = Env::new();
        let volume = env.mkdir("vol");
        env.copy_program(SECCOMP_RUN, "vol/seccomp-run");
        env.copy_program(&fixture("call", Build::Static), "vol/call");
        env.write("vol/served", "good service\n");
        Self {
            engines: Engines::new(),
            small: busybox(&env),
            volume,
            large: None,
            env,
        }
    }

    /// With an image for all workloads, where it can be had.
    fn whole() -> Self {
        let lab = Self::small();
        let large = debian(&lab.env).map_err(|why| skipped(&why)).ok();
        Self { large, ..lab }
    }

    fn workloads(&self) -> impl Iterator<Item = (&Workload, &Root)> {
        let root = |workload: &Workload| {
            if workload.small {
                Some(&self.small)
            } else {
                self.large.as_ref()
            }
        };
        WORKLOADS
            .iter()
            .filter_map(move |workload| Some((workload, root(workload)?)))
    }

    /// Learns on the host, in the image's file system, as this user.
    fn learn_on_host(&self, workload: &Workload, root: &Root, user: &str) -> String {
        let name = format!("host-{user}-{}.json", workload.name);
        let port = free_port();
        let setting = "mount --bind \"$1\" \"$2/vol\" && mount -t proc proc \"$2/proc\" && root=$2 && user=$3 && shift 3 && \
            exec chroot --userspec=\"$user\" \"$root\" \"$@\"";
        let output = format!("/vol/{name}");
        let head = [
            "unshare",
            "-m",
            "sh",
            "-c",
            setting,
            "sh",
            &self.volume,
            &root.path,
            user,
        ];
        let learn = [
            "/vol/seccomp-run",
            "--learn",
            "--for",
            "runtime",
            "-o",
            &output,
            "--",
        ];
        let command = workload.on(port, &self.volume);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let mut learner = self
            .env
            .run(&[&head[..], &learn, &command].concat())
            .start();
        wait_for_port(&mut learner, port);
        assert!(workload.is_served(port, PATIENCE), "{}", workload.name);
        // What servers do now and then.
        thread::sleep(Duration::from_millis(1200));
        learner.signal(15);
        let output = learner.wait();
        assert!(self.env.path(&format!("vol/{name}")).exists(), "{output}");
        format!("{}/{name}", self.volume)
    }

    /// Learns inside a container, under the engine's own profile.
    fn learn_inside(&self, engine: Engine, workload: &Workload, root: &Root) -> String {
        let name = format!("{engine:?}-{}.json", workload.name);
        let port = free_port();
        let output = format!("/vol/{name}");
        let learn = [
            "/vol/seccomp-run",
            "--learn",
            "--for",
            "runtime",
            "-o",
            &output,
            "--",
        ];
        let command = workload.on(port, &self.volume);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let mut learner = self.engines.foreground(&Wanted {
            engine,
            root,
            profile: None,
            no_new_privs: true,
            volume: &self.volume,
            command: &[&learn[..], &command].concat(),
        });
        wait_for_port(&mut learner, port);
        assert!(workload.is_served(port, PATIENCE), "{}", workload.name);
        thread::sleep(Duration::from_millis(1200));
        learner.signal(15);
        let output = learner.wait();
        output.complains("a seccomp filter is already in force here");
        output.complains("learned ");
        assert!(self.env.path(&format!("vol/{name}")).exists(), "{output}");
        format!("{}/{name}", self.volume)
    }

    /// The same profile as `--for entrypoint` gives it.
    fn without_the_runtimes_calls(&self, profile: &str) -> String {
        let mut profile = Profile::read(Path::new(profile));
        let added = for_the_runtime(&profile);
        for rule in profile.json["syscalls"].as_array_mut().unwrap() {
            let names = rule["names"].as_array_mut().unwrap();
            names.retain(|name| !added.contains(name.as_str().unwrap()));
        }
        self.env.write("without.json", profile.json.to_string())
    }

    /// What is wrong with the container that serves this workload under this profile.
    fn holds(
        &self,
        engine: Engine,
        (workload, root): (&Workload, &Root),
        profile: &str,
        no_new_privs: bool,
        patience: Duration,
    ) -> Result<(), String> {
        // Nobody learned it.
        let times = "100";
        Profile::read(Path::new(profile)).lacks(&["times"]);
        let port = free_port();
        let command = workload.on(port, &self.volume);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let container = self.engines.start(&Wanted {
            engine,
            root,
            profile: Some(profile),
            no_new_privs,
            volume: &self.volume,
            command: &command,
        })?;
        if !workload.is_served(port, patience) {
            return Err("it does not serve".to_owned());
        }
        let called = container.exec(&["/vol/call", times]);
        match called.stdout.trim_end() {
            "100: error 1" => Ok(()),
            _ => Err(format!("what was not learned is not denied: {called}")),
        }
    }
}

#[test]
fn every_engine_starts_and_holds_what_was_learned() {
    needs_root!();
    needs!("busybox", "unshare", "chroot", "setpriv", "tar");
    let lab = Lab::whole();
    let (engines, missing): (Vec<_>, Vec<_>) = Engine::ALL
        .into_iter()
        .partition(|engine| engine.missing().is_none());
    for engine in missing {
        skipped(&format!(
            "{engine:?}: {} is not installed",
            engine.missing().unwrap()
        ));
    }
    let is_here = |engine| engines.contains(&engine);
    if is_here(Engine::Docker) || is_here(Engine::Containerd) {
        let roots: Vec<&Root> = [&lab.small].into_iter().chain(&lab.large).collect();
        lab.engines.start_docker(&roots);
    }
    let mut wrong = Vec::new();
    for (at, (workload, root)) in lab.workloads().enumerate() {
        let mut profiles = vec![lab.learn_on_host(workload, root, "1000:1000")];
        if is_here(Engine::PodmanWithCrun) {
            profiles.push(lab.learn_inside(Engine::PodmanWithCrun, workload, root));
        }
        if workload.small {
            // A test that could not fail would not tell that these rules are what it takes.
            let without = lab.without_the_runtimes_calls(&profiles[0]);
            for &engine in &engines {
                for no_new_privs in [true, false] {
                    let held = lab.holds(
                        engine,
                        (workload, root),
                        &without,
                        no_new_privs,
                        Duration::from_secs(4),
                    );
                    if held.is_ok() {
                        wrong.push(format!("{engine:?} starts without the calls of runtimes"));
                    }
                }
            }
        }
        let of_root = is_here(Engine::Containerd).then(|| lab.learn_on_host(workload, root, "0:0"));
        for (turn, &engine) in engines.iter().enumerate() {
            // Each engine gets both profiles, both with and without no_new_privs, over the workloads.
            let turns = &profiles[(at + turn) % profiles.len()];
            let profile = match &of_root {
                Some(of_root) if engine == Engine::Containerd => of_root,
                _ => turns,
            };
            let no_new_privs = (at + turn) & 2 == 0;
            let held = lab.holds(engine, (workload, root), profile, no_new_privs, PATIENCE);
            if let Err(why) = held {
                let about = format!("{engine:?}, {}, no_new_privs {no_new_privs}", workload.name);
                wrong.push(format!("{about}, {profile}: {why}"));
            }
        }
    }
    lab.engines.stop_docker();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The static program is the entry point; an ordinary user without capabilities, a read-only file system, the engine's own
/// profile in force.
#[test]
fn an_entry_point_learns_and_enforces_inside_a_container() {
    needs_root!();
    needs!("busybox", "unshare", "tar");
    let lab = Lab::small();
    let inside = [
        Engine::PodmanWithCrun,
        Engine::PodmanWithRunc,
        Engine::Docker,
    ];
    let missing = |engine: &Engine| {
        let program = engine.missing();
        if let Some(program) = program {
            skipped(&format!("{engine:?}: {program} is not installed"));
        }
        program.is_none()
    };
    let engines: Vec<Engine> = inside.into_iter().filter(missing).collect();
    if engines.contains(&Engine::Docker) {
        lab.engines.start_docker(&[&lab.small]);
    }
    let workload = &WORKLOADS[0];
    for engine in engines {
        let profile = lab.learn_inside(engine, workload, &lab.small);
        let learned = Profile::read(Path::new(&profile));
        learned.has(&["socket", "bind", "accept"]);
        let evidence = fs::read_to_string(profile.replace(".json", ".evidence.json")).unwrap();
        let evidence: serde_json::Value = serde_json::from_str(&evidence).unwrap();
        assert_eq!(
            evidence["runs"][0]["filtered"], true,
            "the outer filter is told"
        );

        // The launcher inside, over the engine's own profile. From outside: the test above.
        let name = Path::new(&profile).file_name().unwrap().to_str().unwrap();
        let enforced = format!("/vol/{name}");
        let enforce = |more: &[&str]| {
            let head = ["/vol/seccomp-run", "--enforce", &enforced];
            let wanted = Wanted {
                engine,
                root: &lab.small,
                profile: None,
                no_new_privs: true,
                volume: &lab.volume,
                command: &[&head[..], more].concat(),
            };
            lab.engines.foreground(&wanted).wait()
        };
        let called = enforce(&["--", "/vol/call", "100", "39"]);
        called.succeeds().says("100: error 1\n");
        enforce(&["--kill", "--", "/vol/call", "100"]).ends_with(159);
        // Engines forbid to take a descriptor out of another process.
        let reported = enforce(&["--report", "--", "/vol/call", "100", "39"]);
        reported
            .succeeds()
            .says("100: error 1\n")
            .complains("report: 1 call of 1 syscall denied")
            .complains("times(");
    }
    lab.engines.stop_docker();
}
