//! Which entries of a profile name each syscall.
//!
//! Rules are wanted by number, and names are listed in any other order. The tables of syscalls are by number already:
//! whoever goes through one of them, and finds the entries by the name, has nothing to sort.

use crate::syscall::{NAMES, Name};

/// The entries that name each syscall of the tables.
pub(super) struct Mentions {
    /// By [`Name::index`]: where in `all` the first one is.
    first: [Option<u32>; NAMES],
    all: Vec<Mention>,
}

/// That an entry has a name.
struct Mention {
    entry: usize,
    /// Where in [`Mentions::all`] the next one of this name is.
    next: Option<u32>,
}

impl Mentions {
    /// The mentions in these entries. Names that are not in the tables are passed over.
    pub(super) fn of<'n>(entries: impl Iterator<Item = &'n [Name]>) -> Self {
        let entries: Vec<_> = entries.collect();
        let mut mentions = Self {
            first: [None; NAMES],
            all: Vec::with_capacity(entries.iter().map(|names| names.len()).sum()),
        };
        // The last one first, so that each comes before those that are there.
        for (entry, names) in entries.iter().enumerate().rev() {
            for index in names.iter().filter_map(Name::index) {
                let here = u32::try_from(mentions.all.len()).ok();
                if let Some(first) = mentions.first.get_mut(index) {
                    let next = std::mem::replace(first, here);
                    mentions.all.push(Mention { entry, next });
                }
            }
        }
        mentions
    }

    /// The places of the entries with the name of this [`Name::index`], in ascending order: one for each time that it is
    /// there.
    pub(super) fn of_name(&self, index: usize) -> impl Iterator<Item = usize> {
        let find = |at: u32| self.all.get(usize::try_from(at).ok()?);
        let first = self.first.get(index).copied().flatten().and_then(find);
        let mentions = std::iter::successors(first, move |mention| mention.next.and_then(find));
        mentions.map(|mention| mention.entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_name_in_their_order() {
        let entries: [&[&str]; 4] = [
            &["read", "write", "no_such_call"],
            &[],
            &["syscall_999", "write"],
            &["write", "read", "write"],
        ];
        let entries =
            entries.map(|names| names.iter().copied().map(Name::from).collect::<Vec<_>>());
        let mentions = Mentions::of(entries.iter().map(Vec::as_slice));
        let cases: [(&str, &[usize]); 3] =
            [("read", &[0, 3]), ("write", &[0, 2, 3, 3]), ("open", &[])];
        for (name, want) in cases {
            let index = Name::from(name).index().unwrap();
            assert_eq!(mentions.of_name(index).collect::<Vec<_>>(), want, "{name}");
        }
        assert_eq!(mentions.of_name(NAMES).next(), None);
    }
}
