//! Many replicas learn into one directory that they share, and their profiles become one.

use std::fs;

use crate::harness::{Env, Running, SECCOMP_RUN, needs, needs_root};
use crate::profile::{Names, Profile};

#[test]
fn replicas_that_look_alike_share_a_directory() {
    needs_root!();
    needs!("unshare", "hostname");
    let env = Env::new();
    let dir = env.mkdir("shared");
    // As in containers: all are process 1, and here even the host's name is the same.
    let replica = |at: usize| {
        let (output, own) = (format!("{dir}/"), env.write(&format!("own{at}"), "x"));
        let work = [["cat", &own], ["stat", &own], ["ls", "-l"], ["touch", &own]][at % 4];
        let setting = "hostname web && exec \"$@\"";
        let head = [
            "unshare",
            "-u",
            "--pid",
            "--fork",
            "--mount-proc",
            "sh",
            "-c",
            setting,
            "sh",
        ];
        let learn = [SECCOMP_RUN, "--learn", "-o", &output, "--"];
        env.run(&[&head[..], &learn, &work].concat()).start()
    };
    let replicas: Vec<Running> = (0..8).map(replica).collect();
    for replica in replicas {
        let output = replica.wait();
        output.succeeds().complains(&format!("wrote {dir}/web-"));
        output.complains(&format!("learn again, and merge the directory '{dir}/'"));
    }
    let mut names: Vec<String> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let (evidence, profiles): (Vec<_>, Vec<_>) = names
        .iter()
        .partition(|name| name.ends_with(".evidence.json"));
    assert_eq!((profiles.len(), evidence.len()), (8, 8), "{names:?}");
    let mut all = Names::new();
    for name in &profiles {
        assert!(name.starts_with("web-"), "{name}");
        all.extend(Profile::read(&env.path("shared").join(name)).names());
    }

    let merged = env.text("merged.json");
    env.ours(&["merge", &dir, "-o", &merged])
        .output()
        .succeeds();
    assert_eq!(Profile::read(&env.path("merged.json")).names(), all);
    let runs: serde_json::Value = serde_json::from_str(&env.read("merged.evidence.json")).unwrap();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 8);

    let resource = env.ours(&["convert", &merged, "--to", "spo"]).output();
    resource.succeeds().says("\"kind\": \"SeccompProfile\"");
    let resource: serde_json::Value = serde_json::from_str(&resource.stdout).unwrap();
    let listed = resource["spec"]["syscalls"].as_array().unwrap().iter();
    let listed = listed.flat_map(|rule| rule["names"].as_array().unwrap());
    let listed: Names = listed
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, all);
}

#[test]
fn a_directory_that_is_not_there_is_told_before_anything_runs() {
    let env = Env::new();
    let missing = format!("{}/", env.text("missing"));
    env.ours(&["--learn", "-o", &missing, "--", "touch", &env.text("ran")])
        .output()
        .fails_cleanly(125)
        .complains("No such file or directory");
    assert!(!env.path("ran").exists());
}
