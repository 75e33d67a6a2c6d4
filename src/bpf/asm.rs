//! An assembler with labels.
//!
//! Classic BPF only jumps forward, and conditional jumps reach no further than 255 instructions. So the
//! program is laid out from its end: when a jump is placed, everything that it can lead to has its place
//! already, distances are exact, and a target out of reach gets a stand-in right behind the jump: a copy
//! where the target is a `RET`, else a long jump. Nothing falls through a conditional jump (both ways have
//! labels), so the stand-in is in nobody's way.

use super::{Insn, LengthError, Program, code};

/// A place in the program, to jump to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label(u32);

impl Label {
    fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// What is wrong with the assembled text; a mistake of the program that wrote it, but for
/// [`AsmError::Length`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AsmError {
    /// A jump goes to a label that is nowhere.
    #[error("label {0} is used but not bound")]
    Unbound(u32),
    /// A label stands in two places.
    #[error("label {0} is bound twice")]
    BoundTwice(u32),
    /// Classic BPF has no loops.
    #[error("a jump back to label {0}")]
    Backward(u32),
    /// The program does not end with a `RET`.
    #[error("the program runs off its end")]
    NoReturn,
    /// The program is empty or too long.
    #[error(transparent)]
    Length(#[from] LengthError),
}

#[derive(Debug, Clone, Copy)]
enum Item {
    Statement {
        code: u16,
        k: u32,
    },
    Branch {
        code: u16,
        k: u32,
        yes: Label,
        no: Label,
    },
    Goto(Label),
    Bind(Label),
}

/// Collects instructions and labels, in the order of the program.
#[derive(Debug, Default)]
pub struct Assembler {
    items: Vec<Item>,
    labels: u32,
}

impl Assembler {
    /// An empty program.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with room for so many instructions and labels.
    pub fn with_room(items: usize) -> Self {
        Self {
            items: Vec::with_capacity(items),
            labels: 0,
        }
    }

    /// A label that is nowhere yet.
    pub fn label(&mut self) -> Label {
        self.labels += 1;
        Label(self.labels - 1)
    }

    /// Puts a label before the next instruction.
    pub fn bind(&mut self, label: Label) {
        self.items.push(Item::Bind(label));
    }

    /// Any instruction that does not jump.
    pub fn statement(&mut self, code: u16, k: u32) {
        self.items.push(Item::Statement { code, k });
    }

    /// A conditional jump. Both ways are named; what comes next is reached only by its label.
    pub fn branch(&mut self, code: u16, k: u32, yes: Label, no: Label) {
        self.items.push(Item::Branch { code, k, yes, no });
    }

    /// An unconditional jump, left out where it would go to the next instruction.
    pub fn goto(&mut self, label: Label) {
        self.items.push(Item::Goto(label));
    }

    /// Lays out the program.
    ///
    /// # Errors
    ///
    /// See [`AsmError`].
    pub fn finish(self) -> Result<Program, AsmError> {
        let mut layout = Layout::new(&self.items, self.labels)?;
        for item in self.items.iter().rev() {
            match *item {
                Item::Statement { code, k } => layout.push(code, 0, 0, k),
                Item::Branch { code, k, yes, no } => layout.branch(code, k, yes, no)?,
                Item::Goto(label) => layout.goto(label)?,
                Item::Bind(label) => layout.bind(label),
            }
        }
        layout.finish()
    }
}

/// The program from its end. A position is the number of instructions from there to the end.
struct Layout {
    reversed: Vec<Insn>,
    /// Of each label: the nearest position that does what stands at the label.
    places: Vec<Place>,
    /// Of each `RET K`: the nearest.
    returns: Vec<(u32, usize)>,
}

#[derive(Clone, Copy)]
enum Place {
    Nowhere,
    Ahead,
    At(usize),
}

impl Layout {
    fn new(items: &[Item], labels: u32) -> Result<Self, AsmError> {
        let mut places = vec![Place::Nowhere; Label(labels).index()];
        for item in items {
            let Item::Bind(label) = *item else { continue };
            match places.get_mut(label.index()) {
                Some(place @ Place::Nowhere) => *place = Place::Ahead,
                _ => return Err(AsmError::BoundTwice(label.0)),
            }
        }
        Ok(Self {
            reversed: Vec::with_capacity(items.len()),
            places,
            returns: Vec::new(),
        })
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) {
        self.reversed.push(Insn { code, jt, jf, k });
        if code == code::RET_K {
            let here = self.reversed.len();
            match self.returns.iter_mut().find(|(value, _)| *value == k) {
                Some((_, nearest)) => *nearest = here,
                None => self.returns.push((k, here)),
            }
        }
    }

    fn bind(&mut self, label: Label) {
        let here = self.reversed.len();
        if let Some(place) = self.places.get_mut(label.index()) {
            *place = Place::At(here);
        }
    }

    /// The nearest position that does what stands at the label, and the value if that is to return one.
    fn target(&self, label: Label) -> Result<(usize, Option<u32>), AsmError> {
        let at = match self.places.get(label.index()) {
            Some(Place::At(at)) => *at,
            Some(Place::Ahead) => return Err(AsmError::Backward(label.0)),
            Some(Place::Nowhere) | None => return Err(AsmError::Unbound(label.0)),
        };
        let insn = at.checked_sub(1).and_then(|index| self.reversed.get(index));
        let insn = insn.ok_or(AsmError::NoReturn)?;
        if insn.code != code::RET_K {
            return Ok((at, None));
        }
        let nearest = self.returns.iter().find(|(value, _)| *value == insn.k);
        Ok((nearest.map_or(at, |&(_, near)| near), Some(insn.k)))
    }

