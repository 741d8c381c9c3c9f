//! Words and numbers for people.

use k8s_openapi::jiff::Timestamp;

/// A duration in at most two units: `45s`, `1m12s`, `2h5m`, `3d4h`.
pub(crate) fn duration(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: i64, large_unit, small: i64, small_unit| match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit}{small}{small_unit}"),
    };
    match () {
        () if minutes == 0 => format!("{seconds}s"),
        () if hours == 0 => two(minutes, "m", seconds % 60, "s"),
        () if days == 0 => two(hours, "h", minutes % 60, "m"),
        () => two(days, "d", hours % 24, "h"),
    }
}

/// The time that has passed since `then`.
pub(crate) fn since(then: Timestamp, now: Timestamp) -> String {
    duration(now.as_second() - then.as_second())
}

/// A number with its noun.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{}{noun}{plural}", thousands(number) + " ")
}

/// A number with commas between the thousands.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The text in one line, without what a terminal would obey.
///
/// Messages and output come from containers, which anybody may have written.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in console::strip_ansi_codes(text).split(|c: char| c.is_whitespace() || c.is_control())
    {
        if !word.is_empty() {
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
    }
    line
}

/// The last line of `text` that is not blank.
pub(crate) fn last_line(text: &str) -> Option<&str> {
    text.lines().rev().find(|line| !line.trim().is_empty())
}

/// At most `max` names, and the number of the others.
pub(crate) fn some(names: &[String], max: usize) -> String {
    let shown = names.get(..max.min(names.len())).unwrap_or_default().join(", ");
    match names.len().saturating_sub(max) {
        0 => shown,
        more => format!("{shown} and {} more", thousands(more)),
    }
}

/// Breaks a text into lines of at most `width` columns, at blanks.
pub(crate) fn wrap(text: &str, width: Option<usize>, indent: &str) -> String {
    let width = width.map_or(usize::MAX, |width| width.max(indent.len() + 20) - indent.len());
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split_whitespace() {
        let room = console::measure_text_width(&line) + 1 + console::measure_text_width(word);
        if !line.is_empty() && room > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    lines.push(line);
    lines.iter().map(|line| format!("{indent}{line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, expected) in [
            (-5, "0s"),
            (59, "59s"),
            (60, "1m"),
            (72, "1m12s"),
            (3600, "1h"),
            (7500, "2h5m"),
            (273_600, "3d4h"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn numbers_have_commas_and_nouns_their_plural() {
        assert_eq!(count(1, "node"), "1 node");
        assert_eq!(count(5_000, "node"), "5,000 nodes");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(some(&["a".into(), "b".into(), "c".into()], 2), "a, b and 1 more");
    }

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        assert_eq!(one_line("\u{1b}[31mred\u{1b}[0m\r\n\tx\u{7}y"), "red x y");
        assert_eq!(last_line("a\nb\n \n"), Some("b"));
    }

    #[test]
    fn long_texts_are_broken_at_blanks() {
        assert_eq!(wrap("one two three four five", Some(22), "  "), "  one two three four\n  five");
        assert_eq!(wrap("a b", None, "> "), "> a b");
    }
}
