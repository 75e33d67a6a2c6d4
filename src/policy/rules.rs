//! The rules of one architecture, shared by numbers that have the same.
//!
//! A policy of some hundred syscalls is made, gone through and dropped within a millisecond while a program waits to
//! start, and most of its syscalls have one and the same rule: a list for each would cost more than everything that is
//! done with it.

use std::iter;
use std::ops::RangeInclusive;

use super::Rule;

/// The rules of each syscall, by the kernel's number, and in the order in which they decide.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// All numbers that have rules, in ascending order.
    spans: Vec<Span>,
    rules: Vec<Rule>,
}

/// Neighbouring numbers of which the same is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alike<'p> {
    /// The first number.
    pub first: u32,
    /// The last number: the first again where arguments decide.
    pub last: u32,
    /// The rules of them all: there are some.
    pub rules: &'p [Rule],
}

/// The rule that decides whatever the arguments; `None` where these decide.
pub fn settled(rules: &[Rule]) -> Option<&Rule> {
    rules.first().filter(|rule| rule.conditions.is_empty())
}

/// Do these rules decide alike? Where they are from makes no difference.
pub(crate) fn same(rules: &[Rule], others: &[Rule]) -> bool {
    let says = |rule: &Rule, other: &Rule| {
        (rule.action, &rule.conditions) == (other.action, &other.conditions)
    };
    rules.len() == others.len()
        && rules
            .iter()
            .zip(others)
            .all(|(one, other)| says(one, other))
}

/// Numbers without a gap between them, and where their rules are.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: u32,
    last: u32,
    start: usize,
    end: usize,
}

impl Rules {
    /// Those of an architecture of which nothing is said.
    pub(crate) fn none() -> &'static Self {
        static NONE: Rules = Rules {
            spans: Vec::new(),
            rules: Vec::new(),
        };
        &NONE
    }

    /// None, with room for so many numbers in a row and rules.
    pub fn with_room(spans: usize, rules: usize) -> Self {
        Self {
            spans: Vec::with_capacity(spans),
            rules: Vec::with_capacity(rules),
        }
    }

    /// Adds a rule behind those that the number has. Quick where numbers come in ascending order.
    pub fn push(&mut self, nr: u32, rule: Rule) {
        let start = self.rules.len();
        match self.spans.last_mut() {
            Some(span) if nr == span.last => {
                let own = Span {
                    first: nr,
                    end: span.end + 1,
                    ..*span
                };
                if span.first == nr {
                    *span = own;
                } else {
                    span.last = nr - 1;
                    self.spans.push(own);
                }
            }
            Some(span) if nr < span.last => return self.insert(nr, rule),
            _ => self.spans.push(Span {
                first: nr,
                last: nr,
                start,
                end: start + 1,
            }),
        }
        self.rules.push(rule);
    }

    /// Adds a rule to a number that is not the highest one.
    #[cold]
    fn insert(&mut self, nr: u32, rule: Rule) {
        let own = self.iter().flat_map(|(nr, rules)| {
            let rules = rules.iter().cloned();
            rules.map(move |rule| (nr, [rule]))
        });
        *self = own.chain([(nr, [rule])]).collect();
    }

    /// Gives a number the rules of the highest one that has any. Quick where the number is a higher one.
    #[inline]
    pub fn repeat(&mut self, nr: u32) {
        match self.spans.last_mut() {
            Some(span) if span.last.checked_add(1) == Some(nr) => span.last = nr,
            _ => self.repeat_apart(nr),
        }
    }

    /// The same for a number that does not follow the highest one.
    fn repeat_apart(&mut self, nr: u32) {
        match self.spans.last_mut() {
            Some(&mut span) if nr > span.last => self.spans.push(Span {
                first: nr,
                last: nr,
                ..span
            }),
            Some(&mut span) => {
                for rule in self.of(span).to_vec() {
                    self.push(nr, rule);
                }
            }
            None => {}
        }
    }

    /// The highest number, and the last of its rules.
    pub fn last(&self) -> Option<(u32, &Rule)> {
        Some((self.spans.last()?.last, self.rules.last()?))
    }

    /// The rules of a number, if it has any.
    pub fn get(&self, nr: u32) -> Option<&[Rule]> {
        let &span = self.spans.get(self.place(nr))?;
        (span.first <= nr).then(|| self.of(span))
    }

    /// The numbers that have rules, and these, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[Rule])> + Clone {
        self.range(0..=u32::MAX)
    }

    /// Those of these numbers.
    pub fn range(
        &self,
        numbers: RangeInclusive<u32>,
    ) -> impl Iterator<Item = (u32, &[Rule])> + Clone {
        self.spans(numbers).flat_map(|span| {
            let rules = self.of(span);
            (span.first..=span.last).map(move |nr| (nr, rules))
        })
    }

    /// The spans of these numbers, as far as they lie among them.
    fn spans(&self, numbers: RangeInclusive<u32>) -> impl Iterator<Item = Span> + Clone {
        let (first, last) = numbers.into_inner();
        let spans = self.spans.get(self.place(first)..).unwrap_or_default();
        let spans = spans.iter().take_while(move |span| span.first <= last);
        spans.map(move |span| Span {
            first: span.first.max(first),
            last: span.last.min(last),
            ..*span
        })
    }

    /// The same, where neighbours that share rules without conditions are one.
    pub fn alike(&self, numbers: RangeInclusive<u32>) -> impl Iterator<Item = Alike<'_>> {
        let mut spans = self.spans(numbers);
        // What is left of a span whose numbers come one by one.
        let mut left: Option<Span> = None;
        iter::from_fn(move || {
            let span = left.take().or_else(|| spans.next())?;
            let (first, mut last, rules) = (span.first, span.last, self.of(span));
            if first < last && settled(rules).is_none() {
                last = first;
                left = Some(Span {
                    first: first + 1,
                    ..span
                });
            }
            Some(Alike { first, last, rules })
        })
    }

    /// The numbers alone.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + Clone {
        self.spans.iter().flat_map(|span| span.first..=span.last)
    }

    /// The rules alone. One that several numbers have need not be there for each.
    pub fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// The same, to change for all the numbers that have it.
    pub fn all_mut(&mut self) -> &mut [Rule] {
        &mut self.rules
    }

    /// The span that the number is in, or the first one behind it.
    fn place(&self, nr: u32) -> usize {
        self.spans.partition_point(|span| span.last < nr)
    }

    fn of(&self, span: Span) -> &[Rule] {
        self.rules.get(span.start..span.end).unwrap_or_default()
    }
}

