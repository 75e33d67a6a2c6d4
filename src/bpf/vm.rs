//! Checks programs as the kernel does, and runs them.
//!
//! The checks are those of `bpf_check_classic` and `check_load_and_stores` (`net/core/filter.c`) and
//! `seccomp_check_filter` (`kernel/seccomp.c`). A program that passes cannot go wrong: it only jumps
//! forward and inside itself, ends with a `RET`, and reads nothing that it has not written.

use super::{Insn, LengthError, MAX_INSNS, SeccompData, Words, code};

/// Why the kernel would refuse a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Empty or too long.
    #[error(transparent)]
    Length(#[from] LengthError),
    /// One instruction is at fault.
    #[error("instruction {pc}: {fault}")]
    At {
        /// Its index.
        pc: usize,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What is wrong with an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No opcode that seccomp takes.
    #[error("opcode {0:#x} is not for seccomp")]
    Opcode(u16),
    /// A jump leaves the program.
    #[error("a jump leaves the program")]
    Jump,
    /// A load is not of an aligned word of the data.
    #[error("no word of seccomp_data at {0}")]
    Load(u32),
    /// There are sixteen words of scratch memory.
    #[error("no scratch memory at {0}")]
    Scratch(u32),
    /// Scratch memory is read that some way here has not written.
    #[error("scratch memory {0} may be read before it is written")]
    Unwritten(u32),
    /// A division by a constant zero.
    #[error("division by zero")]
    Division,
    /// A shift by 32 or more.
    #[error("shift by {0}")]
    Shift(u32),
    /// The last instruction is no `RET`.
    #[error("the program does not end with a return")]
    NoReturn,
}

/// A second operand.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operand {
    K(u32),
    X,
}

/// A decoded instruction. Jumps hold where they go, not by how much: a program has at most 4096 instructions.
#[derive(Debug, Clone, Copy)]
pub(super) enum Op {
    Load(u8),
    Set(u32),
    Recall(u8),
    SetX(u32),
    RecallX(u8),
    Store(u8),
    StoreX(u8),
    ToX,
    FromX,
    Negate,
    Alu(Alu, Operand),
    Jump(u16),
    Branch(Test, Operand, u16, u16),
    Return(u32),
    ReturnA,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Alu {
    Add,
    Sub,
    Mul,
    Div,
    Or,
    And,
    Lsh,
    Rsh,
    Xor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    Eq,
    Gt,
    Ge,
    Set,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What the program returned.
    pub answer: u32,
    /// How many instructions that took.
    pub steps: usize,
    /// Which instruction returned.
    pub pc: usize,
    /// Did it ask for the number or the architecture? Where it did not, they made no difference.
    pub asked_which: bool,
}

/// A checked program, ready to run.
#[derive(Debug, Clone)]
pub struct Vm {
    ops: Vec<Op>,
}

impl Vm {
    /// Checks a program.
    ///
    /// # Errors
    ///
    /// Where the kernel would refuse it.
    pub fn new(program: &[Insn]) -> Result<Self, Invalid> {
        let len = program.len();
        if !(1..=MAX_INSNS).contains(&len) {
            return Err(LengthError(len).into());
        }
        let mut ops = Vec::with_capacity(len);
        for (pc, insn) in program.iter().enumerate() {
            ops.push(decode(*insn, pc, len).map_err(|fault| Invalid::At { pc, fault })?);
        }
        if !matches!(ops.last(), Some(Op::Return(_) | Op::ReturnA)) {
            let (pc, fault) = (len - 1, Fault::NoReturn);
            return Err(Invalid::At { pc, fault });
        }
        check_scratch(&ops)?;
        Ok(Self { ops })
    }

    /// Runs the program on the data.
    pub fn run(&self, data: &Words) -> Outcome {
        self.run_from(0, data)
    }

    /// Runs the program from this instruction on, with the registers as they are at the start.
    pub fn run_from(&self, mut pc: usize, data: &Words) -> Outcome {
        let mut machine = Machine::default();
        let mut steps = 0;
        loop {
            steps += 1;
            let op = self.ops.get(pc);
            match op.map_or(Step::Return(0), |op| machine.step(*op, data)) {
                Step::Next => pc += 1,
                Step::To(target) => pc = target.into(),
                Step::Return(answer) => {
                    return Outcome {
                        answer,
                        steps,
                        pc,
                        asked_which: machine.asked_which,
                    };
                }
            }
        }
    }

