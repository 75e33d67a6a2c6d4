//! The same profile, compiled by us and by libseccomp, is the same filter.
//!
//! libseccomp is an oracle within limits only: where rules with different actions overlap it follows the
//! shape of its tree, and 2.5.4 takes several bounds of one argument for each other. `libseccomp::profile`
//! stays within them, mostly: both of its ways to lay out a program are asked (the linear one of 2.5.4 forgets
//! to load the number when the first syscall has conditions), and where none of them agrees, the rules that it
//! was told are read plainly. A difference is what neither explains; the others must be few.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use seccomp_run::arch::Arch;
use seccomp_run::bpf::vm::Vm;
use seccomp_run::bpf::{Insn, SeccompData};
use seccomp_run::filter::{Filter, Options, points};
use seccomp_run::policy::{Call, Policy, Reason};
use seccomp_run::profile::{
    ArgWidth, Capabilities, Dialect, Host, KernelVersion, Profile, Reading, UnknownCalls,
};
use seccomp_run::syscall::{self, Sysno};
use serde_json::{Value, json};

use crate::harness::{Build, skip, try_fixture};
use crate::libseccomp::{self, Caps, Random, Spec};

/// x32's numbers begin here.
const X32_BIT: u32 = 0x4000_0000;

/// The last number of Linux 5.17, which is what libseccomp 2.5.4 knows.
const KNOWN_TO: u32 = 450;

/// What later kernels have put below it.
const LATER: [&str; 3] = ["riscv_hwprobe", "uprobe", "uretprobe"];

/// The first is the native one.
const ARCHES: [&[Arch]; 8] = [
    &[Arch::X86_64],
    &[Arch::X86_64, Arch::X86],
    &[Arch::X86_64, Arch::X86, Arch::X32],
    &[Arch::X86_64, Arch::X32],
    &[Arch::X86],
    &[Arch::Aarch64],
    &[Arch::Aarch64, Arch::Arm],
    &[Arch::Arm],
];

macro_rules! helper {
    () => {
        match try_fixture("libseccomp", Build::Libseccomp) {
            Some(helper) => helper,
            None => skip!("gcc, or libseccomp's header, is not installed"),
        }
    };
}

/// Our program and policy for a profile, as libseccomp reads it.
fn ours(profile: &Value, arches: &[Arch], dialect: Dialect, caps: Caps) -> (Policy, Vec<Insn>) {
    let mut profile = profile.clone();
    let fields = profile.as_object_mut().unwrap();
    fields.remove("archMap");
    let names = arches.iter().map(|arch| arch.scmp_name());
    fields.insert("architectures".to_owned(), json!(names.collect::<Vec<_>>()));
    let text = profile.to_string();
    let (profile, _) = Profile::parse(text.as_bytes(), "profile")
        .unwrap_or_else(|error| panic!("{error}\n{}", error.excerpt()));
    let host = Host {
        native: arches[0],
        kernel: KernelVersion {
            major: 6,
            minor: 12,
        },
        caps: match caps {
            Caps::None => Capabilities::NONE,
            Caps::All => Capabilities::ALL,
        },
    };
    let reading = Reading {
        dialect,
        arg_width: ArgWidth::Full,
        unknown: UnknownCalls::Default,
        default_override: None,
    };
    let policy = profile.resolve(&host, &reading).unwrap().policy;
    let filter = Filter::compile(&policy, &Options::default()).unwrap();
    (policy, filter.program().to_vec())
}

/// The names that libseccomp knows and that have the same numbers there and here, on all these architectures.
fn shared_names(helper: &str, arches: &[Arch]) -> Vec<&'static str> {
    let all: BTreeSet<&str> = Arch::ALL
        .into_iter()
        .flat_map(|arch| syscall::all(arch).map(|(_, name)| name))
        .collect();
    let mut names: Vec<&str> = all.into_iter().collect();
    let known = libseccomp::resolve(helper, Arch::X86_64, &names);
    let mut known = known.into_iter().map(|number| number != -1);
    names.retain(|_| known.next().unwrap());
    for &arch in arches {
        let theirs = libseccomp::resolve(helper, arch, &names);
        let mut theirs = theirs.into_iter();
        names.retain(|name| agree(arch, name, theirs.next().unwrap()));
    }
    names
}

