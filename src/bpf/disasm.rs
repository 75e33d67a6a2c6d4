//! Programs as text, one line per instruction.

use std::fmt;

use super::{Insn, SeccompData, code};

/// Shows a program: index, mnemonic (those of `bpf_asm`), operand; jump targets as indices, and what a load
/// reads or a return means behind a semicolon.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a>(pub &'a [Insn]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (pc, insn) in self.0.iter().enumerate() {
            writeln!(f, "{pc:4}: {}", Line { pc, insn: *insn })?;
        }
        Ok(())
    }
}

struct Line {
    pc: usize,
    insn: Insn,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Insn { code, jt, jf, k } = self.insn;
        let next = self.pc + 1;
        match code {
            code::LD_ABS => write!(f, "ld   [{k}] ; {}", Field(k)),
            code::LD_IMM => write!(f, "ld   #{k:#x}"),
            code::LD_MEM => write!(f, "ld   M[{k}]"),
            code::LD_LEN => f.write_str("ld   len"),
            code::LDX_IMM => write!(f, "ldx  #{k:#x}"),
            code::LDX_MEM => write!(f, "ldx  M[{k}]"),
            code::LDX_LEN => f.write_str("ldx  len"),
            code::ST => write!(f, "st   M[{k}]"),
            code::STX => write!(f, "stx  M[{k}]"),
            code::TAX => f.write_str("tax"),
            code::TXA => f.write_str("txa"),
            code::NEG => f.write_str("neg"),
            code::RET_A => f.write_str("ret  a"),
            code::RET_K => write!(f, "ret  #{k:#x} ; {}", Answer(k)),
            code::JA => write!(f, "ja   {}", next.saturating_add(k as usize)),
            _ => {
                let Some((mnemonic, jumps)) = binary(code & !code::X) else {
                    return write!(f, ".insn {code:#x}, {jt}, {jf}, {k:#x}");
                };
                write!(f, "{mnemonic:<4} ")?;
                match code & code::X {
                    0 => write!(f, "#{k:#x}")?,
                    _ => f.write_str("x")?,
                }
                if jumps {
                    let (yes, no) = (next + usize::from(jt), next + usize::from(jf));
                    write!(f, ", {yes}, {no}")?;
                }
                Ok(())
            }
        }
    }
}

/// The mnemonic of an opcode that takes K or X, and whether it is a jump.
fn binary(base: u16) -> Option<(&'static str, bool)> {
    Some(match base {
        code::ADD_K => ("add", false),
        code::SUB_K => ("sub", false),
        code::MUL_K => ("mul", false),
        code::DIV_K => ("div", false),
        code::OR_K => ("or", false),
        code::AND_K => ("and", false),
        code::LSH_K => ("lsh", false),
        code::RSH_K => ("rsh", false),
        code::XOR_K => ("xor", false),
        code::JEQ_K => ("jeq", true),
        code::JGT_K => ("jgt", true),
        code::JGE_K => ("jge", true),
        code::JSET_K => ("jset", true),
        _ => return None,
    })
}

/// A word of `struct seccomp_data`. Which half of an argument it is depends on the machine.
struct Field(u32);

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SeccompData::NR => f.write_str("nr"),
            SeccompData::ARCH => f.write_str("arch"),
            8 => f.write_str("ip"),
            12 => f.write_str("ip + 4"),
            at @ 16.. if at % 8 == 0 => write!(f, "args[{}]", (at - 16) / 8),
            at @ 16.. => write!(f, "args[{}] + {}", (at - 16) / 8, at % 8),
            at => write!(f, "byte {at}"),
        }
    }
}

/// A return value, by the name in `seccomp(2)`.
struct Answer(u32);

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 & libc::SECCOMP_RET_ACTION_FULL {
            libc::SECCOMP_RET_KILL_PROCESS => "KILL_PROCESS",
            libc::SECCOMP_RET_KILL_THREAD => "KILL_THREAD",
            libc::SECCOMP_RET_TRAP => "TRAP",
            libc::SECCOMP_RET_ERRNO => "ERRNO",
            libc::SECCOMP_RET_USER_NOTIF => "USER_NOTIF",
            libc::SECCOMP_RET_TRACE => "TRACE",
            libc::SECCOMP_RET_LOG => "LOG",
            libc::SECCOMP_RET_ALLOW => "ALLOW",
            _ => "unknown, kills",
        };
        f.write_str(name)?;
        match self.0 & libc::SECCOMP_RET_DATA {
            0 => Ok(()),
            data => write!(f, "({data})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line() {
        const fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
            Insn { code, jt, jf, k }
        }
        let cases = [
            (insn(code::LD_ABS, 0, 0, 4), "ld   [4] ; arch"),
            (insn(code::LD_ABS, 0, 0, 20), "ld   [20] ; args[0] + 4"),
            (insn(code::LD_ABS, 0, 0, 56), "ld   [56] ; args[5]"),
            (insn(code::JEQ_K, 1, 255, 59), "jeq  #0x3b, 2, 256"),
            (insn(code::JSET_K | code::X, 0, 1, 0), "jset x, 1, 2"),
            (insn(code::JA, 0, 0, 300), "ja   301"),
            (insn(code::XOR_K, 0, 0, 1), "xor  #0x1"),
            (insn(code::OR_X, 0, 0, 0), "or   x"),
            (insn(code::TAX, 0, 0, 0), "tax"),
            (
                insn(code::RET_K, 0, 0, 0x7fff_0000),
                "ret  #0x7fff0000 ; ALLOW",
            ),
            (
                insn(code::RET_K, 0, 0, 0x0005_0026),
                "ret  #0x50026 ; ERRNO(38)",
            ),
            (insn(0x94, 1, 2, 3), ".insn 0x94, 1, 2, 0x3"),
        ];
        for (insn, want) in cases {
            assert_eq!(Line { pc: 0, insn }.to_string(), want);
        }
        let listing = Listing(&[insn(code::TXA, 0, 0, 0), insn(code::RET_A, 0, 0, 0)]);
        assert_eq!(listing.to_string(), "   0: txa\n   1: ret  a\n");
    }
}
