//! The report while it grows: one JSON object a line, in a file that stays small and never makes anybody wait.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::Serialize;

/// The file that the lines go to.
#[derive(Debug)]
pub(crate) struct Lines {
    file: File,
    /// Its length in bytes, where it is a regular file: that is kept below [`Lines::MOST`].
    length: Option<u64>,
    /// Lines that could not be written.
    pub(crate) lost: u64,
}

impl Lines {
    /// The most bytes that the file holds.
    const MOST: u64 = 4 << 20;

    /// Opens the file, or makes it. Lines are added to what it holds, which must be lines of a report.
    ///
    /// A link is not followed: the command may be able to make one, and not to write what it leads to. Those of `/dev`
    /// and `/proc` are the system's.
    ///
    /// # Errors
    /// `ELOOP`: it is a link. `EEXIST`: it holds something else.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let regular = path.metadata().map_or(true, |meta| meta.is_file());
        let system = path.starts_with("/dev") || path.starts_with("/proc");
        let mut options = OpenOptions::new();
        if regular && !system {
            options.read(true).append(true).create(true);
            options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW);
            let mut start = [0; 64];
            let file = options.open(path)?;
            let got = file.read_at(&mut start, 0)?;
            let text = String::from_utf8_lossy(start.get(..got).unwrap_or_default());
            if got > 0 && !super::is_report(&text) {
                return Err(io::Error::from_raw_os_error(libc::EEXIST));
            }
            return Ok(Self {
                length: Some(file.metadata()?.len()),
                file,
                lost: 0,
            });
        }
        if regular {
            options.append(true);
        } else {
            // A pipe, say. Reading it would keep it open when its reader has gone.
            options.write(true);
        }
        let file = options
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        Ok(Self {
            length: None,
            file,
            lost: 0,
        })
    }

    /// The file.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Adds a line.
    pub(super) fn add(&mut self, value: &impl Serialize) {
        let Ok(mut line) = serde_json::to_string(value) else {
            self.lost += 1;
            return;
        };
        line.push('\n');
        let size = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.length.is_some_and(|length| length + size > Self::MOST) && self.shorten().is_err() {
            self.lost += 1;
            return;
        }
        // What does not go at once does not go: a pipe that is full, a disk that is.
        match self.file.write(line.as_bytes()) {
            Ok(written) if written == line.len() => {
                self.length = self.length.map(|length| length + size);
            }
            Ok(_) | Err(_) => self.lost += 1,
        }
    }

    /// Drops the older half of the lines.
    fn shorten(&mut self) -> io::Result<()> {
        let size = usize::try_from(Self::MOST / 2).unwrap_or(0);
        let mut kept = Vec::new();
        kept.try_reserve_exact(size)
            .map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
        kept.resize(size, 0);
        let from = self.length.unwrap_or(0).saturating_sub(Self::MOST / 2);
        let got = self.file.read_at(&mut kept, from)?;
        kept.truncate(got);
        let begin = memchr::memchr(b'\n', &kept).map_or(got, |end| end + 1);
        let kept = kept.get(begin..).unwrap_or_default();
        self.file.set_len(0)?;
        self.file.write_all(kept)?;
        self.length = Some(u64::try_from(kept.len()).unwrap_or(0));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stays_small_and_keeps_the_newest_lines_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("denied.jsonl");
        std::fs::write(&path, "{\"event\":\"denied\",\"number\":-1}\n").unwrap();
        let mut lines = Lines::open(&path).unwrap();
        let long = "x".repeat(1000);
        for number in 0..20_000 {
            lines.add(&serde_json::json!({ "number": number, "text": long }));
        }
        assert_eq!(lines.lost, 0);
        let text = std::fs::read_to_string(&path).unwrap();
        let size = u64::try_from(text.len()).unwrap();
        assert!(size <= Lines::MOST && size > Lines::MOST / 4, "{size}");
        let numbers: Vec<u64> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["number"].as_u64())
            .map(Option::unwrap)
            .collect();
        assert_eq!(numbers.last(), Some(&19_999));
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
    }

    #[test]
    fn other_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (other, link) = (dir.path().join("other"), dir.path().join("link"));
        std::fs::write(&other, "precious\n").unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        let refused = |path| Lines::open(path).unwrap_err().raw_os_error();
        assert_eq!(refused(&other), Some(libc::EEXIST));
        assert_eq!(refused(&link), Some(libc::ELOOP));
        std::fs::remove_file(&other).unwrap();
        assert_eq!(refused(&link), Some(libc::ELOOP));
        assert!(!other.exists());
        assert!(Lines::open(Path::new("/dev/null")).is_ok());
    }

    #[test]
    fn nobody_waits_for_a_pipe_that_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(Lines::open(&path).is_err(), "nobody reads it");
        let mut reader = OpenOptions::new();
        reader.read(true).custom_flags(libc::O_NONBLOCK);
        let _reader = reader.open(&path).unwrap();
        let mut lines = Lines::open(&path).unwrap();
        for _ in 0..10_000 {
            lines.add(&serde_json::json!({ "text": "x".repeat(100) }));
        }
        assert!(lines.lost > 0);
    }
}
