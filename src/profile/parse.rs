//! JSON to [`Profile`], strictly.
//!
//! Sources: runtime-spec `config-linux.md` and `schema/defs-linux.json` (the fields), moby's
//! `seccomp_linux.go` (`archMap`, `includes`, `excludes`, `name`), containers/common's `types.go`
//! (`defaultErrno`, `errno`), Go's `encoding/json` (case of keys, `null`). Where those are lenient and a
//! mistake would open the filter, this is not: a mistyped `args` would make a rule unconditional.

use std::borrow::Cow;

use nix::errno::Errno;

use super::findings::{Oddity, Warning};
use super::json::{At, Mistake, Problem, Reader, quote};
use super::model::{
    ArchMap, Capabilities, Condition, Flag, KernelVersion, Position, Profile, Rule, Scope,
};
use crate::action::{Action, DEFAULT_ERRNO, MAX_ERRNO};
use crate::arch::Arch;
use crate::policy::Op;
use crate::syscall::Name;

/// The largest profile that is read. Docker's default has 13 KiB.
pub const MAX_SIZE: usize = 4 << 20;

/// The most names in all rules together. Docker's default has 500, and no filter has room for so many.
const MAX_NAMES: usize = 1 << 16;

/// How many characters of a line [`ParseError::excerpt`] shows on each side of the mistake.
const EXCERPT: usize = 60;

/// Why a text is no profile.
///
/// Shown as `NAME:LINE:COLUMN: FIELD: what is wrong`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{at}: {path}{message}")]
pub struct ParseError {
    name: Box<str>,
    at: Position,
    path: Box<str>,
    message: Box<str>,
    hint: Option<Box<str>>,
    excerpt: Box<str>,
}

impl ParseError {
    /// Line and column of the mistake.
    pub const fn position(&self) -> Position {
        self.at
    }

    /// What is wrong, without the place.
    pub fn bare(&self) -> String {
        format!("{}{}", self.path, self.message)
    }

    /// What to do about it, such as the nearest name that would have been right.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The line of the mistake, and below it a caret at the column: two lines without a final newline.
    ///
    /// Of a long line only the surroundings are shown. Control characters are replaced, so that a file
    /// cannot write to the terminal.
    pub fn excerpt(&self) -> &str {
        &self.excerpt
    }

    #[cold]
    fn new(name: &str, text: &str, problem: Problem) -> Self {
        let Mistake {
            offset,
            path,
            message,
            hint,
        } = problem.mistake();
        let before = text.get(..offset).unwrap_or(text);
        let after = text.get(offset..).unwrap_or_default();
        Self {
            name: name.into(),
            at: Position::START.after(before),
            path: if path.is_empty() {
                "".into()
            } else {
                format!("{path}: ").into()
            },
            message: message.into(),
            hint: hint.map(Into::into),
            excerpt: excerpt(before, after).into(),
        }
    }
}

fn excerpt(before: &str, after: &str) -> String {
    let line_start = before.rsplit('\n').next().unwrap_or_default();
    let line_end = after.split('\n').next().unwrap_or_default();
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let mut left: Vec<char> = line_start.chars().rev().take(EXCERPT).map(shown).collect();
    left.reverse();
    let right: String = line_end
        .trim_end()
        .chars()
        .take(EXCERPT)
        .map(shown)
        .collect();
    let column = left.len();
    let left: String = left.into_iter().collect();
    format!("{left}{right}\n{:column$}^", "")
}

impl Profile {
    /// Reads a profile; `name` is what messages call it.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, or says something that no runtime would take, or something that is
    /// almost certainly a mistake (an unknown key, a key twice), or uses what is not supported
    /// (`SCMP_ACT_NOTIFY`).
    pub fn parse(text: &[u8], name: &str) -> Result<(Self, Vec<Warning>), ParseError> {
        Self::parse_as(profile, text, name)
    }

    /// Reads the profile in a `SeccompProfile` resource of Kubernetes; `name` is what messages call it.
    ///
    /// # Errors
    ///
    /// As [`Profile::parse`], and when the resource is of another kind, or adds to a profile elsewhere.
    pub(crate) fn parse_resource(
        text: &[u8],
        name: &str,
    ) -> Result<(Self, Vec<Warning>), ParseError> {
        Self::parse_as(resource, text, name)
    }

    fn parse_as(whole: Whole, text: &[u8], name: &str) -> Result<(Self, Vec<Warning>), ParseError> {
        let utf8 = match std::str::from_utf8(text) {
            Ok(utf8) => utf8,
            Err(error) => {
                let good = text.get(..error.valid_up_to()).unwrap_or_default();
                let good = std::str::from_utf8(good).unwrap_or_default();
                let utf16 = text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff");
                let problem = Problem::new(error.valid_up_to(), "this byte is not UTF-8");
                let problem = if utf16 {
                    problem.hint("the file looks like UTF-16; save it as UTF-8")
                } else {
                    problem
                };
                return Err(ParseError::new(name, good, problem));
            }
        };
        document(whole, utf8).map_err(|problem| ParseError::new(name, utf8, problem))
    }
}

/// What the document as a whole is.
type Whole = fn(&mut Parser) -> Result<Profile, Problem>;

