//! `seccomp-run` learns which syscalls a program makes, then holds the program to them.
//!
//! # Terminology
//!
//! * **profile**: the Docker/OCI JSON document. **policy**: a profile resolved for one host. **filter**: a
//!   policy compiled; its **program** is the classic-BPF instructions.
//! * A profile has **rules**; a rule has **conditions**, all of which must hold; a condition has an **op**.
//!   What a filter answers is an **action**.
//! * **tracer**, **tracee**, **stop** and its kinds are those of `ptrace(2)`. **recording**: what a tracer
//!   saw.
//!
//! # The way of the data
//!
//! ```text
//! profile.json -> Profile -> (host) -> Policy -> Filter -> install -> exec
//! exec -> Tracer -> Recording -> learn -> Profile -> profile.json
//! ```
//!
//! # Floors
//!
//! A module uses only modules of lower floors, and its own children. `tests/integration/layers.rs` holds
//! the code to it.
//!
//! | floor | modules |
//! |---|---|
//! | 0 | [`action`], [`arch`] |
//! | 1 | [`syscall`] |
//! | 2 | [`policy`] |
//! | 3 | [`filter`] |

pub mod action;
pub mod arch;
pub mod bpf;
pub mod filter;
pub mod policy;
pub mod syscall;
