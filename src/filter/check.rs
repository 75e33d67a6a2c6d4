//! Does the program say what the policy says? Asked of every program before it is used.

use super::points::points;
use crate::action::Action;
use crate::arch::{Arch, Endian};
use crate::bpf::vm::{Paused, Vm};
use crate::bpf::{SeccompData, Words};
use crate::policy::{About, Call, Policy};

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

/// What the program says to one call.
#[cfg(test)]
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
    let points = points(policy, ARGUMENT_POINTS).into_iter();
    let calls = points.chain(gate.into_iter().flat_map(gate_points));
    compare(policy, vm, gate, calls)
}

/// Compares program and policy on these calls.
pub(super) fn compare(
    policy: &Policy,
    vm: &Vm,
    gate: Option<Gate<'_>>,
    calls: impl IntoIterator<Item = Call>,
) -> Result<(), Mismatch> {
    let mut number: Option<Number<'_>> = None;
    for call in calls {
        let number = match &mut number {
            Some(same) if (same.audit, same.nr) == (call.audit, call.nr) => same,
            other => other.insert(Number::new(policy, vm, call.audit, call.nr)),
        };
        let opened = gate.is_some_and(|gate| gate.opens(&call));
        let want = if opened {
            Action::Allow
        } else {
            number.about.decide(&call.args).0
        };
        let (want, got) = (want.to_ret(), number.run(&call.args));
        if want != got {
            return Err(Mismatch { call, want, got });
        }
    }
    Ok(())
}

/// One number, as far as policy and program get without arguments: most points differ in these only.
struct Number<'a> {
    audit: u32,
    nr: u32,
    about: About<'a>,
    vm: &'a Vm,
    begun: Paused,
    big_endian: bool,
}

impl<'a> Number<'a> {
    fn new(policy: &'a Policy, vm: &'a Vm, audit: u32, nr: u32) -> Self {
        let endian = Arch::of_call(audit, nr).map(Arch::endian);
        let mut number = Self {
            audit,
            nr,
            about: policy.about(audit, nr),
            vm,
            begun: Paused::default(),
            big_endian: endian == Some(Endian::Big),
        };
        number.begun = vm.until_arguments(&number.words(&[0; 6]));
        number
    }

    fn words(&self, args: &[u64; 6]) -> Words {
        let data = SeccompData {
            nr: self.nr,
            arch: self.audit,
            ip: 0,
            args: *args,
        };
        data.words(self.big_endian)
    }

    /// What the program says to these arguments.
    fn run(&self, args: &[u64; 6]) -> u32 {
        self.vm.go_on(self.begun, &self.words(args)).answer
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
