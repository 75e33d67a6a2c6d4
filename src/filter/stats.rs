//! What a program costs, for `--stats`, benches and tests.

use std::collections::BTreeMap;

use crate::arch::Arch;
use crate::bpf::vm::Vm;
use crate::bpf::{Insn, SeccompData, cache};
use crate::syscall::{self, Sysno};

/// What a program costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// How long it is.
    pub instructions: usize,
    /// How many instructions its longest way executes.
    pub longest_path: usize,
    /// What the kernel's constant-action bitmap holds, per architecture that has one.
    pub cached: Vec<Cached>,
    /// How many instructions the kernel follows to fill the bitmap, when the filter is installed.
    pub emulated: usize,
    /// How many instructions a call executes on average, by the weights given; arguments count as zero.
    pub expected_path: Option<f64>,
}

/// What the kernel's bitmap holds of one architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cached {
    /// Whose numbers.
    pub arch: Arch,
    /// How many calls never run the filter.
    pub calls: usize,
    /// How many numbers there are.
    pub of: usize,
}

/// How many numbers the kernel's table has, as far as we know it: so many times the filter is followed when it is
/// installed. None where there is no bitmap: x32's numbers are outside of the table, and MIPS has none.
pub(super) fn table_len(arch: Arch) -> u32 {
    match arch {
        Arch::X32
        | Arch::Mips
        | Arch::Mipsel
        | Arch::Mips64
        | Arch::Mips64n32
        | Arch::Mipsel64
        | Arch::Mipsel64n32 => 0,
        _ => syscall::all(arch)
            .rfind(|(sysno, _)| !sysno.is_private())
            .map_or(0, |(last, _)| last.nr + 1),
    }
}

pub(super) fn of(program: &[Insn], archs: &[Arch], expected_path: Option<f64>) -> Stats {
    let mut cached = Vec::new();
    let mut emulated = 0;
    for &arch in archs {
        let len = table_len(arch);
        let mut calls = 0;
        for nr in 0..len {
            let emulation = cache::emulate(program, arch.audit(), nr);
            calls += usize::from(emulation.cached);
            emulated += emulation.steps;
        }
        if len > 0 {
            let of = usize::try_from(len).unwrap_or(usize::MAX);
            cached.push(Cached { arch, calls, of });
        }
    }
    Stats {
        instructions: program.len(),
        longest_path: Vm::new(program).map_or(0, |vm| vm.longest_path()),
        cached,
        emulated,
        expected_path,
    }
}

/// The average number of instructions per call. `None` without any calls.
pub(super) fn expected_path(vm: &Vm, weights: &BTreeMap<Sysno, u64>) -> Option<f64> {
    let (mut steps, mut calls) = (0_f64, 0_f64);
    for (sysno, &weight) in weights {
        let data = SeccompData {
            nr: sysno.nr,
            arch: sysno.arch.audit(),
            ip: 0,
            args: [0; 6],
        };
        #[expect(clippy::cast_precision_loss, reason = "an average needs no more")]
        let weight = weight as f64;
        let run = vm.run(&data.words(false)).steps;
        steps += weight * f64::from(u32::try_from(run).unwrap_or(u32::MAX));
        calls += weight;
    }
    (calls > 0.0).then(|| steps / calls)
}
