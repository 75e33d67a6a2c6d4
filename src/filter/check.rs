//! Does the program say what the policy says? Asked of every program before it is used.

use super::points::points;
use crate::action::Action;
use crate::arch::{Arch, Endian};
use crate::bpf::SeccompData;
use crate::bpf::vm::Vm;
use crate::policy::{Call, Policy};

/// A call on which program and policy do not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nr {:#x} of audit arch {:#x} with {:x?} gives {got:#x}, not {want:#x}", call.nr, call.audit, call.args)]
pub struct Mismatch {
    /// The call.
    pub call: Call,
    /// What the policy says, as the kernel writes it.
    pub want: u32,
    /// What the program says.
    pub got: u32,
}

/// Runs the program on one call.
pub(super) fn run(vm: &Vm, call: &Call) -> u32 {
    let endian = Arch::of_call(call.audit, call.nr).map(Arch::endian);
    let data = SeccompData {
        nr: call.nr,
        arch: call.audit,
        ip: 0,
        args: call.args,
    };
    vm.run(&data.words(endian == Some(Endian::Big))).answer
}

/// How many calls are made for arguments, about: enough for every border of a usual policy, and few enough
/// to take microseconds.
const ARGUMENT_POINTS: usize = 2048;

/// The calls that the launch gate stands before, and what opens it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gate<'a> {
    pub(super) numbers: &'a [u32],
    /// Arguments 3 to 5 of the launching call.
    pub(super) secret: [u64; 3],
}

/// Compares program and policy at the borders of the policy, and at those of the gate.
pub(super) fn check(policy: &Policy, vm: &Vm, gate: Option<Gate<'_>>) -> Result<(), Mismatch> {
    for call in points(policy, ARGUMENT_POINTS) {
        compare(policy, vm, gate, &call)?;
    }
    for call in gate.into_iter().flat_map(gate_points) {
        compare(policy, vm, gate, &call)?;
    }
    Ok(())
}

/// Compares program and policy on one call.
pub(super) fn compare(
    policy: &Policy,
    vm: &Vm,
    gate: Option<Gate<'_>>,
    call: &Call,
) -> Result<(), Mismatch> {
    let opened = gate.is_some_and(|gate| gate.opens(call));
    let want = if opened {
        Action::Allow
    } else {
        policy.evaluate(call)
    };
    let (want, got) = (want.to_ret(), run(vm, call));
    if want == got {
        Ok(())
    } else {
        let call = *call;
        Err(Mismatch { call, want, got })
    }
}

impl Gate<'_> {
    fn opens(&self, call: &Call) -> bool {
        let [.., d, e, f] = call.args;
        call.audit == Arch::NATIVE.audit()
            && self.numbers.contains(&call.nr)
            && [d, e, f] == self.secret
    }
}

/// The secret, and every half of it off by one bit: with the gated numbers, their neighbours, and the same
/// numbers of another architecture.
fn gate_points(gate: Gate<'_>) -> impl Iterator<Item = Call> {
    let [d, e, f] = gate.secret;
    let right = [0, 1, 2, d, e, f];
    let wrong = (3..6).flat_map(move |at| {
        [1_u64, 1 << 32].map(|bit| {
            let mut args = right;
            if let Some(arg) = args.get_mut(at) {
                *arg ^= bit;
            }
            args
        })
    });
    let audits = [Arch::NATIVE.audit(), Arch::X86.audit()];
    gate.numbers.iter().flat_map(move |&nr| {
        let args = [right, [0; 6], [d; 6]].into_iter().chain(wrong.clone());
        args.flat_map(move |args| {
            audits
                .into_iter()
                .flat_map(move |audit| [nr, nr + 1].map(|nr| Call { audit, nr, args }))
        })
    })
}
