//! Enforcing: from a profile to a command that runs under it, or to no command at all.

use std::collections::BTreeMap;

use caps::{CapSet, Capability, CapsHashSet};

use crate::action::Action;
use crate::command::Command;
use crate::confine::{self, ConfineError};
use crate::filter::{CompileError, Filter, Launch, Options, arm};
use crate::launch::{self, LaunchError, setup};
use crate::policy::Policy;
use crate::profile::Flags;
use crate::supervise;
use crate::sys::caps::{CapDrop, bounding};
use crate::sys::spawn::{Gate, Seal};
use crate::sys::wait::End;
use crate::sys::{Errno, seccomp};
use crate::syscall::Sysno;

/// What to run, under what.
pub(crate) struct Request {
    /// What to run.
    pub(crate) command: Command,
    /// Under which policy.
    pub(crate) policy: Policy,
    /// How the filter is installed.
    pub(crate) flags: Flags,
    /// How often each syscall is made, where that is known.
    pub(crate) weights: Option<BTreeMap<Sysno, u64>>,
    /// Capabilities to give up.
    pub(crate) privileges: Privileges,
    /// Become the command, instead of staying to look after it.
    pub(crate) in_place: bool,
}

/// What the command may keep or gain of privileges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Privileges {
    current: Sets,
    /// Bit n: capability n is dropped.
    drop: u64,
    /// `no_new_privs` is left unset.
    allow_new: bool,
}

/// The capability sets of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sets {
    permitted: u64,
    effective: u64,
    inheritable: u64,
    ambient: u64,
    bounding: u64,
}

