//! Where in which file a call was made: `proc_pid_maps(5)`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::ops::Range;

use crate::recording::Place;
use crate::sys::Tid;

/// The mapped files of one task, as far as they were asked for. They are read once for all calls from one file: what is
/// new comes in a row while a program starts.
#[derive(Debug, Default)]
pub(crate) struct Maps {
    tid: Tid,
    files: Vec<Mapped>,
}

#[derive(Debug)]
struct Mapped {
    addresses: Range<u64>,
    offset: u64,
    /// Where the file is: major and minor number, as text.
    device: String,
    file: String,
}

impl Maps {
    /// How many bytes the instruction has that makes a call.
    const INSTRUCTION: u64 = if cfg!(target_arch = "x86_64") { 2 } else { 4 };

    /// The place of the instruction before `ip`.
    pub(crate) fn place(&mut self, tid: Tid, ip: u64) -> Option<Place> {
        let at = ip.checked_sub(Self::INSTRUCTION)?;
        if self.tid != tid {
            *self = Self {
                tid,
                files: Vec::new(),
            };
        }
        let mapped = self.mapped(at)?;
        (!mapped.file.is_empty()).then(|| Place {
            library: mapped.file.clone(),
            offset: at - mapped.addresses.start + mapped.offset,
        })
    }

    /// Can what lies at `address` be read without waiting for somebody? That is so in memory of the task's own, and in
    /// files from where the code at `ip` comes. A page of another file may have to be fetched first, by a server that
    /// does not answer.
    pub(crate) fn is_at_hand(&mut self, tid: Tid, address: u64, ip: u64) -> bool {
        // The maps of this task are known from here on.
        let _ = self.place(tid, ip);
        let code = self.mapped(ip).map(|mapped| mapped.device.clone());
        let mapped = self.mapped(address);
        mapped.is_some_and(|mapped| {
            mapped.device == NO_DEVICE || Some(&mapped.device) == code.as_ref()
        })
    }

    fn mapped(&mut self, at: u64) -> Option<&Mapped> {
        let known = self
            .files
            .iter()
            .position(|mapped| mapped.addresses.contains(&at));
        if let Some(known) = known {
            self.files.get(known)
        } else {
            self.files.push(find(self.tid, at)?);
            self.files.last()
        }
    }

    /// Something else is mapped now.
    pub(crate) fn forget(&mut self) {
        self.files.clear();
    }
}

/// The device of memory without a file.
const NO_DEVICE: &str = "00:00";

/// The mapping that holds an address, if it is among the first: a program can have tens of thousands of them, and
/// with long names.
fn find(tid: Tid, address: u64) -> Option<Mapped> {
    const MOST: u64 = 1 << 20;
    let maps = File::open(format!("/proc/{tid}/maps")).ok()?.take(MOST);
    // The file says that it has no size, and would be read in tiny pieces.
    let mut maps = BufReader::with_capacity(1 << 15, maps);
    let mut line = String::new();
    loop {
        line.clear();
        if maps.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(mapped) = Mapped::holding(address, line.trim_end_matches('\n')) {
            return Some(mapped);
        }
    }
}

impl Mapped {
    /// The mapping of this line, if it holds the address.
    fn holding(address: u64, line: &str) -> Option<Self> {
        // ADDRESSES PERMISSIONS OFFSET DEVICE INODE FILE, with spaces before the file.
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let addresses = hex(start)?..hex(end)?;
        if !addresses.contains(&address) {
            return None;
        }
        Some(Self {
            addresses,
            offset: hex(fields.nth(1)?)?,
            device: fields.next()?.to_owned(),
            file: fields.nth(1).unwrap_or_default().trim_start().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_and_an_offset_in_it() {
        let us = Tid::try_from(std::process::id()).unwrap();
        let here = find as fn(Tid, u64) -> Option<Mapped> as usize as u64;
        let mut maps = Maps::default();
        let first = maps.place(us, here + 8).unwrap();
        let file = std::env::current_exe().unwrap();
        assert_eq!(first.library, file.to_str().unwrap());
        assert!(first.offset < file.metadata().unwrap().len());
        // From memory, this time.
        let second = maps.place(us, here + 16).unwrap();
        assert_eq!((maps.files.len(), second.offset), (1, first.offset + 8));
        assert_eq!(maps.place(us, 8), None);
        assert_eq!(maps.place(Tid::MAX, here), None);
    }
}
