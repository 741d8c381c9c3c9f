//! Durations on the command line: `10m`, `1h30m`, `45s`, `45`.

use std::time::Duration;

/// Units and their seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Parses a duration, for clap.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let error = || format!("{text:?} is no duration: write it as 90s, 10m or 1h30m");
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let (mut rest, mut seconds) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
        let (number, unit) = rest.split_at(digits);
        let name = unit.chars().next().ok_or_else(error)?;
        let (_, unit_seconds) = UNITS.iter().find(|(unit, _)| *unit == name).ok_or_else(error)?;
        let number: u64 = number.parse().map_err(|_| error())?;
        let part = number.checked_mul(*unit_seconds).ok_or_else(error)?;
        seconds = seconds.checked_add(part).ok_or_else(error)?;
        rest = unit.get(name.len_utf8()..).unwrap_or_default();
    }
    if text.is_empty() { Err(error()) } else { Ok(Duration::from_secs(seconds)) }
}

/// Parses a duration of at least a second into seconds, for a field of a spec.
pub(crate) fn parse_seconds(text: &str) -> Result<i64, String> {
    let seconds = parse(text)?.as_secs();
    i64::try_from(seconds).map_err(|_| format!("{text:?} is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_kubectl_and_go_write_them() {
        for (text, seconds) in
            [("10m", 600), ("1h30m", 5400), ("45s", 45), ("45", 45), ("1d", 86_400)]
        {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "m", "10x", "1h30", "-1s", "1.5h", "99999999999999999999d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
