//! A profile that is everybody's protects nobody.

use super::{Access, Finding, Kind, Looked, Severity};
use crate::syscall;

static BROAD: Kind = Kind::new(
    "allows-most",
    Severity::Warning,
    "the profile allows most of all syscalls",
);

pub(super) static KINDS: [&Kind; 1] = [&BROAD];

pub(super) fn find(looked: &Looked) -> Vec<Finding> {
    if !looked.denies_by_default() {
        return Vec::new();
    }
    let (mut allowed, mut all) = (0, 0);
    for (sysno, _) in syscall::all(looked.native.arch) {
        all += 1;
        allowed += usize::from(Access::of(looked.native, sysno.nr) != Access::Never);
    }
    if 2 * allowed <= all {
        return Vec::new();
    }
    let message = format!(
        "{allowed} of the {all} syscalls of {} are allowed: one profile for everything holds nothing back",
        looked.native.arch
    );
    vec![BROAD.finding(
        "syscalls",
        message,
        "a profile for each program: --learn finds out what it needs",
    )]
}
