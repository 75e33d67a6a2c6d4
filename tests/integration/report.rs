//! `report`: the page, as files and as a browser has it.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::{Env, Output, needs};

/// A run that made these calls: number, first time, program.
fn run(calls: &[(u32, u64, &str)]) -> Value {
    let calls: Vec<Value> = calls
        .iter()
        .map(|(nr, ms, by)| {
            json!({ "arch": "x86_64", "nr": nr, "count": nr + 1, "executables": [by], "args": ["0x1, 0x2"],
                "first": { "ms": ms, "executable": by, "tid": 7 }, "errnos": { "ENOENT": 2 },
                "library": "/lib/libc.so.6", "offset": "0x10" })
        })
        .collect();
    json!({ "command": ["./app", "--flag"], "started": 1_700_000_000_u64, "seconds": 2.5, "kernel": "6.1",
        "arch": "x86_64", "end": "exited 0", "tasks": 2, "processes": 1, "filtered": false, "complete": true,
        "notes": [], "calls": calls,
        "executables": [{ "path": "/bin/app", "calls": 9, "fates": { "late filter": { "processes": 1, "calls": 9 } } }],
        "added": [{ "name": "futex", "reason": "added: threads wait for each other with it" }] })
}

fn evidence() -> String {
    let first = run(&[
        (0, 1, "/bin/app"),
        (1, 3, "/bin/app"),
        (101, 900, "/bin/other"),
    ]);
    let second = run(&[(0, 1, "/bin/app"), (1, 3, "/bin/app"), (41, 5, "/bin/app")]);
    json!({ "version": 2, "runs": [first, second] }).to_string()
}

/// The page of this evidence, at `page.html`.
fn page(env: &Env, evidence: &str) -> String {
    let file = env.write("app.evidence.json", evidence);
    let page = env.text("page.html");
    env.ours(&["report", &file, "-o", &page, "--force"])
        .output()
        .succeeds();
    env.read("page.html")
}

/// Chromium with a profile of its own, on a file of the test's directory.
fn browse(env: &Env, file: &str, how: &[&str]) -> Output {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let fresh = format!("chromium{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let profile = format!("--user-data-dir={}", env.mkdir(&fresh));
    let address = format!("file://{}", env.text(file));
    let fixed = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
        &profile,
    ];
    let output = env
        .run(&[&fixed, how, &[&address]].concat())
        .limit(60)
        .output();
    output.succeeds();
    let said = output.stderr.lines().find(|line| line.contains("CONSOLE"));
    assert_eq!(said, None, "the page complains");
    output
}

#[test]
fn it_is_written_once_unless_told() {
    let env = Env::new();
    let file = env.write("app.evidence.json", evidence());
    let page = env.text("page.html");
    env.ours(&["report", &file, "-o", &page])
        .output()
        .succeeds();
    let first = env.read("page.html");
    assert!(
        first.starts_with("<!doctype html>") && first.ends_with("</html>"),
        "{first}"
    );
    env.ours(&["report", &file, "-o", &page])
        .output()
        .fails_cleanly(125)
        .complains("exists")
        .complains("--force replaces it");
    env.ours(&["report", &file, "-o", &page, "--force"])
        .output()
        .succeeds();
    let stdout = env.ours(&["report", &file, "-o", "-"]).output();
    assert_eq!(stdout.succeeds().stdout, first);
    // The profile is not the evidence, but it tells where that is.
    let profile = env.write("app.json", r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#);
    env.ours(&["report", &profile, "-o", "-"])
        .output()
        .fails_cleanly(125)
        .complains("not an evidence file")
        .complains("app.evidence.json'");
    env.ours(&["report", &env.text("none"), "-o", "-"])
        .output()
        .fails_cleanly(125)
        .complains("none");
}

#[test]
fn a_real_run_is_shown() {
    let env = Env::new();
    env.learn(&env.text("app.json"), &["sh", "-c", "cat /etc/passwd; :"]);
    let file = env.text("app.evidence.json");
    let page = env.ours(&["report", &file, "-o", "-"]).output();
    page.succeeds()
        .says("sh -c cat /etc/passwd; :")
        .says("One run says nothing about the next.")
        .says("<code>openat</code>")
        .says("/cat</code>")
        .says("<code>restart_syscall</code>");
}

#[test]
fn it_needs_nothing_from_elsewhere() {
    let env = Env::new();
    let page = page(&env, &evidence());
    for attribute in ["src=", "href=", "url(", "action=", "srcset="] {
        for (at, _) in page.match_indices(attribute) {
            let value = page[at + attribute.len()..].trim_start_matches('"');
            assert!(value.starts_with('#'), "{attribute}{value:.60}");
        }
    }
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("@import"));
}