/// The reader, and what is gathered over the whole document.
struct Parser<'a> {
    reader: Reader<'a>,
    names: Names,
    warnings: Vec<Warning>,
}

/// The names of syscalls that were read.
struct Names {
    count: usize,
    /// Where the names of an entry are until all are there: some entries have one, and some have hundreds.
    room: Vec<Name>,
}

impl Names {
    fn new() -> Self {
        Self {
            count: 0,
            room: Vec::with_capacity(512),
        }
    }

    /// Reads those of an entry.
    fn read(&mut self, reader: &mut Reader) -> Result<Vec<Name>, Problem> {
        self.room.clear();
        reader.elements(self, Self::several, Self::one)?;
        Ok(self.room.drain(..).collect())
    }

    /// Reads as many as have nothing special about them: nearly all but the last.
    fn several(&mut self, reader: &mut Reader) -> usize {
        let before = self.room.len();
        while self.count < MAX_NAMES
            && let Some(name) = reader.plain_of_several()
        {
            self.count += 1;
            self.room.push(name.into());
        }
        self.room.len() - before
    }

    fn one(&mut self, reader: &mut Reader) -> Result<(), Problem> {
        self.count += 1;
        if self.count > MAX_NAMES {
            let message = format!("more than {MAX_NAMES} names in one profile");
            return Err(Problem::new(reader.offset(), message));
        }
        self.room.push(syscall_name(reader)?);
        Ok(())
    }
}

fn document(whole: Whole, text: &str) -> Result<(Profile, Vec<Warning>), Problem> {
    if text.len() > MAX_SIZE {
        return Err(Problem::new(0, "larger than 4 MiB: this is no profile"));
    }
    if text.starts_with('\u{feff}') {
        return Err(Problem::new(0, "the file begins with a byte order mark")
            .hint("save it as UTF-8 without one"));
    }
    if text.trim_ascii().is_empty() {
        return Err(Problem::new(0, "the file is empty"));
    }
    let mut parser = Parser {
        reader: Reader::new(text),
        names: Names::new(),
        warnings: Vec::new(),
    };
    let profile = whole(&mut parser)?;
    parser.reader.end()?;
    Ok((profile, parser.warnings))
}

fn profile(parser: &mut Parser) -> Result<Profile, Problem> {
    const KEYS: [&str; 10] = [
        "defaultAction",
        "defaultErrnoRet",
        "defaultErrno",
        "architectures",
        "archMap",
        "flags",
        "listenerPath",
        "listenerMetadata",
        "syscalls",
        "comment",
    ];
    let Parser {
        reader,
        names,
        warnings,
    } = parser;
    read_fields(reader, names, warnings, &KEYS)
}

