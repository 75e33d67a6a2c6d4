//! The command line as it was typed. Nothing here has an effect; `learn` and `enforce` make sense of it.
#![expect(
    clippy::doc_markdown,
    reason = "the comments on flags are the help text, as a person reads it"
)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use caps::Capability;
use clap::Parser;
use clap::builder::{OsStringValueParser, TypedValueParser as _};

use crate::action::{Action, DEFAULT_ERRNO, MAX_ERRNO};
use crate::closure::Installer;
use crate::profile::{ArgWidth, Dialect, Reading, UnknownCalls, errno_of_name};
use crate::trace::{Manner, Pace};

const ABOUT: &str = "Learn which syscalls a program makes, then hold it to them";

const LONG_ABOUT: &str = "\
Learn which syscalls a program makes, then hold it to them.

Run the program once with --learn under a realistic load: every syscall that it and its descendants make \
is recorded, and a profile is written (Docker/OCI JSON). Then run it with --enforce: a seccomp filter made \
from the profile is installed before the program starts, and a syscall that was not learned fails with EPERM.

A profile knows what it was shown. Learn again with --update under other loads before you rely on it, \
and use --kill only when nothing is denied any more.";

const AFTER: &str = "\
Examples:
  seccomp-run --learn -o nginx.json -- nginx -g 'daemon off;'
        run nginx, put load on it, stop it; nginx.json holds what it needed
  seccomp-run --learn --update -o nginx.json -- nginx -g 'daemon off;'
        once more: adds what the first run did not show
  seccomp-run --enforce nginx.json -- nginx -g 'daemon off;'
        run it under the profile; other syscalls fail with EPERM
  seccomp-run --enforce nginx.json --log -- nginx -g 'daemon off;'
        try it out: other syscalls run, and the kernel logs them
  seccomp-run --enforce nginx.json --log --report=denied.jsonl -- nginx -g 'daemon off;'
        the same, and each is named; 'seccomp-run merge nginx.json denied.jsonl' takes them over
  ENTRYPOINT [\"seccomp-run\", \"--enforce\", \"/etc/app.json\", \"--\"]
        in an image

Tools, which run nothing ('seccomp-run TOOL --help' tells more):
  check      find mistakes in profiles before they bite
  compile    a profile as BPF program, its listing, what it costs
  convert    the same rules for OCI, Kubernetes, systemd ..., a profile from a strace log
  diff       what one profile allows and another does not
  explain    what a profile lets a program do, in words, with the evidence
  merge      several profiles in one
  report     the evidence of learning runs as a page
  simulate   which action one call would get, and by which rule

Environment, without --learn and --enforce (for images that are switched without a rebuild):
  SECCOMP_RUN_MODE     learn (as --learn --update), complain (as --log --report), enforce, off
  SECCOMP_RUN_OUTPUT   the file of learn
  SECCOMP_RUN_PROFILE  the profile of complain and enforce
  SECCOMP_RUN_ACTION   enforce: errno, errno=NAME, log or kill
  SECCOMP_RUN_REPORT   complain, enforce: 1 for a report at the end, or its file
  ENTRYPOINT [\"seccomp-run\", \"--\"]

Exit codes:
  0-255   the command's own status
  125     seccomp-run failed: usage, profile, filter, tracing, writing the profile
  126     the command cannot be executed
  127     the command was not found
  128+n   signal n ended the command (159: a filter killed it)";

const AFTER_SHORT: &str = "\
Tools for profiles: check, compile, convert, diff, explain, merge, report, simulate ('seccomp-run TOOL -h').
Examples, environment and exit codes: '--help'.";

const USAGE: &str = "\
seccomp-run --learn [OPTIONS] [--] COMMAND [ARG]...
       seccomp-run --enforce PROFILE [OPTIONS] [--] COMMAND [ARG]...
       SECCOMP_RUN_MODE=MODE seccomp-run [--] COMMAND [ARG]...
       seccomp-run TOOL ...";

/// What was typed.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Default, Parser)]
#[command(
    name = "seccomp-run",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = AFTER_SHORT,
    after_long_help = AFTER,
    override_usage = USAGE,
    max_term_width = 100,
    args_override_self = false
)]
pub(crate) struct Args {
    /// Run COMMAND and write a profile of the syscalls that it makes
    ///
    /// Every process and thread that descends from COMMAND is recorded too, until the last one ends.
    #[arg(long, conflicts_with = "enforce")]
    pub(crate) learn: bool,

