//! A JSON reader that knows where it is.
//!
//! `serde_json` gives a position only for errors of its own. A profile that is well-formed JSON and still
//! wrong (an errno of 5000, a key that nothing reads) needs one as well, so this reader hands out values one
//! by one, typed, and every complaint is raised at the value that caused it. It builds no tree: memory is
//! bounded by what the caller keeps.
//!
//! Strict where it matters to us: keys are matched as Go matches them, twice the same key is an error, and
//! numbers are unsigned 64-bit integers.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::model::Position;
use super::nearest::nearest;

/// Deeper nesting than this is refused; the deepest value of a profile lies at 6.
const MAX_DEPTH: u32 = 32;

/// How much of a quoted text a message shows.
const QUOTED: usize = 48;

/// What is wrong. In a box, since everything that reads could return it and nearly never does; and made by functions that
/// are marked as cold, so that the code of what reads lies together.
#[derive(Debug)]
pub(super) struct Problem(Box<Mistake>);

/// What is wrong, and where: the byte, and the way to it from the top of the document.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) offset: usize,
    pub(super) path: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Problem {
    #[cold]
    pub(super) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self(Box::new(Mistake {
            offset,
            path: String::new(),
            message: message.into(),
            hint: None,
        }))
    }

    pub(super) fn mistake(self) -> Mistake {
        *self.0
    }

    #[cold]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Hints at the known word that was probably meant.
    pub(super) fn did_you_mean<'w>(
        self,
        word: &str,
        known: impl IntoIterator<Item = &'w str>,
    ) -> Self {
        match nearest(word, known) {
            Some(found) => self.hint(format!("did you mean '{found}'?")),
            None => self,
        }
    }

    /// Prepends a step to the path, when the error leaves that object or array.
    #[cold]
    pub(super) fn inside(mut self, step: &str) -> Self {
        let dot = if self.0.path.is_empty() || self.0.path.starts_with('[') {
            ""
        } else {
            "."
        };
        self.0.path = format!("{step}{dot}{}", self.0.path);
        self
    }
}

/// A value, and the byte it begins at.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) offset: usize,
}

/// A text in quotes for a message: control characters escaped, cut when long.
#[cold]
pub(super) fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("'{}'", shown.escape_debug())
}

pub(super) struct Reader<'a> {
    text: &'a str,
    /// Where the next token begins: white space is passed over together with the token before it.
    at: usize,
    depth: u32,
    mark: Mark,
}

