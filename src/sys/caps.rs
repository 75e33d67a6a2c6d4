//! Giving up capabilities between fork and exec: `capabilities(7)`, `capset(2)`.
//!
//! What to give up is worked out before the fork (with the `caps` crate); this is the part that must be
//! async-signal-safe.

use super::{Errno, ZERO, check, check_int};

/// Sets of capabilities as bit masks: bit n is capability number n.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CapDrop {
    /// Taken out of the bounding set, so that no exec gives them back.
    pub(crate) bounding: u64,
    /// What stays permitted.
    pub(crate) permitted: u64,
    /// What stays effective.
    pub(crate) effective: u64,
    /// What stays inheritable.
    pub(crate) inheritable: u64,
    /// Taken out of the ambient set.
    pub(crate) ambient: u64,
}

/// The bounding set of this thread, with whatever capabilities the kernel knows.
pub(crate) fn bounding() -> u64 {
    let held = |number: &libc::c_ulong| {
        // SAFETY: takes numbers only; fails with EINVAL for numbers that are no capability.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_READ, *number, ZERO, ZERO, ZERO) };
        result == 1
    };
    (0..64)
        .filter(held)
        .fold(0, |set, number| set | 1 << number)
}

/// `CAP_KILL`: to signal processes of other users.
pub(crate) const KILL: u64 = 1 << 5;

/// `CAP_SYS_PTRACE`: to look into processes of other users, and into undumpable ones.
pub(crate) const SYS_PTRACE: u64 = 1 << 19;

/// `_LINUX_CAPABILITY_VERSION_3`: 64-bit sets in two halves.
const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Drops the bounding and ambient capabilities. Async-signal-safe.
pub(crate) fn limit(plan: &CapDrop) -> Result<(), Errno> {
    for number in bits(plan.bounding) {
        // SAFETY: takes numbers only.
        check_int(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, ZERO, ZERO, ZERO) })?;
    }
    for number in bits(plan.ambient) {
        let lower = libc::PR_CAP_AMBIENT_LOWER;
        // SAFETY: takes numbers only; the unused ones must be 0.
        check_int(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, lower, number, ZERO, ZERO) })?;
    }
    Ok(())
}

/// Sets the permitted, effective and inheritable sets. Async-signal-safe.
pub(crate) fn set(plan: &CapDrop) -> Result<(), Errno> {
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let half = |shift: u32| Data {
        effective: low(plan.effective >> shift),
        permitted: low(plan.permitted >> shift),
        inheritable: low(plan.inheritable >> shift),
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 reads a header and two data structures, all locals that outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// The low half of a set.
fn low(set: u64) -> u32 {
    (set & 0xffff_ffff) as u32
}

/// The numbers of the bits that are set.
fn bits(set: u64) -> impl Iterator<Item = libc::c_ulong> {
    (0..64).filter(move |number| set >> number & 1 == 1)
}
