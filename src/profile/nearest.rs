//! The known word that a mistyped one was probably meant to be.

/// Words longer than this are not compared: nobody mistypes one, and the comparison is quadratic.
const LONGEST: usize = 64;

/// The candidate with the fewest typing errors between it and `word`, if there are few enough to guess.
pub(super) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let allowed = 1 + word.len() / 4;
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= allowed)
        .map(|candidate| (typos(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|&(typos, _)| typos <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The number of insertions, deletions, replacements and swaps of neighbours that make one of the other
/// (the restricted Damerau-Levenshtein distance, over bytes).
fn typos(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut last_a = None;
    for (row, byte_a) in a.bytes().enumerate() {
        let mut current = vec![row + 1];
        let mut left = row + 1;
        let mut last_b = None;
        for (column, &byte_b) in b.iter().enumerate() {
            let at =
                |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX);
            let replaced = at(&above, column) + usize::from(byte_a != byte_b);
            left = replaced.min(left + 1).min(at(&above, column + 1) + 1);
            if last_a == Some(byte_b) && last_b == Some(byte_a) {
                left = left.min(at(&before, column.saturating_sub(1)) + 1);
            }
            current.push(left);
            last_b = Some(byte_b);
        }
        before = std::mem::replace(&mut above, current);
        last_a = Some(byte_a);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_counted() {
        let cases = [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("read", "read", 0),
            ("raed", "read", 1),
            ("red", "read", 1),
            ("reead", "read", 1),
            ("rxad", "read", 1),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
        ];
        for (a, b, want) in cases {
            assert_eq!(typos(a, b), want, "{a} {b}");
        }
    }

    #[test]
    fn only_what_is_near_is_offered() {
        let known = ["names", "action", "args", "errnoRet"];
        let cases = [
            ("arg", Some("args")),
            ("Argz", Some("args")),
            ("name", Some("names")),
            ("acton", Some("action")),
            ("erno_ret", Some("errnoRet")),
            ("includes", None),
            ("", None),
        ];
        for (word, want) in cases {
            assert_eq!(nearest(word, known), want, "{word}");
        }
        assert_eq!(nearest(&"a".repeat(5_000_000), known), None);
    }
}