/// Is libseccomp's number for a name ours?
fn agree(arch: Arch, name: &str, theirs: i32) -> bool {
    let ours = Sysno::parse(arch, name).map(|sysno| sysno.nr);
    match theirs {
        0.. => ours == Some(theirs.unsigned_abs()),
        // Where a call can be made in two ways, libseccomp keeps the direct number to itself.
        -299..=-100 => true,
        _ => ours.is_none(),
    }
}

/// What was found in comparing.
#[derive(Default)]
struct Tally {
    calls: usize,
    /// Programs of libseccomp's that contradict each other or what it was told.
    mistakes: usize,
}

/// A profile, what it is here, and what it is for libseccomp: its linear program and its tree.
struct Case<'a> {
    helper: &'a str,
    profile: &'a Value,
    spec: &'a Spec,
    policy: &'a Policy,
    ours: &'a [Insn],
    theirs: [&'a [Insn]; 2],
}

impl Case<'_> {
    /// What the rules that libseccomp was told mean for a call, read plainly.
    fn plainly(&self, call: &Call) -> Option<u32> {
        let arch = Arch::of_call(call.audit, call.nr)?;
        let names = self.spec.rules.iter().map(|line| line.name.as_str());
        let names: Vec<&str> = names.chain(["socketcall", "ipc"]).collect();
        let numbers = libseccomp::resolve(self.helper, arch, &names);
        let (numbers, multiplexers) = numbers.split_last_chunk::<2>()?;
        let told = (numbers, *multiplexers);
        self.policy.abi(arch)?;
        Some(self.spec.plainly(arch, call.nr, &call.args, told))
    }
}

/// Compares our program with libseccomp's two wherever they could differ, and says where they do.
fn differences(case: &Case<'_>, random: &mut Random, tally: &mut Tally) -> String {
    let &Case {
        profile,
        policy,
        ours,
        theirs,
        ..
    } = case;
    let vm = Vm::new(ours).unwrap();
    let theirs = theirs.map(|program| Vm::new(program).unwrap());
    let mut mistaken = false;
    let kill = profile.to_string().contains("SCMP_ACT_KILL\"");
    let mut said = String::new();
    let (mut count, mut seen) = (0, BTreeSet::new());
    let mut compare = |call: Call| {
        tally.calls += 1;
        let data = SeccompData {
            nr: call.nr,
            arch: call.audit,
            ip: 0,
            args: call.args,
        };
        let words = data.words(false);
        let ours = vm.run(&words).answer;
        let [theirs, tree] = [&theirs[0], &theirs[1]].map(|vm| vm.run(&words).answer);
        mistaken |= theirs != tree;
        if ours == theirs || ours == tree {
            return;
        }
        let (truth, reason) = policy.decide(&call);
        // Where libseccomp kills the thread, we kill the process, unless KILL_THREAD was written.
        let is_ours = |answer: u32| {
            let killed = answer == libc::SECCOMP_RET_KILL_THREAD
                && ours == libc::SECCOMP_RET_KILL_PROCESS
                && (kill || reason == Reason::BadArch);
            answer == ours || killed
        };
        if is_ours(theirs) {
            return;
        }
        if case.plainly(&call).is_some_and(is_ours) {
            mistaken = true;
            return;
        }
        count += 1;
        if seen.insert((call.audit, call.nr)) && seen.len() <= 8 {
            let name = Sysno::of_call(call.audit, call.nr).map(|sysno| sysno.to_string());
            writeln!(
                said,
                "{} of audit arch {:#x} with {:x?}: ours {ours:#x}, libseccomp's {theirs:#x}; the policy says {truth} ({reason:?})",
                name.unwrap_or_default(),
                call.audit,
                call.args
            )
            .unwrap();
        }
    };
    let mut audits: Vec<u32> = policy.abis.iter().map(|abi| abi.arch.audit()).collect();
    // Two that are not in most of these policies.
    audits.extend([Arch::X86.audit(), Arch::S390x.audit()]);
    audits.sort_unstable();
    audits.dedup();
    let constants = constants(policy);
    let numbers = (0..=600).chain(X32_BIT..=X32_BIT + 600);
    let numbers: Vec<u32> = numbers
        .chain([0x7fff_ffff, 0x8000_0000, u32::MAX])
        .collect();
    for &audit in &audits {
        for &nr in &numbers {
            let arch = Arch::of_call(audit, nr);
            let rules = arch.and_then(|arch| policy.abi(arch)?.syscalls.get(nr));
            let checked =
                rules.is_some_and(|rules| rules.iter().any(|rule| !rule.conditions.is_empty()));
            for args in [[0; 6], [u64::MAX; 6]] {
                compare(Call { audit, nr, args });
            }
            for _ in 0..if checked { 64 } else { 2 } {
                let args = std::array::from_fn(|_| *random.pick(&constants));
                compare(Call { audit, nr, args });
            }
        }
    }
    for call in points(policy, 4000) {
        compare(call);
    }
    tally.mistakes += usize::from(mistaken);
    if count > 0 {
        writeln!(said, "{count} in all; the profile:\n{profile}").unwrap();
    }
    said
}