    /// Run COMMAND under this profile
    ///
    /// The filter is installed before COMMAND starts. If that is not possible exactly as the profile says,
    /// COMMAND is not run.
    #[arg(long, value_name = "PROFILE")]
    pub(crate) enforce: Option<PathBuf>,

    /// What to run, and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND", num_args = 1..)]
    pub(crate) command: Vec<OsString>,

    /// Do not set no_new_privs
    ///
    /// Without no_new_privs set-user-ID programs gain their privileges as usual. Enforcing then needs
    /// CAP_SYS_ADMIN.
    #[arg(long)]
    pub(crate) allow_new_privs: bool,

    /// Warnings are errors
    ///
    /// Learning: an incomplete recording ends with 125 (the profile is written all the same).
    /// Enforcing: a profile that gives reason to warn is not enforced, and COMMAND not run.
    #[arg(long)]
    pub(crate) strict: bool,

    /// Say more about what is done, for debugging
    #[arg(short, long)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) learning: Learning,

    #[command(flatten)]
    pub(crate) enforcing: Enforcing,

    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
}

/// How a profile is read, where its readers differ.
///
/// The heading stands at each flag: that of a group would go on with what follows the group.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ReadingArgs {
    /// Whose reading of the JSON applies [default: docker]
    ///
    /// docker: archMap, includes, excludes and minKernel count. podman: as docker without minKernel, and
    /// errno names count. oci (runc, crun, containerd, Kubernetes): none of these count.
    #[arg(long, value_enum, help_heading = "Reading a profile")]
    dialect: Option<DialectArg>,

    /// How much of an argument a condition compares [default: kernel]
    ///
    /// kernel: of an argument that the kernel takes as 32 bits, these 32 bits. 64: the whole register, as
    /// libseccomp does, which a program evades by setting upper bits.
    #[arg(long, value_enum, help_heading = "Reading a profile")]
    arg_width: Option<WidthArg>,

    /// What syscalls get that are newer than all that the profile names [default: enosys-newer]
    ///
    /// enosys-newer: ENOSYS, so that programs fall back to older calls, as under runc. default: the
    /// profile's default action.
    #[arg(long, value_enum, help_heading = "Reading a profile")]
    unknown: Option<UnknownArg>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum DialectArg {
    Docker,
    Podman,
    Oci,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum WidthArg {
    Kernel,
    #[value(name = "64")]
    Full,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum UnknownArg {
    EnosysNewer,
    Default,
}

impl ReadingArgs {
    /// Was anything said about it?
    pub(crate) const fn is_given(&self) -> bool {
        self.dialect.is_some() || self.arg_width.is_some() || self.unknown.is_some()
    }

    /// The reading that was asked for.
    pub(crate) fn reading(&self, default_override: Option<Action>) -> Reading {
        Reading {
            dialect: match self.dialect {
                Some(DialectArg::Podman) => Dialect::Podman,
                Some(DialectArg::Oci) => Dialect::Oci,
                Some(DialectArg::Docker) | None => Dialect::Docker,
            },
            arg_width: match self.arg_width {
                Some(WidthArg::Full) => ArgWidth::Full,
                Some(WidthArg::Kernel) | None => ArgWidth::Kernel,
            },
            unknown: match self.unknown {
                Some(UnknownArg::Default) => UnknownCalls::Default,
                Some(UnknownArg::EnosysNewer) | None => UnknownCalls::EnosysNewer,
            },
            default_override,
        }
    }
}

/// Flags of `--learn`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Learning")]
pub(crate) struct Learning {
    /// Where the profile goes [default: profile.json]
    ///
    /// A file that exists is kept: say --update or --force. In a directory (one that exists, or a name that ends
    /// with /) every run makes a file of its own, HOST-SECONDS-RANDOM.json, so that many can share it; merge DIR puts
    /// them together.
    #[arg(short, long, value_name = "FILE|DIR", conflicts_with = "enforce")]
    pub(crate) output: Option<PathBuf>,

    /// Add to the output file what this run needs besides
    #[arg(long, conflicts_with_all = ["enforce", "force"])]
    pub(crate) update: bool,

    /// Start from this profile: what it allows, the result allows too. May be repeated
    #[arg(long, value_name = "FILE", conflicts_with = "enforce")]
    pub(crate) base: Vec<PathBuf>,

    /// Replace the output file
    #[arg(long, conflicts_with = "enforce")]
    pub(crate) force: bool,

    /// Only watch: install nothing in the program, and change nothing about it
    ///
    /// The program stops at every syscall to its end, which is slow. For programs that install seccomp filters of their
    /// own or look for ours.
    #[arg(long, conflicts_with = "enforce")]
    pub(crate) transparent: bool,

    /// When the learner's filter goes into a process: for tests of this program
    #[arg(long, value_enum, hide = true, default_value_t, conflicts_with_all = ["enforce", "transparent"])]
    pub(crate) inject: Inject,

    /// Allow also what another C library or kernel version would use instead
    ///
    /// openat for open, clone3 for clone, the 64-bit times of 32-bit machines ... Each rule that this adds says
    /// in its comment that it is inferred.
    #[arg(long, conflicts_with = "enforce")]
    pub(crate) portable: bool,

    /// Who will install the profile's filter [default: entrypoint]
    ///
    /// entrypoint: this program, or another that executes COMMAND at once. runtime: a container runtime (Docker,
    /// Podman, containerd, CRI-O), which makes calls of its own between installing the filter and executing the program: those of
    /// runc and crun are allowed too. Each rule that this adds says in its comment that it is for the runtime.
    #[arg(
        long = "for",
        value_enum,
        value_name = "INSTALLER",
        conflicts_with = "enforce"
    )]
    pub(crate) installer: Option<InstallerArg>,

    /// Show on the terminal how far learning has come
    ///
    /// One line, rewritten about once a second: how many syscalls were made, how long ago the last new one came,
    /// the chance that another run needs more. It goes to the terminal itself, never into COMMAND's output; where that goes to
    /// files or to /dev/null, the line is shown without being asked for. SIGUSR1 to seccomp-run prints it once
    /// on standard error (and is passed on to a COMMAND that expects it).
    #[arg(long, conflicts_with = "enforce")]
    pub(crate) progress: bool,

    /// Do not write the evidence beside the profile
    ///
    /// The evidence of FILE.json is FILE.evidence.json: what each run saw, and how often. It is not needed
    /// to enforce; compile uses it to make frequent syscalls cheap.
    #[arg(long, conflicts_with = "enforce")]
    pub(crate) no_evidence: bool,
}