/// How far lines have been counted. Positions are asked for in the order of the text, so that the counting
/// goes over the text once, also when all of it is one line.
struct Mark {
    offset: usize,
    position: Position,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mark = Mark {
            offset: 0,
            position: Position::START,
        };
        let mut reader = Self {
            text,
            at: 0,
            depth: 0,
            mark,
        };
        reader.pass(0);
        reader
    }

    /// The byte at which the next value begins.
    pub(super) const fn offset(&self) -> usize {
        self.at
    }

    /// Line and column of the next value.
    pub(super) fn position(&mut self) -> Position {
        let passed = self.text.get(self.mark.offset..self.at);
        self.mark.position = self.mark.position.after(passed.unwrap_or_default());
        self.mark.offset = self.at;
        self.mark.position
    }

    /// After the one value of a document: nothing may follow.
    pub(super) fn end(&mut self) -> Result<(), Problem> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the file")),
        }
    }

    /// Takes a `null`, if that is next.
    pub(super) fn null(&mut self) -> bool {
        let is_null = self.peek() == Some(b'n') && self.rest().starts_with("null");
        if is_null {
            self.pass(4);
        }
        is_null
    }

    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Problem> {
        self.string_for("a string")
    }

    pub(super) fn located_string(&mut self) -> Result<At<Cow<'a, str>>, Problem> {
        let offset = self.offset();
        self.string().map(|value| At { value, offset })
    }

    pub(super) fn located_unsigned(&mut self) -> Result<At<u64>, Problem> {
        let offset = self.offset();
        self.unsigned().map(|value| At { value, offset })
    }

    /// An integer from 0 to `u64::MAX`, exactly.
    pub(super) fn unsigned(&mut self) -> Result<u64, Problem> {
        let offset = self.at;
        let Some(b'-' | b'0'..=b'9') = self.peek() else {
            let problem = self.unexpected("a number");
            return Err(if self.peek() == Some(b'"') {
                problem.hint("numbers are written without quotes")
            } else {
                problem
            });
        };
        let token = self.number_token();
        let refuse = |why: &str| Err(Problem::new(offset, format!("{} {why}", quote(token))));
        if token.starts_with('-') {
            return refuse("is negative; only 0 and above can be compared")
                .map_err(|p| p.hint("write a negative argument as the unsigned number with the same bits: -1 is 18446744073709551615, or 4294967295 in 32 bits"));
        }
        if !token.bytes().all(|byte| byte.is_ascii_digit()) {
            return refuse("is not a whole number");
        }
        if token.len() > 1 && token.starts_with('0') {
            return refuse("begins with a zero, which JSON does not allow");
        }
        token
            .parse()
            .or_else(|_| refuse("is larger than 18446744073709551615, the largest 64-bit number"))
    }

    /// The elements of an array, or none for `null`, as Go reads it.
    pub(super) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.elements(&mut element, |_, _| 0, |element, reader| element(reader))
    }

    /// The same, where some elements can be taken sooner: before each of the others `several` takes as many as it can, up
    /// to the beginning of another, and says how many these were.
    pub(super) fn elements<C>(
        &mut self,
        context: &mut C,
        several: impl Fn(&mut C, &mut Self) -> usize,
        one: impl Fn(&mut C, &mut Self) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        if self.null() {
            return Ok(());
        }
        self.open(b'[', "an array")?;
        if self.close(b']') {
            return Ok(());
        }
        let mut index = 0;
        loop {
            index += several(context, self);
            one(context, self).map_err(|problem| problem.inside(&format!("[{index}]")))?;
            if self.close(b']') {
                return Ok(());
            }
            self.comma("',' or ']'")?;
            index += 1;
        }
    }

    /// Takes a string that is not empty and written as it is meant, with the comma behind it, where another string follows.
    pub(super) fn plain_of_several(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let end = start + plain_length(bytes.get(start..)?);
        let after = end + 2;
        if start == end
            || bytes.get(self.at) != Some(&b'"')
            || bytes.get(end..after) != Some(b"\",")
        {
            return None;
        }
        let next = after + white_length(bytes.get(after..)?);
        if bytes.get(next) != Some(&b'"') {
            return None;
        }
        let plain = self.text.get(start..end)?;
        self.at = next;
        Some(plain)
    }

    /// An object of which these keys are known; `field` takes the value of each one that is there.
    ///
    /// A key whose value is `null` counts as absent, as it does in Go. `comment`, `$schema` and `x-*` are
    /// passed over unless they are known.
    pub(super) fn record(
        &mut self,
        known: &[&'static str],
        mut field: impl FnMut(&mut Self, &'static str) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let mut seen = 0_u32;
        let mut extras = BTreeSet::new();
        self.members(|reader, key, offset| {
            let twice = || Problem::new(offset, format!("the key {} is there twice", quote(key)));
            let exactly = known.iter().position(|name| key == *name);
            let folded = || known.iter().position(|name| is_key(key, name));
            let Some(place) = exactly.or_else(folded) else {
                let ignored = key == "comment" || key == "$schema" || key.starts_with("x-");
                if !ignored {
                    let unknown = Problem::new(offset, format!("unknown key {}", quote(key)));
                    return Err(unknown.did_you_mean(key, known.iter().copied()));
                }
                if !extras.insert(key.to_owned()) {
                    return Err(twice());
                }
                return reader.skip();
            };
            let bit = 1 << place;
            if seen & bit != 0 {
                return Err(twice());
            }
            seen |= bit;
            match known.get(place) {
                Some(name) if !reader.null() => {
                    field(reader, name).map_err(|problem| problem.inside(name))
                }
                _ => Ok(()),
            }
        })
    }

    /// Passes over any value, which must still be JSON.
    pub(super) fn skip(&mut self) -> Result<(), Problem> {
        match self.peek() {
            Some(b'{') => self.members(|reader, _, _| reader.skip()),
            Some(b'[') => self.array(Self::skip),
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => {
                let offset = self.at;
                let token = self.number_token();
                // The grammar of JSON's numbers is serde_json's business; the value is not used.
                serde_json::from_str::<serde_json::Number>(token)
                    .map(drop)
                    .map_err(|_| Problem::new(offset, format!("{} is not a number", quote(token))))
            }
            _ => {
                let literal = ["null", "true", "false"]
                    .into_iter()
                    .find(|literal| self.rest().starts_with(literal));
                let literal = literal.ok_or_else(|| self.unexpected("a value"))?;
                self.pass(literal.len());
                Ok(())
            }
        }
    }

    /// Goes through a value of any kind: `found` gets the path and the place of everything in it.
    pub(super) fn visit(
        &mut self,
        path: &str,
        found: &mut impl FnMut(&str, Position),
    ) -> Result<(), Problem> {
        found(path, self.position());
        match self.peek() {
            Some(b'{') => self.members(|reader, key, _| {
                let dot = if path.is_empty() { "" } else { "." };
                reader.visit(&format!("{path}{dot}{key}"), found)
            }),
            Some(b'[') => {
                let mut index = 0_usize;
                self.array(|reader| {
                    let element = format!("{path}[{index}]");
                    index += 1;
                    reader.visit(&element, found)
                })
            }
            _ => self.skip(),
        }
    }

    fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, &str, usize) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.open(b'{', "an object")?;
        if self.close(b'}') {
            return Ok(());
        }
        loop {
            let offset = self.at;
            let key = self.string_for("a key in double quotes")?;
            if self.peek() != Some(b':') {
                return Err(self.unexpected("':'"));
            }
            self.pass(1);
            member(self, &key, offset)?;
            if self.close(b'}') {
                return Ok(());
            }
            self.comma("',' or '}'")?;
        }
    }

    fn open(&mut self, bracket: u8, what: &str) -> Result<(), Problem> {
        if self.peek() != Some(bracket) {
            return Err(self.unexpected(what));
        }
        if self.depth == MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep");
            return Err(Problem::new(self.at, message));
        }
        self.depth += 1;
        self.pass(1);
        Ok(())
    }

    fn close(&mut self, bracket: u8) -> bool {
        let closes = self.peek() == Some(bracket);
        if closes {
            self.depth -= 1;
            self.pass(1);
        }
        closes
    }

    fn comma(&mut self, wanted: &str) -> Result<(), Problem> {
        if self.peek() != Some(b',') {
            return Err(self.unexpected(wanted));
        }
        self.pass(1);
        match self.peek() {
            Some(b']' | b'}') => Err(self
                .unexpected("another element after ','")
                .hint("JSON has no comma after the last element")),
            _ => Ok(()),
        }
    }

    fn string_for(&mut self, what: &str) -> Result<Cow<'a, str>, Problem> {
        if let Some(plain) = self.plain() {
            return Ok(Cow::Borrowed(plain));
        }
        if self.peek() != Some(b'"') {
            return Err(self.unexpected(what));
        }
        self.at += 1;
        let mut text = self.plain_run().to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.pass(1);
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => {
                    let message = "a control character in a string; it must be escaped";
                    return Err(Problem::new(self.at, message));
                }
                None => return Err(self.unexpected("the string's closing quote")),
            }
            text.push_str(self.plain_run());
        }
    }

    /// Takes a string, if one is next and is written as it is meant, without escapes: nearly all are.
    pub(super) fn plain(&mut self) -> Option<&'a str> {
        let inside = self.rest().strip_prefix('"')?;
        let length = plain_length(inside.as_bytes());
        if inside.as_bytes().get(length) != Some(&b'"') {
            return None;
        }
        self.pass(length + 2);
        inside.get(..length)
    }

    /// The part of a string up to its end, an escape, or a byte that must not be there.
    fn plain_run(&mut self) -> &'a str {
        let rest = self.rest();
        let length = plain_length(rest.as_bytes());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn escape(&mut self) -> Result<char, Problem> {
        let start = self.at;
        self.at += 1;
        let byte = self.peek();
        self.at += 1;
        Ok(match byte {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(start),
            _ => return Err(Problem::new(start, "an escape that JSON does not have")),
        })
    }

    /// The rest of `\uXXXX`, and of the second half where the first is one of a pair.
    fn unicode_escape(&mut self, start: usize) -> Result<char, Problem> {
        let wrong = || Problem::new(start, "an escape '\\u' that stands for no character");
        let high = self.hex4().ok_or_else(wrong)?;
        let code = if (0xd800..0xdc00).contains(&high) && self.rest().starts_with("\\u") {
            self.at += 2;
            let low = self.hex4().ok_or_else(wrong)?;
            let low = low.checked_sub(0xdc00).filter(|&low| low < 0x400);
            0x10000 + ((high - 0xd800) << 10) + low.ok_or_else(wrong)?
        } else {
            high
        };
        char::from_u32(code).ok_or_else(wrong)
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4)?;
        // `from_str_radix` alone would take a sign.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn number_token(&mut self) -> &'a str {
        let rest = self.rest();
        let part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let length = rest.as_bytes().iter().position(|byte| !part(byte));
        let token = length.map_or(rest, |length| rest.get(..length).unwrap_or_default());
        self.pass(token.len());
        token
    }

    #[cold]
    fn unexpected(&self, wanted: &str) -> Problem {
        let found = match self.rest().chars().next() {
            None => "the file ends".to_owned(),
            Some('"') => "a string is there".to_owned(),
            Some('{') => "an object is there".to_owned(),
            Some('[') => "an array is there".to_owned(),
            Some('0'..='9' | '-') => "a number is there".to_owned(),
            Some('n') if self.rest().starts_with("null") => "null is there".to_owned(),
            Some(other) => format!("{} is there", quote(other.encode_utf8(&mut [0; 4]))),
        };
        Problem::new(self.at, format!("expected {wanted}, but {found}"))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes over the rest of a token, which has this many bytes, and the white space behind it.
    fn pass(&mut self, length: usize) {
        self.at += length;
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += white_length(rest);
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }
}

