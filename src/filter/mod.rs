//! Compiles policies to seccomp programs.
//!
//! ```text
//! rules of a syscall -> leaf      which action, by arguments
//!                       compare   64-bit arguments, half by half
//! audit value        -> dispatch  a total map number -> leaf, architecture first
//!                       search    the questions that find a value's place in a map
//!                       dag       everything said once
//!                       emit      instructions
//!                       check     the program against the policy, for all numbers
//! ```
//!
//! What makes a good program: calls that are allowed whatever their arguments are found so by the kernel
//! when the filter is installed, and never run it (`bpf::cache`); what does run it takes few steps; and the
//! program is small, because installing it costs by its size and the length of its ways.
//!
//! Sources: `seccomp(2)`, `kernel/seccomp.c`, `Documentation/userspace-api/seccomp_filter.rst`.

use std::collections::BTreeMap;
use std::fmt;

use crate::arch::Arch;
use crate::bpf::asm::AsmError;
use crate::bpf::regions::Unfollowed;
use crate::bpf::vm::{Invalid, Vm};
use crate::bpf::{Insn, LengthError, MAX_INSNS, Program};
use crate::policy::Policy;
use crate::syscall::Sysno;

mod check;
mod compare;
mod dag;
mod dispatch;
mod emit;
mod gate;
mod leaf;
mod points;
mod search;
mod stats;

pub use check::Mismatch;
pub use gate::{arm, patch_is_sound};
pub use points::points;
pub use stats::{Cached, Stats};

/// How to compile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Which calls of the launcher's own go through a gate ([`Filter::launch_slots`]), where the policy does
    /// not allow them anyway.
    pub launch: Launch,
    /// How often each syscall is made, to give frequent ones short ways.
    pub weights: Option<BTreeMap<Sysno, u64>>,
}

/// What the launcher still has to do under a filter when it is installed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Launch {
    /// Nothing: it is not installed by a launcher.
    #[default]
    None,
    /// Execute the command (`execve`), or leave (`exit_group`).
    Exec,
    /// The same, and before it wait for the word to do so (`read`).
    Wait,
    /// The same, and before it hand the filter's listener over (`sendmsg`).
    Handover,
    /// Nothing but tidy up in a program that runs already (`close`, `munmap`).
    Late,
}

/// A compiled policy.
#[derive(Debug, Clone)]
pub struct Filter {
    program: Program,
    slots: Option<[usize; 6]>,
    archs: Vec<Arch>,
    expected_path: Option<f64>,
}

/// Why a policy has no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The kernel takes no program of that length.
    #[error(
        "the policy needs {instructions} instructions, where the kernel takes {MAX_INSNS}; most of them for {}",
        Costs(costliest)
    )]
    TooLong {
        /// How many the policy needs.
        instructions: usize,
        /// The syscalls with the most instructions of their own, and how many.
        costliest: Vec<(Sysno, usize)>,
    },
    /// A mistake of the compiler: the program is not one.
    #[error("internal error: the compiled program is malformed")]
    Malformed(#[from] AsmError),
    /// A mistake of the compiler: the kernel would not take the program.
    #[error("internal error: the kernel would refuse the compiled program")]
    Refused(#[from] Invalid),
    /// A mistake of the compiler: the program does not say what the policy says.
    #[error("internal error: the compiled program does not do what the policy says")]
    Wrong(#[from] Mismatch),
    /// A mistake of the compiler: the program cannot be compared with the policy.
    #[error("internal error: the compiled program is not such as can be checked")]
    Unchecked(#[from] Unfollowed),
    /// A mistake of the compiler: the launch gate is not where it should be.
    #[error("internal error: the launch gate is not in its place")]
    Gate,
}

struct Costs<'a>(&'a [(Sysno, usize)]);

impl fmt::Display for Costs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (sysno, cost)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{sysno} on {} ({cost})", sysno.arch)?;
        }
        Ok(())
    }
}

impl Filter {
    /// Compiles a policy, and checks the program against it: for all architectures and numbers, and at the borders of
    /// its rules where arguments decide.
    ///
    /// # Errors
    ///
    /// [`CompileError::TooLong`] when the policy does not fit into a program; every other error is a mistake
    /// of the compiler, found before it does harm.
    pub fn compile(policy: &Policy, options: &Options) -> Result<Self, CompileError> {
        let gated = gate::numbers(policy, options.launch);
        let decision = dispatch::decide(policy, &gated, options.weights.as_ref());
        let program = match emit::emit(&decision.dag, decision.root) {
            Ok(program) => program,
            Err(AsmError::Length(LengthError(instructions))) => {
                return Err(CompileError::TooLong {
                    instructions,
                    costliest: costliest(&decision),
                });
            }
            Err(mistake) => return Err(mistake.into()),
        };
        // To check the program is to need room again.
        drop(decision);
        let vm = Vm::new(program.as_slice())?;
        let slots = gate::find(program.as_slice());
        if slots.is_some() == gated.is_empty() {
            return Err(CompileError::Gate);
        }
        let gate = slots.map(|slots| check::Gate {
            numbers: &gated,
            secret: gate::secret(program.as_slice(), &slots),
        });
        check::check(policy, &vm, gate)?;
        let weights = options.weights.as_ref();
        Ok(Self {
            expected_path: weights.and_then(|weights| stats::expected_path(&vm, weights)),
            archs: policy.abis.iter().map(|abi| abi.arch).collect(),
            slots,
            program,
        })
    }

    /// The instructions, as `seccomp(2)` takes them.
    pub fn program(&self) -> &[Insn] {
        self.program.as_slice()
    }

    /// The same, for the child to patch the secret in with [`arm`].
    pub fn program_mut(&mut self) -> &mut [Insn] {
        self.program.as_mut_slice()
    }

    /// Where the launch secret goes: the instructions whose `k` are its six words. `None` where the filter
    /// has no gate: none was asked for, or the policy allows the launcher's calls anyway.
    pub fn launch_slots(&self) -> Option<[usize; 6]> {
        self.slots
    }

    /// What the program costs. Computed when asked for.
    pub fn stats(&self) -> Stats {
        stats::of(self.program(), &self.archs, self.expected_path)
    }
}

/// The syscalls whose decisions are the largest.
#[cold]
fn costliest(decision: &dispatch::Decision) -> Vec<(Sysno, usize)> {
    const NAMED: usize = 5;
    let sizes = decision.leaves.iter();
    let mut sizes: Vec<_> = sizes
        .map(|&(sysno, node)| (sysno, decision.dag.size(node)))
        .collect();
    sizes.sort_by_key(|&(sysno, size)| (std::cmp::Reverse(size), sysno));
    sizes.truncate(NAMED);
    sizes
}

#[cfg(test)]
mod tests;