    fn branch(&mut self, code: u16, k: u32, yes: Label, no: Label) -> Result<(), AsmError> {
        loop {
            // A stand-in moves the other target away by one, so both are looked at again.
            let here = self.reversed.len();
            let yes_offset = u8::try_from(here - self.target(yes)?.0);
            let no_offset = u8::try_from(here - self.target(no)?.0);
            match (yes_offset, no_offset) {
                (Ok(jt), Ok(jf)) => {
                    self.push(code, jt, jf, k);
                    return Ok(());
                }
                (Err(_), _) => self.stand_in(yes)?,
                (_, Err(_)) => self.stand_in(no)?,
            }
        }
    }

    #[cold]
    fn stand_in(&mut self, label: Label) -> Result<(), AsmError> {
        let (at, returned) = self.target(label)?;
        self.jump(at, returned);
        self.bind(label);
        Ok(())
    }

    fn goto(&mut self, label: Label) -> Result<(), AsmError> {
        let (at, returned) = self.target(label)?;
        if at != self.reversed.len() {
            self.jump(at, returned);
        }
        Ok(())
    }

    /// Goes to a position: by a copy of what it returns, if it does, else by a long jump.
    fn jump(&mut self, at: usize, returned: Option<u32>) {
        if let Some(k) = returned {
            self.push(code::RET_K, 0, 0, k);
        } else {
            let distance = u32::try_from(self.reversed.len() - at).unwrap_or(u32::MAX);
            self.push(code::JA, 0, 0, distance);
        }
    }

    fn finish(mut self) -> Result<Program, AsmError> {
        match self.reversed.first() {
            Some(insn) if insn.code == code::RET_K || insn.code == code::RET_A => {}
            Some(_) => return Err(AsmError::NoReturn),
            None => {}
        }
        self.reversed.reverse();
        Ok(Program::new(self.reversed)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::SeccompData;
    use crate::bpf::vm::Vm;

    fn ret(asm: &mut Assembler, label: Label, k: u32) {
        asm.bind(label);
        asm.statement(code::RET_K, k);
    }

    #[test]
    fn mistakes_are_told() {
        let two_ways = |bind: &[usize]| {
            let mut asm = Assembler::new();
            let labels = [asm.label(), asm.label()];
            asm.branch(code::JEQ_K, 0, labels[0], labels[1]);
            for &which in bind {
                ret(&mut asm, labels[which], 0);
            }
            asm.finish()
        };
        assert_eq!(two_ways(&[0]), Err(AsmError::Unbound(1)));
        assert_eq!(two_ways(&[0, 1, 1]), Err(AsmError::BoundTwice(1)));
        assert_eq!(two_ways(&[0, 1]).map(|p| p.as_slice().len()), Ok(3));

        let mut asm = Assembler::new();
        let start = asm.label();
        asm.bind(start);
        asm.statement(code::LD_ABS, 0);
        asm.branch(code::JEQ_K, 0, start, start);
        asm.statement(code::RET_K, 0);
        assert_eq!(asm.finish(), Err(AsmError::Backward(0)));

        let mut asm = Assembler::new();
        asm.statement(code::LD_ABS, 0);
        assert_eq!(asm.finish(), Err(AsmError::NoReturn));

        let mut asm = Assembler::new();
        let end = asm.label();
        asm.goto(end);
        asm.bind(end);
        assert_eq!(asm.finish(), Err(AsmError::NoReturn));

        assert_eq!(
            Assembler::new().finish(),
            Err(AsmError::Length(LengthError(0)))
        );
    }

    /// A branch over `gap` instructions; both targets are so far away.
    fn over(gap: usize, returns: bool) -> Program {
        let mut asm = Assembler::new();
        let [near, one, two] = [asm.label(), asm.label(), asm.label()];
        asm.statement(code::LD_ABS, SeccompData::NR);
        asm.branch(code::JEQ_K, 7, one, near);
        asm.bind(near);
        asm.branch(code::JEQ_K, 8, two, one);
        for _ in 0..gap {
            asm.statement(code::RET_K, 99);
        }
        for (label, k) in [(one, 1), (two, 2)] {
            asm.bind(label);
            if !returns {
                asm.statement(code::LD_IMM, 0);
            }
            asm.statement(code::RET_K, k);
        }
        asm.finish().unwrap()
    }

    #[test]
    fn far_targets_are_reached() {
        for returns in [true, false] {
            for gap in [0, 1, 250, 251, 252, 253, 254, 255, 256, 257, 258, 1000] {
                let program = over(gap, returns);
                let vm = Vm::new(program.as_slice()).unwrap();
                for (nr, want) in [(7, 1), (8, 2), (9, 1)] {
                    let data = SeccompData {
                        nr,
                        arch: 0,
                        ip: 0,
                        args: [0; 6],
                    };
                    let answer = vm.run(&data.words(false)).answer;
                    assert_eq!(answer, want, "{gap} {returns} {nr}");
                }
            }
        }
    }

    #[test]
    fn a_far_return_is_copied_once_and_not_jumped_to() {
        let program = over(1000, true);
        let stand_ins = program.as_slice().iter().take(6);
        assert!(stand_ins.clone().all(|insn| insn.code != code::JA));
        assert_eq!(program.as_slice().len(), 1000 + 5 + 2);
    }
}