/// How many of these bytes are white space, before the first that is none.
fn white_length(bytes: &[u8]) -> usize {
    let is_white = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    bytes.iter().take_while(is_white).count()
}

/// How many of these bytes come before the first that a string cannot have as it is.
fn plain_length(bytes: &[u8]) -> usize {
    let (words, last) = bytes.as_chunks();
    let mut length = 0;
    for word in words {
        let plain = plain_bytes(*word);
        length += plain;
        if plain < word.len() {
            return length;
        }
    }
    let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | 0..=0x1f);
    length + last.iter().take_while(is_plain).count()
}

/// The same of eight bytes, which are looked at all at once.
const fn plain_bytes(word: [u8; 8]) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    /// Sets the highest bit of the first byte that is less than this. Of those behind it the bits say nothing.
    const fn less(word: u64, limit: u64) -> u64 {
        word.wrapping_sub(EACH * limit) & !word
    }
    let word = u64::from_le_bytes(word);
    let quote = less(word ^ (EACH * b'"' as u64), 1);
    let backslash = less(word ^ (EACH * b'\\' as u64), 1);
    let stops = (less(word, 0x20) | quote | backslash) & (EACH * 0x80);
    stops.trailing_zeros() as usize / 8
}

/// Go's `encoding/json` compares keys by Unicode's simple case folding. Besides ASCII, that equates two
/// characters with letters: the long s and the Kelvin sign.
fn is_key(key: &str, name: &str) -> bool {
    let fold = |c: char| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key.chars()
        .map(fold)
        .eq(name.chars().map(|c| c.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Result<String, String> {
        let mut reader = Reader::new(text);
        let value = reader.string().map(Cow::into_owned);
        value
            .and_then(|value| reader.end().map(|()| value))
            .map_err(|p| format!("{}: {}", p.0.offset, p.0.message))
    }

    #[test]
    fn strings_are_those_of_serde_json() {
        let texts = [
            r#""""#,
            r#""read""#,
            r#" "é€😀" "#,
            r#""\"\\\/\b\f\n\r\t""#,
            r#""\u00e9\u20AC\ud83d\ude00x""#,
            r#""\u0000""#,
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83d\u0041""#,
            r#""\u+123""#,
            r#""\u12""#,
            r#""\uééé""#,
            r#""\x""#,
            r#""\"#,
            r#"""#,
            r#""abc"#,
            "\"a\tb\"",
            "\"a\u{7f}b\"",
        ];
        for text in texts {
            let want = serde_json::from_str::<String>(text).ok();
            assert_eq!(string(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn a_string_ends_wherever_it_ends() {
        for end in ["\"", "\\n\"", "\u{1f}", ""] {
            for length in 0..20 {
                for plain in ["a", "é", "\u{7f}", "!", "#", "[", "]", "\u{a2}", "\u{ff}"] {
                    let text = format!("\"{}{end} 1", plain.repeat(length));
                    let mut reader = Reader::new(&text);
                    reader.at = 1;
                    let want = plain.repeat(length) + if end.is_empty() { " 1" } else { "" };
                    assert_eq!(reader.plain_run(), want, "{text}");
                    assert_eq!(reader.at, 1 + want.len());
                }
            }
        }
    }

    #[test]
    fn what_is_not_plain_is_left_where_it_is() {
        let cases = [
            (r#""" 1"#, Some("")),
            (r#""read"  1"#, Some("read")),
            (
                r#""é€ and more than eight" ,"#,
                Some("é€ and more than eight"),
            ),
            (r#""\n""#, None),
            (r#""more than eight\"""#, None),
            ("\"a\u{1f}\"", None),
            (r#""abc"#, None),
            (r#"""#, None),
            ("1", None),
            ("", None),
        ];
        for (text, want) in cases {
            let mut reader = Reader::new(text);
            assert_eq!(reader.plain(), want, "{text}");
            let passed = match want {
                Some(_) => text.rfind('"').unwrap() + 1,
                None => 0,
            };
            let rest = text[passed..].trim_start_matches(' ');
            assert_eq!(reader.rest(), rest, "{text}");
        }
    }

    #[test]
    fn numbers_are_whole_and_fit() {
        let cases = [
            ("0", Ok(0)),
            ("4294967295", Ok(4_294_967_295)),
            ("18446744073709551615", Ok(u64::MAX)),
            ("18446744073709551616", Err("larger than")),
            ("-1", Err("negative")),
            ("-0", Err("negative")),
            ("1.5", Err("not a whole")),
            ("1.0", Err("not a whole")),
            ("1e3", Err("not a whole")),
            ("01", Err("begins with a zero")),
            ("+1", Err("expected a number")),
            ("\"1\"", Err("expected a number, but a string")),
            ("null", Err("expected a number, but null")),
            ("", Err("the file ends")),
            ("0x10", Ok(0)),
        ];
        for (text, want) in cases {
            match (Reader::new(text).unsigned(), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{text}"),
                (Err(p), Err(part)) => assert!(p.0.message.contains(part), "{text}: {p:?}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn skipping_demands_json() {
        let cases = [
            (
                r#"{"a": [1, -2.5e+3, true, false, null, {"b": "c"}]}"#,
                true,
            ),
            ("[]", true),
            ("[1,]", false),
            ("{\"a\":1,}", false),
            ("{a:1}", false),
            ("{\"a\" 1}", false),
            ("[1 2]", false),
            ("-", false),
            ("1.", false),
            ("1-2", false),
            ("tru", false),
            ("nul", false),
            ("NaN", false),
            ("'a'", false),
            ("// comment\n1", false),
            ("", false),
            ("[", false),
            ("1 1", false),
        ];
        for (text, good) in cases {
            let mut reader = Reader::new(text);
            let read = reader.skip().and_then(|()| reader.end());
            assert_eq!(read.is_ok(), good, "{text}");
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(text).is_ok(),
                good,
                "{text}"
            );
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let deep = "[".repeat(100_000);
        let problem = Reader::new(&deep).skip().unwrap_err();
        assert!(problem.0.message.contains("nested"), "{problem:?}");
        let allowed = "[".repeat(32) + &"]".repeat(32);
        assert!(Reader::new(&allowed).skip().is_ok());
    }

    #[test]
    fn keys_match_as_in_go() {
        let cases = [
            ("names", true),
            ("NAMES", true),
            ("Names", true),
            ("nameſ", true),
            ("name", false),
            ("names ", false),
        ];
        for (key, want) in cases {
            assert_eq!(is_key(key, "names"), want, "{key}");
        }
        assert!(is_key("minKernel", "minkernel"));
        assert!(is_key("min\u{212a}ernel", "minKernel"));
    }

    #[test]
    fn positions_count_characters() {
        let mut reader = Reader::new("[1,\n \t\"é\", 2 ]");
        let mut places = Vec::new();
        reader
            .array(|reader| {
                places.push(reader.position().to_string());
                reader.skip()
            })
            .unwrap();
        assert_eq!(places, ["1:2", "2:3", "2:8"]);
    }
}