#[test]
fn its_policy_lets_no_script_run_but_its_own() {
    needs!("python3");
    let env = Env::new();
    page(&env, &evidence());
    let hash = "import base64, hashlib, re, sys\n\
        page = open(sys.argv[1], newline='').read()\n\
        script = re.search('<script>(.*?)</script>', page, re.S).group(1)\n\
        print('sha256-' + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode())";
    let hash = env
        .run(&["python3", "-c", hash, &env.text("page.html")])
        .output();
    let hash = hash.succeeds().stdout.trim();
    let policy = format!("default-src 'none'; style-src 'unsafe-inline'; script-src '{hash}'");
    assert!(
        env.read("page.html").contains(&policy),
        "the script was changed: src/report/page.html has to name {hash}"
    );
}

#[test]
fn a_browser_searches_it_and_says_nothing() {
    needs!("chromium");
    let env = Env::new();
    let page = page(&env, &evidence());
    assert!(
        page.contains(r#"role="search" aria-label="Search the syscalls" hidden>"#),
        "only a script searches"
    );
    let all = browse(&env, "page.html", &["--dump-dom"]);
    assert_eq!(all.stdout.matches("<tr hidden").count(), 0);
    all.says("<button")
        .says(r#"aria-label="Search the syscalls">"#);
    // read, write, futex and socket are not of this program; ptrace is.
    let found = browse(
        &env,
        "page.html#find=bin%2Fother",
        &["--dump-dom", "--lang=en"],
    );
    assert_eq!(found.stdout.matches("<tr hidden").count(), 4, "{found}");
    found.says(">1 of 5</output>");
}

#[test]
fn it_sorts_and_is_accessible() {
    needs!("chromium");
    let env = Env::new();
    let page = page(&env, &evidence());
    // A copy without the policy, and with a script that looks at the page as a reader would.
    let start = page.find("<meta http-equiv").unwrap();
    let end = start + page[start..].find('\n').unwrap();
    let check = r#"<pre id="found"></pre><script>
        const found = [];
        const all = (what) => Array.from(document.querySelectorAll(what));
        const names = () => all('#calls tbody th').map((cell) => cell.textContent).join(' ');
        const head = (name) => all('#calls thead th').find((cell) => cell.textContent.startsWith(name));
        found.push('as made: ' + names());
        head('Seen').querySelector('button').click();
        found.push('rising: ' + names() + ' ' + head('Seen').getAttribute('aria-sort'));
        head('Seen').querySelector('button').click();
        found.push('falling: ' + names() + ' ' + head('Seen').getAttribute('aria-sort'));
        head('Syscall').querySelector('button').click();
        found.push('by name: ' + names() + ' ' + (head('Seen').getAttribute('aria-sort') ?? 'unsorted'));
        const ids = all('[id]').map((e) => e.id);
        const faults = [];
        if (new Set(ids).size !== ids.length) faults.push('an id occurs twice');
        for (const e of all('[aria-labelledby], [aria-controls], label[for]')) {
          const refers = e.getAttribute('aria-labelledby') ?? e.getAttribute('aria-controls') ?? e.htmlFor;
          for (const id of refers.split(' ')) if (!ids.includes(id)) faults.push('no element ' + id);
        }
        for (const svg of all('svg')) {
          const named = svg.querySelector(':scope > title') && svg.querySelector(':scope > desc');
          if (svg.getAttribute('aria-hidden') !== 'true' && !named) faults.push('a drawing without words');
        }
        for (const th of all('th')) if (!th.scope) faults.push('a header without scope');
        // Wide things scroll by themselves.
        if (document.documentElement.scrollWidth > innerWidth) faults.push('the page scrolls sideways');
        for (const table of all('table')) if (!table.caption) faults.push('a table without caption');
        for (const part of ['header', 'nav', 'main', 'footer', 'h1']) {
          if (all(part).length !== 1) faults.push('not one ' + part);
        }
        let level = 0;
        for (const h of all('h1, h2, h3')) {
          if (Number(h.tagName[1]) > level + 1) faults.push('a heading is left out before ' + h.textContent);
          level = Number(h.tagName[1]);
        }
        for (const a of all('a')) if (!ids.includes(a.hash.slice(1))) faults.push('a link to nowhere');
        for (const box of all('.wide, .chart')) if (box.tabIndex !== 0) faults.push('what scrolls takes no keys');
        found.push('faults: ' + faults.join(', ') + ';');
        document.getElementById('found').textContent = found.join('\n');
        </script></body>"#;
    let copy = format!("{}{}", &page[..start], &page[end..]).replace("</body>", check);
    env.write("copy.html", copy);
    let narrow = ["--dump-dom", "--window-size=500,900"];
    browse(&env, "copy.html", &narrow)
        .says("as made: futex ptrace read socket write\n")
        .says("rising: futex read write socket ptrace ascending\n")
        .says("falling: ptrace socket write read futex descending\n")
        .says("by name: futex ptrace read socket write unsorted\n")
        .says("faults: ;");
}

#[test]
fn hostile_evidence_stays_text_in_a_browser() {
    needs!("chromium");
    let env = Env::new();
    let mark = "\"'></title></style></script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">";
    let mut hostile: Value = serde_json::from_str(&evidence()).unwrap();
    let run = &mut hostile["runs"][0];
    run["command"][0] = json!(mark);
    run["notes"] = json!([mark]);
    run["calls"][0]["executables"] = json!([mark]);
    run["calls"][0]["first"]["executable"] = json!(mark);
    run["calls"][0]["args"] = json!([mark]);
    run["calls"][0]["library"] = json!(mark);
    run["executables"][0]["path"] = json!(mark);
    run["added"][0]["reason"] = json!(mark);
    page(&env, &hostile.to_string());
    let dom = browse(&env, "page.html", &["--dump-dom"]);
    assert!(!dom.stdout.contains("<img"), "{dom}");
    assert_eq!(dom.stdout.matches("<script").count(), 1);
    assert!(!dom.stdout.contains("<title>taken"), "{dom}");
    assert!(dom.stdout.matches("&lt;img src=x").count() > 8, "{dom}");
}

#[test]
fn light_and_dark_are_the_readers_choice() {
    needs!("chromium", "python3");
    let env = Env::new();
    page(&env, &evidence());
    // Of an image's first pixel nothing is filtered: its colours are the first bytes after the row's kind.
    let first = "import sys, zlib\n\
        png = open(sys.argv[1], 'rb').read(); at = 8; data = b''\n\
        while at < len(png):\n\
        \x20   size = int.from_bytes(png[at:at + 4], 'big')\n\
        \x20   if png[at + 4:at + 8] == b'IDAT': data += png[at + 8:at + 8 + size]\n\
        \x20   at += 12 + size\n\
        print(zlib.decompress(data)[1:4].hex())";
    for (scheme, ground) in [("1", "f7f7f5"), ("0", "141618")] {
        let image = env.text(&format!("{scheme}.png"));
        let how = [
            format!("--blink-settings=preferredColorScheme={scheme}"),
            format!("--screenshot={image}"),
        ];
        browse(&env, "page.html", &[&how[0], &how[1]]);
        let pixel = env.run(&["python3", "-c", first, &image]).output();
        assert_eq!(pixel.succeeds().stdout.trim(), ground, "scheme {scheme}");
    }
}