/// Who will install a filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum InstallerArg {
    #[default]
    Entrypoint,
    Runtime,
}

impl From<InstallerArg> for Installer {
    fn from(arg: InstallerArg) -> Self {
        match arg {
            InstallerArg::Entrypoint => Self::Entrypoint,
            InstallerArg::Runtime => Self::Runtime,
        }
    }
}

/// When the learner's filter goes into a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Inject {
    /// When the process is ready for it.
    #[default]
    Auto,
    /// At its first call.
    Early,
    /// After many calls.
    Late,
    /// Never.
    Never,
}

impl Learning {
    /// A flag of these that was typed, if any was.
    pub(crate) const fn given(&self) -> Option<&'static str> {
        if self.output.is_some() {
            Some("--output")
        } else if self.update {
            Some("--update")
        } else if !self.base.is_empty() {
            Some("--base")
        } else if self.force {
            Some("--force")
        } else if self.transparent {
            Some("--transparent")
        } else if self.portable {
            Some("--portable")
        } else if self.installer.is_some() {
            Some("--for")
        } else if self.progress {
            Some("--progress")
        } else if self.no_evidence {
            Some("--no-evidence")
        } else {
            None
        }
    }

    /// How to trace.
    pub(crate) const fn manner(&self) -> Manner {
        let pace = match self.inject {
            Inject::Auto => Pace::Auto,
            Inject::Early => Pace::Early,
            Inject::Late => Pace::Late,
            Inject::Never => Pace::Never,
        };
        Manner {
            pace,
            transparent: self.transparent,
        }
    }
}

