//! `renameat2(2)`, for which not every C library has a function.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{Errno, check};

/// Renames a file to a name that must not exist (`EEXIST`).
///
/// # Errors
/// `EINVAL`: the file system cannot.
pub(crate) fn rename_to_new(from: &Path, to: &Path) -> Result<(), Errno> {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL);
    let (from, to) = (text(from)?, text(to)?);
    let (here, flags) = (libc::AT_FDCWD, libc::RENAME_NOREPLACE);
    // SAFETY: takes numbers, and two C strings that outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            here,
            from.as_ptr(),
            here,
            to.as_ptr(),
            flags,
        )
    };
    check(result).map(drop)
}
