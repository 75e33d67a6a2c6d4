//! The profiles that the bench enforces.

use std::fs;
use std::path::{Path, PathBuf};

use seccomp_run::arch::Arch;
use seccomp_run::syscall;
use serde_json::{Value, json};

use crate::Outcome;
use crate::running::Running;
use crate::way::OURS;

/// Files with profiles, and what they were made of.
pub(crate) struct Profiles {
    /// What is measured with.
    pub(crate) large: PathBuf,
    /// The same, compiled.
    pub(crate) program: PathBuf,
    /// The same, as an OCI runtime takes it.
    pub(crate) oci: Value,
    /// Everything is allowed, but for `getppid`.
    pub(crate) denying: PathBuf,
    /// Everything is allowed, and `execve` by a rule that looks at its arguments: so it passes the launch gate.
    pub(crate) gated: PathBuf,
    /// Everything is allowed.
    pub(crate) open: PathBuf,
    /// For the reader of the figures.
    pub(crate) what: &'static str,
}

impl Profiles {
    /// Writes them into `dir`.
    pub(crate) fn prepare(dir: &Path) -> Outcome<Self> {
        let (large, what) = match std::env::var_os("SECCOMP_RUN_DATA") {
            Some(data) => {
                let name = "docker-default.json";
                (fs::canonicalize(Path::new(&data).join(name))?, name)
            }
            None => (write(dir, "large", &large())?, "made by the bench"),
        };
        let [from, program] = [&large, &dir.join("program")].map(|file| file.display().to_string());
        Running::output(&[OURS, "compile", &from, "-o", &program], dir)?;
        let oci = Running::output(&[OURS, "convert", &from, "--to", "oci"], dir)?;
        let denied = json!([{ "names": ["getppid"], "action": "SCMP_ACT_ERRNO" }]);
        let condition = json!({ "index": 0, "value": 0, "op": "SCMP_CMP_EQ" });
        let looks =
            json!([{ "names": ["execve"], "action": "SCMP_ACT_ERRNO", "args": [condition] }]);
        Ok(Self {
            program: program.into(),
            oci: serde_json::from_str(&oci)?,
            denying: write(dir, "denying", &lenient(&denied))?,
            gated: write(dir, "gated", &lenient(&looks))?,
            open: write(dir, "open", &lenient(&json!([])))?,
            large,
            what,
        })
    }
}

fn write(dir: &Path, name: &str, profile: &Value) -> Outcome<PathBuf> {
    let file = dir.join(format!("{name}.json"));
    fs::write(&file, serde_json::to_vec_pretty(profile)?)?;
    Ok(file)
}

fn lenient(rules: &Value) -> Value {
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules })
}

/// As large as Docker's default: most calls on three architectures, and some by their arguments.
fn large() -> Value {
    const DENIED: [&str; 8] = [
        "acct", "bpf", "mount", "ptrace", "reboot", "setns", "umount2", "unshare",
    ];
    let by_argument = |name: &str, value: u64| {
        let condition = json!({ "index": 0, "value": value, "op": "SCMP_CMP_EQ" });
        json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": [condition] })
    };
    let names: Vec<&str> = syscall::all(Arch::X86_64)
        .chain(syscall::all(Arch::X86))
        .map(|(_, name)| name)
        .filter(|name| !DENIED.contains(name) && !["personality", "socket"].contains(name))
        .collect();
    let mut rules = vec![json!({ "names": names, "action": "SCMP_ACT_ALLOW" })];
    rules.extend(
        [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff].map(|value| by_argument("personality", value)),
    );
    rules.extend([1, 2, 10, 16].map(|value| by_argument("socket", value)));
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    })
}
