//! Calls without which programs hang, crash or never end.

use std::collections::BTreeSet;

use super::{Access, Finding, Kind, Looked, Repair, Severity};
use crate::arch::Arch;
use crate::closure;
use crate::evidence::Evidence;
use crate::syscall::Sysno;

const EXECVE_NAME: &str = "execve";

/// A call that programs need.
struct MustHave {
    kind: &'static Kind,
    name: &'static str,
    why: &'static str,
    when: When,
}

/// For whom a call is a must.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// For programs with threads.
    Threads,
    /// Where the architecture is listed.
    Listed(Arch),
    /// Under a container runtime.
    Runtime,
}

static EXIT_GROUP: Kind = Kind::new("missing-exit-group", Severity::Error, "programs cannot end");
static EXIT: Kind = Kind::new("missing-exit", Severity::Warning, "threads cannot end");
static RT_SIGRETURN: Kind = Kind::new(
    "missing-rt-sigreturn",
    Severity::Error,
    "signal handlers cannot return",
);
static SIGRETURN: Kind = Kind::new(
    "missing-sigreturn",
    Severity::Warning,
    "signal handlers of 32-bit programs cannot return",
);
static RESTART: Kind = Kind::new(
    "missing-restart-syscall",
    Severity::Warning,
    "programs that were stopped cannot go on",
);
static FUTEX: Kind = Kind::new(
    "missing-futex",
    Severity::Warning,
    "threads cannot wait for each other",
);
static EXECVE: Kind = Kind::new(
    "missing-execve",
    Severity::Error,
    "a container runtime cannot start the program",
);
static RUNTIME: Kind = Kind::new(
    "missing-runtime",
    Severity::Warning,
    "a container runtime may not start the program",
);
static VDSO: Kind = Kind::new(
    "missing-vdso",
    Severity::Note,
    "clocks are syscalls on some machines",
);

pub(super) static KINDS: [&Kind; 9] = [
    &EXIT_GROUP,
    &EXIT,
    &RT_SIGRETURN,
    &SIGRETURN,
    &RESTART,
    &FUTEX,
    &EXECVE,
    &RUNTIME,
    &VDSO,
];

static MUST_HAVES: [MustHave; 7] = [
    MustHave {
        kind: &EXIT_GROUP,
        name: "exit_group",
        why: "a program that may not end goes on at full load, or crashes",
        when: When::Always,
    },
    MustHave {
        kind: &EXIT,
        name: "exit",
        why: "threads end with it, and programs without a C library",
        when: When::Always,
    },
    MustHave {
        kind: &RT_SIGRETURN,
        name: "rt_sigreturn",
        why: "a signal handler returns with it: the first signal crashes the program",
        when: When::Always,
    },
    MustHave {
        kind: &SIGRETURN,
        name: "sigreturn",
        why: "signal handlers of 32-bit programs return with it",
        when: When::Listed(Arch::X86),
    },
    MustHave {
        kind: &RESTART,
        name: "restart_syscall",
        why: "the kernel makes a sleeping program go on with it after a stop",
        when: When::Always,
    },
    MustHave {
        kind: &FUTEX,
        name: "futex",
        why: "threads wait for each other with it: without it they spin, hang or abort",
        when: When::Threads,
    },
    MustHave {
        kind: &EXECVE,
        name: EXECVE_NAME,
        why: "the runtime starts the program under the profile",
        when: When::Runtime,
    },
];

pub(super) fn find(looked: &Looked) -> Vec<Finding> {
    if !looked.denies_by_default() {
        return Vec::new();
    }
    let mut found: Vec<Finding> = MUST_HAVES
        .iter()
        .filter(|must| looked.is_for(must.when) && looked.lacks(must.name))
        .map(|must| {
            let message = format!("{} is not allowed: {}", must.name, must.why);
            let fix = format!("allow {}", must.name);
            let harmless =
                !matches!(must.when, When::Runtime | When::Threads) && !looked.names(must.name);
            let repair = harmless.then(|| Repair::Allow {
                names: vec![must.name.into()],
                comment: match must.when {
                    When::Listed(_) => closure::IMPLICIT_32.reason,
                    _ => closure::IMPLICIT.reason,
                },
            });
            must.kind.finding("syscalls", message, fix).repair(repair)
        })
        .collect();
    found.extend(for_runtime(looked));
    let vdso: Vec<&str> = closure::VDSO
        .names
        .iter()
        .copied()
        .filter(|name| looked.lacks(name))
        .collect();
    if !vdso.is_empty() {
        let names = vdso.join(" ");
        let message = format!(
            "not allowed: {names}. The vDSO answers them without a syscall where the clock allows it, and on other machines they are syscalls"
        );
        found.push(VDSO.finding(
            "syscalls",
            message,
            format!("allow {names}, unless the program asks for no time"),
        ));
    }
    found
}

/// What runtimes fail without. execve has a finding of its own.
fn for_runtime(looked: &Looked) -> Option<Finding> {
    if !looked.is_for(When::Runtime) {
        return None;
    }
    let mut told: BTreeSet<&str> = [EXECVE_NAME].into();
    let mut parts = Vec::new();
    for (no_new_privs, when) in [(true, "always"), (false, "without no_new_privs")] {
        let fatal = closure::runtime::fatal(no_new_privs);
        let lacking = fatal.into_iter().filter(|name| looked.lacks(name));
        let names: Vec<&str> = lacking.filter(|name| told.insert(name)).collect();
        if !names.is_empty() {
            parts.push(format!("{when}: {}", names.join(" ")));
        }
    }
    let runtimes: Vec<&str> = closure::runtime::runtimes().into_iter().collect();
    let message = format!(
        "not allowed, and of {} at least one starts no container without; {}",
        runtimes.join(", "),
        parts.join("; ")
    );
    let fix = "allow them: --learn --for runtime does";
    (!parts.is_empty()).then(|| RUNTIME.finding("syscalls", message, fix))
}

impl Looked<'_> {
    fn is_for(&self, when: When) -> bool {
        match when {
            When::Always => true,
            // Without evidence it is enough that threads can be made.
            When::Threads => match self.subject.evidence {
                Some(evidence) => had_threads(evidence),
                None => self.may_run("clone") || self.may_run("clone3"),
            },
            When::Listed(arch) => self.policy().abi(arch).is_some(),
            When::Runtime => self.subject.for_runtime,
        }
    }

    /// Is there an architecture that has the call and never lets it run?
    fn lacks(&self, name: &str) -> bool {
        self.accesses(name).any(|access| access == Access::Never)
    }

    /// Is there an architecture that lets it run, with some arguments at least?
    fn may_run(&self, name: &str) -> bool {
        self.accesses(name).any(|access| access != Access::Never)
    }

    fn accesses(&self, name: &str) -> impl Iterator<Item = Access> {
        let abis = self.policy().abis.iter();
        abis.filter_map(move |abi| Some(Access::of(abi, Sysno::parse(abi.arch, name)?.nr)))
    }
}

fn had_threads(evidence: &Evidence) -> bool {
    evidence.runs.iter().any(|run| {
        let futex = || {
            run.calls
                .iter()
                .any(|seen| seen.name.as_deref() == Some("futex"))
        };
        (run.processes > 0 && run.tasks > run.processes) || futex()
    })
}
