//! Figures and texts as a person reads them.

/// A text of the evidence: characters that control a terminal, or turn what follows around, are shown as such.
pub(super) fn plain(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let shown = |c: char| if hidden(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// With a capital and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).chain(['.']).collect()
}

/// The end of a long text, which for a path says more than its beginning.
pub(super) fn shortened(text: &str, length: usize) -> String {
    match text.chars().count().checked_sub(length) {
        Some(more) if more > 0 => {
            text.chars()
                .skip(more)
                .fold("\u{2026}".to_owned(), |mut all, c| {
                    all.push(c);
                    all
                })
        }
        _ => text.to_owned(),
    }
}

/// A length of time in the unit that fits.
pub(super) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds}.{} s", ms % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86400, seconds % 86400 / 3600),
    }
}

/// A moment in seconds since 1970, as date and time in UTC.
///
/// The calendar is H. Hinnant's `civil_from_days`: years begin in March, so that the leap day is the last.
pub(super) fn moment(seconds: u64) -> String {
    let (days, rest) = (seconds / 86400, seconds % 86400);
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (rest / 3600, rest % 3600 / 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

/// A figure to draw with; beyond what can be drawn it stays at the end.
pub(super) fn real(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable() {
        let cases = [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1.0 s"),
            (59_999, "59.9 s"),
            (61_000, "1 min 1 s"),
            (7_260_000, "2 h 1 min"),
            (90_000_000, "1 d 1 h"),
        ];
        for (ms, want) in cases {
            assert_eq!(duration(ms), want);
        }
    }

    #[test]
    fn moments_are_those_of_date() {
        // date -u -d @N '+%F %H:%M'
        let cases = [
            (0, "1970-01-01 00:00"),
            (951_782_399, "2000-02-28 23:59"),
            (951_782_400, "2000-02-29 00:00"),
            (951_868_800, "2000-03-01 00:00"),
            (1_709_164_800, "2024-02-29 00:00"),
            (1_735_689_599, "2024-12-31 23:59"),
            (4_102_444_800, "2100-01-01 00:00"),
        ];
        for (seconds, want) in cases {
            assert_eq!(moment(seconds), want);
        }
        assert!(moment(u64::MAX).ends_with(" 07:00"), "no year is too late");
    }

    #[test]
    fn texts_are_short_and_calm() {
        assert_eq!(shortened("/usr/bin/python3", 20), "/usr/bin/python3");
        assert_eq!(shortened("/usr/bin/python3", 7), "\u{2026}python3");
        assert_eq!(
            plain("a\u{1b}[2J\n\u{202e}b\u{e9}"),
            "a\u{fffd}[2J\u{fffd}\u{fffd}b\u{e9}"
        );
        assert_eq!(sentence("one run"), "One run.");
    }
}
