//! The launch gate: the launcher's own last calls need not be in the profile.
//!
//! The child that installs the filter must still call `execve`, and `exit_group` should that fail; before it, `read`
//! where it waits for its launcher, and `sendmsg` where it hands a listener over. A program that is made to install a
//! filter calls `close` and `munmap` on our behalf. None of them has arguments 3 to 5; a random 192-bit secret in these
//! registers lets the calls through. The child makes the secret itself after fork and patches it into the checked
//! program, so no other process ever holds it, and after the exec it is nowhere in the new image.
//!
//! The comparison gathers all differences by `XOR` and `OR` and looks at them once: how long it takes says
//! nothing about how much was right.

use super::Launch;
use crate::arch::Arch;
use crate::bpf::asm::{Assembler, Label};
use crate::bpf::{Insn, SeccompData, code, high, low};
use crate::policy::Policy;
use crate::syscall::Sysno;

/// The first argument that holds a part of the secret.
const FIRST: u32 = SeccompData::low_half(3, false);

/// How many instructions the gate is.
pub(super) const LEN: usize = 6 * 4 - 1;

/// Constants that stand for the secret until it is patched in. Not zero, so that a program installed
/// without its secret does not take a call with empty arguments for the launcher's.
const UNARMED: u32 = 0x6761_7465;

/// The native numbers that the gate stands before: the launcher's calls, but for those that the policy
/// allows anyway; in ascending order.
pub(super) fn numbers(policy: &Policy, launch: Launch) -> Vec<u32> {
    let calls: &[&str] = match launch {
        Launch::None => &[],
        Launch::Exec => &["execve", "exit_group"],
        Launch::Wait => &["execve", "exit_group", "read"],
        Launch::Handover => &["execve", "exit_group", "read", "sendmsg"],
        Launch::Late => &["close", "munmap"],
    };
    let numbers = calls
        .iter()
        .filter_map(|name| Sysno::parse(Arch::NATIVE, name));
    let gated = numbers.filter(|&sysno| !policy.always_allows(sysno));
    let mut numbers: Vec<u32> = gated.map(|sysno| sysno.nr).collect();
    numbers.sort_unstable();
    numbers
}

/// Writes the gate.
pub(super) fn emit(asm: &mut Assembler, open: Label, otherwise: Label) {
    for word in 0..6 {
        asm.statement(code::LD_ABS, FIRST + 4 * word);
        asm.statement(code::XOR_K, UNARMED + word);
        if word > 0 {
            asm.statement(code::OR_X, 0);
        }
        if word < 5 {
            asm.statement(code::TAX, 0);
        }
    }
    asm.branch(code::JEQ_K, 0, open, otherwise);
}

/// Where in the program the secret goes: its only `XOR` instructions, if it has a gate.
pub(super) fn find(program: &[Insn]) -> Option<[usize; 6]> {
    let is_xor = |(_, insn): &(usize, &Insn)| insn.code == code::XOR_K;
    let mut found = program.iter().enumerate().filter(is_xor).map(|(at, _)| at);
    let mut slots = [0; 6];
    for slot in &mut slots {
        *slot = found.next()?;
    }
    (found.next().is_none() && patch_is_sound(program, &slots)).then_some(slots)
}

/// Are these the places of the secret: is each the `XOR` behind the load of its word, and the rest of the
/// gate around them?
///
/// Allocates nothing and cannot panic, for use between fork and exec.
pub fn patch_is_sound(program: &[Insn], slots: &[usize; 6]) -> bool {
    let is = |at: Option<usize>, code: u16, k: Option<u32>| {
        let insn = at.and_then(|at| program.get(at));
        insn.is_some_and(|insn| {
            let Insn {
                code: c, jt, jf, ..
            } = *insn;
            c == code && jt == 0 && jf == 0 && k.is_none_or(|k| k == insn.k)
        })
    };
    let words = (FIRST..).step_by(4);
    let in_place = slots
        .iter()
        .zip(words)
        .enumerate()
        .all(|(word, (&slot, offset))| {
            let after = |distance: usize| slot.checked_add(distance);
            let gathered = match word {
                0 => is(after(1), code::TAX, None),
                5 => is(after(1), code::OR_X, None),
                _ => is(after(1), code::OR_X, None) && is(after(2), code::TAX, None),
            };
            is(slot.checked_sub(1), code::LD_ABS, Some(offset))
                && is(Some(slot), code::XOR_K, None)
                && gathered
        });
    // Word after word without anything between, and one look at the end.
    let [first, .., last] = *slots;
    let following = slots
        .windows(2)
        .enumerate()
        .all(|(word, pair)| match *pair {
            [one, next] => one.checked_add(if word == 0 { 3 } else { 4 }) == Some(next),
            _ => false,
        });
    let decides = last.checked_add(2).and_then(|at| program.get(at));
    in_place
        && following
        && first < last
        && decides.is_some_and(|insn| insn.code == code::JEQ_K && insn.k == 0)
}

