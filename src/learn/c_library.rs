//! Which C library a command used, told from the files that its calls came from.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use memchr::memmem;

use crate::recording::Recording;

/// No C library is larger. The file is the command's choice.
const MAX_SIZE: u64 = 16 << 20;

/// How much is looked at at once, and how long a line can be.
const PIECE: usize = 1 << 16;
const LINE: usize = 120;

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
    let mut file = File::open(file).ok()?;
    // Piece by piece, each with the end of the one before it: a whole library takes longer than many a command.
    let mut bytes = vec![0; PIECE];
    let mut held = 0;
    loop {
        let read = file.read(bytes.get_mut(held..)?).ok()?;
        let piece = bytes.get(..held + read)?;
        if let Some(at) = memmem::find(piece, GLIBC)
            && (read == 0 || piece.len() - at >= LINE)
        {
            return Some(line(piece.get(at..)?));
        }
        if memmem::find(piece, MUSL).is_some() {
            return Some("musl libc".to_owned());
        }
        if read == 0 {
            return None;
        }
        let from = piece.len().saturating_sub(LINE);
        held = piece.len() - from;
        bytes.copy_within(from..from + held, 0);
    }
}

/// What is printable from here to the end of the line, without its full stop.
fn line(bytes: &[u8]) -> String {
    let printable = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_graphic() || **byte == b' ');
    let line: String = printable.take(LINE).map(|&byte| char::from(byte)).collect();
    line.trim_end_matches('.').to_owned()
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
    fn the_words_are_found_wherever_they_lie() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libc.so.6");
        let words = "GNU C Library (Some GLIBC 2.36-9) stable release version 2.36";
        for before in [
            0,
            1,
            PIECE - 200,
            PIECE - 70,
            PIECE - 7,
            PIECE,
            3 * PIECE - 50,
        ] {
            for after in [0, 10, LINE, 2 * PIECE] {
                let text = [&vec![7; before][..], words.as_bytes(), &vec![0; after]].concat();
                std::fs::write(&path, text).unwrap();
                assert_eq!(version(&path).as_deref(), Some(words), "{before} {after}");
            }
        }
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        for path in ["/dev/zero", "/proc/self", "/nonexistent"] {
            assert_eq!(version(Path::new(path)), None, "{path}");
        }
    }
}
