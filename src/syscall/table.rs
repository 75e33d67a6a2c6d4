//! The rows made searchable, at compile time: a process that reads one profile has no time to sort tables.
//!
//! All architectures share one list of names. A name is found in it by hashing, once; its number on an
//! architecture is then one array access. The names are kept as one text with ends, so that the whole of it
//! is constant data without pointers that a loader would have to relocate.

use std::ops::Range;

use super::rows::{self, Name, Rows, WORD, ends_of, hash, hash_of};
use crate::arch::Arch;

/// A name that some architecture has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct NameId(u16);

impl NameId {
    pub(super) fn find(name: &str) -> Option<Self> {
        // The index wraps around like the probing that filled it, and an empty place ends the search.
        let name = name.as_bytes();
        let ends = ends_of(name);
        let mut at = first_slot(hash_of(name, ends));
        loop {
            let id = SLOTS.get(at).copied().filter(|&id| id != EMPTY)?;
            let known = Self(id).bytes()?;
            let is_same = known.len() == name.len()
                && ends_of(known) == ends
                && (name.len() <= 2 * WORD || known == name);
            if is_same {
                return Some(Self(id));
            }
            at = next_slot(at);
        }
    }

    /// What an array over all names has for this one.
    pub(super) fn of<T: Copy>(self, array: &[T; NAMES]) -> Option<T> {
        array.get(usize::from(self.0)).copied()
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    pub(super) fn name(self) -> Option<&'static str> {
        TEXT.get(self.range()?)
    }

    fn bytes(self) -> Option<&'static [u8]> {
        TEXT.as_bytes().get(self.range()?)
    }

    fn range(self) -> Option<Range<usize>> {
        match ENDS.get(self.index()..self.index() + 2) {
            Some(&[start, end]) => Some(start.into()..end.into()),
            _ => None,
        }
    }
}

/// One architecture's names and numbers, without [`crate::arch::X32_BIT`].
pub(super) struct Table {
    /// The number of each name, or [`ABSENT`]. Not in here: the pages of whatever holds a pointer are written, so
    /// copied, when the program is loaded.
    numbers: &'static [u32; NAMES],
    /// Numbers and names, by number.
    by_number: &'static [(u32, NameId)],
}

impl Table {
    /// The table of an architecture; `None` where we have none.
    pub(super) const fn of(arch: Arch) -> Option<&'static Self> {
        macro_rules! table {
            ($rows:ident) => {{
                static NUMBERS: [u32; NAMES] = numbers(&rows::$rows);
                static BY_NUMBER: [(u32, NameId); rows::$rows.len()] = by_number(&rows::$rows);
                static TABLE: Table = Table {
                    numbers: &NUMBERS,
                    by_number: &BY_NUMBER,
                };
                Some(&TABLE)
            }};
        }
        match arch {
            Arch::X86_64 => table!(X86_64),
            Arch::X86 => table!(X86),
            Arch::X32 => table!(X32),
            Arch::Aarch64 => table!(AARCH64),
            Arch::Arm => table!(ARM),
            Arch::Mips | Arch::Mipsel => table!(MIPS_O32),
            Arch::Mips64 | Arch::Mipsel64 => table!(MIPS_N64),
            Arch::Mips64n32 | Arch::Mipsel64n32 => table!(MIPS_N32),
            Arch::Ppc => table!(PPC),
            Arch::Ppc64 | Arch::Ppc64le => table!(PPC64),
            Arch::S390 => table!(S390),
            Arch::S390x => table!(S390X),
            Arch::Riscv64 => table!(RISCV64),
            Arch::Loongarch64 => table!(LOONGARCH64),
            Arch::Parisc | Arch::Parisc64 | Arch::M68k | Arch::Sh | Arch::Sheb => None,
        }
    }

    /// The number of a name.
    pub(super) fn number(&self, name: NameId) -> Option<u32> {
        name.of(self.numbers).filter(|&nr| nr != ABSENT)
    }

    /// The name of a number.
    pub(super) fn name(&self, nr: u32) -> Option<NameId> {
        let at = self.by_number.binary_search_by_key(&nr, |row| row.0).ok()?;
        self.by_number.get(at).map(|row| row.1)
    }

    /// All of it, by number.
    pub(super) const fn rows(&self) -> &'static [(u32, NameId)] {
        self.by_number
    }
}

/// The number of a name that an architecture has not.
const ABSENT: u32 = u32::MAX;

/// Everything that has names.
const ALL: [&Rows; 14] = [
    &rows::X86_64,
    &rows::X86,
    &rows::X32,
    &rows::AARCH64,
    &rows::ARM,
    &rows::MIPS_O32,
    &rows::MIPS_N64,
    &rows::MIPS_N32,
    &rows::PPC,
    &rows::PPC64,
    &rows::S390,
    &rows::S390X,
    &rows::RISCV64,
    &rows::LOONGARCH64,
];

/// A power of two, and at least three times [`NAMES`], so that most names are found at the first look.
const SLOT_COUNT: usize = 2048;

const _: () = assert!(NAMES * 3 <= SLOT_COUNT, "a larger index is due");

/// A place of the hash index without a name.
const EMPTY: u16 = u16::MAX;

const fn first_slot(hash: u32) -> usize {
    hash as usize % SLOT_COUNT
}

const fn next_slot(at: usize) -> usize {
    (at + 1) % SLOT_COUNT
}