/// Why the command does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnforceError {
    /// The policy cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The kernel has no seccomp filters, or an outer filter forbids them.
    #[error("cannot use seccomp filters here")]
    NoSeccomp(#[source] Errno),
    /// The kernel does not know an action.
    #[error("this kernel does not know the action {}", action.scmp_name())]
    UnknownAction {
        /// The action.
        action: Action,
    },
    /// Capabilities could not be read.
    #[error("cannot read capabilities: {0}")]
    Caps(#[from] caps::errors::CapsError),
    /// `--allow-new-privs` without the right to it.
    #[error("--allow-new-privs needs CAP_SYS_ADMIN to install the filter")]
    NotAdmin,
    /// Capabilities cannot be kept from coming back at an exec.
    #[error("--cap-drop together with --allow-new-privs needs CAP_SETPCAP")]
    NotSetpcap,
    /// The launcher cannot be trusted beside the command.
    #[error(transparent)]
    Confine(#[from] ConfineError),
    /// The command was not started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

impl Privileges {
    /// The privileges of this process, less those to drop.
    pub(crate) fn new(drop: &CapsDropped, allow_new: bool) -> Result<Self, EnforceError> {
        let current = Sets::read()?;
        let has = |capability: Capability| current.effective & capability.bitmask() != 0;
        let drop = match drop {
            CapsDropped::All => u64::MAX,
            CapsDropped::These(set) => mask(set),
        };
        if allow_new && !has(Capability::CAP_SYS_ADMIN) {
            return Err(EnforceError::NotAdmin);
        }
        if allow_new && drop & current.bounding != 0 && !has(Capability::CAP_SETPCAP) {
            return Err(EnforceError::NotSetpcap);
        }
        Ok(Self {
            current,
            drop,
            allow_new,
        })
    }

    /// What the command can have: what a profile's `includes.caps` and `excludes.caps` are held against.
    ///
    /// For root that is the bounding set. An ordinary user under `no_new_privs` never gets more than what
    /// is permitted now.
    pub(crate) fn reachable(&self) -> u64 {
        let root = nix::unistd::Uid::effective().is_root();
        let set = if root || self.allow_new {
            self.current.bounding
        } else {
            self.current.permitted
        };
        set & !self.drop
    }

    /// The steps between fork and exec, if there is anything to drop.
    fn plan(&self) -> Option<CapDrop> {
        let Sets {
            permitted,
            effective,
            inheritable,
            ambient,
            bounding,
        } = self.current;
        let can_bound = effective & Capability::CAP_SETPCAP.bitmask() != 0;
        // Installing the filter needs CAP_SYS_ADMIN without no_new_privs: what is permitted stays then, and
        // the exec clears what the bounding set no longer holds.
        let now = if self.allow_new { 0 } else { self.drop };
        (self.drop != 0).then_some(CapDrop {
            // Under no_new_privs no exec gives anything back, so a bounding set that we may not change
            // does not matter.
            bounding: if can_bound { bounding & self.drop } else { 0 },
            permitted: permitted & !now,
            effective: effective & !now,
            inheritable: inheritable & !self.drop,
            ambient: ambient & self.drop,
        })
    }
}

/// Which capabilities `--cap-drop` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CapsDropped {
    /// Every one, known to us or not.
    All,
    /// These.
    These(CapsHashSet),
}

impl Sets {
    fn read() -> Result<Self, caps::errors::CapsError> {
        let read = |set| caps::read(None, set).map(|caps| mask(&caps));
        Ok(Self {
            permitted: read(CapSet::Permitted)?,
            effective: read(CapSet::Effective)?,
            inheritable: read(CapSet::Inheritable)?,
            ambient: read(CapSet::Ambient)?,
            bounding: bounding(),
        })
    }
}

fn mask(set: &CapsHashSet) -> u64 {
    set.iter()
        .fold(0, |mask, capability| mask | capability.bitmask())
}

/// Runs the command under the policy. Returns how it ended; with `in_place`, only when it was not started.
///
/// Whatever the child needs is made before the fork; the launcher confines itself while the child still waits
/// behind its gate. When the filter cannot be installed exactly as compiled, nothing runs.
pub(crate) fn run(request: Request) -> Result<End, EnforceError> {
    let Request {
        command,
        policy,
        flags,
        weights,
        privileges,
        in_place,
    } = request;
    check_kernel(&policy)?;
    let seal = compile(&policy, flags, weights)?;
    let mut plan = launch::plan(&command, launch::take_over()?)?;
    if privileges.allow_new {
        plan.allow_new_privs();
    }
    if let Some(drop) = privileges.plan() {
        plan.drop_caps(drop);
    }
    plan.seal(seal);
    if in_place {
        let failure = plan.exec(|errno| launch::exec_exit(errno).code());
        return Err(LaunchError::of(failure, &command).into());
    }
    let mut child = plan.spawn().map_err(LaunchError::from)?;
    let ready = launch::settle(&child)
        .map_err(EnforceError::from)
        .and_then(|()| {
            // What must be read from outside its sandbox has been read: from here on it only waits.
            confine::confine(&child, privileges.current.permitted)?;
            Ok(child.open_gate().map_err(setup("let the command go"))?)
        });
    if let Err(error) = ready {
        child.abandon();
        return Err(error);
    }
    let end = supervise::until_end(&child).map_err(setup("wait for the command"))?;
    match child.failure() {
        Some(failure) => Err(LaunchError::of(failure, &command).into()),
        None => Ok(end),
    }
}

/// Does this kernel know every action that the filter can return? An old one would kill for the others.
fn check_kernel(policy: &Policy) -> Result<(), EnforceError> {
    for action in policy.actions() {
        match seccomp::action_available(action.to_ret()) {
            Ok(()) => {}
            Err(Errno::EOPNOTSUPP) => return Err(EnforceError::UnknownAction { action }),
            Err(errno) => return Err(EnforceError::NoSeccomp(errno)),
        }
    }
    Ok(())
}

fn compile(
    policy: &Policy,
    flags: Flags,
    weights: Option<BTreeMap<Sysno, u64>>,
) -> Result<Seal, CompileError> {
    let filter = Filter::compile(
        policy,
        &Options {
            launch: Launch::Exec,
            weights,
        },
    )?;
    Ok(Seal {
        program: filter.program().to_vec(),
        gate: filter.launch_slots().map(|slots| Gate { slots, arm }),
        flags: kernel_flags(flags),
    })
}

fn kernel_flags(flags: Flags) -> libc::c_ulong {
    let one = |set, flag| if set { flag } else { 0 };
    one(flags.log, libc::SECCOMP_FILTER_FLAG_LOG)
        | one(flags.spec_allow, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW)
}
