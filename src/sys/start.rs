//! Where the kernel enters the program: before C start-up code, which relocates it.
//!
//! Relocating writes to each page of the data that holds addresses, and each of a dozen would be a fault of its own. To
//! ask for them all at once saves 0.01 ms. Used by `.ci/musl`; wherever else, the entry is C's own.
//!
//! The answer makes no difference: a kernel before Linux 5.14 refuses, as an outer filter may, and the pages come one by
//! one. Only a filter that kills for `madvise` is in the way. Sources: `madvise(2)`, and the psABI for what registers hold at the entry.

use std::arch::global_asm;

global_asm!(
    ".pushsection .text.start_populated, \"ax\", @progbits",
    ".globl start_populated",
    ".hidden start_populated",
    ".type start_populated, @function",
    "start_populated:",
    "lea rdi, [rip + __init_array_start]",
    "and rdi, -{page}",
    "lea rsi, [rip + _edata]",
    "sub rsi, rdi",
    "mov edx, {populate_write}",
    "mov eax, {madvise}",
    "syscall",
    // What to call at exit: of a program without a loader, nothing.
    "xor edx, edx",
    "jmp _start",
    ".size start_populated, . - start_populated",
    ".popsection",
    page = const 4096,
    populate_write = const libc::MADV_POPULATE_WRITE,
    madvise = const libc::SYS_madvise,
);
