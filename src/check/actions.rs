//! Actions that kill, log or allow where that was not meant, and errnos that libc misunderstands.

use super::{Finding, Kind, Looked, Repair, Severity};
use crate::action::Action;
use crate::policy::Reason;
use crate::syscall::{Name, Sysno};

static KILL: Kind = Kind::new(
    "kill-default",
    Severity::Warning,
    "what is missing kills the program",
);
static LOG: Kind = Kind::new(
    "log-default",
    Severity::Warning,
    "the profile enforces nothing",
);
static ALLOW: Kind = Kind::new(
    "allow-default",
    Severity::Warning,
    "the profile allows what it does not name",
);
static RULE: Kind = Kind::new(
    "not-enosys",
    Severity::Warning,
    "a rule denies with an errno that libc does not fall back from",
);
static DEFAULT: Kind = Kind::new(
    "default-not-enosys",
    Severity::Note,
    "the default denies newer calls with an errno that libc does not fall back from",
);

pub(super) static KINDS: [&Kind; 5] = [&KILL, &LOG, &ALLOW, &RULE, &DEFAULT];

/// Calls that libc and others try first, and do without only when the answer is `ENOSYS`.
const TRIED_FIRST: [&str; 10] = [
    "clone3",
    "close_range",
    "epoll_pwait2",
    "faccessat2",
    "fchmodat2",
    "futex_waitv",
    "openat2",
    "pidfd_open",
    "rseq",
    "statx",
];

const ENOSYS: u16 = 38;

pub(super) fn find(looked: &Looked) -> Vec<Finding> {
    let default = looked.native.default;
    let mut found: Vec<Finding> = match default {
        Action::KillProcess | Action::KillThread => Some(KILL.finding(
            "defaultAction",
            format!("{default} by default: the first syscall that was not learned ends the program, and it cannot say which"),
            "SCMP_ACT_ERRNO until nothing is denied any more; then --kill",
        )),
        Action::Log => Some(LOG.finding(
            "defaultAction",
            "LOG by default: every syscall runs, so the profile enforces nothing",
            "SCMP_ACT_ERRNO; to try a profile out, --enforce PROFILE --log does the same for one run",
        )),
        Action::Allow => Some(ALLOW.finding(
            "defaultAction",
            "ALLOW by default: a list of what is forbidden does not know the next kernel's syscalls, and is seldom complete",
            "SCMP_ACT_ERRNO, and allow what the program needs (--learn finds out)",
        )),
        _ => None,
    }
    .into_iter()
    .collect();
    found.extend(enosys(looked));
    found
}

fn enosys(looked: &Looked) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut by_default = Vec::new();
    for name in TRIED_FIRST {
        let Some(sysno) = Sysno::parse(looked.native.arch, name) else {
            continue;
        };
        let call = crate::policy::Call {
            audit: sysno.arch.audit(),
            nr: sysno.nr,
            args: [0; 6],
        };
        match looked.policy().decide(&call) {
            (Action::Errno(errno), Reason::Rule(origin)) if errno != ENOSYS => {
                let unconditional = looked.profile().rules.get(origin).is_some_and(|rule| {
                    rule.conditions.is_empty()
                        && rule.includes.is_empty()
                        && rule.excludes.is_empty()
                });
                let message = format!(
                    "{name} gets {}: libc tries it first, and does without only when the answer is ENOSYS",
                    Action::Errno(errno)
                );
                let repair = (unconditional && looked.gets_errnos_only(name))
                    .then(|| Repair::Enosys(vec![name.into()]));
                found.push(
                    RULE.finding(looked.path_in(origin, name), message, "\"errnoRet\": 38")
                        .repair(repair),
                );
            }
            (Action::Errno(errno), Reason::Default) if errno != ENOSYS => by_default.push(name),
            _ => {}
        }
    }
    if !by_default.is_empty() {
        let names = by_default.join(" ");
        let message = format!(
            "{} by default for {names}: libc tries these first, and does without only when the answer is ENOSYS",
            looked.native.default
        );
        let fix = format!("answer {names} with SCMP_ACT_ERRNO and \"errnoRet\": 38");
        let names: Vec<Name> = by_default
            .into_iter()
            .filter(|name| looked.gets_errnos_only(name))
            .map(Name::from)
            .collect();
        let repair = (!names.is_empty()).then_some(Repair::Enosys(names));
        found.push(
            DEFAULT
                .finding("defaultAction", message, fix)
                .repair(repair),
        );
    }
    found
}

impl Looked<'_> {
    /// Does no rule allow it, for some arguments or on some host, or kill it on purpose? The repair's entry has
    /// no conditions, so it would beat all others.
    fn gets_errnos_only(&self, name: &str) -> bool {
        let mut rules = self.profile().rules.iter();
        rules.all(|rule| {
            matches!(rule.action, Action::Errno(_)) || rule.names.iter().all(|there| there != name)
        })
    }
}
