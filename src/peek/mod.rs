//! Looking into another process, through `/proc`: what it executes, what lies in its memory, what is mapped where.
//!
//! None of it is a ground for a decision about a call: a process can change its memory after it was read.

mod memory;
mod place;
mod task;

pub(crate) use memory::Memory;
pub(crate) use place::Maps;
pub(crate) use task::{Status, is_narrow, proc_is_ours, sleeps_deeply, thread_name};
