//! `simulate`: what one call would get, and why.

use std::io::Write as _;

use super::compile::Format;
use super::error::Error;
use super::target::TargetArgs;
use crate::arch::Arch;
use crate::bpf::SeccompData;
use crate::bpf::vm::Vm;
use crate::exit::Exit;
use crate::filter::{Filter, Options};
use crate::policy::{Call, Reason};
use crate::syscall::Sysno;

const AFTER: &str = "\
Examples:
  seccomp-run simulate app.json 'socket(16, 3, 9)' openat x86:socketcall
        may it open a netlink socket, open files, make sockets as a 32-bit program?
  seccomp-run simulate docker-default.json --caps SYS_ADMIN mount
        what a container with that capability would get
  seccomp-run simulate app.json mount --format json | jq -r .action
        for a script

Exit codes:
  0       answered, whatever the answers are
  125     the profile cannot be used, or a call is none";

/// Tell which action one syscall would get, and by which rule
///
/// CALL is a name or a number, with arguments: 'socket(16, 3, 9)', 'openat', 'x86:socketcall(1)'. An
/// argument is decimal or 0x hexadecimal; a negative one is what a C program passes. Missing ones are 0.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetArgs,

    /// The call, such as 'socket(16, 3, 9)'; several may follow
    #[arg(value_name = "CALL", required = true)]
    calls: Vec<String>,

    /// How the answer is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<Exit, Error> {
    let resolved = args.target.resolve()?;
    let policy = &resolved.policy;
    let native = policy.abis.first().map_or(Arch::NATIVE, |abi| abi.arch);
    // What is told is what the program does: compiling checks that both agree, and so does this.
    let filter = Filter::compile(policy, &Options::default())?;
    let vm = Vm::new(filter.program()).map_err(|error| Error::new(error.to_string()))?;
    let mut text = String::new();
    for typed in &args.calls {
        let (sysno, arguments) = parse(typed, native)?;
        let call = Call {
            audit: sysno.arch.audit(),
            nr: sysno.nr,
            args: arguments,
        };
        let (action, reason) = policy.decide(&call);
        let data = SeccompData {
            nr: call.nr,
            arch: call.audit,
            ip: 0,
            args: call.args,
        };
        let big_endian = native.endian() == crate::arch::Endian::Big;
        if vm.run(&data.words(big_endian)).answer != action.to_ret() {
            return Err(Error::new(format!(
                "internal error: program and policy differ on {typed}"
            )));
        }
        let because = because(reason, sysno.arch);
        let line = match args.format {
            Format::Text => format!("{action}\t{typed}\t{because}\n"),
            Format::Json => {
                let value = serde_json::json!({
                    "call": typed, "arch": sysno.arch.to_string(), "nr": sysno.nr,
                    "action": action.to_string(), "because": because,
                });
                format!("{value}\n")
            }
        };
        text.push_str(&line);
    }
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Error::new(format!("cannot write to standard output: {error}")))?;
    Ok(Exit::SUCCESS)
}

fn because(reason: Reason, arch: Arch) -> String {
    match reason {
        Reason::BadArch => format!("{arch} is not among the architectures"),
        other => other.to_string(),
    }
}

/// `[ARCH:]NAME[(ARG, ...)]`.
fn parse(text: &str, native: Arch) -> Result<(Sysno, [u64; 6]), Error> {
    let wrong = |what: String| {
        Error::new(format!("'{text}': {what}"))
            .hint("write a call like 'socket(16, 3, 9)' or 'x86:20'")
    };
    let (arch, rest) = match text.split_once(':') {
        Some((arch, rest)) => {
            let known = Arch::from_short_name(arch);
            (
                known.ok_or_else(|| wrong(format!("no architecture '{arch}'")))?,
                rest,
            )
        }
        None => (native, text),
    };
    let (name, inner) = match rest.split_once('(') {
        Some((name, inner)) => {
            let inner = inner.trim_end().strip_suffix(')');
            (
                name,
                inner.ok_or_else(|| wrong("the ')' is missing".to_owned()))?,
            )
        }
        None => (rest, ""),
    };
    let name = name.trim();
    let sysno = match number(name).and_then(|nr| u32::try_from(nr).ok()) {
        Some(nr) => Sysno { arch, nr },
        None => Sysno::parse(arch, name)
            .ok_or_else(|| wrong(format!("{arch} has no syscall '{name}'")))?,
    };
    let mut args = [0; 6];
    let typed = inner
        .split(',')
        .map(str::trim)
        .filter(|typed| !typed.is_empty());
    for (at, typed) in typed.enumerate() {
        let value = number(typed).ok_or_else(|| wrong(format!("'{typed}' is no number")))?;
        let slot = args
            .get_mut(at)
            .ok_or_else(|| wrong("a syscall has six arguments".to_owned()))?;
        // A 32-bit caller's registers have no upper half.
        *slot = if sysno.arch.is_64bit() || sysno.arch == Arch::X32 {
            value
        } else {
            value & 0xffff_ffff
        };
    }
    Ok((sysno, args))
}

/// A number as C programs write it; a negative one is its two's complement.
fn number(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    text.parse()
        .ok()
        .or_else(|| text.parse::<i64>().ok().map(i64::cast_unsigned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_as_c_programs_write_them() {
        let cases = [
            ("read", Arch::X86_64, 0, [0; 6]),
            ("socket(16, 3, 9)", Arch::X86_64, 41, [16, 3, 9, 0, 0, 0]),
            ("x86:20", Arch::X86, 20, [0; 6]),
            ("0x1b3()", Arch::X86_64, 435, [0; 6]),
            (
                "openat(-100,0xffffffffff)",
                Arch::X86_64,
                257,
                [(-100_i64).cast_unsigned(), 0xff_ffff_ffff, 0, 0, 0, 0],
            ),
            (
                "x86:openat(-100)",
                Arch::X86,
                295,
                [0xffff_ff9c, 0, 0, 0, 0, 0],
            ),
        ];
        for (text, arch, nr, args) in cases {
            assert_eq!(
                parse(text, Arch::X86_64).unwrap(),
                (Sysno { arch, nr }, args),
                "{text}"
            );
        }
        for text in [
            "",
            "nope",
            "read(",
            "read(x)",
            "pdp11:read",
            "read(1,2,3,4,5,6,7)",
            "read(1.5)",
        ] {
            assert!(parse(text, Arch::X86_64).is_err(), "{text}");
        }
    }
}
