//! The mode by environment: for images that are switched between learning and enforcing without a rebuild.
//!
//! Only where the command line names no mode. `ENTRYPOINT ["seccomp-run", "--enforce", ...]` cannot be talked out of it
//! by a variable.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::args::{self, Args, ReportTo};
use super::error::Error;
use crate::action::Action;

/// What to do, as the command line and the environment say it together.
#[derive(Debug)]
pub(super) enum Mode {
    Learn,
    Enforce(PathBuf),
    /// Run the command as if we were not there.
    Off,
}

const MODE: &str = "SECCOMP_RUN_MODE";
const PROFILE: &str = "SECCOMP_RUN_PROFILE";
const OUTPUT: &str = "SECCOMP_RUN_OUTPUT";
const ACTION: &str = "SECCOMP_RUN_ACTION";
const REPORT: &str = "SECCOMP_RUN_REPORT";

/// The mode. Where the environment chose it, what else it says is added to `args`, unless they say it already.
///
/// `var` reads a variable.
///
/// # Errors
/// Nothing is said at all, something is missing, or what is said contradicts itself.
pub(super) fn settle(
    args: &mut Args,
    var: impl Fn(&str) -> Option<OsString>,
) -> Result<Mode, Error> {
    if let Some(profile) = &args.enforce {
        return Ok(Mode::Enforce(profile.clone()));
    }
    if args.learn {
        return Ok(Mode::Learn);
    }
    // An image unsets a variable by making it empty.
    let var = |name: &str| var(name).filter(|value| !value.is_empty());
    let Some(mode) = var(MODE) else {
        return Err(
            Error::new("neither --learn nor --enforce PROFILE is given").hint(format!(
                "{MODE}=learn|complain|enforce|off chooses for a command line without them"
            )),
        );
    };
    let needed = |name: &str| {
        var(name).ok_or_else(|| {
            Error::new(format!("{MODE}={} needs {name}", mode.display()))
                .hint(format!("set {name} to a file"))
        })
    };
    match mode.to_str() {
        Some("learn") => {
            contradiction(args.enforcing.given(), &mode)?;
            let learning = &mut args.learning;
            if learning.output.is_none() {
                learning.output = Some(needed(OUTPUT)?.into());
            }
            // A container that starts again goes on learning.
            learning.update = !learning.force;
            args.learn = true;
            Ok(Mode::Learn)
        }
        Some("complain") => {
            contradiction(args.learning.given(), &mode)?;
            let enforcing = &mut args.enforcing;
            if enforcing.kill || enforcing.errno.is_some() || enforcing.exec {
                contradiction(enforcing.given(), &mode)?;
            }
            enforcing.log = true;
            let report = enforcing.report.take().or(var(REPORT).map(report));
            enforcing.report = Some(report.unwrap_or(ReportTo::End));
            Ok(Mode::Enforce(needed(PROFILE)?.into()))
        }
        Some("enforce") => {
            contradiction(args.learning.given(), &mode)?;
            let enforcing = &mut args.enforcing;
            if enforcing.default_action().is_none()
                && let Some(action) = var(ACTION)
            {
                match default_action(&action)? {
                    Action::Log => enforcing.log = true,
                    Action::Errno(errno) => enforcing.errno = Some(errno),
                    _ => enforcing.kill = true,
                }
            }
            if enforcing.report.is_none() {
                enforcing.report = var(REPORT).map(report);
                if enforcing.report.is_some() && enforcing.exec {
                    return Err(Error::new(format!(
                        "--exec and {REPORT} contradict each other: nobody would stay to report"
                    ))
                    .hint("leave one of them out; nothing was run"));
                }
            }
            Ok(Mode::Enforce(needed(PROFILE)?.into()))
        }
        Some("off") => {
            contradiction(args.learning.given().or(args.enforcing.given()), &mode)?;
            Ok(Mode::Off)
        }
        _ => Err(Error::new(format!("{MODE}: no mode '{}'", mode.display()))
            .hint("write learn, complain, enforce or off")),
    }
}

/// Refuses a flag that this mode does not know.
fn contradiction(flag: Option<&str>, mode: &OsStr) -> Result<(), Error> {
    match flag {
        None => Ok(()),
        Some(flag) => Err(Error::new(format!(
            "{flag} and {MODE}={} contradict each other",
            mode.display()
        ))
        .hint("leave one of them out; nothing was run")),
    }
}

