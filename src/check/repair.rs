//! Changes that are safe to make without asking.

use crate::action::Action;
use crate::policy::Op;
use crate::profile::{Profile, Rule};
use crate::syscall::Name;

/// A change that takes nothing from the program and opens nothing that could be misused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Repair {
    /// Allows calls without which no program ends or goes on.
    Allow {
        /// The calls.
        names: Vec<Name>,
        /// Why, for the rule's comment.
        comment: &'static str,
    },
    /// Denies with `ENOSYS` what is denied already.
    Enosys(Vec<Name>),
    /// The entry with this index denies by `EQ` on ints: it compares their 32 bits for every runtime.
    LowHalf(usize),
}

/// The profile with these repairs, in canonical form.
pub(crate) fn repaired(profile: &Profile, repairs: &[Repair]) -> Profile {
    let mut fixed = profile.clone();
    // First, while the indices are right.
    for repair in repairs {
        if let Repair::LowHalf(index) = repair {
            let rule = fixed.rules.get_mut(*index);
            for condition in rule.into_iter().flat_map(|rule| &mut rule.conditions) {
                if condition.op == Op::Eq {
                    condition.op = Op::MaskedEq(0xffff_ffff);
                }
            }
        }
    }
    for repair in repairs {
        match repair {
            Repair::LowHalf(_) => {}
            Repair::Allow { names, comment } => fixed.rules.push(Rule {
                comment: Some((*comment).to_owned()),
                ..Rule::allow(names.iter().cloned())
            }),
            Repair::Enosys(names) => {
                for rule in &mut fixed.rules {
                    if !rule.action.runs() {
                        rule.names.retain(|name| !names.contains(name));
                    }
                }
                fixed.rules.push(Rule {
                    action: Action::Errno(38),
                    ..Rule::allow(names.iter().cloned())
                });
            }
        }
    }
    // Rules of the same kind are put together, which a profile whose order matters does not allow.
    let regrouped = Profile::union(std::slice::from_ref(&fixed)).unwrap_or(fixed);
    let mut canonical = regrouped;
    canonical.canonicalize();
    canonical
}
