#!/usr/bin/env python3
"""Prints the table of src/syscall/width.rs: which syscall arguments the kernel reads as 32 bits.

    syscall_widths.py LINUX-TREE...

Of each tree only facts are read: the prototypes in SYSCALL_DEFINEn(...), and which of them a 64-bit ABI
has under which name (the syscall tables; trees before 6.11 have none for the architectures that share one,
so give a newer one too). An argument is in the table if it has 32 bits or less in every prototype of every
tree: a call with two readings is left to the careful one. Where an architecture differs from most, it is an
exception.
"""

import re
import statistics
import sys
import textwrap
from pathlib import Path

# The tables of the 64-bit ABIs, and which of their rows count.
TABLES = {
    "x86": ("arch/x86/entry/syscalls/syscall_64.tbl", {"common", "64"}),
    "arm64": ("arch/arm64/tools/syscall_64.tbl", {"common", "64", "renameat", "rlimit", "memfd_secret"}),
    "riscv": ("scripts/syscall.tbl", {"common", "64", "riscv", "rlimit", "memfd_secret"}),
    "loongarch": ("scripts/syscall.tbl", {"common", "64"}),
    "powerpc": ("arch/powerpc/kernel/syscalls/syscall.tbl", {"common", "nospu", "64"}),
    "s390": ("arch/s390/kernel/syscalls/syscall.tbl", {"common", "64"}),
    "mips": ("arch/mips/kernel/syscalls/syscall_n64.tbl", {"common", "n64"}),
}

# Types of at most 32 bits on every 64-bit architecture. `bool` is none of them: the conversion to it looks
# at the whole register.
NARROW = set(
    """int uint unsigned u32 __u32 s32 __s32 uint32_t int32_t pid_t uid_t gid_t qid_t umode_t mode_t key_t
    key_serial_t clockid_t timer_t mqd_t rwf_t""".split()
) | {"unsigned int"}

GENERIC = "block crypto drivers fs init io_uring ipc kernel lib mm net security".split()
PROTOTYPE = re.compile(r"^SYSCALL_DEFINE[0-6]\s*\(((?:[^()]|\([^()]*\))*)\)", re.MULTILINE)


def prototypes(folder):
    """Each SYSCALL_DEFINEn below a folder: its name and the set of its narrow arguments."""
    for path in sorted(folder.rglob("*.[ch]")):
        text = path.read_text(errors="replace")
        for match in PROTOTYPE.finditer(text) if "SYSCALL_DEFINE" in text else ():
            name, *words = (" ".join(word.split()) for word in match[1].split(","))
            yield name, {at for at, kind in enumerate(words[::2]) if is_narrow(kind)}


def is_narrow(kind):
    kind = kind.removeprefix("const ").strip()
    return kind in NARROW or (kind.startswith("enum ") and "*" not in kind)


def entries(tree, arch):
    """The names of an architecture, each with the kernel's function for it."""
    path, abis = TABLES[arch]
    path = tree / path
    for line in path.read_text().splitlines() if path.exists() else ():
        fields = line.split("#")[0].split()
        if len(fields) >= 4 and fields[1] in abis:
            yield fields[2], fields[3].lstrip("_").removeprefix("sys_")


def main():
    trees = [Path(tree) for tree in sys.argv[1:]]
    if not trees:
        sys.exit(__doc__)

    generic, special = {}, {arch: {} for arch in TABLES}
    for tree in trees:
        for folder in GENERIC:
            for name, narrow in prototypes(tree / folder):
                generic.setdefault(name, []).append(narrow)
        for arch, found in special.items():
            for name, narrow in prototypes(tree / "arch" / arch):
                found.setdefault(name, []).append(narrow)

    readings = {}
    for arch, own in special.items():
        names = dict(row for tree in trees for row in entries(tree, arch))
        for name, entry in names.items():
            # An architecture that replaces a function names its own after it.
            replaced = own.get(f"{arch}_{entry}", [])
            found = generic.get(entry, []) + own.get(entry, []) + replaced
            if found:
                readings.setdefault(name, {})[arch] = tuple(sorted(set.intersection(*found)))

    by_narrow, exceptions = {}, []
    for name, of_arch in sorted(readings.items()):
        usual = statistics.mode(of_arch.values())
        exceptions += [(name, arch, args) for arch, args in of_arch.items() if args != usual]
        if usual:
            by_narrow.setdefault(usual, []).append(name)

    for args, names in sorted(by_narrow.items()):
        print(f"    (\n        &{list(args)},")
        lines = textwrap.wrap(" ".join(names), 92)
        print('        "' + " \\\n         ".join(lines) + '",\n    ),')
    for name, arch, args in exceptions:
        print(f"exception: {name} on {arch} is {list(args)}")


if __name__ == "__main__":
    main()
