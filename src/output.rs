//! Files that are written whole or not at all: beside their place, then renamed into it. What is going to be replaced is
//! locked (`flock(2)`), so that of two who would, one is told.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::resource::{Resource, getrlimit};

use crate::sys::file;

/// How many outputs this process has claimed, so that each has a name of its own while it is written.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// May the file exist already?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// No: what is there is kept.
    Keep,
    /// Yes: it is replaced.
    Replace,
}

/// A place for a file that was found to be writable.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    sibling: PathBuf,
    existing: Existing,
    is_locked: bool,
    /// What is there now, locked; `None` where nothing is, or where files cannot be locked.
    lock: Option<Flock<File>>,
}

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// It exists, and may not be replaced.
    #[error("'{}' exists", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The new file is whole, and could not be put in its place: somebody else's may be there.
    #[error("cannot put '{}' in its place; what was written is in '{}'", path.display(), kept.display())]
    Place {
        /// The place.
        path: PathBuf,
        /// Where the new file is.
        kept: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process is going to replace it.
    #[error("'{}' is locked: another seccomp-run is writing it, or somebody holds a flock", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// It is something that cannot be replaced by a file.
    #[error("'{}' is not a regular file", path.display())]
    NotAFile {
        /// The thing.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {what} '{}'", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl Output {
    /// Claims a place: finds out now whether a file can be written there later. Writes nothing.
    ///
    /// A symlink's target is what is replaced, so that the link stays.
    pub(crate) fn claim(path: &Path, existing: Existing) -> Result<Self, OutputError> {
        let mut output = Self::claim_beside(path, existing)?;
        if can_spare_descriptors() {
            output.lock = lock(&output.path)?;
            output.is_locked = true;
        }
        Ok(output)
    }

    /// The same without a lock of its own, for a file that goes with another one that is claimed.
    pub(crate) fn claim_beside(path: &Path, existing: Existing) -> Result<Self, OutputError> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        match fs::symlink_metadata(&path) {
            Ok(meta) if !meta.is_file() => return Err(OutputError::NotAFile { path }),
            Ok(_) if existing == Existing::Keep => return Err(OutputError::Exists { path }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(OutputError::Io {
                    what: "look at",
                    path,
                    source,
                });
            }
        }
        if path.file_name().is_none() {
            return Err(OutputError::NotAFile { path });
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // In a directory that machines share, the process id tells nobody apart: in containers it is 1.
        let random = RandomState::new().build_hasher().finish();
        let hidden = format!(".seccomp-run-{}-{count}-{random:016x}", std::process::id());
        let output = Self {
            sibling: path.with_file_name(hidden),
            path,
            existing,
            is_locked: false,
            lock: None,
        };
        // The directory decides: try it with the sibling that will be written.
        output.create()?;
        output.discard();
        Ok(output)
    }

    /// Writes the file, replacing what an earlier call wrote.
    ///
    /// # Errors
    /// [`OutputError::Place`] when somebody else made the file meanwhile; ours stays beside it.
    pub(crate) fn write(&mut self, contents: impl AsRef<[u8]>) -> Result<(), OutputError> {
        let mut file = self.create()?;
        let written = file.write_all(contents.as_ref()).and_then(|()| {
            // A file that is replaced keeps its mode.
            if let Ok(meta) = fs::metadata(&self.path) {
                file.set_permissions(fs::Permissions::from_mode(
                    meta.permissions().mode() & 0o777,
                ))?;
            }
            file.sync_all()
        });
        if let Err(error) = written {
            self.discard();
            return Err(self.io("write", error));
        }
        if self.is_locked {
            if self.lock.is_none() {
                // Two may have claimed what was not there yet.
                self.lock = lock(&self.path).map_err(|_| self.place(Errno::EBUSY.into()))?;
            }
            // Nobody else has it yet. It stays locked when it is in its place.
            let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
            self.rename()?;
            self.lock = locked.ok();
        } else {
            self.rename()?;
        }
        // From now on the file is ours.
        self.existing = Existing::Replace;
        Ok(())
    }

    /// The descriptor that holds the lock. Who closes descriptors by number leaves it alone.
    pub(crate) fn lock_fd(&self) -> Option<i32> {
        self.lock.as_ref().map(|lock| lock.as_raw_fd())
    }

    fn rename(&self) -> Result<(), OutputError> {
        let result = match self.existing {
            Existing::Replace => fs::rename(&self.sibling, &self.path),
            Existing::Keep => self.rename_to_new(),
        };
        result.map_err(|source| self.place(source))
    }

    fn place(&self, source: io::Error) -> OutputError {
        OutputError::Place {
            path: self.path.clone(),
            kept: self.sibling.clone(),
            source,
        }
    }

    /// Renames to a name that must not exist.
    fn rename_to_new(&self) -> io::Result<()> {
        match file::rename_to_new(&self.sibling, &self.path) {
            // Network file systems know no flags, but a link replaces nothing either.
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                fs::hard_link(&self.sibling, &self.path)?;
                fs::remove_file(&self.sibling)
            }
            result => result.map_err(io::Error::from),
        }
    }

    /// Makes the sibling. Whoever planted something under its name gains nothing: it is removed, and the
    /// new file must not exist and is never reached through a link.
    fn create(&self) -> Result<File, OutputError> {
        self.discard();
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .mode(0o644)
            .open(&self.sibling)
            .map_err(|error| self.io("write", error))
    }

    fn discard(&self) {
        // Nothing to remove is what we want; anything else shows when the file is created.
        let _ = fs::remove_file(&self.sibling);
    }

    fn io(&self, what: &'static str, source: io::Error) -> OutputError {
        OutputError::Io {
            what,
            path: self.path.clone(),
            source,
        }
    }
}