/// `errno`, `errno=NAME`, `log` or `kill`.
fn default_action(text: &OsStr) -> Result<Action, Error> {
    let wrong = || {
        Error::new(format!("{ACTION}: no action '{}'", text.display()))
            .hint("write errno, errno=NAME, log or kill")
    };
    let text = text.to_str().ok_or_else(wrong)?;
    match text.split_once('=') {
        None if text == "kill" => Ok(Action::KillProcess),
        None if text == "log" => Ok(Action::Log),
        None if text == "errno" => Ok(Action::Errno(crate::action::DEFAULT_ERRNO)),
        Some(("errno", name)) => args::errno(name).map(Action::Errno).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// `1` is the report at the end, anything else a file.
fn report(value: OsString) -> ReportTo {
    if value == "1" {
        ReportTo::End
    } else {
        ReportTo::File(value.into())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;

    use super::*;

    fn settled(words: &[&str], vars: &[(&str, &str)]) -> Result<(Mode, Args), Error> {
        let words = [&["seccomp-run"], words, &["--", "app"]].concat();
        let mut args = Args::try_parse_from(words).unwrap();
        let var = |name: &str| {
            let found = vars.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        settle(&mut args, var).map(|mode| (mode, args))
    }

    #[test]
    fn the_environment_chooses_where_the_command_line_does_not() {
        let all = [
            (PROFILE, "/etc/p.json"),
            (OUTPUT, "/out/p.json"),
            (ACTION, "kill"),
            (REPORT, "/out/denied"),
        ];
        let with = |mode| [&[(MODE, mode)], &all[..]].concat();
        let (mode, args) = settled(&[], &with("learn")).unwrap();
        assert!(matches!(mode, Mode::Learn) && args.learning.update && args.learn);
        assert_eq!(args.learning.output, Some("/out/p.json".into()));
        let (mode, args) = settled(&[], &with("enforce")).unwrap();
        assert!(matches!(mode, Mode::Enforce(file) if file == Path::new("/etc/p.json")));
        assert!(args.enforcing.kill && !args.enforcing.log);
        assert_eq!(
            args.enforcing.report,
            Some(ReportTo::File("/out/denied".into()))
        );
        let (mode, args) = settled(&[], &with("complain")).unwrap();
        assert!(matches!(mode, Mode::Enforce(file) if file == Path::new("/etc/p.json")));
        assert!(args.enforcing.log && !args.enforcing.kill);
        let (mode, _) = settled(&[], &with("off")).unwrap();
        assert!(matches!(mode, Mode::Off));
        // The command line wins, and without a mode in the environment nothing of it counts.
        let (mode, args) = settled(&["--enforce", "q.json"], &with("off")).unwrap();
        assert!(matches!(mode, Mode::Enforce(file) if file == Path::new("q.json")));
        assert!(!args.enforcing.kill && args.enforcing.report.is_none());
        let (_, args) = settled(&["--log", "--report"], &with("enforce")).unwrap();
        assert!(args.enforcing.log && !args.enforcing.kill);
        assert_eq!(args.enforcing.report, Some(ReportTo::End));
        let (_, args) = settled(&["-o", "x", "--force"], &with("learn")).unwrap();
        assert!(args.learning.output == Some("x".into()) && !args.learning.update);
        let (_, args) = settled(&[], &[(MODE, "complain"), (PROFILE, "p"), (REPORT, "1")]).unwrap();
        assert_eq!(args.enforcing.report, Some(ReportTo::End));
        settled(&["--exec"], &with("enforce")).unwrap_err();
        for (action, want) in [("errno", 1), ("errno=ENOSYS", 38), ("errno=2", 2)] {
            let vars = [(MODE, "enforce"), (PROFILE, "p"), (ACTION, action)];
            assert_eq!(settled(&[], &vars).unwrap().1.enforcing.errno, Some(want));
        }
    }

    #[test]
    fn what_is_missing_or_contradicts_is_refused() {
        type Vars = &'static [(&'static str, &'static str)];
        let cases: [(&[&str], Vars); 13] = [
            (&[], &[]),
            (&[], &[(MODE, "")]),
            (&[], &[(PROFILE, "p")]),
            (&[], &[(MODE, "on")]),
            (&[], &[(MODE, "Enforce"), (PROFILE, "p")]),
            (&[], &[(MODE, "enforce")]),
            (&[], &[(MODE, "enforce"), (PROFILE, "")]),
            (&[], &[(MODE, "complain")]),
            (&[], &[(MODE, "learn")]),
            (&[], &[(MODE, "enforce"), (PROFILE, "p"), (ACTION, "maim")]),
            (&["--kill"], &[(MODE, "learn"), (OUTPUT, "p")]),
            (&["--kill"], &[(MODE, "complain"), (PROFILE, "p")]),
            (&["--cap-drop", "ALL"], &[(MODE, "off")]),
        ];
        for (words, vars) in cases {
            assert!(settled(words, vars).is_err(), "{words:?} {vars:?}");
        }
    }
}
