//! The rules of one architecture, in two lists.
//!
//! A policy of some hundred syscalls is made, gone through and dropped within a millisecond while a program waits to
//! start: a list of its own for each syscall would cost more than everything that is done with it.

use std::ops::RangeInclusive;

use super::Rule;
use super::alike::{Alike, Gather};

/// The rules of each syscall, by the kernel's number, and in the order in which they decide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Each number that has rules, in ascending order, and where they end: they begin where those before end.
    numbers: Vec<(u32, usize)>,
    rules: Vec<Rule>,
}

impl Rules {
    /// No rules, and room for so many.
    pub fn with_capacity(rules: usize) -> Self {
        Self {
            numbers: Vec::with_capacity(rules),
            rules: Vec::with_capacity(rules),
        }
    }

    /// Adds a rule behind those that the number has. Quick where numbers come in ascending order.
    pub fn push(&mut self, nr: u32, rule: Rule) {
        match self.numbers.last_mut() {
            Some((last, _)) if nr < *last => return self.insert(nr, rule),
            Some((last, end)) if nr == *last => *end += 1,
            _ => self.numbers.push((nr, self.rules.len() + 1)),
        }
        self.rules.push(rule);
    }

    fn insert(&mut self, nr: u32, rule: Rule) {
        let place = self.place(nr).unwrap_or_else(|place| {
            self.numbers.insert(place, (nr, self.start(place)));
            place
        });
        let after = self.numbers.get_mut(place..).unwrap_or_default();
        if let Some(&(_, end)) = after.first() {
            self.rules.insert(end, rule);
        }
        for (_, end) in after {
            *end += 1;
        }
    }

    /// The highest number, and the last of its rules.
    pub fn last(&self) -> Option<(u32, &Rule)> {
        Some((self.numbers.last()?.0, self.rules.last()?))
    }

    /// The rules of a number, if it has any.
    pub fn get(&self, nr: u32) -> Option<&[Rule]> {
        self.at(self.place(nr).ok()?).map(|(_, rules)| rules)
    }

    /// The numbers that have rules, and these, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[Rule])> + Clone {
        (0..self.numbers.len()).filter_map(|place| self.at(place))
    }

    /// Those of these numbers.
    pub fn range(&self, numbers: RangeInclusive<u32>) -> impl Iterator<Item = (u32, &[Rule])> {
        let (first, last) = numbers.into_inner();
        let (Ok(first) | Err(first)) = self.place(first);
        let places = first..self.numbers.len();
        let rules = places.filter_map(|place| self.at(place));
        rules.take_while(move |&(nr, _)| nr <= last)
    }

    /// The same, where neighbouring numbers of which the same is said are one.
    pub fn alike(&self, numbers: RangeInclusive<u32>) -> impl Iterator<Item = Alike<'_>> {
        Gather::new(self.range(numbers))
    }

    /// The numbers alone.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + Clone {
        self.numbers.iter().map(|&(nr, _)| nr)
    }

    /// The rules alone, number after number.
    pub fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// The same, to change.
    pub fn all_mut(&mut self) -> &mut [Rule] {
        &mut self.rules
    }

    /// Where the number is, or belongs.
    fn place(&self, nr: u32) -> Result<usize, usize> {
        self.numbers.binary_search_by_key(&nr, |&(nr, _)| nr)
    }

    fn at(&self, place: usize) -> Option<(u32, &[Rule])> {
        let &(nr, end) = self.numbers.get(place)?;
        Some((nr, self.rules.get(self.start(place)..end)?))
    }

    /// Where the rules of the number in this place begin.
    fn start(&self, place: usize) -> usize {
        let before = place.checked_sub(1).and_then(|at| self.numbers.get(at));
        before.map_or(0, |&(_, end)| end)
    }
}

/// Numbers with their rules. Those of a number that comes twice are added to those that it has.
impl FromIterator<(u32, Vec<Rule>)> for Rules {
    fn from_iter<T: IntoIterator<Item = (u32, Vec<Rule>)>>(numbers: T) -> Self {
        let mut rules = Self::default();
        rules.extend(numbers);
        rules
    }
}

impl Extend<(u32, Vec<Rule>)> for Rules {
    fn extend<T: IntoIterator<Item = (u32, Vec<Rule>)>>(&mut self, numbers: T) {
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

    #[test]
    fn it_is_a_map_whatever_the_order() {
        // Numbers up, down, again, and at both ends.
        let numbers = [7, 9, 9, 3, 7, u32::MAX, 0, 8, 3, 9, u32::MAX];
        let mut rules = Rules::with_capacity(1);
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
}
