//! Where in which file a call was made: `proc_pid_maps(5)`.

use std::fs::File;
use std::io::Read as _;
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
        let known = self
            .files
            .iter()
            .position(|mapped| mapped.addresses.contains(&at));
        let mapped = if let Some(known) = known {
            self.files.get(known)?
        } else {
            self.files.push(find(tid, at)?);
            self.files.last()?
        };
        (!mapped.file.is_empty()).then(|| Place {
            library: mapped.file.clone(),
            offset: at - mapped.addresses.start + mapped.offset,
        })
    }

    /// Something else is mapped now.
    pub(crate) fn forget(&mut self) {
        self.files.clear();
    }
}

/// The mapping that holds an address.
fn find(tid: Tid, address: u64) -> Option<Mapped> {
    // The file says that it has no size, and would be read in tiny pieces.
    let mut maps = String::with_capacity(1 << 15);
    let mut file = File::open(format!("/proc/{tid}/maps")).ok()?;
    file.read_to_string(&mut maps).ok()?;
    maps.lines().find_map(|line| {
        // ADDRESSES PERMISSIONS OFFSET DEVICE INODE FILE, with spaces before the file.
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let addresses = hex(start)?..hex(end)?;
        if !addresses.contains(&address) {
            return None;
        }
        Some(Mapped {
            addresses,
            offset: hex(fields.nth(1)?)?,
            file: fields.nth(2).unwrap_or_default().trim_start().to_owned(),
        })
    })
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
