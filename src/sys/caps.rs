//! Capabilities, and giving them up between fork and exec: `capabilities(7)`, `capset(2)`.
//!
//! What to give up is worked out before the fork; taking steps to it must be async-signal-safe. The `caps` crate knows
//! the names; of numbers it makes sets one by one, at more than a hundred calls, where a launcher has no time.

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

/// The capability sets of a thread but for the bounding set, as bit masks. Capabilities that no header of ours knows are
/// in them, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sets {
    pub(crate) permitted: u64,
    pub(crate) effective: u64,
    pub(crate) inheritable: u64,
    pub(crate) ambient: u64,
}

impl Sets {
    /// The sets of this thread. What the bounding set holds, [`in_bounding`] tells.
    pub(crate) fn current() -> Result<Self, Errno> {
        let header = Header::OWN;
        let mut data = [Data::default(); 2];
        // SAFETY: version 3 reads a header and writes two data structures, all locals that outlive the call.
        check(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
        let [lows, highs] = data;
        let set = |half: fn(Data) -> u32| u64::from(half(lows)) | u64::from(half(highs)) << 32;
        let permitted = set(|half| half.permitted);
        let inheritable = set(|half| half.inheritable);
        // The kernel keeps the ambient set within these two: mostly there is nothing to ask for.
        let possible = bits(permitted & inheritable);
        Ok(Self {
            permitted,
            effective: set(|half| half.effective),
            inheritable,
            ambient: union(possible.filter(|&number| is_ambient(number))),
        })
    }
}

fn is_ambient(number: libc::c_ulong) -> bool {
    let is_set = libc::PR_CAP_AMBIENT_IS_SET;
    // SAFETY: takes numbers only; the unused ones must be 0.
    let result = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, is_set, number, ZERO, ZERO) };
    result == 1
}

/// Which of these capabilities are in the bounding set of this thread. Each is a question to the kernel.
///
/// # Errors
/// What an outer filter answers. A number that is no capability here is in no set, and no error.
pub(crate) fn in_bounding(asked: u64) -> Result<u64, Errno> {
    let mut held = 0;
    for number in bits(asked) {
        // SAFETY: takes numbers only.
        let answer = unsafe { libc::prctl(libc::PR_CAPBSET_READ, number, ZERO, ZERO, ZERO) };
        match check(libc::c_long::from(answer)) {
            Ok(answer) => held |= u64::from(answer == 1) << number,
            Err(Errno::EINVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(held)
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

impl Header {
    /// Of the calling thread.
    const OWN: Self = Self {
        version: VERSION_3,
        pid: 0,
    };
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
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
    let header = Header::OWN;
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

/// The set of these numbers.
fn union(numbers: impl Iterator<Item = libc::c_ulong>) -> u64 {
    numbers.fold(0, |set, number| set | 1 << number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sets_are_those_that_proc_shows() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let shown = |name: &str| {
            let mut lines = status.lines();
            let set = lines.find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(set.trim(), 16).unwrap()
        };
        let want = Sets {
            permitted: shown("CapPrm:"),
            effective: shown("CapEff:"),
            inheritable: shown("CapInh:"),
            ambient: shown("CapAmb:"),
        };
        assert_eq!(Sets::current(), Ok(want));
        let bounding = shown("CapBnd:");
        for asked in [0, 1, 1 << 21 | 1 << 63, u64::MAX] {
            assert_eq!(in_bounding(asked), Ok(bounding & asked), "{asked:#x}");
        }
    }
}