    /// The instructions, decoded.
    pub(super) fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// How many instructions the longest way through the program executes.
    pub fn longest_path(&self) -> usize {
        let mut from = vec![0; self.ops.len()];
        for (pc, op) in self.ops.iter().enumerate().rev() {
            let after = |at: usize| from.get(at).copied().unwrap_or(0);
            let rest = match *op {
                Op::Return(_) | Op::ReturnA => 0,
                Op::Jump(to) => after(to.into()),
                Op::Branch(_, _, yes, no) => after(yes.into()).max(after(no.into())),
                _ => after(pc + 1),
            };
            if let Some(here) = from.get_mut(pc) {
                *here = rest + 1;
            }
        }
        from.first().copied().unwrap_or(0)
    }
}

/// Words of scratch memory (`BPF_MEMWORDS`).
const SCRATCH: usize = 16;

enum Step {
    Next,
    To(u16),
    Return(u32),
}

#[derive(Debug, Clone, Copy, Default)]
struct Machine {
    a: u32,
    x: u32,
    scratch: [u32; SCRATCH],
    asked_which: bool,
}

impl Machine {
    #[inline]
    fn step(&mut self, op: Op, data: &Words) -> Step {
        match op {
            Op::Load(at) => {
                self.a = data.get(usize::from(at)).copied().unwrap_or(0);
                self.asked_which |= usize::from(at) < SeccompData::WHICH;
            }
            Op::Branch(test, operand, yes, no) => {
                let k = self.value(operand);
                let holds = match test {
                    Test::Eq => self.a == k,
                    Test::Gt => self.a > k,
                    Test::Ge => self.a >= k,
                    Test::Set => self.a & k != 0,
                };
                return Step::To(if holds { yes } else { no });
            }
            Op::Return(answer) => return Step::Return(answer),
            Op::ReturnA => return Step::Return(self.a),
            Op::Jump(to) => return Step::To(to),
            Op::Alu(alu, operand) => match self.alu(alu, operand) {
                Some(a) => self.a = a,
                // The kernel's conversion to eBPF puts a "return 0" before a division by X.
                None => return Step::Return(0),
            },
            Op::Negate => self.a = self.a.wrapping_neg(),
            Op::Set(k) => self.a = k,
            Op::SetX(k) => self.x = k,
            Op::Recall(at) => self.a = self.recall(at),
            Op::RecallX(at) => self.x = self.recall(at),
            Op::Store(at) => self.store(at, self.a),
            Op::StoreX(at) => self.store(at, self.x),
            Op::ToX => self.x = self.a,
            Op::FromX => self.a = self.x,
        }
        Step::Next
    }

    fn value(&self, operand: Operand) -> u32 {
        match operand {
            Operand::K(k) => k,
            Operand::X => self.x,
        }
    }

    /// `None` for a division by zero. Shifts by X count modulo 32, as eBPF's do.
    fn alu(&self, alu: Alu, operand: Operand) -> Option<u32> {
        let (a, k) = (self.a, self.value(operand));
        Some(match alu {
            Alu::Add => a.wrapping_add(k),
            Alu::Sub => a.wrapping_sub(k),
            Alu::Mul => a.wrapping_mul(k),
            Alu::Div => return a.checked_div(k),
            Alu::Or => a | k,
            Alu::And => a & k,
            Alu::Lsh => a.wrapping_shl(k),
            Alu::Rsh => a.wrapping_shr(k),
            Alu::Xor => a ^ k,
        })
    }

    fn recall(&self, at: u8) -> u32 {
        self.scratch
            .get(usize::from(at))
            .copied()
            .unwrap_or_default()
    }