/// Flags of `--enforce`.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Enforcing")]
pub(crate) struct Enforcing {
    /// Syscalls without a rule fail with this errno (a name or a number)
    ///
    /// Replaces the profile's default action; explicit rules keep theirs. This is what a learned profile
    /// does anyway, with EPERM.
    #[arg(
        long,
        value_name = "NAME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "EPERM",
        value_parser = errno,
        conflicts_with_all = ["learn", "log", "kill"]
    )]
    pub(crate) errno: Option<u16>,

    /// Syscalls without a rule run, and the kernel logs them: enforces nothing
    ///
    /// The records go to the kernel's audit log, which keeps only few of many.
    #[arg(long, conflicts_with_all = ["learn", "kill"])]
    pub(crate) log: bool,

    /// Syscalls without a rule kill the process (exit code 159)
    ///
    /// Only for a profile that has proved itself: a killed program cannot say what it missed.
    #[arg(long, conflicts_with = "learn")]
    pub(crate) kill: bool,

    /// Name every syscall that is denied, at the end or, as it happens, in FILE
    ///
    /// Call, arguments, program, place and rule, without root or audit, and at no cost for what is allowed. With --log the
    /// calls run: a trial that lists what would be denied. FILE gets a line of JSON a call (the first 16 of a kind, then
    /// ever fewer) and stays below 4 MiB; merge and convert read it.
    /// For diagnosis: the launcher may read files then, COMMAND loses CAP_SYS_PTRACE and cannot have a seccomp listener
    /// of its own; SCMP_ACT_KILL_THREAD kills the process, and who is killed dies of SIGKILL.
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_parser = OsStringValueParser::new().map(ReportTo::from),
        conflicts_with_all = ["learn", "exec"]
    )]
    pub(crate) report: Option<ReportTo>,

    /// Wait so many seconds for descendants that outlive COMMAND
    ///
    /// Without it what COMMAND leaves behind is left alone (as PID 1 it ends with us). SIGTERM, SIGINT or SIGQUIT ends the
    /// waiting. The exit code is COMMAND's in any case.
    #[arg(long, value_name = "SECS", conflicts_with_all = ["learn", "exec"])]
    pub(crate) linger: Option<u32>,

    /// Become COMMAND, instead of staying to look after it
    ///
    /// For programs that are watched by pid (systemd's Type=notify), or where an init does the rest.
    /// Signals are then COMMAND's own affair. An exec that fails under the filter ends with 126 or 127
    /// and no message.
    #[arg(long, conflicts_with = "learn")]
    pub(crate) exec: bool,

    /// Drop this capability before COMMAND starts, or ALL of them. May be repeated
    #[arg(long, value_name = "CAP|ALL", value_delimiter = ',', value_parser = capability, conflicts_with = "learn")]
    pub(crate) cap_drop: Vec<CapArg>,
}

/// Where denied calls are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReportTo {
    /// At the end.
    End,
    /// Besides, in this file, as they happen.
    File(PathBuf),
}

impl From<OsString> for ReportTo {
    fn from(typed: OsString) -> Self {
        if typed.is_empty() {
            Self::End
        } else {
            Self::File(typed.into())
        }
    }
}

impl ReportTo {
    /// The file, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::End => None,
            Self::File(file) => Some(file),
        }
    }
}

/// What `--cap-drop` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CapArg {
    All,
    One(Capability),
}

impl Enforcing {
    /// A flag of these that was typed, if any was.
    pub(crate) const fn given(&self) -> Option<&'static str> {
        if self.errno.is_some() {
            Some("--errno")
        } else if self.log {
            Some("--log")
        } else if self.kill {
            Some("--kill")
        } else if self.report.is_some() {
            Some("--report")
        } else if self.linger.is_some() {
            Some("--linger")
        } else if self.exec {
            Some("--exec")
        } else if !self.cap_drop.is_empty() {
            Some("--cap-drop")
        } else {
            None
        }
    }

    /// What the flags put in the place of the profile's default action.
    pub(crate) fn default_action(&self) -> Option<Action> {
        if self.kill {
            Some(Action::KillProcess)
        } else if self.log {
            Some(Action::Log)
        } else {
            self.errno.map(Action::Errno)
        }
    }
}

