//! The launcher's own sandbox, while it looks after a command.
//!
//! A launcher that stays is a way out of the command's sandbox: to a process of the same user with the right
//! privileges, `/proc/PPID/mem` is a file that can be written. So the launcher gives up its capabilities
//! and installs a filter of its own, from the same compiler: it can wait, signal the one command, stop and
//! end itself, and write to standard error. Whoever overwrites it gains nothing.

use std::collections::BTreeMap;

use crate::action::Action;
use crate::arch::Arch;
use crate::filter::{CompileError, Filter, Options};
use crate::policy::{Abi, Condition, Op, Policy, Rule, Width};
use crate::sys::caps::{self, CapDrop};
use crate::sys::spawn::Child;
use crate::sys::{Errno, process, seccomp};
use crate::syscall::Sysno;

/// Why the launcher could not be confined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    /// Its filter cannot be compiled.
    #[error("cannot compile the launcher's own filter")]
    Compile(#[from] CompileError),
    /// The kernel refused.
    #[error("cannot confine the launcher: {what}")]
    Kernel {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: Errno,
    },
}

/// What an argument must be.
type Given = (u8, Op, u64);

/// Confines this process to looking after `child`. There is no way back.
///
/// `CAP_KILL` is kept where it is held: a command that changed its user must still get its signals.
pub(crate) fn confine(child: &Child, held: u64) -> Result<(), ConfineError> {
    let failed = |what| move |source| ConfineError::Kernel { what, source };
    let filter = Filter::compile(&policy(child), &Options::default())?;
    let kept = held & caps::KILL;
    let capabilities = CapDrop {
        bounding: 0,
        permitted: kept,
        effective: kept,
        inheritable: 0,
        ambient: 0,
    };
    caps::set(&capabilities).map_err(failed("drop capabilities"))?;
    process::set_no_new_privs().map_err(failed("set no_new_privs"))?;
    seccomp::install(filter.program(), 0)
        .map(drop)
        .map_err(failed("install its filter"))
}

/// What the launcher may do from here on. Everything else fails with `EPERM`: were it killed instead, a
/// mistake here would leave the command without anybody who passes its signals on.
fn policy(child: &Child) -> Policy {
    let ours = u64::from(std::process::id());
    let (command, gate) = child.fd_numbers();
    // The gate is opened once and then closed, and nothing can open another file under its number.
    let gate = gate.unwrap_or(2);
    let exec = u64::from(libc::PROT_EXEC.cast_unsigned());
    let rules: [(&str, &[Given]); 25] = [
        // Its work.
        ("rt_sigtimedwait", &[]),
        ("wait4", &[]),
        ("pidfd_send_signal", &[(0, Op::Eq, command)]),
        ("write", &[(0, Op::Eq, 2)]),
        ("write", &[(0, Op::Eq, gate)]),
        // Following job control.
        ("tgkill", &[(0, Op::Eq, ours)]),
        ("getsid", &[(0, Op::Eq, 0)]),
        ("getpid", &[]),
        ("gettid", &[]),
        ("rt_sigprocmask", &[]),
        ("restart_syscall", &[]),
        ("rt_sigreturn", &[]),
        // Memory, but none that can be executed.
        ("brk", &[]),
        ("mmap", &[(2, Op::MaskedEq(exec), 0)]),
        ("mprotect", &[(2, Op::MaskedEq(exec), 0)]),
        ("mremap", &[]),
        ("munmap", &[]),
        ("madvise", &[]),
        ("futex", &[]),
        ("sigaltstack", &[]),
        // Its end.
        ("close", &[]),
        ("exit", &[]),
        ("exit_group", &[]),
        // The clock, where the vDSO does not answer.
        ("clock_gettime", &[]),
        ("gettimeofday", &[]),
    ];
    let mut syscalls: BTreeMap<u32, Vec<Rule>> = BTreeMap::new();
    for (origin, (name, given)) in rules.into_iter().enumerate() {
        // A name that this architecture lacks is one that the launcher does not call here.
        if let Some(sysno) = Sysno::parse(Arch::NATIVE, name) {
            let condition = |&(arg, op, value): &Given| Condition::new(arg, Width::W32, op, value);
            let conditions = given.iter().filter_map(condition).collect();
            syscalls.entry(sysno.nr).or_default().push(Rule {
                conditions,
                action: Action::Allow,
                origin,
            });
        }
    }
    let default = Action::Errno(1);
    let abi = Abi {
        arch: Arch::NATIVE,
        default,
        newer: None,
        syscalls,
    };
    Policy {
        abis: vec![abi],
        bad_arch: Action::KillProcess,
    }
}
