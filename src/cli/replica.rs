//! The file of one run in a directory into which many learn: replicas of a service, with a volume that they share.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the profile goes: the file itself, or in a directory a new one, `HOST-SECONDS-RANDOM.json`.
///
/// A directory is what exists as one, or ends with a slash. The host's name tells replicas apart for people (a pod's, a
/// container's id), the start (seconds since 1970) tells the runs of one apart, and the random part what began in the same
/// second under the same name.
pub(super) fn file(output: &Path) -> PathBuf {
    let is_directory = output.is_dir() || output.as_os_str().as_encoded_bytes().ends_with(b"/");
    if !is_directory {
        return output.to_owned();
    }
    let host = nix::sys::utsname::uname();
    let host = host.map(|host| host.nodename().to_string_lossy().into_owned());
    let start = SystemTime::now().duration_since(UNIX_EPOCH);
    let random = RandomState::new().build_hasher().finish() & 0xffff_ffff;
    output.join(name(
        &host.unwrap_or_default(),
        start.unwrap_or_default().as_secs(),
        random,
    ))
}

/// A name that is neither hidden nor that of evidence, whatever the host is called.
fn name(host: &str, start: u64, random: u64) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    let host: String = host.chars().map(plain).collect();
    let host = match host.trim_start_matches('.') {
        "" => "host",
        host => host,
    };
    format!("{host}-{start}-{random:08x}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_get_a_name() {
        let dir = tempfile::tempdir().unwrap();
        for file_wanted in [dir.path().join("p.json"), "p.json".into(), "no/p".into()] {
            assert_eq!(file(&file_wanted), file_wanted);
        }
        for directory in [
            dir.path().to_owned(),
            dir.path().join(""),
            "/no/such/".into(),
        ] {
            let (one, other) = (file(&directory), file(&directory));
            assert_ne!(one, other, "two that start at once");
            assert_eq!(
                one.parent().map(|parent| parent.join("")),
                Some(directory.join(""))
            );
            assert!(one.extension().is_some_and(|extension| extension == "json"));
        }
    }

    #[test]
    fn names_are_plain() {
        for (host, want) in [
            ("web-6d4f", "web-6d4f-7-0000000a.json"),
            ("a.example.org", "a.example.org-7-0000000a.json"),
            ("", "host-7-0000000a.json"),
            ("../x y", "-x-y-7-0000000a.json"),
            (".hidden", "hidden-7-0000000a.json"),
        ] {
            assert_eq!(name(host, 7, 10), want);
        }
    }
}
