//! Neighbouring numbers of which the same is said: most of a policy is a few long stretches of these.

use super::Rule;

/// Numbers of which the same is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alike<'p> {
    /// The first number.
    pub first: u32,
    /// The last number. The first again where arguments decide.
    pub last: u32,
    /// The rules of the first number: there are some. Those of the others do the same.
    pub rules: &'p [Rule],
}

/// What a number's rules say whatever the arguments; `None` where these decide.
pub fn settled(rules: &[Rule]) -> Option<&Rule> {
    rules.first().filter(|rule| rule.conditions.is_empty())
}

/// Gathers numbers, in ascending order and with their rules, that are alike.
pub(super) struct Gather<'p, I> {
    numbers: I,
    ahead: Option<(u32, &'p [Rule])>,
}

impl<'p, I: Iterator<Item = (u32, &'p [Rule])>> Gather<'p, I> {
    pub(super) fn new(mut numbers: I) -> Self {
        let ahead = numbers.next();
        Self { numbers, ahead }
    }
}

impl<'p, I: Iterator<Item = (u32, &'p [Rule])>> Iterator for Gather<'p, I> {
    type Item = Alike<'p>;

    fn next(&mut self) -> Option<Self::Item> {
        let (first, rules) = self.ahead?;
        self.ahead = self.numbers.next();
        let mut last = first;
        if let Some(settled_by) = settled(rules) {
            while let Some((nr, others)) = self.ahead {
                let same = settled(others).is_some_and(|rule| rule.action == settled_by.action);
                if !same || last.checked_add(1) != Some(nr) {
                    break;
                }
                last = nr;
                self.ahead = self.numbers.next();
            }
        }
        Some(Alike { first, last, rules })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action;
    use crate::policy::{Condition, Op, Rules, Width};

    #[test]
    fn only_what_is_settled_alike_is_gathered() {
        const END: u32 = u32::MAX;
        let rule = |action, conditions: &[Condition]| Rule {
            conditions: conditions.to_vec(),
            action,
            origin: 0,
        };
        let allow = || vec![rule(Action::Allow, &[])];
        let condition = Condition::new(0, Width::W32, Op::Eq, 1).unwrap();
        let asks = || vec![rule(Action::Allow, &[condition])];
        let rules = Rules::from([
            (1, allow()),
            (2, vec![rule(Action::Allow, &[]), rule(Action::Log, &[])]),
            (3, vec![rule(Action::Log, &[])]),
            (4, asks()),
            (5, asks()),
            (6, allow()),
            (8, allow()),
            (END - 1, allow()),
            (END, allow()),
        ]);
        let gathered = |first, last| {
            let alike = rules.alike(first..=last);
            alike
                .map(|alike| (alike.first, alike.last))
                .collect::<Vec<_>>()
        };
        let all = [
            (1, 2),
            (3, 3),
            (4, 4),
            (5, 5),
            (6, 6),
            (8, 8),
            (END - 1, END),
        ];
        assert_eq!(gathered(0, END), all);
        assert_eq!(gathered(2, 5), [(2, 2), (3, 3), (4, 4), (5, 5)]);
        assert_eq!(gathered(9, END - 2), []);
    }
}
