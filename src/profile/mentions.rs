//! Which entries of a profile name each syscall.
//!
//! Rules are wanted by number, and names are listed in any other order. The tables of syscalls are by number already:
//! whoever goes through one of them, and finds the entries by the name, has nothing to sort.

use crate::syscall::{NAMES, Name};

/// The entries that name each syscall of the tables.
pub(super) struct Mentions {
    /// By [`Name::index`]: how many of `entries` belong to the names before it. The last is how many there are.
    starts: Vec<usize>,
    entries: Vec<usize>,
}

impl Mentions {
    /// The mentions in these entries. Names that are not in the tables are passed over.
    pub(super) fn of<'n>(entries: impl Iterator<Item = &'n [Name]>) -> Self {
        let entries: Vec<_> = entries.collect();
        let mut mentions = Self {
            starts: vec![0; NAMES + 1],
            entries: vec![0; entries.iter().map(|names| names.len()).sum()],
        };
        for index in entries.iter().copied().flatten().filter_map(Name::index) {
            if let Some(count) = mentions.starts.get_mut(index) {
                *count += 1;
            }
        }
        // Where each name's end, and from there down to where they start.
        let mut end = 0;
        for start in &mut mentions.starts {
            end += *start;
            *start = end;
        }
        mentions.entries.truncate(end);
        for (entry, names) in entries.iter().enumerate().rev() {
            for index in names.iter().filter_map(Name::index) {
                if let Some(start) = mentions.starts.get_mut(index) {
                    *start -= 1;
                    if let Some(place) = mentions.entries.get_mut(*start) {
                        *place = entry;
                    }
                }
            }
        }
        mentions
    }

    /// The places of the entries with the name of this [`Name::index`], in ascending order: one for each time that it is
    /// there.
    pub(super) fn of_name(&self, index: usize) -> &[usize] {
        match self.starts.get(index..index + 2) {
            Some(&[start, end]) => self.entries.get(start..end).unwrap_or_default(),
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;
    use crate::syscall;

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
            assert_eq!(mentions.of_name(index), want, "{name}");
        }
        assert!(mentions.of_name(NAMES).is_empty());
        // The last one of all has no name behind it.
        let mut all = Arch::ALL.into_iter().flat_map(syscall::all_indexed);
        let (last, _) = all.find(|&(_, index)| index == NAMES - 1).unwrap();
        let names = [last.name().unwrap(), "read"].map(Name::from);
        assert_eq!(
            Mentions::of([&names[..]].into_iter()).of_name(NAMES - 1),
            [0]
        );
    }
}