    fn store(&mut self, at: u8, value: u32) {
        if let Some(word) = self.scratch.get_mut(usize::from(at)) {
            *word = value;
        }
    }
}

fn decode(insn: Insn, pc: usize, len: usize) -> Result<Op, Fault> {
    let Insn { code, jt, jf, k } = insn;
    // `to` is given a distance that may be any 32-bit number; the sum fits, as the kernel's check has it.
    let to = |distance: u32| {
        let room = len - pc - 1;
        let distance = usize::try_from(distance).unwrap_or(usize::MAX);
        if distance >= room {
            return Err(Fault::Jump);
        }
        u16::try_from(pc + 1 + distance).map_err(|_| Fault::Jump)
    };
    let scratch = || match u8::try_from(k) {
        Ok(at) if usize::from(at) < SCRATCH => Ok(at),
        _ => Err(Fault::Scratch(k)),
    };
    Ok(match code {
        code::LD_ABS if k < SeccompData::SIZE && k % 4 == 0 => {
            Op::Load(u8::try_from(k / 4).unwrap_or(u8::MAX))
        }
        code::LD_ABS => return Err(Fault::Load(k)),
        code::LD_LEN => Op::Set(SeccompData::SIZE),
        code::LDX_LEN => Op::SetX(SeccompData::SIZE),
        code::LD_IMM => Op::Set(k),
        code::LDX_IMM => Op::SetX(k),
        code::LD_MEM => Op::Recall(scratch()?),
        code::LDX_MEM => Op::RecallX(scratch()?),
        code::ST => Op::Store(scratch()?),
        code::STX => Op::StoreX(scratch()?),
        code::TAX => Op::ToX,
        code::TXA => Op::FromX,
        code::NEG => Op::Negate,
        code::RET_K => Op::Return(k),
        code::RET_A => Op::ReturnA,
        code::JA => Op::Jump(to(k)?),
        _ => {
            let operand = if code & code::X == 0 {
                Operand::K(k)
            } else {
                Operand::X
            };
            let base = code & !code::X;
            if let Some(test) = test(base) {
                return Ok(Op::Branch(test, operand, to(jt.into())?, to(jf.into())?));
            }
            let alu = alu(base).ok_or(Fault::Opcode(code))?;
            match (alu, operand) {
                (Alu::Div, Operand::K(0)) => return Err(Fault::Division),
                (Alu::Lsh | Alu::Rsh, Operand::K(32..)) => return Err(Fault::Shift(k)),
                _ => Op::Alu(alu, operand),
            }
        }
    })
}

fn test(base: u16) -> Option<Test> {
    Some(match base {
        code::JEQ_K => Test::Eq,
        code::JGT_K => Test::Gt,
        code::JGE_K => Test::Ge,
        code::JSET_K => Test::Set,
        _ => return None,
    })
}

fn alu(base: u16) -> Option<Alu> {
    Some(match base {
        code::ADD_K => Alu::Add,
        code::SUB_K => Alu::Sub,
        code::MUL_K => Alu::Mul,
        code::DIV_K => Alu::Div,
        code::OR_K => Alu::Or,
        code::AND_K => Alu::And,
        code::LSH_K => Alu::Lsh,
        code::RSH_K => Alu::Rsh,
        code::XOR_K => Alu::Xor,
        _ => return None,
    })
}

/// Is scratch memory written on every way to where it is read? The kernel's own conservative answer.
fn check_scratch(ops: &[Op]) -> Result<(), Invalid> {
    let uses = |op: &Op| matches!(op, Op::Recall(_) | Op::RecallX(_));
    if !ops.iter().any(uses) {
        return Ok(());
    }
    let mut written_at = vec![u16::MAX; ops.len()];
    let mut written = 0_u16;
    for (pc, op) in ops.iter().enumerate() {
        written &= written_at.get(pc).copied().unwrap_or(u16::MAX);
        let mut leave = |to: u16, written: u16| {
            if let Some(there) = written_at.get_mut(usize::from(to)) {
                *there &= written;
            }
        };
        match *op {
            Op::Store(at) | Op::StoreX(at) => written |= 1 << at,
            Op::Recall(at) | Op::RecallX(at) if written & (1 << at) == 0 => {
                let fault = Fault::Unwritten(at.into());
                return Err(Invalid::At { pc, fault });
            }
            Op::Jump(to) => {
                leave(to, written);
                written = u16::MAX;
            }
            Op::Branch(_, _, yes, no) => {
                leave(yes, written);
                leave(no, written);
                written = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
        Insn { code, jt, jf, k }
    }

    const RET: Insn = insn(code::RET_K, 0, 0, 5);
    const RET_A: Insn = insn(code::RET_A, 0, 0, 0);

    /// Instructions that the kernel refuses wherever they stand.
    const REFUSED: &[(&str, Insn, Fault)] = &[
        ("byte", insn(0x30, 0, 0, 0), Fault::Opcode(0x30)),
        ("indirect", insn(0x40, 0, 0, 0), Fault::Opcode(0x40)),
        ("header length", insn(0xb1, 0, 0, 0), Fault::Opcode(0xb1)),
        ("modulo", insn(0x94, 0, 0, 3), Fault::Opcode(0x94)),
        ("negation of X", insn(0x8c, 0, 0, 0), Fault::Opcode(0x8c)),
        ("jump by X", insn(0x0d, 0, 0, 0), Fault::Opcode(0x0d)),
        ("return of X", insn(0x0e, 0, 0, 0), Fault::Opcode(0x0e)),
        ("unaligned", insn(code::LD_ABS, 0, 0, 2), Fault::Load(2)),
        ("too far", insn(code::LD_ABS, 0, 0, 64), Fault::Load(64)),
        (
            "ancillary",
            insn(code::LD_ABS, 0, 0, 0xffff_f000),
            Fault::Load(0xffff_f000),
        ),
        ("jump", insn(code::JA, 0, 0, 1), Fault::Jump),
        ("loop", insn(code::JA, 0, 0, u32::MAX), Fault::Jump),
        ("yes", insn(code::JEQ_K, 1, 0, 0), Fault::Jump),
        ("no", insn(code::JSET_K | code::X, 0, 1, 0), Fault::Jump),
        ("division", insn(code::DIV_K, 0, 0, 0), Fault::Division),
        ("shift", insn(code::RSH_K, 0, 0, 32), Fault::Shift(32)),
        ("store", insn(code::ST, 0, 0, 16), Fault::Scratch(16)),
        ("recall", insn(code::LD_MEM, 0, 0, 3), Fault::Unwritten(3)),
    ];

    #[test]
    fn refuses_what_the_kernel_refuses() {
        for &(name, bad, fault) in REFUSED {
            let refused = Vm::new(&[RET, bad, RET]).err();
            assert_eq!(refused, Some(Invalid::At { pc: 1, fault }), "{name}");
        }
        let load = insn(code::LD_ABS, 0, 0, 0);
        let (pc, fault) = (0, Fault::NoReturn);
        assert_eq!(Vm::new(&[load]).err(), Some(Invalid::At { pc, fault }));
        assert_eq!(Vm::new(&[]).err(), Some(LengthError(0).into()));
        let long = vec![RET; 4097];
        assert_eq!(Vm::new(&long).err(), Some(LengthError(4097).into()));
    }

    #[test]
    fn scratch_memory_must_be_written_on_every_way() {
        let (store, recall) = (insn(code::ST, 0, 0, 3), insn(code::LDX_MEM, 0, 0, 3));
        let program = |branch| Vm::new(&[branch, store, recall, RET]).err();
        let (pc, fault) = (2, Fault::Unwritten(3));
        assert_eq!(program(insn(code::JEQ_K, 0, 0, 0)), None);
        let around = insn(code::JEQ_K, 0, 1, 0);
        assert_eq!(program(around), Some(Invalid::At { pc, fault }));
        let over = insn(code::JA, 0, 0, 1);
        assert_eq!(program(over), Some(Invalid::At { pc, fault }));
    }

    /// The answer to nr 6, arch 7, argument 0 = `0x9_0000_0008`.
    fn answer(program: &[Insn]) -> u32 {
        let data = SeccompData {
            nr: 6,
            arch: 7,
            ip: 0,
            args: [0x9_0000_0008, 0, 0, 0, 0, 0],
        };
        Vm::new(program).unwrap().run(&data.words(false)).answer
    }

    #[test]
    fn every_load_and_move() {
        let then_a = |insns: &[Insn]| answer(&[insns, &[RET_A]].concat());
        let load = |k| insn(code::LD_ABS, 0, 0, k);
        assert_eq!(then_a(&[load(0)]), 6);
        assert_eq!(then_a(&[load(4)]), 7);
        assert_eq!(then_a(&[load(16)]), 8);
        assert_eq!(then_a(&[load(20)]), 9);
        assert_eq!(then_a(&[insn(code::LD_LEN, 0, 0, 0)]), 64);
        assert_eq!(then_a(&[insn(code::LD_IMM, 0, 0, 4)]), 4);
        assert_eq!(answer(&[RET]), 5);
        let from_x = insn(code::TXA, 0, 0, 0);
        assert_eq!(then_a(&[insn(code::LDX_LEN, 0, 0, 0), from_x]), 64);
        assert_eq!(then_a(&[insn(code::LDX_IMM, 0, 0, 3), from_x]), 3);
        let (store, store_x) = (insn(code::ST, 0, 0, 15), insn(code::STX, 0, 0, 1));
        let (recall, recall_x) = (insn(code::LD_MEM, 0, 0, 1), insn(code::LDX_MEM, 0, 0, 15));
        let to_x = insn(code::TAX, 0, 0, 0);
        assert_eq!(then_a(&[load(0), store, load(4), recall_x, from_x]), 6);
        assert_eq!(then_a(&[load(0), to_x, store_x, load(4), recall]), 6);
    }

    #[test]
    fn every_operation_with_k_and_x() {
        let cases = [
            (code::ADD_K, 0xffff_fffe, 3, 1),
            (code::SUB_K, 1, 2, 0xffff_ffff),
            (code::MUL_K, 0x8000_0001, 2, 2),
            (code::DIV_K, 7, 2, 3),
            (code::OR_K, 5, 2, 7),
            (code::AND_K, 7, 5, 5),
            (code::LSH_K, 3, 31, 0x8000_0000),
            (code::RSH_K, 0x8000_0000, 31, 1),
            (code::XOR_K, 7, 5, 2),
        ];
        for (code, a, k, want) in cases {
            let (set, x) = (insn(code::LD_IMM, 0, 0, a), insn(code::LDX_IMM, 0, 0, k));
            assert_eq!(
                answer(&[set, insn(code, 0, 0, k), RET_A]),
                want,
                "{code:#x}"
            );
            let by_x = insn(code | code::X, 0, 0, 0);
            assert_eq!(answer(&[set, x, by_x, RET_A]), want, "{code:#x} X");
        }
        let neg = insn(code::NEG, 0, 0, 0);
        assert_eq!(answer(&[insn(code::LD_IMM, 0, 0, 1), neg, RET_A]), u32::MAX);
        // X is 0 at the start: the program ends, killing the thread.
        assert_eq!(answer(&[insn(code::DIV_K | code::X, 0, 0, 0), RET]), 0);
    }

    #[test]
    fn every_branch_at_its_border() {
        let cases = [
            (code::JEQ_K, [(4, false), (5, true), (6, false)]),
            (code::JGT_K, [(4, false), (5, false), (6, true)]),
            (code::JGE_K, [(4, false), (5, true), (6, true)]),
            (code::JSET_K, [(2, false), (1, true), (4, true)]),
        ];
        for (code, points) in cases {
            for (a, want) in points {
                for x in [0, code::X] {
                    let program = [
                        insn(code::LD_IMM, 0, 0, a),
                        insn(code::LDX_IMM, 0, 0, 5),
                        insn(code | x, 1, 0, 5),
                        insn(code::RET_K, 0, 0, 0),
                        insn(code::RET_K, 0, 0, 1),
                    ];
                    assert_eq!(answer(&program) == 1, want, "{code:#x} {a} {x}");
                }
            }
        }
    }

    #[test]
    fn the_longest_way_counts() {
        let program = [
            insn(code::LD_ABS, 0, 0, 0),
            insn(code::JEQ_K, 0, 2, 1),
            insn(code::JA, 0, 0, 0),
            insn(code::LD_ABS, 0, 0, 4),
            RET,
        ];
        let vm = Vm::new(&program).unwrap();
        assert_eq!(vm.longest_path(), 5);
        let outcome = vm.run(&[0; 16]);
        assert_eq!((outcome.steps, outcome.pc, outcome.answer), (3, 4, 5));
    }
}