/// Equal are those with the same rules for the same numbers.
impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Rules {}

/// Numbers in any order, with their rules. Those of a number that comes twice are added to those that it has.
impl<R: IntoIterator<Item = Rule>> FromIterator<(u32, R)> for Rules {
    fn from_iter<T: IntoIterator<Item = (u32, R)>>(numbers: T) -> Self {
        let mut numbers: Vec<_> = numbers.into_iter().collect();
        numbers.sort_by_key(|&(nr, _)| nr);
        let mut all = Self::default();
        all.extend(numbers);
        all
    }
}

impl<R: IntoIterator<Item = Rule>> Extend<(u32, R)> for Rules {
    fn extend<T: IntoIterator<Item = (u32, R)>>(&mut self, numbers: T) {
        for (nr, rules) in numbers {
            for rule in rules {
                self.push(nr, rule);
            }
        }
    }
}

impl<const N: usize> From<[(u32, Vec<Rule>); N]> for Rules {
    fn from(numbers: [(u32, Vec<Rule>); N]) -> Self {
        numbers.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::action::Action;
    use crate::policy::{Condition, Op, Width};

    #[test]
    fn it_is_a_map_whatever_the_order() {
        // Numbers up, down, again, and at both ends.
        let numbers = [7, 9, 9, 3, 7, u32::MAX, 0, 8, 3, 9, u32::MAX];
        let mut rules = Rules::default();
        let mut map: BTreeMap<u32, Vec<Rule>> = BTreeMap::new();
        for (origin, nr) in numbers.into_iter().enumerate() {
            let rule = Rule {
                conditions: Vec::new(),
                action: Action::Allow,
                origin,
            };
            rules.push(nr, rule.clone());
            map.entry(nr).or_default().push(rule);
            assert_eq!(rules.last().map(|(nr, _)| nr), map.keys().last().copied());
            let same: Vec<(u32, Vec<Rule>)> =
                rules.iter().map(|(nr, r)| (nr, r.to_vec())).collect();
            assert_eq!(same, map.clone().into_iter().collect::<Vec<_>>());
        }
        assert_eq!(rules, map.clone().into_iter().collect());
        assert_ne!(rules, Rules::default());
        assert!(rules.numbers().eq(map.keys().copied()));
        assert!(rules.all().iter().eq(map.values().flatten()));
        for nr in [0, 1, 3, 5, 7, 9, 10, u32::MAX - 1, u32::MAX] {
            assert_eq!(rules.get(nr), map.get(&nr).map(Vec::as_slice), "{nr}");
            for last in [nr, nr.saturating_add(2), u32::MAX] {
                let got = rules.range(nr..=last).map(|(nr, _)| nr);
                assert!(
                    got.eq(map.range(nr..=last).map(|(&nr, _)| nr)),
                    "{nr} {last}"
                );
            }
        }
        assert_eq!(Rules::default().iter().next(), None);
    }

    #[test]
    fn numbers_can_share_their_rules() {
        let rule = |origin| Rule {
            conditions: Vec::new(),
            action: Action::Allow,
            origin,
        };
        let mut rules = Rules::default();
        rules.repeat(1);
        rules.push(2, rule(0));
        for nr in [3, 4, 6, 7] {
            rules.repeat(nr);
        }
        assert_eq!(rules.all().len(), 1);
        let mut map: BTreeMap<u32, Vec<Rule>> =
            [2, 3, 4, 6, 7].map(|nr| (nr, vec![rule(0)])).into();
        let same = |rules: &Rules, map: &BTreeMap<u32, Vec<Rule>>| {
            assert!(rules.numbers().eq(map.keys().copied()));
            let map = map.iter().map(|(&nr, rules)| (nr, rules.as_slice()));
            assert!(rules.iter().eq(map), "{rules:?}");
        };
        same(&rules, &map);
        let got = |numbers| rules.range(numbers).map(|(nr, _)| nr).collect::<Vec<_>>();
        assert_eq!(got(3..=6), [3, 4, 6]);
        assert_eq!(got(5..=5), [0; 0]);
        assert_eq!(rules.get(5), None);
        // A rule for one of them is none for the others: the last one, one in the middle, one on its own.
        for (origin, nr) in [(1, 7), (2, 3), (3, 9), (4, 2)] {
            rules.push(nr, rule(origin));
            map.entry(nr).or_default().push(rule(origin));
            same(&rules, &map);
        }
        // Of the highest number, wherever the other one is.
        rules.repeat(3);
        map.entry(3).or_default().push(rule(3));
        same(&rules, &map);
        rules.push(u32::MAX, rule(5));
        rules.repeat(u32::MAX);
        map.insert(u32::MAX, vec![rule(5); 2]);
        same(&rules, &map);
    }

    #[test]
    fn what_is_settled_goes_together() {
        const END: u32 = u32::MAX;
        let rule = |conditions: &[Condition]| Rule {
            conditions: conditions.to_vec(),
            action: Action::Allow,
            origin: 0,
        };
        let asks = Condition::new(0, Width::W32, Op::Eq, 1).unwrap();
        let mut rules = Rules::default();
        rules.push(1, rule(&[]));
        for nr in [2, 3, 5] {
            rules.repeat(nr);
        }
        rules.push(6, rule(&[asks]));
        rules.repeat(7);
        rules.push(END - 1, rule(&[]));
        rules.repeat(END);
        let alike = |first, last| {
            let alike = rules.alike(first..=last);
            let alike = alike.inspect(|alike| {
                assert_eq!(Some(alike.rules), rules.get(alike.last));
            });
            alike
                .map(|alike| (alike.first, alike.last))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            alike(0, END),
            [(1, 3), (5, 5), (6, 6), (7, 7), (END - 1, END)]
        );
        assert_eq!(alike(2, 6), [(2, 3), (5, 5), (6, 6)]);
        assert_eq!(alike(8, END - 2), []);
    }
}
