//! Which C library a command used, told from the files that its calls came from.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::recording::Recording;

/// No C library is larger. The file is the command's choice.
const MAX_SIZE: u64 = 16 << 20;

/// How glibc introduces itself when it is executed; its version follows, up to the end of the line.
const GLIBC: &[u8] = b"GNU C Library ";

/// The same for musl, whose version is not beside it.
const MUSL: &[u8] = b"musl libc (";

/// The C library of what was recorded: its own words for its version, or its file. `None` where no call is
/// known to have come from one.
pub(super) fn of(recording: &Recording) -> Option<String> {
    let calls = recording.calls();
    let mut files = calls
        .iter()
        .filter_map(|(_, call)| Some(call.place.as_ref()?.library.as_str()));
    let file = files.find(|file| is_libc(file))?;
    Some(version(Path::new(file)).unwrap_or_else(|| file.to_owned()))
}

/// `libc.so.6`, `libc-2.31.so`, `libc.so`, `ld-musl-x86_64.so.1`.
fn is_libc(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or_default();
    ["libc.so", "libc-2.", "ld-musl-"]
        .iter()
        .any(|start| name.starts_with(start))
}

/// What a C library says it is; `None` where it says nothing, or cannot be read.
fn version(file: &Path) -> Option<String> {
    // Opening a FIFO would wait.
    let meta = std::fs::metadata(file).ok()?;
    if !meta.is_file() || meta.len() > MAX_SIZE {
        return None;
    }
    let mut bytes = Vec::new();
    let opened = File::open(file).ok()?;
    opened.take(MAX_SIZE).read_to_end(&mut bytes).ok()?;
    if let Some(found) = from(&bytes, GLIBC) {
        let line = found
            .iter()
            .take_while(|byte| byte.is_ascii_graphic() || **byte == b' ');
        let line: String = line.take(120).map(|&byte| char::from(byte)).collect();
        return Some(line.trim_end_matches('.').to_owned());
    }
    from(&bytes, MUSL).map(|_| "musl libc".to_owned())
}

/// The bytes from the first place where `mark` stands.
fn from<'b>(bytes: &'b [u8], mark: &[u8]) -> Option<&'b [u8]> {
    let at = bytes
        .windows(mark.len())
        .position(|window| window == mark)?;
    bytes.get(at..)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::arch::Arch;
    use crate::recording::{Place, Sighting};
    use crate::syscall::Sysno;

    fn recording(library: &str) -> Recording {
        let mut recording = Recording::default();
        let exe = recording.executable("/bin/app");
        let sysno = Sysno {
            arch: Arch::X86_64,
            nr: 0,
        };
        let sighting = Sighting {
            sysno,
            args: [0; 6],
            tid: 1,
            exe,
        };
        recording.saw(&sighting, Duration::ZERO);
        recording.placed(
            sysno,
            Place {
                library: library.to_owned(),
                offset: 1,
            },
        );
        recording
    }

    #[test]
    fn a_library_is_asked_for_its_own_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let glibc = "GNU C Library (Some GLIBC 2.36-9) stable release version 2.36";
        std::fs::write(path("libc.so.6"), format!("\x7fELF\0\0{glibc}.\nCopyright")).unwrap();
        std::fs::write(path("ld-musl-x86_64.so.1"), "\x7fELF\0musl libc (x86_64)\n").unwrap();
        std::fs::write(path("libc.so"), "").unwrap();
        let cases = [
            (path("libc.so.6"), Some(glibc.to_owned())),
            (path("ld-musl-x86_64.so.1"), Some("musl libc".to_owned())),
            (path("libc.so"), Some(path("libc.so"))),
            (path("libc-2.31.so"), Some(path("libc-2.31.so"))),
            (path("libcap.so.2"), None),
            ("/bin/app".to_owned(), None),
        ];
        for (library, want) in cases {
            assert_eq!(of(&recording(&library)), want, "{library}");
        }
        assert_eq!(of(&Recording::default()), None);
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        for path in ["/dev/zero", "/proc/self", "/nonexistent"] {
            assert_eq!(version(Path::new(path)), None, "{path}");
        }
    }
}
