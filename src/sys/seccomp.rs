//! `seccomp(2)`: installing a filter, and asking what the kernel knows.

use super::{Errno, ZERO, check};

/// Installs a filter in the calling thread. Async-signal-safe.
///
/// Needs `no_new_privs` or `CAP_SYS_ADMIN` (`EACCES`). The kernel checks the program; any error means that
/// nothing was installed.
pub(crate) fn install(program: &[libc::sock_filter], flags: libc::c_ulong) -> Result<(), Errno> {
    let len = libc::c_ushort::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    // The kernel only reads the instructions; the type is shared with a caller that may write them.
    let fprog = libc::sock_fprog {
        len,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: fprog and the instructions it points to live until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const fprog,
        )
    };
    check(result).map(drop)
}

/// Does this kernel know the action of this return value (`SECCOMP_GET_ACTION_AVAIL`)?
///
/// # Errors
/// `EOPNOTSUPP`: it does not. Anything else: it has no `seccomp`, or an outer filter forbids to ask.
pub(crate) fn action_available(ret: u32) -> Result<(), Errno> {
    let action = ret & libc::SECCOMP_RET_ACTION_FULL;
    // SAFETY: the kernel reads one u32 from a local.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_GET_ACTION_AVAIL,
            ZERO,
            &raw const action,
        )
    };
    check(result).map(drop)
}