/// The resource whose `spec` is a profile, as the security-profiles-operator has it.
fn resource(parser: &mut Parser) -> Result<Profile, Problem> {
    const KIND: &str = "SeccompProfile";
    const KEYS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
    const SPEC: [&str; 8] = [
        "defaultAction",
        "architectures",
        "flags",
        "listenerPath",
        "listenerMetadata",
        "syscalls",
        "baseProfileName",
        "disabled",
    ];
    let start = parser.reader.offset();
    let mut is_kind = false;
    let mut found = None;
    let Parser {
        reader,
        names,
        warnings,
    } = parser;
    reader.record(&KEYS, |reader, key| {
        match key {
            "kind" => {
                let At { value, offset } = reader.located_string()?;
                is_kind = value == KIND;
                if !is_kind {
                    let message = format!("{} is not {}", quote(&value), quote(KIND));
                    return Err(Problem::new(offset, message)
                        .hint("give one SeccompProfile: kubectl get seccompprofile NAME -o json"));
                }
            }
            "spec" => found = Some(read_fields(reader, names, warnings, &SPEC)?),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let missing = |what| Problem::new(start, format!("'{what}' is missing"));
    if !is_kind {
        return Err(missing("kind"));
    }
    found.ok_or_else(|| missing("spec"))
}

/// The object that holds the profile.
fn read_fields(
    reader: &mut Reader,
    names: &mut Names,
    warnings: &mut Vec<Warning>,
    keys: &[&'static str],
) -> Result<Profile, Problem> {
    let mut found = Profile::new(Action::KillProcess);
    let mut raw = RawAction::default();
    let mut architectures_at = 0;
    let start = reader.offset();
    let at = reader.position();
    reader.record(keys, |reader, key| {
        match key {
            "defaultAction" => raw.action = Some(reader.located_string()?),
            "defaultErrnoRet" => raw.errno = Some(reader.located_unsigned()?),
            "defaultErrno" => raw.errno_name = errno_name(reader)?,
            "architectures" => {
                architectures_at = reader.offset();
                found.architectures = list(reader, architecture)?;
            }
            "archMap" => found.arch_map = list(reader, arch_map)?,
            "flags" => found.flags = Some(list(reader, flag)?),
            "listenerPath" => found.listener_path = Some(text(reader)?.into_owned()),
            "listenerMetadata" => found.listener_metadata = Some(reader.string()?.into_owned()),
            "comment" => found.comment = Some(reader.string()?.into_owned()),
            "baseProfileName" => {
                let base = reader.located_string()?;
                if !base.value.is_empty() {
                    let message =
                        "the rules of another profile belong to this one, and are not here";
                    return Err(Problem::new(base.offset, message)
                        .hint("merge both by hand, or take the profile from the node"));
                }
            }
            "disabled" => reader.skip()?,
            _ => {
                // As many as usual: to grow is to move all of them. What is not used is room for others later.
                found.rules.reserve(64);
                reader.array(|reader| {
                    found.rules.push(rule(reader, names, warnings)?);
                    Ok(())
                })?;
                found.rules.shrink_to_fit();
            }
        }
        Ok(())
    })?;
    if !found.architectures.is_empty() && !found.arch_map.is_empty() {
        let both = "'architectures' and 'archMap' are both there; a profile has one of them";
        return Err(Problem::new(architectures_at, both));
    }
    if raw.is_unnamed() {
        let message = "'defaultAction' is missing: without it a profile decides nothing";
        let hint = "an allowlist begins with \"defaultAction\": \"SCMP_ACT_ERRNO\"";
        return Err(Problem::new(start, message).hint(hint));
    }
    (found.default_action, found.default_errno) =
        raw.read(["defaultAction", "defaultErrnoRet", "defaultErrno"], start)?;
    warn_of_trace(found.default_action, at, warnings);
    if found.listener_path.is_some() || found.listener_metadata.is_some() {
        warnings.push(Warning::new(at, Oddity::ListenerIgnored));
    }
    Ok(found)
}

fn rule(
    reader: &mut Reader,
    names: &mut Names,
    warnings: &mut Vec<Warning>,
) -> Result<Rule, Problem> {
    const KEYS: [&str; 9] = [
        "name", "names", "action", "errnoRet", "errno", "args", "comment", "includes", "excludes",
    ];
    let start = reader.offset();
    let mut found = Rule::allow([""; 0]);
    found.at = reader.position();
    let mut raw = RawAction::default();
    reader.record(&KEYS, |reader, key| {
        match key {
            "name" => {
                let offset = reader.offset();
                // Docker's own writer leaves `"name": ""` beside `names`.
                let name = text(reader)?;
                if !name.is_empty() {
                    if !found.names.is_empty() {
                        return Err(name_and_names(offset));
                    }
                    found.names.push(name.into());
                    found.old_name_field = true;
                }
            }
            "names" => {
                let offset = reader.offset();
                let read = names.read(reader)?;
                if found.old_name_field && !read.is_empty() {
                    return Err(name_and_names(offset));
                }
                if !found.old_name_field {
                    found.names = read;
                }
            }
            "action" => raw.action = Some(reader.located_string()?),
            "errnoRet" => raw.errno = Some(reader.located_unsigned()?),
            "errno" => raw.errno_name = errno_name(reader)?,
            "args" => found.conditions = list(reader, condition)?,
            "comment" => found.comment = Some(reader.string()?.into_owned()),
            "includes" => found.includes = scope(reader)?,
            _ => found.excludes = scope(reader)?,
        }
        Ok(())
    })?;
    (found.action, found.errno) = raw.read(["action", "errnoRet", "errno"], start)?;
    warn_of_trace(found.action, found.at, warnings);
    if found.names.is_empty() {
        warnings.push(Warning::new(found.at, Oddity::NoNames));
    }
    Ok(found)
}

#[cold]
fn name_and_names(offset: usize) -> Problem {
    Problem::new(
        offset,
        "'name' and 'names' are both there; an entry has one of them",
    )
}

fn warn_of_trace(action: Action, at: Position, warnings: &mut Vec<Warning>) {
    if matches!(action, Action::Trace(_)) {
        warnings.push(Warning::new(at, Oddity::Trace));
    }
}

/// The fields that make an action, which can come in any order.
#[derive(Default)]
struct RawAction<'a> {
    action: Option<At<Cow<'a, str>>>,
    errno: Option<At<u64>>,
    errno_name: Option<At<u16>>,
}

impl RawAction<'_> {
    fn is_unnamed(&self) -> bool {
        self.action.as_ref().is_none_or(|at| at.value.is_empty())
    }

    /// The action, and Podman's errno; `keys` are the names of the three fields, `start` is where the
    /// object begins.
    fn read(
        &self,
        keys: [&'static str; 3],
        start: usize,
    ) -> Result<(Action, Option<u16>), Problem> {
        let [action_key, errno_key, errno_name_key] = keys;
        let Some(name) = self.action.as_ref().filter(|_| !self.is_unnamed()) else {
            return Err(Problem::new(start, format!("'{action_key}' is missing")));
        };
        let action = |data| {
            Action::from_scmp_name(&name.value, data).ok_or_else(|| {
                let message = format!("unknown action {}", quote(&name.value));
                Problem::new(name.offset, message)
                    .did_you_mean(&name.value, Action::SCMP_NAMES)
                    .inside(action_key)
            })
        };
        let kind = action(DEFAULT_ERRNO)?;
        if kind == Action::Notify {
            let message = "SCMP_ACT_NOTIFY is not supported: there is no listener to decide";
            return Err(Problem::new(name.offset, message).inside(action_key));
        }
        let limit = match kind {
            Action::Errno(_) => MAX_ERRNO,
            Action::Trace(_) => u16::MAX,
            _ => {
                let errno = self.errno.as_ref().map(|at| (at.offset, errno_key));
                let named = self.errno_name.map(|at| (at.offset, errno_name_key));
                return match errno.or(named) {
                    None => Ok((kind, None)),
                    Some((offset, key)) => {
                        let message = format!("{} takes no errno", kind.scmp_name());
                        Err(Problem::new(offset, message).inside(key))
                    }
                };
            }
        };
        let errno = self.errno.as_ref().map_or(Ok(DEFAULT_ERRNO), |at| {
            u16::try_from(at.value)
                .ok()
                .filter(|&errno| errno <= limit)
                .ok_or_else(|| {
                    let message = format!("{} is too large: 0 to {limit} is possible", at.value);
                    Problem::new(at.offset, message).inside(errno_key)
                })
        })?;
        Ok((action(errno)?, self.errno_name.map(|at| at.value)))
    }
}

/// Podman's errno: a name or a decimal number. An empty one counts as absent, there as here.
fn errno_name(reader: &mut Reader) -> Result<Option<At<u16>>, Problem> {
    let At { value, offset } = reader.located_string()?;
    if value.is_empty() {
        return Ok(None);
    }
    let number = value.parse().ok().filter(|_| !value.starts_with('+'));
    let errno = number.or_else(|| errno_of_name(&value));
    match errno.filter(|&errno| errno <= MAX_ERRNO) {
        Some(value) => Ok(Some(At { value, offset })),
        None => Err(Problem::new(
            offset,
            format!("unknown errno {}", quote(&value)),
        )),
    }
}

/// The number of an errno's name, such as `ENOSYS`.
pub(crate) fn errno_of_name(name: &str) -> Option<u16> {
    /// The second names of two errnos.
    const ALIASES: [(&str, Errno); 2] = [
        ("EWOULDBLOCK", Errno::EAGAIN),
        ("ENOTSUP", Errno::EOPNOTSUPP),
    ];
    let alias = ALIASES.into_iter().find(|&(alias, _)| alias == name);
    let errno = alias.map(|(_, errno)| errno).or_else(|| {
        (1..=i32::from(MAX_ERRNO))
            .map(Errno::from_raw)
            .find(|&errno| errno != Errno::UnknownErrno && format!("{errno:?}") == name)
    })?;
    u16::try_from(errno as i32).ok()
}

fn list<'a, T>(
    reader: &mut Reader<'a>,
    mut element: impl FnMut(&mut Reader<'a>) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let mut found = Vec::new();
    reader.array(|reader| {
        found.push(element(reader)?);
        Ok(())
    })?;
    Ok(found)
}

/// A text that reaches the kernel or a table, where a NUL would end it early.
fn text<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, Problem> {
    // Without escapes it has none: only an escape can be a control character.
    if let Some(plain) = reader.plain() {
        return Ok(Cow::Borrowed(plain));
    }
    let At { value, offset } = reader.located_string()?;
    if value.contains('\0') {
        return Err(Problem::new(offset, "a NUL character has no place here"));
    }
    Ok(value)
}

fn syscall_name(reader: &mut Reader) -> Result<Name, Problem> {
    let offset = reader.offset();
    let name = text(reader)?;
    if name.is_empty() {
        return Err(Problem::new(offset, "an empty name"));
    }
    Ok(name.into())
}

fn architecture(reader: &mut Reader) -> Result<Arch, Problem> {
    let At { value, offset } = reader.located_string()?;
    Arch::from_scmp_name(&value).ok_or_else(|| {
        Problem::new(offset, format!("unknown architecture {}", quote(&value)))
            .did_you_mean(&value, Arch::ALL.map(Arch::scmp_name))
    })
}

fn arch_map(reader: &mut Reader) -> Result<ArchMap, Problem> {
    let start = reader.offset();
    let mut native = None;
    let mut sub_architectures = Vec::new();
    reader.record(&["architecture", "subArchitectures"], |reader, key| {
        match key {
            "architecture" => native = Some(architecture(reader)?),
            _ => sub_architectures = list(reader, architecture)?,
        }
        Ok(())
    })?;
    let architecture = native.ok_or_else(|| Problem::new(start, "'architecture' is missing"))?;
    Ok(ArchMap {
        architecture,
        sub_architectures,
    })
}

fn flag(reader: &mut Reader) -> Result<Flag, Problem> {
    let At { value, offset } = reader.located_string()?;
    let found = Flag::ALL.into_iter().find(|flag| flag.name() == value);
    found.ok_or_else(|| {
        Problem::new(offset, format!("unknown flag {}", quote(&value)))
            .did_you_mean(&value, Flag::ALL.map(Flag::name))
    })
}

/// Makes an operator of its mask, which only one has.
type MakeOp = fn(u64) -> Op;

const OPERATORS: [(&str, MakeOp); 7] = [
    ("SCMP_CMP_NE", |_| Op::Ne),
    ("SCMP_CMP_LT", |_| Op::Lt),
    ("SCMP_CMP_LE", |_| Op::Le),
    ("SCMP_CMP_EQ", |_| Op::Eq),
    ("SCMP_CMP_GE", |_| Op::Ge),
    ("SCMP_CMP_GT", |_| Op::Gt),
    ("SCMP_CMP_MASKED_EQ", Op::MaskedEq),
];

fn condition(reader: &mut Reader) -> Result<Condition, Problem> {
    let start = reader.offset();
    let (mut index, mut value, mut value_two, mut op) = (None, None, 0, None);
    reader.record(&["index", "value", "valueTwo", "op"], |reader, key| {
        match key {
            "index" => {
                let At { value, offset } = reader.located_unsigned()?;
                let small = u8::try_from(value).ok().filter(|&index| index < 6);
                index = Some(small.ok_or_else(|| {
                    let message = format!("{value} is no argument: a syscall has 0 to 5");
                    Problem::new(offset, message)
                })?);
            }
            "value" => value = Some(reader.unsigned()?),
            "valueTwo" => value_two = reader.unsigned()?,
            _ => op = Some(operator(reader)?),
        }
        Ok(())
    })?;
    let missing = |key| Problem::new(start, format!("'{key}' is missing"));
    let index = index.ok_or_else(|| missing("index"))?;
    let value = value.ok_or_else(|| missing("value"))?;
    let op = op.ok_or_else(|| missing("op"))?(value);
    let value = match op {
        Op::MaskedEq(_) => value_two,
        _ => value,
    };
    Ok(Condition { index, op, value })
}

fn operator(reader: &mut Reader) -> Result<MakeOp, Problem> {
    let At { value, offset } = reader.located_string()?;
    let found = OPERATORS.iter().find(|(name, _)| *name == value);
    found.map(|&(_, op)| op).ok_or_else(|| {
        Problem::new(offset, format!("unknown operator {}", quote(&value)))
            .did_you_mean(&value, OPERATORS.map(|(name, _)| name))
    })
}

fn scope(reader: &mut Reader) -> Result<Scope, Problem> {
    let mut found = Scope::default();
    reader.record(&["caps", "arches", "minKernel"], |reader, key| {
        match key {
            "caps" => reader.array(|reader| {
                let At { value, offset } = reader.located_string()?;
                let capability = Capabilities::parse_name(&value).ok_or_else(|| {
                    let message = format!("unknown capability {}", quote(&value));
                    let known: Vec<_> = Capabilities::ALL.names().collect();
                    Problem::new(offset, message)
                        .did_you_mean(&value, known.iter().map(String::as_str))
                })?;
                found.caps.insert(capability);
                Ok(())
            })?,
            "arches" => found.arches = list(reader, native_architecture)?,
            _ => {
                let At { value, offset } = reader.located_string()?;
                let version = KernelVersion::parse(&value).ok_or_else(|| {
                    let message = format!("{} is no kernel version", quote(&value));
                    Problem::new(offset, message).hint("two numbers up to 255, such as \"4.8\"")
                })?;
                found.min_kernel = Some(version);
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// An architecture under the name that Docker compares with: `amd64`, not `x86_64`, which it would take for
/// one that no host has.
fn native_architecture(reader: &mut Reader) -> Result<Arch, Problem> {
    let At { value, offset } = reader.located_string()?;
    let found = Arch::ALL.into_iter().find(|arch| arch.go_name() == value);
    found.ok_or_else(|| {
        let problem = Problem::new(offset, format!("unknown architecture {}", quote(&value)));
        let other_name = Arch::from_short_name(&value).or_else(|| Arch::from_scmp_name(&value));
        match other_name {
            Some(arch) => problem.hint(format!("here it is called '{}'", arch.go_name())),
            None => problem.did_you_mean(&value, Arch::ALL.map(Arch::go_name)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Profile, Vec<Warning>), ParseError> {
        Profile::parse(text.as_bytes(), "p.json")
    }

    fn error(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    /// A profile with one entry of these fields.
    fn entry(fields: &str) -> String {
        format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{{fields}}}]}}"#)
    }

    /// A profile with one rule with one condition of these fields.
    fn arg(fields: &str) -> String {
        entry(&format!(
            r#""names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{{{fields}}}]"#
        ))
    }

    #[test]
    fn every_field_is_read() {
        let text = r#"{
            "$schema": "x", "x-mine": {"a": [1]}, "comment": "all",
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "defaultErrno": "EPERM",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls": [
                {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "comment": "io"},
                {"name": "clone", "action": "SCMP_ACT_TRAP", "x-why": null,
                 "args": [{"index": 5, "value": 18446744073709551615, "valueTwo": 7,
                           "op": "SCMP_CMP_MASKED_EQ", "comment": 1}],
                 "includes": {"caps": ["CAP_BPF"], "arches": ["amd64", "arm64"], "minKernel": "4.8"},
                 "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"names": ["open"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0, "errno": "2"}
            ]
        }"#;
        let (profile, warnings) = parse(text).unwrap();
        assert_eq!(warnings, []);
        assert_eq!(profile.default_action, Action::Errno(38));
        assert_eq!(profile.default_errno, Some(1));
        assert_eq!(profile.comment.as_deref(), Some("all"));
        assert_eq!(profile.architectures, [Arch::X86_64, Arch::X32]);
        assert_eq!(profile.flags, Some(vec![Flag::Log]));
        let [io, clone, open] = profile.rules.as_slice() else {
            panic!("{profile:?}")
        };
        assert_eq!(
            *io,
            Rule {
                comment: Some("io".to_owned()),
                ..Rule::allow(["read", "write"])
            }
        );
        assert_eq!((io.at.line, io.at.column), (7, 17));
        let condition = Condition {
            index: 5,
            op: Op::MaskedEq(u64::MAX),
            value: 7,
        };
        assert_eq!(clone.conditions, [condition]);
        assert!(clone.old_name_field && clone.action == Action::Trap);
        assert_eq!(clone.includes.arches, [Arch::X86_64, Arch::Aarch64]);
        assert_eq!(
            clone.includes.min_kernel,
            Some(KernelVersion { major: 4, minor: 8 })
        );
        assert_eq!(
            clone.excludes.caps.names().collect::<Vec<_>>(),
            ["CAP_SYS_ADMIN"]
        );
        assert_eq!((open.action, open.errno), (Action::Errno(0), Some(2)));
    }

    #[test]
    fn actions_are_the_kernels() {
        let cases = [
            ("SCMP_ACT_KILL", Action::KillProcess),
            ("SCMP_ACT_KILL_PROCESS", Action::KillProcess),
            ("SCMP_ACT_KILL_THREAD", Action::KillThread),
            ("SCMP_ACT_TRAP", Action::Trap),
            ("SCMP_ACT_ERRNO", Action::Errno(1)),
            ("SCMP_ACT_TRACE", Action::Trace(1)),
            ("SCMP_ACT_LOG", Action::Log),
            ("SCMP_ACT_ALLOW", Action::Allow),
        ];
        for (name, want) in cases {
            let (profile, _) = parse(&format!(r#"{{"defaultAction":"{name}"}}"#)).unwrap();
            assert_eq!(profile.default_action, want, "{name}");
        }
        // The default's errno is not inherited.
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,
            "syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO"}]}"#;
        assert_eq!(parse(text).unwrap().0.rules[0].action, Action::Errno(1));
    }

    #[test]
    fn go_reads_null_as_absent_and_keys_in_any_case() {
        let text = r#"{"DefaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":null,"archMap":
            [{"architecture":"SCMP_ARCH_X86_64","subArchitectures":null}],"flags":null,
            "architectures":null,"SYSCALLS":[{"NAMES":["read"],"action":"SCMP_ACT_ALLOW",
            "args":null,"comment":null,"includes":null,"excludes":{"caps":null}}]}"#;
        let (profile, warnings) = parse(text).unwrap();
        assert_eq!((warnings, profile.flags.clone()), (vec![], None));
        assert_eq!(profile.rules, [Rule::allow(["read"])]);
        let none = parse(r#"{"defaultAction":"SCMP_ACT_LOG","syscalls":null}"#);
        assert_eq!(none.unwrap().0.rules, []);
    }

    #[test]
    fn empty_lists_contradict_nothing() {
        for text in [
            entry(r#""name":"","names":["a"],"action":"SCMP_ACT_ALLOW""#),
            entry(r#""name":"a","names":[],"action":"SCMP_ACT_ALLOW""#),
            entry(r#""names":null,"name":"a","action":"SCMP_ACT_ALLOW""#),
        ] {
            assert_eq!(parse(&text).unwrap().0.rules[0].names, ["a"], "{text}");
        }
        let text =
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_ARM"],"archMap":[]}"#;
        assert_eq!(parse(text).unwrap().0.architectures, [Arch::Arm]);
    }

    #[test]
    fn odd_profiles_are_warned_about() {
        let cases = [
            (
                entry(r#""names":["a"],"action":"SCMP_ACT_TRACE""#),
                Oddity::Trace,
            ),
            (entry(r#""action":"SCMP_ACT_ALLOW""#), Oddity::NoNames),
            (
                r#"{"defaultAction":"SCMP_ACT_TRACE","defaultErrnoRet":65535}"#.to_owned(),
                Oddity::Trace,
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_LOG","listenerPath":"/run/x"}"#.to_owned(),
                Oddity::ListenerIgnored,
            ),
        ];
        for (text, want) in cases {
            let (_, warnings) = parse(&text).unwrap();
            let about: Vec<_> = warnings.into_iter().map(|warning| warning.about).collect();
            assert_eq!(about, [want], "{text}");
        }
    }

    fn refused<'w>(cases: impl IntoIterator<Item = (String, &'w str)>) {
        for (text, want) in cases {
            let shown = error(&text);
            let start = &text[..text.len().min(90)];
            assert!(shown.contains(want), "{start}\n got {shown}\nwant {want}");
        }
    }

    #[test]
    fn mistakes_in_the_document_are_named_with_place_and_path() {
        let cases = [
            (
                "{}",
                "p.json:1:1: 'defaultAction' is missing: without it a profile decides nothing",
            ),
            (r#"{"defaultAction":""}"#, "1:1: 'defaultAction' is missing"),
            (
                r#"{"defaultAction":null,"syscalls":[]}"#,
                "1:1: 'defaultAction' is missing",
            ),
            (
                "{\n \"defaultAction\": \"SCMP_ACT_ALOW\"}",
                "p.json:2:19: defaultAction: unknown action 'SCMP_ACT_ALOW'",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#,
                "defaultAction: SCMP_ACT_NOTIFY is not supported",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_LOG","defaultErrnoRet":1}"#,
                "defaultErrnoRet: SCMP_ACT_LOG takes no errno",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_LOG","defaultErrno":"EPERM"}"#,
                "defaultErrno: SCMP_ACT_LOG takes no errno",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"EPREM"}"#,
                "defaultErrno: unknown errno 'EPREM'",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"4096"}"#,
                "unknown errno '4096'",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_LOG","defaultAction":"SCMP_ACT_LOG"}"#,
                "1:33: the key 'defaultAction' is there twice",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_LOG","DEFAULTACTION":null}"#,
                "the key 'DEFAULTACTION' is there twice",
            ),
            (
                r#"{"x-a":1,"x-a":1,"defaultAction":"SCMP_ACT_LOG"}"#,
                "the key 'x-a' is there twice",
            ),
            (r#"{"syscall":[]}"#, "1:2: unknown key 'syscall'"),
            (
                r#"{"architectures":["X86"]}"#,
                "architectures[0]: unknown architecture 'X86'",
            ),
            (
                r#"{"architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86"}]}"#,
                "'architectures' and 'archMap' are both there",
            ),
            (
                r#"{"archMap":[{}]}"#,
                "archMap[0]: 'architecture' is missing",
            ),
            (r#"{"flags":["LOG"]}"#, "flags[0]: unknown flag 'LOG'"),
            (
                r#"{"listenerPath":"a\u0000"}"#,
                "listenerPath: a NUL character",
            ),
            (
                r#"{"syscalls":[null]}"#,
                "syscalls[0]: expected an object, but null is there",
            ),
        ];
        refused(cases.map(|(text, want)| (text.to_owned(), want)));
    }

    #[test]
    fn mistakes_in_entries_are_named_with_place_and_path() {
        let cases = [
            (r#""errnoRet":1"#, "syscalls[0]: 'action' is missing"),
            (
                r#""action":"ALLOW""#,
                "syscalls[0].action: unknown action 'ALLOW'",
            ),
            (
                r#""action":"SCMP_ACT_NOTIFY""#,
                "syscalls[0].action: SCMP_ACT_NOTIFY is not supported",
            ),
            (
                r#""errnoRet":1,"action":"SCMP_ACT_ALLOW""#,
                "syscalls[0].errnoRet: SCMP_ACT_ALLOW takes no errno",
            ),
            (
                r#""errnoRet":4096,"action":"SCMP_ACT_ERRNO""#,
                "1:59: syscalls[0].errnoRet: 4096 is too large: 0 to 4095 is possible",
            ),
            (
                r#""errnoRet":65536,"action":"SCMP_ACT_TRACE""#,
                "syscalls[0].errnoRet: 65536 is too large: 0 to 65535",
            ),
            (
                r#""errnoRet":-1,"action":"SCMP_ACT_ERRNO""#,
                "syscalls[0].errnoRet: '-1' is negative",
            ),
            (
                r#""names":["a"],"name":"b""#,
                "syscalls[0].name: 'name' and 'names' are both there",
            ),
            (
                r#""name":"b","names":["a"]"#,
                "syscalls[0].names: 'name' and 'names' are both there",
            ),
            (
                r#""names":"a""#,
                "syscalls[0].names: expected an array, but a string is there",
            ),
            (r#""names":["a",""]"#, "syscalls[0].names[1]: an empty name"),
            (
                r#""names":["a\u0000b"]"#,
                "syscalls[0].names[0]: a NUL character",
            ),
            (r#""arg":[]"#, "syscalls[0]: unknown key 'arg'"),
            (
                r#""includes":{"cap":[]}"#,
                "syscalls[0].includes: unknown key 'cap'",
            ),
            (
                r#""includes":{"caps":["CAP_SYS_ADMN"]}"#,
                "syscalls[0].includes.caps[0]: unknown capability 'CAP_SYS_ADMN'",
            ),
            (
                r#""excludes":{"arches":["x86_64"]}"#,
                "syscalls[0].excludes.arches[0]: unknown architecture 'x86_64'",
            ),
            (
                r#""includes":{"minKernel":"4.8.1"}"#,
                "syscalls[0].includes.minKernel: '4.8.1' is no kernel version",
            ),
        ];
        refused(cases.map(|(fields, want)| (entry(fields), want)));
        let many = r#""a","#.repeat(MAX_NAMES);
        refused([(
            entry(&format!(r#""names":[{many}"a"]"#)),
            "more than 65536 names",
        )]);
    }

    #[test]
    fn names_are_those_of_their_entry_and_counted_over_all() {
        let entries = |counts: &[usize]| {
            let entries = counts.iter().enumerate().map(|(at, &count)| {
                let names = vec![format!(r#""n{at}""#); count].join(",");
                format!(r#"{{"names":[{names}],"action":"SCMP_ACT_ALLOW"}}"#)
            });
            let entries = entries.collect::<Vec<_>>().join(",");
            format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{entries}]}}"#)
        };
        let counts = [3, 0, 1, 700, 2];
        let profile = parse(&entries(&counts)).unwrap().0;
        for (at, (rule, count)) in profile.rules.iter().zip(counts).enumerate() {
            assert_eq!(rule.names, vec![Name::from(format!("n{at}")); count]);
        }
        let half = MAX_NAMES / 2;
        assert!(parse(&entries(&[half, half])).is_ok());
        refused([(
            entries(&[half, half + 1]),
            "syscalls[1].names[32768]: more than 65536 names",
        )]);
    }

    #[test]
    fn mistakes_in_args_are_named_with_place_and_path() {
        let cases = [
            (
                r#""index":6,"value":0,"op":"SCMP_CMP_EQ""#,
                "syscalls[0].args[0].index: 6 is no argument: a syscall has 0 to 5",
            ),
            (
                r#""index":0,"value":-1,"op":"SCMP_CMP_EQ""#,
                "p.json:1:120: syscalls[0].args[0].value: '-1' is negative",
            ),
            (
                r#""index":0,"value":1.5,"op":"SCMP_CMP_EQ""#,
                "syscalls[0].args[0].value: '1.5' is not a whole number",
            ),
            (
                r#""index":0,"value":18446744073709551616,"op":"SCMP_CMP_EQ""#,
                "args[0].value: '18446744073709551616' is larger than",
            ),
            (
                r#""index":0,"value":1,"op":"SCMP_CMP_EQUAL""#,
                "syscalls[0].args[0].op: unknown operator 'SCMP_CMP_EQUAL'",
            ),
            (
                r#""index":0,"value":1,"valuetwo":"2","op":"SCMP_CMP_EQ""#,
                "args[0].valueTwo: expected a number, but a string is there",
            ),
            (r#""value":1,"op":"SCMP_CMP_EQ""#, "'index' is missing"),
            (r#""index":1,"op":"SCMP_CMP_EQ""#, "'value' is missing"),
            (r#""index":1,"value":2"#, "args[0]: 'op' is missing"),
        ];
        refused(cases.map(|(fields, want)| (arg(fields), want)));
    }

    #[test]
    fn what_is_no_json_document_is_refused() {
        let deep = format!(r#"{{"x-a":{}"#, "[".repeat(1000));
        let large = format!("{{}}{}", " ".repeat(MAX_SIZE));
        let cases = [
            ("[]", "1:1: expected an object, but an array is there"),
            ("null", "expected an object, but null is there"),
            ("", "p.json:1:1: the file is empty"),
            (" \n", "the file is empty"),
            ("\u{feff}{}", "begins with a byte order mark"),
            (
                r#"{"defaultAction":"SCMP_ACT_LOG"} {"#,
                "1:34: expected the end of the file, but an object is there",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_LOG""#,
                "1:32: expected ',' or '}', but the file ends",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_L"#,
                "expected the string's closing quote, but the file ends",
            ),
            (&deep, "nested more than 32 levels deep"),
            (&large, "larger than 4 MiB"),
        ];
        refused(cases.map(|(text, want)| (text.to_owned(), want)));
    }

    #[test]
    fn hints_name_what_was_meant() {
        let cases = [
            (r#"{"defaultActoin":""}"#, "did you mean 'defaultAction'?"),
            (
                r#"{"defaultAction":"SCMP_ACT_ALOW"}"#,
                "did you mean 'SCMP_ACT_ALLOW'?",
            ),
            (
                r#"{"architectures":["SCMP_ARCH_X68"]}"#,
                "did you mean 'SCMP_ARCH_X86'?",
            ),
            (
                r#"{"syscalls":[{"includes":{"arches":["x86_64"]}}]}"#,
                "here it is called 'amd64'",
            ),
            (
                r#"{"syscalls":[{"includes":{"caps":["CAP_SYS_ADMN"]}}]}"#,
                "did you mean 'CAP_SYS_ADMIN'?",
            ),
            (
                r#"{"syscalls":[{"args":[{"op":"SCMP_CMP_MASK_EQ"}]}]}"#,
                "did you mean 'SCMP_CMP_MASKED_EQ'?",
            ),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text).unwrap_err().hint(), Some(want), "{text}");
        }
    }

    #[test]
    fn the_excerpt_points_at_the_mistake() {
        let error = parse("{\n\t\"x\": 1}").unwrap_err();
        assert_eq!(error.excerpt(), " \"x\": 1}\n ^");
        let long = format!("{{{}\"é\u{9b}31m\": 1}}", " ".repeat(1000));
        let excerpt = parse(&long).unwrap_err().excerpt().to_owned();
        let (line, caret) = excerpt.split_once('\n').unwrap();
        assert_eq!(line.find("\"é"), Some(60));
        assert_eq!(caret.len(), 61);
        assert!(!line.contains('\u{9b}'));
        let error = parse("").unwrap_err();
        assert_eq!(error.excerpt(), "\n^");
    }

    #[test]
    fn other_encodings_are_refused() {
        for (bytes, place) in [(&b"{\n \"a\xff\""[..], "2:4"), (b"\xff\xfe{\0}\0", "1:1")] {
            let error = Profile::parse(bytes, "p").unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("p:{place}: this byte is not UTF-8")
            );
        }
    }

    #[test]
    fn errnos_have_names() {
        let cases = [
            ("EPERM", Some(1)),
            ("ENOSYS", Some(38)),
            ("EAGAIN", Some(11)),
            ("EWOULDBLOCK", Some(11)),
            ("ENOTSUP", Some(95)),
            ("EOPNOTSUPP", Some(95)),
            ("UnknownErrno", None),
            ("eperm", None),
        ];
        for (name, want) in cases {
            assert_eq!(errno_of_name(name), want, "{name}");
        }
    }
}
