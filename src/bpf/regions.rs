//! A program's ways as far as they depend on architecture and number alone.
//!
//! Followed for whole ranges at a time, they divide all calls that there can be into regions: in each, every call has
//! the same answer, or goes on from the same instruction with its other data. So few steps say something about every
//! number, where running the program says it about one.

use std::ops::ControlFlow;

use super::SeccompData;
use super::vm::{Op, Operand, Test, Vm};

/// The values of a word: from the first to the last, but for a few.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The first; it is none of those left out.
    pub first: u32,
    /// The last; it is none of those left out.
    pub last: u32,
    but: &'a [u32],
}

impl Values<'_> {
    /// Is this one of them?
    pub fn contains(&self, value: u32) -> bool {
        (self.first..=self.last).contains(&value) && !self.but.contains(&value)
    }

    /// Those from `first` to `last`, as far as they are among these: the smallest and the largest.
    pub fn within(&self, first: u32, last: u32) -> Option<(u32, u32)> {
        if first <= self.first && self.last <= last {
            return Some((self.first, self.last));
        }
        let (first, last) = (first.max(self.first), last.min(self.last));
        if first > last {
            return None;
        }
        let span = Span { first, last }.trimmed(self.but)?;
        Some((span.first, span.last))
    }
}

/// Calls that go the same way.
#[derive(Debug, Clone, Copy)]
pub struct Region<'a> {
    /// Their architectures, as `AUDIT_ARCH_*`.
    pub archs: Values<'a>,
    /// Their numbers.
    pub numbers: Values<'a>,
    /// The instruction at which the way ends: the one that answers, or the first that asks for other data
    /// ([`Vm::run_from`]).
    pub pc: usize,
    /// The answer, where no other data is asked for.
    pub answer: Option<u32>,
}

/// How far the ways could be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("instruction {pc} is not one that can be followed for many numbers at once")]
pub struct Unfollowed {
    /// The instruction.
    pub pc: usize,
}

/// Gives every region to `visit`, in no certain order, until that breaks off.
///
/// # Errors
///
/// Where architecture or number are not just compared with constants. No call is passed over without this error.
pub fn regions<B>(
    vm: &Vm,
    visit: impl FnMut(Region<'_>) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, Unfollowed> {
    let mut walk = Walk {
        ops: vm.ops(),
        but: [Vec::new(), Vec::new()],
        visit,
    };
    let all = Span {
        first: 0,
        last: u32::MAX,
    };
    let start = At {
        pc: 0,
        held: None,
        words: [all; 2],
    };
    match walk.follow(start) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(Stop::Broken(broken)) => Ok(ControlFlow::Break(broken)),
        Err(Stop::Unfollowed(unfollowed)) => Err(unfollowed),
    }
}

/// The words of the data that are followed: number and architecture.
const WORDS: usize = SeccompData::WHICH;

#[derive(Debug, Clone, Copy)]
struct Span {
    first: u32,
    last: u32,
}

impl Span {
    /// What is at the border or above it, and what is below.
    fn cut(self, border: u64) -> [Option<Self>; 2] {
        match u32::try_from(border) {
            Ok(border) if border <= self.first => [Some(self), None],
            Ok(first) if first <= self.last => {
                let last = first - 1;
                [Some(Self { first, ..self }), Some(Self { last, ..self })]
            }
            _ => [None, Some(self)],
        }
    }

    /// One value, and the rest, in which it still is unless it was at an end.
    fn without(self, value: u32, but: &[u32]) -> [Option<Self>; 2] {
        let Self { first, last } = self;
        if !(first..=last).contains(&value) || but.contains(&value) {
            return [None, Some(self)];
        }
        let single = Self {
            first: value,
            last: value,
        };
        let rest = match value {
            _ if first == last => None,
            _ if value == first => Some(Self {
                first: first + 1,
                last,
            }),
            _ if value == last => Some(Self {
                first,
                last: last - 1,
            }),
            _ => Some(self),
        };
        [Some(single), rest]
    }

