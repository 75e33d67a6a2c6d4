//! The plain form of a command line, read without making clap's command: that takes longer than reading a profile, and
//! a program waits for its start.
//!
//! `[--enforce PROFILE] [FLAG]... [--] COMMAND [ARG]...`, with flags that take no value. Whatever else was typed, and
//! whatever looks like a mistake, is for clap, which alone knows what to say about it.

use std::ffi::OsString;
use std::iter::once;

use super::args::Args;
use crate::action::DEFAULT_ERRNO;

/// What `words` say, the program's own name left out: what clap makes of them, too. Nothing if they are not plain.
pub(super) fn args(words: impl IntoIterator<Item = OsString>) -> Option<Args> {
    let mut words = words.into_iter();
    let mut args = Args::default();
    let first = loop {
        let word = words.next()?;
        let enforcing = &mut args.enforcing;
        let no_action = enforcing.default_action().is_none();
        match word.as_encoded_bytes() {
            b"--" => break words.next()?,
            b"--enforce" if args.enforce.is_none() => {
                args.enforce = Some(words.next().filter(is_value)?.into());
            }
            b"--exec" if !enforcing.exec => enforcing.exec = true,
            b"--errno" if no_action => enforcing.errno = Some(DEFAULT_ERRNO),
            b"--log" if no_action => enforcing.log = true,
            b"--kill" if no_action => enforcing.kill = true,
            b"--allow-new-privs" if !args.allow_new_privs => args.allow_new_privs = true,
            b"--strict" if !args.strict => args.strict = true,
            _ if is_value(&word) => break word,
            _ => return None,
        }
    };
    args.command = once(first).chain(words).collect();
    Some(args)
}

/// Can it be nothing but a value?
fn is_value(word: &OsString) -> bool {
    !word.is_empty() && !word.as_encoded_bytes().starts_with(b"-")
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use clap::Parser as _;
    use proptest::prelude::*;

    use super::*;

    fn plain(words: &[OsString]) -> Option<String> {
        args(words.iter().cloned()).map(|args| format!("{args:?}"))
    }

    fn by_clap(words: &[OsString]) -> Option<String> {
        let words = once("seccomp-run".into()).chain(words.iter().cloned());
        let args = Args::try_parse_from(words).ok()?;
        Some(format!("{args:?}"))
    }

    fn split(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_everyday_form_is_plain() {
        let lines = [
            "--enforce p.json -- app",
            "--enforce p.json app -x --kill -- --log",
            "--exec --enforce p.json --errno --strict -- -app",
            "--log --allow-new-privs --enforce p.json app",
            "--enforce p.json --kill -- -- -",
            "-- app --enforce p.json",
            "app",
        ];
        for line in lines {
            let words = split(line);
            assert!(plain(&words).is_some(), "{line}");
            assert_eq!(plain(&words), by_clap(&words), "{line}");
        }
    }

    #[test]
    fn mistakes_and_values_are_left_to_clap() {
        let lines = [
            "--enforce p.json",
            "--enforce p.json --",
            "--enforce -- app",
            "--enforce p.json --enforce q.json app",
            "--enforce p.json --exec --exec app",
            "--enforce p.json --strict --strict app",
            "--enforce p.json --kill --kill app",
            "--enforce p.json --kill --log app",
            "--enforce p.json --errno --kill app",
            "--enforce p.json --errno=EPERM app",
            "--enforce=p.json app",
            "--enforce p.json --report app",
            "--enforce p.json -v app",
            "--learn app",
            "--help",
            "- app",
            "",
        ];
        for line in lines {
            assert_eq!(plain(&split(line)), None, "{line}");
        }
        assert_eq!(plain(&[]), None);
    }

    /// Words that mean something, in this place or that, or nothing.
    const WORDS: &[&str] = &[
        "--enforce",
        "--exec",
        "--errno",
        "--log",
        "--kill",
        "--strict",
        "--allow-new-privs",
        "--",
        "p.json",
        "app",
        "",
        "-",
        "-v",
        "--learn",
        "--enforce=p.json",
        "--errno=ENOSYS",
        "--report",
        "--update",
        "--odd",
        "merge",
    ];

    fn word() -> impl Strategy<Value = OsString> {
        prop_oneof![
            9 => prop::sample::select(WORDS).prop_map(OsString::from),
            1 => prop::collection::vec(1_u8.., 0..4).prop_map(OsString::from_vec),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn what_is_plain_means_what_clap_takes_it_for(
            names_a_profile in any::<bool>(),
            words in prop::collection::vec(word(), 0..7),
        ) {
            let profile = if names_a_profile { &["--enforce", "p.json"][..] } else { &[] };
            let words: Vec<_> = profile.iter().map(OsString::from).chain(words).collect();
            if let Some(plain) = plain(&words) {
                prop_assert_eq!(Some(plain), by_clap(&words));
            }
        }
    }
}
