//! The command: from words to a file and its arguments, as `execvp(3)` would find it.
//!
//! The search happens before the fork, so that there is exactly one execve under the filter.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, eaccess};

use crate::sys::Errno;

/// Where commands are searched for when `PATH` is not set.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A command that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    /// The file to execute.
    pub(crate) file: PathBuf,
    /// All words, the command's own name first.
    pub(crate) words: Vec<OsString>,
}

/// Why there is nothing to execute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandError {
    /// No such file.
    #[error("command '{}' not found", name.display())]
    NotFound {
        /// As it was typed.
        name: OsString,
    },
    /// A file that cannot be executed.
    #[error("cannot execute '{}'", file.display())]
    NotExecutable {
        /// The file that was found.
        file: PathBuf,
        /// Why not.
        source: Errno,
    },
}

impl Command {
    /// Finds the command of these words. `path` is the value of `PATH`.
    pub(crate) fn find(words: Vec<OsString>, path: Option<&OsStr>) -> Result<Self, CommandError> {
        let name = words.first().cloned().unwrap_or_default();
        let not_found = || CommandError::NotFound { name: name.clone() };
        if name.is_empty() {
            return Err(not_found());
        }
        let direct = name.as_bytes().contains(&b'/');
        let candidates = if direct {
            vec![PathBuf::from(&name)]
        } else {
            candidates(&name, path)
        };
        let mut refused = None;
        for file in candidates {
            match executable(&file) {
                Ok(()) => return Ok(Self { file, words }),
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                // Like execvp: remember it, and look on.
                Err(source) => {
                    refused.get_or_insert(CommandError::NotExecutable { file, source });
                }
            }
        }
        Err(refused.unwrap_or_else(not_found))
    }

    /// File and words as C strings. A null byte cannot come from a command line.
    pub(crate) fn to_c(&self) -> (CString, Vec<CString>) {
        let c = |text: &OsStr| CString::new(text.to_owned().into_vec()).unwrap_or_default();
        (
            c(self.file.as_os_str()),
            self.words.iter().map(|word| c(word)).collect(),
        )
    }
}

/// The places where `PATH` says to look. An empty element is the current directory.
fn candidates(name: &OsStr, path: Option<&OsStr>) -> Vec<PathBuf> {
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    path.as_bytes()
        .split(|&byte| byte == b':')
        .map(|dir| {
            Path::new(if dir.is_empty() {
                OsStr::new(".")
            } else {
                OsStr::from_bytes(dir)
            })
        })
        .map(|dir| dir.join(name))
        .collect()
}

fn executable(file: &Path) -> Result<(), Errno> {
    let meta = file
        .metadata()
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    if !meta.is_file() {
        return Err(Errno::EACCES);
    }
    eaccess(file, AccessFlags::X_OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: &str, path: Option<&str>) -> Result<Command, CommandError> {
        Command::find(vec![name.into(), "arg".into()], path.map(OsStr::new))
    }

    #[test]
    fn found_as_execvp_finds() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sh");
        std::fs::write(&file, "").unwrap();
        // A file without the x bit is passed over when a later directory has one with it.
        let path = format!("{}:/nowhere:/bin", dir.path().display());
        assert_eq!(find("sh", Some(&path)).unwrap().file, Path::new("/bin/sh"));
        assert_eq!(find("sh", None).unwrap().words, ["sh", "arg"]);
        assert_eq!(
            find("/bin/sh", Some("")).unwrap().file,
            Path::new("/bin/sh")
        );
        let refused = find("sh", Some(&dir.path().display().to_string()));
        assert_eq!(
            refused,
            Err(CommandError::NotExecutable {
                file,
                source: Errno::EACCES
            })
        );
    }

    #[test]
    fn missing_and_unusable_are_told_apart() {
        for name in ["no-such-command", "/no/such/file", "", "/bin/sh/x"] {
            assert!(
                matches!(find(name, Some("/bin")), Err(CommandError::NotFound { .. })),
                "{name}"
            );
        }
        assert!(matches!(
            find("/", None),
            Err(CommandError::NotExecutable { .. })
        ));
    }
}