/// Puts the secret into the program; `args` are what the launching call passes as its arguments 3 to 5.
/// False, and nothing is changed, where the slots are not those of a gate.
///
/// Allocates nothing and cannot panic, for use between fork and exec.
#[must_use]
pub fn arm(program: &mut [Insn], slots: &[usize; 6], args: [u64; 3]) -> bool {
    if !patch_is_sound(program, slots) {
        return false;
    }
    for (&slot, word) in slots.iter().zip(words(args)) {
        if let Some(insn) = program.get_mut(slot) {
            insn.k = word;
        }
    }
    patch_is_sound(program, slots)
}

/// The secret as the program loads it: the words of the three arguments, as they lie in memory.
fn words(args: [u64; 3]) -> [u32; 6] {
    let mut words = [0; 6];
    for (pair, arg) in words.chunks_exact_mut(2).zip(args) {
        if let [first, second] = pair {
            (*first, *second) = if cfg!(target_endian = "big") {
                (high(arg), low(arg))
            } else {
                (low(arg), high(arg))
            };
        }
    }
    words
}

/// The arguments 3 to 5 that open the gate as the program has it.
pub(super) fn secret(program: &[Insn], slots: &[usize; 6]) -> [u64; 3] {
    let k = |&slot: &usize| program.get(slot).map_or(0, |insn| u64::from(insn.k));
    let mut args = [0; 3];
    for (arg, pair) in args.iter_mut().zip(slots.chunks_exact(2)) {
        if let [first, second] = pair {
            *arg = if cfg!(target_endian = "big") {
                k(first) << 32 | k(second)
            } else {
                k(second) << 32 | k(first)
            };
        }
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::vm::{Outcome, Vm};

    fn program() -> Vec<Insn> {
        let mut asm = Assembler::new();
        let [open, otherwise] = [asm.label(), asm.label()];
        emit(&mut asm, open, otherwise);
        for (label, k) in [(open, 1), (otherwise, 2)] {
            asm.bind(label);
            asm.statement(code::RET_K, k);
        }
        asm.finish().unwrap().as_slice().to_vec()
    }

    fn run(program: &[Insn], secret: [u64; 3]) -> Outcome {
        let [d, e, f] = secret;
        let data = SeccompData {
            nr: 0,
            arch: 0,
            ip: 0,
            args: [7, 8, 9, d, e, f],
        };
        let words = data.words(cfg!(target_endian = "big"));
        Vm::new(program).unwrap().run(&words)
    }

    #[test]
    fn every_bit_of_the_secret_counts_and_none_shows_in_time() {
        let mut program = program();
        let slots = find(&program).unwrap();
        let right = [0x0123_4567_89ab_cdef, u64::MAX, 1];
        assert_eq!(run(&program, [0; 3]).answer, 2, "unarmed");
        assert!(arm(&mut program, &slots, right));
        assert_eq!(secret(&program, &slots), right);
        assert_eq!(run(&program, right).answer, 1);
        for bit in 0..192 {
            let mut wrong = right;
            wrong[bit / 64] ^= 1 << (bit % 64);
            let outcome = run(&program, wrong);
            assert_eq!(outcome.answer, 2, "{bit}");
            assert_eq!(outcome.steps, LEN + 1, "{bit}");
        }
    }

    #[test]
    fn only_the_gates_own_slots_are_patched() {
        let good = program();
        let slots = find(&good).unwrap();
        assert!(patch_is_sound(&good, &slots));
        for at in 0..LEN {
            let mut bad = good.clone();
            bad[at].code = code::LD_LEN;
            assert!(!patch_is_sound(&bad, &slots), "instruction {at}");
            assert!(!arm(&mut bad, &slots, [1; 3]));
        }
        for word in 0..6 {
            for wrong in [
                0,
                slots[word] - 1,
                slots[word] + 1,
                slots[(word + 1) % 6],
                usize::MAX,
            ] {
                let mut slots = slots;
                slots[word] = wrong;
                assert!(!patch_is_sound(&good, &slots), "word {word} at {wrong}");
            }
        }
        assert!(!patch_is_sound(&[], &slots));
    }
}
