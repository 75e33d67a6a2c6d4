//! `seccomp(2)`: installing a filter, and asking what the kernel knows.

use super::{Errno, ZERO, check};

/// Installs a filter in the calling thread. Async-signal-safe.
///
/// Needs `no_new_privs` or `CAP_SYS_ADMIN` (`EACCES`). The kernel checks the program; any error means that
/// nothing was installed. With `SECCOMP_FILTER_FLAG_NEW_LISTENER` the result is the listener's descriptor, which is
/// close-on-exec; otherwise 0.
pub(crate) fn install(program: &[libc::sock_filter], flags: libc::c_ulong) -> Result<i32, Errno> {
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
    // A descriptor, or 0.
    check(result).map(|fd| i32::try_from(fd).unwrap_or(-1))
}

/// Does this kernel take these flags (`SECCOMP_FILTER_FLAG_*`)? Nothing is installed: it looks at the flags before
/// it looks for a program, and there is none.
///
/// # Errors
/// `EINVAL`: it does not know one of them. Anything else: it has no `seccomp`, or an outer filter forbids it.
pub(crate) fn flags_available(flags: libc::c_ulong) -> Result<(), Errno> {
    let operation = libc::SECCOMP_SET_MODE_FILTER;
    let nothing = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: the kernel reads the program from a null pointer, which fails.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, nothing) };
    match check(result) {
        Err(Errno::EFAULT) => Ok(()),
        // It cannot succeed without a program.
        Ok(_) => Err(Errno::EINVAL),
        Err(errno) => Err(errno),
    }
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
