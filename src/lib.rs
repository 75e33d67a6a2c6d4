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
//! | floor | modules | what |
//! |---|---|---|
//! | 0 | `action`, `arch`, `bpf`, `constants` | vocabulary, pure |
//! | 0 | `sys` | the kernel's calls: the only unsafe code |
//! | 1 | `syscall`, `exit`, `command`, `descendants`, `witness`, `output` | names, exit codes, processes, files |
//! | 2 | `policy`, `recording` | the two waists |
//! | 2 | `groups` | what syscalls are for |
//! | 3 | `grants` | which syscalls are dangerous |
//! | 3 | `peek` | looking into another process |
//! | 3 | `profile`, `evidence`, `filter`, `diff`, `launch`, `supervise` | the parts |
//! | 4 | `confine`, `trace`, `denials` | the launcher's own sandbox; the tracer; which calls were denied |
//! | 4 | `closure`, `estimate` | from a recording to a profile; how sure it can be |
//! | 5 | `learn`, `enforce`, `convert`, `check` | the two modes; other forms of the same rules; mistakes in them |
//! | 5 | `explain`, `report` | what a profile and its evidence say, in words; the evidence as a page |
//! | 6 | `cli` | the edge: arguments, messages, the environment |
//!
//! `policy` is the waist between `profile` and `filter`, `recording` that between `trace` and `learn`:
//! neither side knows the other. Only `cli` prints.

pub mod action;
pub mod arch;
pub mod bpf;
mod check;
pub mod cli;
mod closure;
mod command;
mod confine;
mod constants;
mod convert;
mod denials;
mod descendants;
pub mod diff;
mod enforce;
pub mod estimate;
pub mod evidence;
pub mod exit;
mod explain;
pub mod filter;
mod grants;
mod groups;
mod launch;
mod learn;
mod output;
mod peek;
pub mod policy;
pub mod profile;
pub mod recording;
mod report;
mod supervise;
mod sys;
pub mod syscall;
mod trace;
mod witness;
