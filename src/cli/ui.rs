//! What we say: to stderr, each line under our name, never in the way of the command.
//!
//! A message is one write, so that it is not torn apart by the command's own output, and a stderr that is
//! closed or full is nobody's concern: `eprintln!` would panic.

use std::io::Write as _;

/// Says something the user should know.
pub(crate) fn say(text: &str) {
    let mut message = String::new();
    for line in text.lines() {
        message.push_str("seccomp-run: ");
        message.push_str(line);
        message.push('\n');
    }
    // There is nobody left to tell.
    let _ = std::io::stderr().write_all(message.as_bytes());
}

/// Says something the user should do something about.
pub(crate) fn warn(text: &str) {
    say(&format!("warning: {text}"));
}

/// A number and its noun.
pub(crate) fn count(number: impl TryInto<u64>, one: &str, many: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {}", if number == 1 { one } else { many })
}