/// An errno by name or number. 0 is refused: the call would seem to succeed.
pub(super) fn errno(text: &str) -> Result<u16, String> {
    let number = text.parse().ok();
    let number = number.or_else(|| errno_of_name(&text.to_ascii_uppercase()));
    number
        .filter(|number| (1..=MAX_ERRNO).contains(number))
        .ok_or_else(|| {
            format!(
                "no errno of that name; write EPERM, ENOSYS ... or a number from 1 to {MAX_ERRNO}"
            )
        })
}

/// An action by its name in a profile, with or without `SCMP_ACT_`.
pub(super) fn action(text: &str) -> Result<Action, String> {
    let name = text.to_ascii_uppercase();
    let full = if name.starts_with("SCMP_ACT_") {
        name
    } else {
        format!("SCMP_ACT_{name}")
    };
    Action::from_scmp_name(&full, DEFAULT_ERRNO)
        .filter(|action| *action != Action::Notify)
        .ok_or_else(|| "no action of that name; write ALLOW, LOG, ERRNO, TRAP, KILL ...".to_owned())
}

/// A capability, with or without `CAP_`.
pub(super) fn capability(text: &str) -> Result<CapArg, String> {
    let name = text.to_ascii_uppercase();
    if name == "ALL" {
        return Ok(CapArg::All);
    }
    let full = if name.starts_with("CAP_") {
        name
    } else {
        format!("CAP_{name}")
    };
    Capability::from_str(&full)
        .map(CapArg::One)
        .map_err(|_| "no capability of that name; see capabilities(7), or write ALL".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from([&["seccomp-run"], words].concat())
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_command_begins_at_the_first_word_that_is_no_option() {
        let cases: [(&[&str], &[&str]); 4] = [
            (
                &["--learn", "ls", "-l", "--learn"],
                &["ls", "-l", "--learn"],
            ),
            (&["--learn", "--", "ls", "--", "-l"], &["ls", "--", "-l"]),
            (
                &["--enforce", "p.json", "--kill", "merge", "a"],
                &["merge", "a"],
            ),
            (&["--enforce", "p.json", "--", "--odd"], &["--odd"]),
        ];
        for (words, command) in cases {
            assert_eq!(parse(words).unwrap().command, command, "{words:?}");
        }
    }

    #[test]
    fn mistakes_are_refused() {
        let cases: [&[&str]; 11] = [
            &[],
            &["--learn"],
            &["--enforce", "p.json"],
            &["--learn", "--enforce", "p.json", "ls"],
            &["--lern", "ls"],
            &["--learn", "--kill", "ls"],
            &["--enforce", "p.json", "--update", "ls"],
            &["--enforce", "p.json", "--kill", "--log", "ls"],
            &["--enforce", "p.json", "--errno=0", "ls"],
            &["--enforce", "p.json", "--errno=EWHAT", "ls"],
            &["--enforce", "p.json", "--cap-drop", "CAP_WHAT", "ls"],
        ];
        for words in cases {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn flags_replace_the_default_action() {
        let cases: [(&[&str], Option<Action>); 9] = [
            (&[], None),
            (&["--errno"], Some(Action::Errno(1))),
            (&["--errno=ENOSYS"], Some(Action::Errno(38))),
            (&["--errno=38"], Some(Action::Errno(38))),
            (&["--errno=enosys"], Some(Action::Errno(38))),
            (&["--errno=EWOULDBLOCK"], Some(Action::Errno(11))),
            (&["--errno=ENOTSUP"], Some(Action::Errno(95))),
            (&["--log"], Some(Action::Log)),
            (&["--kill"], Some(Action::KillProcess)),
        ];
        for (flags, want) in cases {
            let words = [&["--enforce", "p.json"], flags, &["ls"]].concat();
            assert_eq!(
                parse(&words).unwrap().enforcing.default_action(),
                want,
                "{flags:?}"
            );
        }
    }

    #[test]
    fn capabilities_have_two_spellings() {
        let args = parse(&["--enforce", "p", "--cap-drop", "net_raw,CAP_KILL,all", "ls"]).unwrap();
        let want = [
            CapArg::One(Capability::CAP_NET_RAW),
            CapArg::One(Capability::CAP_KILL),
            CapArg::All,
        ];
        assert_eq!(args.enforcing.cap_drop, want);
    }
}
