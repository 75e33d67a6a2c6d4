//! `compile`: a profile's BPF program, for other launchers and for people.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use super::error::Error;
use super::input;
use super::target::TargetArgs;
use crate::arch::Endian;
use crate::bpf::disasm::Listing;
use crate::evidence::Evidence;
use crate::exit::Exit;
use crate::filter::{Filter, Options, Stats};
use crate::output::{Existing, Output};
use crate::profile::Resolved;

const AFTER: &str = "\
Examples:
  seccomp-run compile app.json -o app.bpf
  bwrap --seccomp 3 --dev-bind / / ./app 3<app.bpf
        another launcher installs it, and starts the program: the profile must allow execve
  seccomp-run compile app.json --disasm --stats
        what the kernel will run for each syscall, and how long the ways are
  seccomp-run compile app.json --arch aarch64 -o app-arm64.bpf
        for another machine";

/// Compile a profile to a BPF program
///
/// The program goes to FILE, or to standard output: raw struct sock_filter in the byte order of the
/// architecture that it is for, as bwrap --seccomp and setpriv --seccomp-filter read it there. It is checked against the profile before it is
/// written. The exception that --enforce makes for its own execve is not in it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
#[expect(
    clippy::doc_markdown,
    reason = "the comments on flags are the help text"
)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetArgs,

    /// Where the program goes
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// How often each syscall is made, so that frequent ones get short ways [default: the evidence that lies
    /// beside the profile, where there is some]
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,

    /// Print the program as text
    #[arg(long)]
    disasm: bool,

    /// Print what the program costs
    #[arg(long)]
    stats: bool,

    /// How --stats prints
    #[arg(long, value_enum, default_value_t = Format::Text, requires = "stats")]
    format: Format,
}

/// For people, or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

pub(super) fn run(args: &Args) -> Result<Exit, Error> {
    let resolved = args.target.resolve()?;
    let evidence = match &args.evidence {
        Some(path) => Some(input::evidence(path)?.ok_or_else(|| {
            Error::new(format!(
                "cannot read '{}': there is no such file",
                path.display()
            ))
        })?),
        None => input::evidence(&Evidence::path_for(&args.target.profile))?,
    };
    let filter = filter(&resolved, evidence.as_ref())?;
    let endian = args.target.native().endian();
    let mut text = String::new();
    if args.disasm {
        text.push_str(&Listing(filter.program()).to_string());
    }
    if args.stats {
        text.push_str(&match args.format {
            Format::Text => stats_text(&filter.stats()),
            Format::Json => stats_json(&filter.stats()),
        });
    }
    if args.disasm || args.stats {
        if let Some(path) = &args.output {
            Output::claim(path, Existing::Replace)?.write(bytes(&filter, endian))?;
        }
        print(text.as_bytes())?;
    } else {
        put_program(&filter, endian, args.output.as_deref())?;
    }
    Ok(Exit::SUCCESS)
}

/// Compiles; what earlier runs did often gets short ways.
pub(super) fn filter(resolved: &Resolved, evidence: Option<&Evidence>) -> Result<Filter, Error> {
    let options = Options {
        weights: evidence.map(Evidence::weights),
        ..Options::default()
    };
    Ok(Filter::compile(&resolved.policy, &options)?)
}

/// Writes the program to the file, or to standard output.
pub(super) fn put_program(
    filter: &Filter,
    endian: Endian,
    output: Option<&Path>,
) -> Result<(), Error> {
    if output.is_none() && std::io::stdout().is_terminal() {
        return Err(
            Error::new("the program is binary, and standard output is a terminal")
                .hint("-o FILE writes it, compile --disasm shows it, --stats says what it costs"),
        );
    }
    put(&bytes(filter, endian), output)
}

/// Writes a tool's product to the file, or to standard output.
pub(super) fn put(product: &[u8], output: Option<&Path>) -> Result<(), Error> {
    match output {
        Some(path) => Ok(Output::claim(path, Existing::Replace)?.write(product)?),
        None => print(product),
    }
}

fn print(product: &[u8]) -> Result<(), Error> {
    let mut stdout = std::io::stdout();
    stdout
        .write_all(product)
        .and_then(|()| stdout.flush())
        .map_err(|error| Error::new(format!("cannot write to standard output: {error}")))
}

/// The instructions as `struct sock_filter` of the machine that will install them.
fn bytes(filter: &Filter, endian: Endian) -> Vec<u8> {
    let one = |insn: &libc::sock_filter| {
        let (code, k) = match endian {
            Endian::Little => (insn.code.to_le_bytes(), insn.k.to_le_bytes()),
            Endian::Big => (insn.code.to_be_bytes(), insn.k.to_be_bytes()),
        };
        code.into_iter().chain([insn.jt, insn.jf]).chain(k)
    };
    filter.program().iter().flat_map(one).collect()
}

fn stats_text(stats: &Stats) -> String {
    let mut text = String::new();
    let mut row = |what: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{what:<34} {value}");
    };
    row("instructions", stats.instructions.to_string());
    row("longest path", stats.longest_path.to_string());
    if let Some(expected) = stats.expected_path {
        row("expected path", format!("{expected:.1}"));
    }
    for cached in &stats.cached {
        let what = format!("answered by the kernel's bitmap, {}", cached.arch);
        row(&what, format!("{} of {}", cached.calls, cached.of));
    }
    row(
        "instructions followed at attach",
        stats.emulated.to_string(),
    );
    text
}

fn stats_json(stats: &Stats) -> String {
    let bitmap: serde_json::Map<_, _> = stats
        .cached
        .iter()
        .map(|cached| {
            let value = serde_json::json!({ "calls": cached.calls, "of": cached.of });
            (cached.arch.to_string(), value)
        })
        .collect();
    let value = serde_json::json!({
        "instructions": stats.instructions,
        "longestPath": stats.longest_path,
        "expectedPath": stats.expected_path,
        "bitmap": bitmap,
        "followedAtAttach": stats.emulated,
    });
    format!("{value:#}\n")
}