/// The list of names while the compiler makes it. It tells names apart by their hashes alone, which is
/// right as long as they all differ: a test compares the texts.
struct Union {
    names: [Name; SLOT_COUNT / 2],
    count: u16,
    slots: [u16; SLOT_COUNT],
}

const UNION: &Union = &Union::of_all();
/// How many names the tables have together.
pub const NAMES: usize = UNION.count as usize;

static SLOTS: [u16; SLOT_COUNT] = UNION.slots;
static LETTERS: [u8; text_len()] = text();
static TEXT: &str = match std::str::from_utf8(&LETTERS) {
    Ok(text) => text,
    Err(_) => panic!("names are ASCII"),
};
/// Where each name ends in [`TEXT`], after the 0 where the first begins.
static ENDS: [u16; NAMES + 1] = ends();

#[expect(
    clippy::indexing_slicing,
    clippy::large_stack_arrays,
    reason = "evaluated at compile time, where a wrong index is a build error"
)]
impl Union {
    const fn of_all() -> Self {
        let mut union = Self {
            names: [Name { text: "", hash: 0 }; SLOT_COUNT / 2],
            count: 0,
            slots: [EMPTY; SLOT_COUNT],
        };
        let mut table = 0;
        while table < ALL.len() {
            let mut row = 0;
            while row < ALL[table].len() {
                union.add(ALL[table].get(row).1);
                row += 1;
            }
            table += 1;
        }
        union
    }

    const fn add(&mut self, name: Name) {
        let at = self.slot_of(name.hash);
        if self.slots[at] == EMPTY {
            self.slots[at] = self.count;
            self.names[self.count as usize] = name;
            self.count += 1;
        }
    }

    /// The place of the name with this hash: where it is, or where it belongs.
    const fn slot_of(&self, hash: u32) -> usize {
        let mut at = first_slot(hash);
        while self.slots[at] != EMPTY && self.names[self.slots[at] as usize].hash != hash {
            at = next_slot(at);
        }
        at
    }

    const fn id(&self, hash: u32) -> NameId {
        let id = self.slots[self.slot_of(hash)];
        assert!(id != EMPTY, "a name that no architecture has");
        NameId(id)
    }
}

/// The place of this name in an array over all of them, while that is made.
pub(super) const fn index_of(name: &[u8]) -> usize {
    UNION.id(hash(name)).0 as usize
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where a wrong index is a build error"
)]
const fn text_len() -> usize {
    let mut len = 0;
    let mut at = 0;
    while at < NAMES {
        len += UNION.names[at].text.len();
        at += 1;
    }
    len
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where a wrong index is a build error"
)]
const fn text<const LEN: usize>() -> [u8; LEN] {
    let mut text = [0; LEN];
    let mut end = 0;
    let mut at = 0;
    while at < NAMES {
        let mut name = UNION.names[at].text.as_bytes();
        while let [byte, rest @ ..] = name {
            text[end] = *byte;
            end += 1;
            name = rest;
        }
        at += 1;
    }
    text
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "evaluated at compile time; the text is some kilobytes"
)]
const fn ends() -> [u16; NAMES + 1] {
    let mut ends = [0; NAMES + 1];
    let mut at = 0;
    while at < NAMES {
        ends[at + 1] = ends[at] + UNION.names[at].text.len() as u16;
        at += 1;
    }
    ends
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where a wrong index is a build error"
)]
const fn numbers(rows: &Rows) -> [u32; NAMES] {
    let mut numbers = [ABSENT; NAMES];
    let mut row = 0;
    while row < rows.len() {
        let (nr, name) = rows.get(row);
        numbers[UNION.id(name.hash).0 as usize] = nr;
        row += 1;
    }
    numbers
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where a wrong index is a build error"
)]
const fn by_number<const LEN: usize>(rows: &Rows) -> [(u32, NameId); LEN] {
    let mut by_number = [(0, NameId(0)); LEN];
    let mut row = 0;
    while row < LEN {
        let (nr, name) = rows.get(row);
        by_number[row] = (nr, UNION.id(name.hash));
        row += 1;
    }
    by_number
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two names with one hash would have become one.
    #[test]
    fn no_name_took_the_place_of_another() {
        let named = |(nr, id): (u32, NameId)| Some((nr, id.name()?));
        let archs = Arch::ALL.into_iter().filter_map(Table::of);
        let mut tables: Vec<Vec<_>> = archs
            .map(|table| table.rows().iter().copied().filter_map(named).collect())
            .collect();
        for rows in ALL {
            let want: Vec<_> = (0..rows.len())
                .map(|at| (rows.get(at).0, rows.get(at).1.text))
                .collect();
            let found = tables.len();
            tables.retain(|table| *table != want);
            assert!(tables.len() < found, "{want:?}");
        }
        assert!(tables.is_empty(), "{tables:?}");
    }

    #[test]
    fn every_name_is_found_and_no_other() {
        for id in 0..u16::try_from(NAMES).unwrap() {
            let name = NameId(id).name().unwrap();
            assert_eq!(NameId::find(name).map(|id| id.0), Some(id), "{name}");
            assert!(NameId::find(&format!("{name}_")).is_none(), "{name}");
            for at in 0..name.len() {
                let mut other = name.as_bytes().to_vec();
                other[at] ^= 1;
                let other = String::from_utf8(other).unwrap();
                assert!(NameId::find(&other).is_none_or(|id| id.name() == Some(&other)));
                assert_ne!(
                    NameId::find(&other).map(|id| id.0),
                    Some(id),
                    "{name} {other}"
                );
            }
        }
        assert!(NameId::find("").is_none());
    }
}
