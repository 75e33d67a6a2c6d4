//! Reading a profile from disk, distrustfully: the file decides what a program may do.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::findings::{Oddity, Warning};
use super::model::{Position, Profile};
use super::parse::{MAX_SIZE, ParseError};

/// Why a profile could not be had from a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It could not be opened or read.
    #[error("cannot read profile '{}'", path.display())]
    Io {
        /// The path as given.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is a directory, a FIFO, a device or a socket.
    #[error("profile '{}' is {kind}; give a regular file, or a link to one", path.display())]
    NotAFile {
        /// The path as given.
        path: PathBuf,
        /// What it is instead.
        kind: &'static str,
    },
    /// It is larger than [`MAX_SIZE`].
    #[error("profile '{}' is larger than 4 MiB; check that the path is the one meant", path.display())]
    TooLarge {
        /// The path as given.
        path: PathBuf,
    },
    /// Its contents are no profile.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

/// Reads and parses the profile in this file.
///
/// The file is opened once and judged by what was opened, so that it cannot change in between. Links are
/// followed: a Kubernetes `ConfigMap` mounts its files as such. What could block or never end is refused.
///
/// # Errors
///
/// When it cannot be read, is no regular file, is too large, or is no profile.
pub fn read_profile(path: &Path) -> Result<(Profile, Vec<Warning>), ReadError> {
    read(path).map(|(profile, warnings, _)| (profile, warnings))
}

/// As [`read_profile`], with the text of the file, for whoever must point into it.
///
/// # Errors
///
/// As for [`read_profile`].
pub fn read_profile_text(path: &Path) -> Result<(Profile, Vec<Warning>, String), ReadError> {
    let (profile, warnings, text) = read(path)?;
    // What parses is UTF-8.
    let text = String::from_utf8(text).unwrap_or_default();
    Ok((profile, warnings, text))
}

fn read(path: &Path) -> Result<(Profile, Vec<Warning>, Vec<u8>), ReadError> {
    let failed = |source| ReadError::Io {
        path: path.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .read(true)
        // A FIFO without a writer would block the open. A terminal must not become ours.
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if let Some(kind) = not_a_file(&metadata) {
        return Err(ReadError::NotAFile {
            path: path.to_owned(),
            kind,
        });
    }
    let text = read_capped(&file, metadata.len()).map_err(failed)?;
    if text.len() > MAX_SIZE {
        return Err(ReadError::TooLarge {
            path: path.to_owned(),
        });
    }
    let (profile, mut warnings) = Profile::parse(&text, &path.to_string_lossy())?;
    warnings.extend(distrust(&metadata, geteuid().as_raw()));
    Ok((profile, warnings, text))
}

/// The contents, but never more than one byte over the limit: the size in the metadata is only a promise.
fn read_capped(file: &File, promised: u64) -> io::Result<Vec<u8>> {
    let room = usize::try_from(promised).unwrap_or(MAX_SIZE).min(MAX_SIZE);
    let mut text = Vec::with_capacity(room + 1);
    let limit = u64::try_from(MAX_SIZE).unwrap_or(u64::MAX);
    file.take(limit.saturating_add(1)).read_to_end(&mut text)?;
    Ok(text)
}

fn not_a_file(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    Some(match () {
        () if kind.is_file() => return None,
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () => "a device",
    })
}

/// Who besides the user could have written it? Root's files are trusted by everybody.
fn distrust(metadata: &Metadata, user: u32) -> Option<Warning> {
    let owner = metadata.uid();
    let about = if owner != 0 && owner != user {
        Oddity::ForeignOwner { owner }
    } else if metadata.mode() & 0o022 != 0 {
        Oddity::Writable {
            mode: metadata.mode() & 0o7777,
        }
    } else {
        return None;
    };
    Some(Warning::new(Position::NOWHERE, about))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const MINIMAL: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#;

    #[test]
    fn files_and_links_to_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("p.json"), dir.path().join("link"));
        fs::write(&file, MINIMAL).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        symlink(&file, &link).unwrap();
        for path in [&file, &link] {
            let (profile, warnings) = read_profile(path).unwrap();
            assert_eq!((profile.rules, warnings), (vec![], vec![]));
        }
        fs::set_permissions(&file, Permissions::from_mode(0o664)).unwrap();
        let (_, warnings) = read_profile(&file).unwrap();
        assert_eq!(warnings[0].about, Oddity::Writable { mode: 0o664 });
        assert_eq!(
            warnings[0].in_file("p.json"),
            "p.json: the file is writable for others than its owner (mode 0664)"
        );
    }

    #[test]
    fn whoever_else_owns_the_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.json");
        fs::write(&file, MINIMAL).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!(distrust(&metadata, metadata.uid()), None);
        let warning = distrust(&metadata, metadata.uid() + 1).map(|warning| warning.about);
        let owner = metadata.uid();
        let want = (owner != 0).then_some(Oddity::ForeignOwner { owner });
        assert_eq!(warning, want);
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let large = dir.path().join("large");
        let sparse = File::create(&large).unwrap();
        sparse.set_len(1 << 40).unwrap();
        let nul = dir.path().join("nul");
        fs::write(&nul, "\0").unwrap();
        let missing = dir.path().join("missing");
        let cases = [
            (dir.path(), "is a directory"),
            (&fifo, "is a FIFO"),
            (&socket, "cannot read profile"),
            (Path::new("/dev/zero"), "is a device"),
            (&large, "is larger than 4 MiB"),
            (&missing, "cannot read profile"),
            (&nul, "expected an object"),
        ];
        for (path, want) in cases {
            let error = read_profile(path).unwrap_err().to_string();
            assert!(error.contains(want), "{}: {error}", path.display());
            assert!(error.contains(&*path.to_string_lossy()), "{error}");
        }
    }
}
