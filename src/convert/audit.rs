//! Records of the kernel's audit about seccomp as a profile.
//!
//! The record of type 1326 (`AUDIT_SECCOMP`) is written for a call that a filter logged or killed for; its
//! fields are those of `audit_seccomp` in the kernel's `auditsc.c`. It comes in several envelopes: auditd's
//! log, ausearch(8) with and without `--interpret`, dmesg(1), the journal.

use std::collections::{BTreeMap, BTreeSet};

use super::{Unreadable, quoted};
use crate::arch::Arch;
use crate::profile::Profile;
use crate::syscall::Sysno;

/// What the records say.
#[derive(Debug)]
pub(crate) struct Logged {
    /// What allows the calls that were logged, and nothing else.
    pub(crate) profile: Profile,
    /// The programs that made them, quoted for a message, and how many records each has.
    pub(crate) programs: BTreeMap<String, u64>,
}

/// Is the line a record about seccomp?
pub(super) fn is_record(line: &str) -> bool {
    // What a program wrote, as strace shows it, may look like one.
    !super::strace::is_call(line)
        && ["type=1326", "type=SECCOMP", "SECCOMP "]
            .iter()
            .any(|mark| line.contains(mark))
        && line.contains("arch=")
        && line.contains("syscall=")
}

/// The profile that allows what these records log.
///
/// # Errors
/// When there is no record, or one that cannot be understood.
pub(crate) fn read(text: &str) -> Result<Logged, Unreadable> {
    let mut calls = BTreeSet::new();
    let mut programs = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        if !is_record(line) {
            continue;
        }
        let wrong = |what: String| Unreadable::new(at + 1, what);
        let field = |name: &str| field(line, name);
        let needed =
            |name: &str| field(name).ok_or_else(|| wrong(format!("a record without '{name}='")));
        calls.insert(call(needed("arch")?, needed("syscall")?).map_err(wrong)?);
        let program = field("exe").or_else(|| field("comm")).unwrap_or("?");
        *programs.entry(quoted(program)).or_insert(0) += 1;
    }
    if calls.is_empty() {
        return Err(Unreadable::new(0, "no record about seccomp in it (type=1326)").hint(
            "'ausearch -m SECCOMP', 'journalctl -k' and 'dmesg' show them; the kernel logs what a filter \
             kills for or answers with LOG",
        ));
    }
    let arches: BTreeSet<Arch> = calls.iter().map(|sysno| sysno.arch).collect();
    let names: BTreeSet<String> = calls.iter().map(ToString::to_string).collect();
    let profile = Profile::learned(arches, [(names.into_iter().collect(), None)]);
    Ok(Logged { profile, programs })
}

/// The value of a field. Programs cannot forge one: the kernel writes what they chose in hexadecimal where
/// it holds a space or a quote.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"')).filter(|value| !value.is_empty())
}

/// The call of an architecture (`AUDIT_ARCH_*` in hexadecimal, or ausearch's name) and a number (or name).
fn call(arch: &str, syscall: &str) -> Result<Sysno, String> {
    let audit = match u32::from_str_radix(arch.trim_start_matches("0x"), 16) {
        Ok(audit) => audit,
        Err(_) if arch == "i386" => Arch::X86.audit(),
        Err(_) => Arch::from_short_name(arch)
            .ok_or_else(|| format!("no architecture {}", quoted(arch)))?
            .audit(),
    };
    let number = syscall
        .strip_prefix("unknown-syscall(")
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or(syscall);
    let sysno = match number.parse::<i64>() {
        // The kernel writes the 32 bits of the number as a signed one.
        Ok(nr) => u32::try_from(nr)
            .or_else(|_| i32::try_from(nr).map(i32::cast_unsigned))
            .ok()
            .and_then(|nr| Sysno::of_call(audit, nr)),
        Err(_) => Sysno::of_call(audit, 0).and_then(|any| Sysno::parse(any.arch, syscall)),
    };
    let sysno = sysno.ok_or_else(|| {
        format!(
            "architecture {} has no syscall {}",
            quoted(arch),
            quoted(syscall)
        )
    })?;
    if sysno.is_expressible() {
        Ok(sysno)
    } else {
        Err(format!(
            "no profile can hold syscall number {number} of {arch}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::Name;

    const FIELDS: &str =
        "auid=0 uid=0 gid=0 ses=1 subj=unconfined pid=7 comm=\"sh\" exe=\"/bin/dash\" sig=0";

    fn names(text: &str) -> Vec<Name> {
        let profile = read(text).expect(text).profile;
        assert_eq!(profile.rules.len(), 1, "{text}");
        profile.rules[0].names.clone()
    }

    #[test]
    fn every_envelope_is_opened() {
        let call = "arch=c000003e syscall=41 compat=0 ip=0x7f2 code=0x7ffc0000";
        for line in [
            format!("type=SECCOMP msg=audit(1700000000.123:45): {FIELDS} {call}"),
            format!("type=1326 msg=audit(1700000000.123:45): {FIELDS} {call}"),
            format!("[  12.345678] audit: type=1326 audit(1700000000.123:45): {FIELDS} {call}"),
            format!("Jan 01 00:00:00 host kernel: audit: type=1326 audit(1.2:3): {FIELDS} {call}"),
            format!("Jan 01 00:00:00 host audit[7]: SECCOMP {FIELDS} {call}"),
            format!(
                "type=SECCOMP msg=audit(01/01/70 00:00:00.1:2) : {FIELDS} arch=x86_64 syscall=socket compat=0"
            ),
        ] {
            assert!(is_record(&line), "{line}");
            assert_eq!(names(&format!("noise\n{line}\n")), ["socket"], "{line}");
            let programs = read(&line).unwrap().programs;
            assert_eq!(programs, [("'/bin/dash'".to_owned(), 1)].into(), "{line}");
        }
    }

    #[test]
    fn a_number_is_read_against_its_architecture() {
        let line = |arch: &str, nr: &str| {
            format!("type=1326 audit(1.2:3): comm=\"x\" arch={arch} syscall={nr}\n")
        };
        let text = [
            line("c000003e", "20"),
            line("40000003", "20"),
            line("i386", "mmap2"),
            line("c000003e", "1073741824"),
            line("x86_64", "unknown-syscall(900)"),
            line("c00000b7", "56"),
        ];
        let logged = read(&text.concat()).unwrap();
        assert_eq!(
            logged.profile.rules[0].names,
            ["getpid", "mmap2", "openat", "read", "syscall_900", "writev"]
        );
        assert_eq!(
            logged.profile.architectures,
            [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64]
        );
        assert_eq!(logged.programs, [("'x'".to_owned(), 6)].into());
    }

    #[test]
    fn a_record_that_is_not_understood_is_not_passed_over() {
        for (fields, want) in [
            ("arch=c000003e syscall=", "without 'syscall='"),
            ("arch=c000003e xsyscall=1", "without 'syscall='"),
            (
                "arch=c000003e syscall=-1",
                "no profile can hold syscall number -1",
            ),
            (
                "arch=c000003e syscall=99999999999",
                "has no syscall '99999999999'",
            ),
            ("arch=deadbeef syscall=1", "has no syscall '1'"),
            ("arch=vax syscall=1", "no architecture 'vax'"),
        ] {
            let text = format!("ok\ntype=1326 audit(1.2:3): {fields}\n");
            let error = read(&text).unwrap_err();
            assert_eq!(error.line, 2, "{fields}");
            assert!(error.to_string().contains(want), "{fields}: {error}");
        }
        assert_eq!(
            read("type=1300 arch=c000003e syscall=1").unwrap_err().line,
            0
        );
    }
}
