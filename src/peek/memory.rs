//! The memory of a tracee, through `/proc/TID/mem` (`proc_pid_mem(5)`).
//!
//! `process_vm_readv` would be one call instead of three, but container profiles forbid it while they allow
//! ptrace; and it is needed once a process, not once a call.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::sys::{Errno, Tid};

/// An open tracee's memory. It stays that of the program that ran when it was opened.
#[derive(Debug)]
pub(crate) struct Memory(File);

impl Memory {
    /// Opens it. Fails where the tracee is undumpable and we are not privileged.
    pub(crate) fn open(tid: Tid) -> Result<Self, Errno> {
        let file = File::options()
            .read(true)
            .write(true)
            .open(format!("/proc/{tid}/mem"));
        file.map(Self).map_err(|error| errno(&error))
    }

    /// Opens it for reading alone.
    pub(crate) fn open_to_read(tid: Tid) -> Result<Self, Errno> {
        let file = File::open(format!("/proc/{tid}/mem"));
        file.map(Self).map_err(|error| errno(&error))
    }

    /// The text at `address` up to its null byte, at most `limit` bytes of it; lossy where it is no UTF-8. `None` where
    /// nothing is mapped.
    pub(crate) fn text(&self, address: u64, limit: usize) -> Option<String> {
        let mut bytes = vec![0; limit];
        // A read ends where the mapping does, so this is short near one's end.
        let got = self.0.read_at(&mut bytes, address).ok()?;
        bytes.truncate(got);
        let end = memchr::memchr(0, &bytes);
        let cut = if end.is_none() { "..." } else { "" };
        let text = bytes.get(..end.unwrap_or(got))?;
        Some(format!("{}{cut}", String::from_utf8_lossy(text)))
    }

    /// What lies at `address`.
    pub(crate) fn read(&self, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; length];
        self.0
            .read_exact_at(&mut bytes, address)
            .map_err(|error| errno(&error))?;
        Ok(bytes)
    }

    /// Overwrites what lies at `address`.
    pub(crate) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.0
            .write_all_at(bytes, address)
            .map_err(|error| errno(&error))
    }
}

/// A short read or write has no errno: the rest is not mapped.
fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EFAULT, Errno::from_raw)
}