/// Every constant of a policy with its neighbours, and what may be confused with them.
fn constants(policy: &Policy) -> Vec<u64> {
    let rules = policy.abis.iter().flat_map(|abi| abi.syscalls.all());
    let conditions = rules.flat_map(|rule| &rule.conditions);
    let mut constants: Vec<u64> = conditions
        .flat_map(|condition| {
            let value = condition.value();
            [
                value,
                value.wrapping_add(1),
                value.wrapping_sub(1),
                value ^ 1 << 32,
                value.rotate_left(32),
            ]
        })
        .collect();
    constants.extend([0, 1, 1 << 31, 1 << 32, u64::MAX, u64::from(u32::MAX)]);
    constants.sort_unstable();
    constants.dedup();
    constants
}

#[test]
fn names_have_libseccomps_numbers() {
    let helper = helper!();
    let arches = [
        (Arch::X86_64, 0),
        (Arch::X86, 0),
        (Arch::X32, X32_BIT),
        (Arch::Aarch64, 0),
        (Arch::Arm, 0),
        // Beside the common ones, ARM has some of its own.
        (Arch::Arm, 0x0f_0000),
        (Arch::Mips, 4000),
        (Arch::Mips64, 5000),
        (Arch::Ppc, 0),
        (Arch::Ppc64le, 0),
        (Arch::S390x, 0),
        (Arch::Riscv64, 0),
    ];
    let mut wrong = Vec::new();
    for (arch, base) in arches {
        let numbers: Vec<u32> = (base..=base + KNOWN_TO).collect();
        let theirs = libseccomp::names(&helper, arch, &numbers);
        for (nr, theirs) in numbers.into_iter().zip(theirs) {
            let ours = Sysno { arch, nr }.name();
            let filled = theirs.is_none()
                && ours.is_some_and(|ours| {
                    let no_call = ours.starts_with("unused") || ours.starts_with("reserved");
                    LATER.contains(&ours) || no_call
                });
            if ours != theirs.as_deref() && !filled {
                wrong.push(format!("{nr} on {arch}: {ours:?}, libseccomp {theirs:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Has this call no number that libseccomp 2.5.4 cannot know?
fn is_old(arches: &[Arch], name: &str) -> bool {
    const NEWEST: u32 = 0x0fff;
    let numbers = arches.iter().filter_map(|&arch| Sysno::parse(arch, name));
    let old = |nr| nr <= KNOWN_TO || nr > NEWEST || (512..=547).contains(&nr);
    !LATER.contains(&name) && numbers.map(|sysno| sysno.nr & !X32_BIT).all(old)
}

#[test]
fn the_defaults_of_docker_and_podman() {
    let helper = helper!();
    let mut tally = Tally::default();
    let mut random = Random(1);
    let mut wrong = String::new();
    for (file, dialect) in [
        ("docker-default.json", Dialect::Docker),
        ("podman-default.json", Dialect::Podman),
    ] {
        let (_, profile) = match libseccomp::data(file) {
            Ok(data) => data,
            // Not part of the project, so nothing that a machine could install.
            Err(why) => {
                eprintln!("skipped: {why}");
                return;
            }
        };
        for arches in ARCHES {
            // Calls that are newer than libseccomp have no rule there.
            let mut profile = profile.clone();
            for rule in profile["syscalls"].as_array_mut().unwrap() {
                let list = rule["names"].as_array_mut().unwrap();
                list.retain(|name| is_old(arches, name.as_str().unwrap()));
            }
            for caps in [Caps::None, Caps::All] {
                let (policy, ours) = ours(&profile, arches, dialect, caps);
                let spec = Spec::of(&profile, arches, caps);
                let told = spec.text();
                let text = format!("{told}build\n{told}optimize 2\nbuild\n");
                let theirs: Vec<_> = libseccomp::build(&helper, &text)
                    .into_iter()
                    .map(|built| built.unwrap().program)
                    .collect();
                let case = Case {
                    helper: &helper,
                    profile: &profile,
                    spec: &spec,
                    policy: &policy,
                    ours: &ours,
                    theirs: [&theirs[0], &theirs[1]],
                };
                let before = tally.mistakes;
                let said = differences(&case, &mut random, &mut tally);
                if tally.mistakes > before {
                    eprintln!("libseccomp is mistaken: {file} {arches:?} {caps:?}");
                }
                if !said.is_empty() {
                    // The profile is known.
                    let said = said.split("the profile:").next().unwrap();
                    writeln!(wrong, "{file} {arches:?} {caps:?}\n{said}").unwrap();
                }
            }
        }
    }
    eprintln!("{} calls compared", tally.calls);
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(tally.mistakes, 0);
}

#[test]
fn generated_profiles() {
    let helper = helper!();
    let per_arches = if cfg!(debug_assertions) { 25 } else { 300 };
    let seed = std::env::var("SECCOMP_RUN_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(2);
    let mut random = Random(seed);
    let (mut profiles, mut refused, mut tally) = (0, Vec::new(), Tally::default());
    let mut wrong = Vec::new();
    for arches in ARCHES {
        let names = shared_names(&helper, arches);
        let multiplexed = arches.contains(&Arch::X86);
        let (mut text, mut specs) = (String::new(), Vec::new());
        let generated: Vec<Value> = (0..per_arches)
            .map(|_| {
                let most = 1 + random.below(120);
                let size = 1 + random.below(most);
                libseccomp::profile(&mut random, &names, size, multiplexed)
            })
            .collect();
        for profile in &generated {
            let spec = Spec::of(profile, arches, Caps::None);
            let told = spec.text();
            write!(text, "{told}build\n{told}optimize 2\nbuild\n").unwrap();
            specs.push(spec);
        }
        let built = libseccomp::build(&helper, &text);
        assert_eq!(built.len(), 2 * generated.len());
        let told = generated.iter().zip(&specs);
        for ((profile, spec), theirs) in told.zip(built.chunks(2)) {
            let theirs = match theirs {
                [Ok(linear), Ok(tree)] => [&linear.program[..], &tree.program],
                [Err(why), _] | [_, Err(why)] => {
                    refused.push(format!("{why}: {profile}"));
                    continue;
                }
                _ => unreachable!(),
            };
            let (policy, ours) = ours(profile, arches, Dialect::Docker, Caps::None);
            profiles += 1;
            let case = Case {
                helper: &helper,
                profile,
                spec,
                policy: &policy,
                ours: &ours,
                theirs,
            };
            let said = differences(&case, &mut random, &mut tally);
            if !said.is_empty() {
                wrong.push(format!("{arches:?}: {said}"));
            }
        }
    }
    eprintln!(
        "{profiles} profiles, {} calls compared; libseccomp refuses {}, is mistaken in {}",
        tally.calls,
        refused.len(),
        tally.mistakes
    );
    // A profile of which libseccomp makes nothing proves nothing.
    assert!(refused.len() * 20 < profiles, "{refused:#?}");
    assert!(tally.mistakes * 20 < profiles);
    assert!(
        wrong.is_empty(),
        "{} profiles differ; the first of them:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(12)].join("\n")
    );
}
