//! Black-box tests: each runs the built `seccomp-run`, as a user would. Those named `oracle_` compare the
//! compiler with what is known to be right: libseccomp, the kernel, the plain reading of a policy.
//!
//! One binary, one file per theme; `harness.rs` gives each test a directory of its own and each program a
//! time limit. Programs under test are those of the machine (python3, nginx, git ...) and the C programs of
//! `tests/fixtures`, compiled once. See `tests/run.sh` for what has to be installed.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::similar_names,
    clippy::tests_outside_test_module,
    reason = "clippy relaxes most of these inside #[test] functions only, and this crate is nothing but tests"
)]
#![expect(clippy::disallowed_methods, reason = "it has a heap of its own")]

mod attacks;
mod bad_input;
mod check;
mod cli;
mod containers;
mod convert;
mod denials;
mod diff;
mod enforce;
mod engines;
mod environment;
mod evidence;
mod exactness;
mod exit_status;
mod explain;
mod extras;
mod fails_closed;
mod fleet;
mod harness;
mod hazards;
mod help;
mod hostile;
mod init;
mod killed_learner;
mod late;
mod layers;
mod learn;
#[expect(dead_code, reason = "the bench uses it too")]
mod libseccomp;
mod merge;
mod oracle_evaluate;
mod oracle_kernel;
mod oracle_libseccomp;
mod oracle_strace;
mod oracle_tracepoint;
mod pid1;
mod profile;
mod programs;
mod release;
mod report;
mod roundtrip;
mod runtimes;
mod second_run;
mod shipped;
mod signals;
mod storms;
mod stuck;
mod terminals;
mod tools;
mod transparency;
mod unchanged;
mod widths;
mod witness;