/// A lock is a descriptor. Where there are hardly enough to work, nobody is kept from anything.
fn can_spare_descriptors() -> bool {
    let limit = getrlimit(Resource::RLIMIT_NOFILE);
    limit.is_ok_and(|(limit, _)| limit >= 16)
}

/// Locks what is there. Not every file system can: then nobody is kept from anything.
fn lock(path: &Path) -> Result<Option<Flock<File>>, OutputError> {
    // Some file systems give a file another number each time.
    for _ in 0..100 {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path);
        let Ok(file) = file else {
            return Ok(None);
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            // Replaced before it was locked, it is not what is there any more.
            Ok(locked) if is_at(&locked, path) => return Ok(Some(locked)),
            Ok(_) => {}
            Err((_, Errno::EWOULDBLOCK)) => {
                let path = path.to_owned();
                return Err(OutputError::Busy { path });
            }
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}

fn is_at(file: &File, path: &Path) -> bool {
    let id = |meta: fs::Metadata| (meta.dev(), meta.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => id(ours) == id(there),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn claiming_writes_nothing_and_writing_leaves_only_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        let mut output = Output::claim(&path, Existing::Keep).unwrap();
        assert!(names(dir.path()).is_empty());
        output.write("one").unwrap();
        output.write("two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(names(dir.path()), ["out.json"]);
    }

    #[test]
    fn what_exists_is_kept_unless_told_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        fs::write(&path, "theirs").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(
            Output::claim(&path, Existing::Keep),
            Err(OutputError::Exists { .. })
        ));
        Output::claim(&path, Existing::Replace)
            .unwrap()
            .write("ours")
            .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "ours");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn two_do_not_write_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        let is_busy = || {
            let claimed = Output::claim(&path, Existing::Replace);
            matches!(claimed, Err(OutputError::Busy { .. }))
        };
        // Who both claimed what was not there yet: the second one's is kept beside.
        let [mut first, mut second] =
            [(), ()].map(|()| Output::claim(&path, Existing::Replace).unwrap());
        first.write("first").unwrap();
        let refused = second.write("second");
        assert!(
            matches!(refused, Err(OutputError::Place { .. })),
            "{refused:?}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(fs::read_to_string(&second.sibling).unwrap(), "second");
        drop((first, second));
        fs::remove_file(&path).unwrap();
        // A new one is its writer's from the first write on, an old one from the claim.
        for existing in [Existing::Keep, Existing::Replace] {
            let mut output = Output::claim(&path, existing).unwrap();
            assert_eq!(is_busy(), existing == Existing::Replace);
            for text in ["one", "two"] {
                output.write(text).unwrap();
                assert!(is_busy());
            }
            drop(output);
            assert!(!is_busy());
        }
    }

    #[test]
    fn a_file_that_appears_meanwhile_is_kept_and_ours_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        let mut output = Output::claim(&path, Existing::Keep).unwrap();
        fs::write(&path, "theirs").unwrap();
        assert!(matches!(
            output.write("ours"),
            Err(OutputError::Place { .. })
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(fs::read_to_string(&output.sibling).unwrap(), "ours");
    }

    #[test]
    fn links_are_kept_and_planted_ones_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real.json"), dir.path().join("link.json"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut output = Output::claim(&link, Existing::Replace).unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &output.sibling).unwrap();
        output.write("new").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn directories_and_missing_ones_are_refused_before() {
        let dir = tempfile::tempdir().unwrap();
        let refused = Output::claim(dir.path(), Existing::Replace);
        assert!(
            matches!(refused, Err(OutputError::NotAFile { .. })),
            "{refused:?}"
        );
        let missing = Output::claim(&dir.path().join("no/out.json"), Existing::Replace);
        assert!(
            matches!(missing, Err(OutputError::Io { .. })),
            "{missing:?}"
        );
    }
}