    /// The same without what is left out at its ends; `None` where nothing remains.
    fn trimmed(mut self, but: &[u32]) -> Option<Self> {
        while but.contains(&self.first) {
            self.first = self.first.checked_add(1)?;
        }
        while self.first < self.last && but.contains(&self.last) {
            self.last -= 1;
        }
        (self.first <= self.last).then_some(self)
    }
}

/// A place on a way.
#[derive(Clone, Copy)]
struct At {
    pc: usize,
    /// Which of the words is in the accumulator.
    held: Option<usize>,
    words: [Span; WORDS],
}

enum Stop<B> {
    Broken(B),
    Unfollowed(Unfollowed),
}

struct Walk<'v, F> {
    ops: &'v [Op],
    /// Of each word: single values that went another way.
    but: [Vec<u32>; WORDS],
    visit: F,
}

impl<B, F: FnMut(Region<'_>) -> ControlFlow<B>> Walk<'_, F> {
    /// Follows all ways from here.
    fn follow(&mut self, at: At) -> Result<(), Stop<B>> {
        let left_out = [0, 1].map(|word| self.but.get(word).map_or(0, Vec::len));
        let followed = self.follow_on(at);
        for (but, len) in self.but.iter_mut().zip(left_out) {
            but.truncate(len);
        }
        followed
    }

    fn follow_on(&mut self, mut at: At) -> Result<(), Stop<B>> {
        loop {
            let unfollowed = Err(Stop::Unfollowed(Unfollowed { pc: at.pc }));
            match self.ops.get(at.pc) {
                Some(&Op::Load(word)) if usize::from(word) < WORDS => {
                    at.held = Some(word.into());
                    at.pc += 1;
                }
                Some(Op::Load(_)) => return self.end(&at, None),
                Some(&Op::Return(answer)) => return self.end(&at, Some(answer)),
                Some(&Op::Jump(to)) => at.pc = to.into(),
                Some(&Op::Branch(test, Operand::K(k), yes, no)) => {
                    let Some(word) = at.held else {
                        return unfollowed;
                    };
                    let Some([yes_words, no_words]) = self.part(&at, word, test, k) else {
                        return unfollowed;
                    };
                    let to = |pc: u16, words| At {
                        pc: pc.into(),
                        words,
                        ..at
                    };
                    at = match (yes_words, no_words) {
                        (Some(words), None) => to(yes, words),
                        (None, Some(words)) => to(no, words),
                        (Some(here), Some(there)) => {
                            self.follow(to(yes, here))?;
                            let rest = there.get(word);
                            let inside = rest.is_some_and(|rest| rest.first < k && k < rest.last);
                            if test == Test::Eq && inside {
                                self.leave_out(word, k);
                            }
                            to(no, there)
                        }
                        (None, None) => return Ok(()),
                    };
                }
                _ => return unfollowed,
            }
        }
    }

    fn leave_out(&mut self, word: usize, value: u32) {
        if let Some(but) = self.but.get_mut(word) {
            but.push(value);
        }
    }

    /// The values for which the test holds, and the others; `None` where these are no ranges.
    fn part(&self, at: &At, word: usize, test: Test, k: u32) -> Option<[Option<[Span; WORDS]>; 2]> {
        let span = *at.words.get(word)?;
        let but = self.but.get(word)?;
        let parts = match test {
            Test::Eq => span.without(k, but),
            Test::Ge => span.cut(k.into()),
            Test::Gt => span.cut(u64::from(k) + 1),
            Test::Set if span.first == span.last && span.first & k != 0 => [Some(span), None],
            Test::Set if span.first == span.last => [None, Some(span)],
            Test::Set => return None,
        };
        Some(parts.map(|part| {
            let mut words = at.words;
            *words.get_mut(word)? = part?.trimmed(but)?;
            Some(words)
        }))
    }

    fn end(&mut self, at: &At, answer: Option<u32>) -> Result<(), Stop<B>> {
        let [number, arch] = &self.but;
        let [number_span, arch_span] = at.words;
        let values = |span: Span, but| Values {
            first: span.first,
            last: span.last,
            but,
        };
        let region = Region {
            archs: values(arch_span, arch),
            numbers: values(number_span, number),
            pc: at.pc,
            answer,
        };
        match (self.visit)(region) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(broken) => Err(Stop::Broken(broken)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::{Insn, code};

    const fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
        Insn { code, jt, jf, k }
    }

    const NR: Insn = insn(code::LD_ABS, 0, 0, SeccompData::NR);
    const ARCH: Insn = insn(code::LD_ABS, 0, 0, SeccompData::ARCH);

    const fn ret(k: u32) -> Insn {
        insn(code::RET_K, 0, 0, k)
    }

    #[test]
    fn what_is_within_begins_and_ends_with_one_of_them() {
        let values = Values {
            first: 3,
            last: 9,
            but: &[4, 5, 8],
        };
        let cases = [
            (0, u32::MAX, Some((3, 9))),
            (3, 9, Some((3, 9))),
            (4, 9, Some((6, 9))),
            (3, 8, Some((3, 7))),
            (4, 8, Some((6, 7))),
            (0, 3, Some((3, 3))),
            (4, 5, None),
            (8, 8, None),
            (0, 2, None),
            (10, u32::MAX, None),
        ];
        for (first, last, want) in cases {
            assert_eq!(values.within(first, last), want, "{first} {last}");
        }
    }

    /// The regions as text, sorted: numbers, those left out, instruction and answer.
    fn walk(program: &[Insn]) -> Result<Vec<String>, Unfollowed> {
        let mut found = Vec::new();
        let vm = Vm::new(program).unwrap();
        let walked = regions(&vm, |region| {
            let Values { first, last, but } = region.numbers;
            let but = but.iter().filter(|but| (first..last).contains(but));
            let but: Vec<_> = but.collect();
            found.push(format!(
                "{first}-{last} but {but:?}: {} {:?}",
                region.pc, region.answer
            ));
            ControlFlow::<()>::Continue(())
        });
        found.sort();
        walked.map(|_| found)
    }

    #[test]
    fn comparisons_divide_the_numbers() {
        let cases: [(u16, u32, &[&str]); 9] = [
            (
                code::JEQ_K,
                5,
                &["0-4294967295 but [5]: 3 Some(0)", "5-5 but []: 2 Some(1)"],
            ),
            (
                code::JEQ_K,
                0,
                &["0-0 but []: 2 Some(1)", "1-4294967295 but []: 3 Some(0)"],
            ),
            (
                code::JEQ_K,
                u32::MAX,
                &[
                    "0-4294967294 but []: 3 Some(0)",
                    "4294967295-4294967295 but []: 2 Some(1)",
                ],
            ),
            (
                code::JGE_K,
                5,
                &["0-4 but []: 3 Some(0)", "5-4294967295 but []: 2 Some(1)"],
            ),
            (code::JGE_K, 0, &["0-4294967295 but []: 2 Some(1)"]),
            (
                code::JGT_K,
                5,
                &["0-5 but []: 3 Some(0)", "6-4294967295 but []: 2 Some(1)"],
            ),
            (
                code::JGT_K,
                0,
                &["0-0 but []: 3 Some(0)", "1-4294967295 but []: 2 Some(1)"],
            ),
            (code::JGT_K, u32::MAX, &["0-4294967295 but []: 3 Some(0)"]),
            (
                code::JGE_K,
                u32::MAX,
                &[
                    "0-4294967294 but []: 3 Some(0)",
                    "4294967295-4294967295 but []: 2 Some(1)",
                ],
            ),
        ];
        for (code, k, want) in cases {
            let found = walk(&[NR, insn(code, 0, 1, k), ret(1), ret(0)]);
            assert_eq!(found.unwrap(), want, "{code:#x} {k}");
        }
    }

    #[test]
    fn what_went_another_way_does_not_come_back() {
        // 5 goes away; of what is below 6 and above 4 nothing remains, and nobody gets there.
        let program = [
            NR,
            insn(code::JEQ_K, 0, 1, 5),
            ret(1),
            insn(code::JGE_K, 2, 0, 6),
            insn(code::JGT_K, 0, 2, 4),
            ret(2),
            ret(3),
            ret(4),
        ];
        assert_eq!(
            walk(&program).unwrap(),
            [
                "0-4 but []: 7 Some(4)",
                "5-5 but []: 2 Some(1)",
                "6-4294967295 but []: 6 Some(3)"
            ]
        );
    }

    #[test]
    fn a_way_ends_where_other_data_is_asked_for() {
        let argument = insn(code::LD_ABS, 0, 0, 16);
        let program = [NR, insn(code::JEQ_K, 0, 1, 5), argument, ret(0)];
        let want = ["0-4294967295 but [5]: 3 Some(0)", "5-5 but []: 2 None"];
        assert_eq!(walk(&program).unwrap(), want);
        let pointer = insn(code::LD_ABS, 0, 0, 8);
        assert_eq!(
            walk(&[pointer, ret(0)]).unwrap(),
            ["0-4294967295 but []: 0 None"]
        );
    }

    #[test]
    fn architectures_are_followed_as_well() {
        let program = [ARCH, insn(code::JEQ_K, 0, 2, 7), NR, ret(1), ret(0)];
        let vm = Vm::new(&program).unwrap();
        let mut archs = Vec::new();
        let walked = regions(&vm, |region| {
            archs.push((
                region.archs.first,
                region.archs.last,
                region.archs.contains(7),
            ));
            ControlFlow::<()>::Continue(())
        });
        assert_eq!(walked, Ok(ControlFlow::Continue(())));
        assert_eq!(archs, [(7, 7, true), (0, u32::MAX, false)]);
    }

    #[test]
    fn bits_are_followed_for_single_values_only() {
        let set = insn(code::JSET_K, 0, 1, 4);
        let unfollowed = |pc| Err(Unfollowed { pc });
        assert_eq!(walk(&[NR, set, ret(1), ret(0)]), unfollowed(1));
        let program = [NR, insn(code::JEQ_K, 0, 2, 5), set, ret(1), ret(0)];
        let want = ["0-4294967295 but [5]: 4 Some(0)", "5-5 but []: 3 Some(1)"];
        assert_eq!(walk(&program).unwrap(), want);
    }

    #[test]
    fn what_cannot_be_followed_is_told() {
        let unfollowed = |pc| Err(Unfollowed { pc });
        let masked = insn(code::AND_K, 0, 0, 1);
        assert_eq!(walk(&[NR, masked, ret(0)]), unfollowed(1));
        // Nothing was loaded.
        assert_eq!(walk(&[insn(code::JEQ_K, 0, 0, 0), ret(0)]), unfollowed(0));
        assert_eq!(walk(&[NR, insn(code::RET_A, 0, 0, 0)]), unfollowed(1));
        let by_x = insn(code::JEQ_K | code::X, 0, 0, 0);
        assert_eq!(walk(&[NR, by_x, ret(0)]), unfollowed(1));
    }

    #[test]
    fn whoever_visits_can_break_off() {
        let program = [NR, insn(code::JGE_K, 0, 1, 5), ret(1), ret(0)];
        let vm = Vm::new(&program).unwrap();
        let mut visited = 0;
        let walked = regions(&vm, |region| {
            visited += 1;
            ControlFlow::Break(region.pc)
        });
        assert_eq!((walked, visited), (Ok(ControlFlow::Break(2)), 1));
    }
}
