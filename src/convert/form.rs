//! Telling the forms apart.

/// The forms that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A Docker/OCI profile.
    Profile,
    /// What `strace -f` writes.
    Strace,
    /// Records of the kernel's audit.
    Audit,
    /// What `--report=FILE` writes.
    Report,
    /// A unit of systemd, or a drop-in of one.
    Systemd,
    /// A `SeccompProfile` resource.
    Spo,
}

impl Form {
    /// The form of a text; `None` when it is none of them.
    pub(crate) fn of(text: &str) -> Option<Self> {
        if crate::denials::is_report(text) {
            return Some(Self::Report);
        }
        // Even what is no good JSON is better complained about by the reader of profiles.
        if text
            .trim_start_matches('\u{feff}')
            .trim_start()
            .starts_with('{')
        {
            let resource = text.contains("\"SeccompProfile\"") && text.contains("\"kind\"");
            return Some(if resource { Self::Spo } else { Self::Profile });
        }
        text.lines().find_map(|line| match line {
            line if super::audit::is_record(line) => Some(Self::Audit),
            line if super::systemd::is_setting(line) => Some(Self::Systemd),
            line if super::strace::is_call(line) => Some(Self::Strace),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_by_their_first_telling_line() {
        let cases = [
            ("{\"defaultAction\": 1}", Some(Form::Profile)),
            ("  {", Some(Form::Profile)),
            ("{\"event\":\"denied\",\"nr\":1}\n{}\n", Some(Form::Report)),
            ("{\"kind\": \"SeccompProfile\"}", Some(Form::Spo)),
            (
                "77 execve(\"/bin/true\", [\"true\"], 0x1 /* 2 vars */) = 0",
                Some(Form::Strace),
            ),
            (
                "[pid 7] read(0, \"type=1326 arch=1 syscall=1\", 9) = 26",
                Some(Form::Strace),
            ),
            (
                "hello\naudit: type=1326 audit(1.1:2): arch=c000003e syscall=1",
                Some(Form::Audit),
            ),
            ("# x\n[Service]\nSystemCallFilter=read", Some(Form::Systemd)),
            ("apiVersion: v1\nkind: SeccompProfile\n", None),
            ("", None),
            ("\0\0(((", None),
        ];
        for (text, want) in cases {
            assert_eq!(Form::of(text), want, "{text}");
        }
    }
}
