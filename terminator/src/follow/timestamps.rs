//! Strips the time stamps from the lines of a log.
//!
//! The first and the last one are kept. On request, kubelets begin each line with the time at which the
//! container runtime wrote it. Container runtimes write a long line in parts, and only the first part begins
//! with a time. The times are of the clock of the node, and identify lines. The times at which lines arrive
//! prove nothing, for streams lag.

use k8s_openapi::jiff::Timestamp;
use memchr::memchr;

/// Length of the longest time stamp of a line, with the space after it.
pub(super) const MAX_LENGTH: usize = "2006-01-02T15:04:05.000000000+00:00 ".len();

/// Bytes that are stripped, and copied, at a time.
const BLOCK: usize = 16 * 1024;

/// Strips the time stamps of one stream, in constant memory.
#[derive(Debug, Default)]
pub(super) struct TimestampStripper {
    /// Whether the next byte is within a line, behind its time stamp.
    is_within: bool,
    /// The beginning of a time stamp that is not complete yet.
    held: Vec<u8>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl TimestampStripper {
    /// Returns the time of the first line that has come with one.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.first
    }

    /// Returns the time of the last line that has come with one.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// Takes the next bytes of the stream, and passes on the output of the container.
    pub(super) fn strip(&mut self, chunk: &[u8], mut content: impl FnMut(&[u8])) {
        let mut kept = Vec::with_capacity(chunk.len().min(BLOCK));
        for block in chunk.chunks(BLOCK) {
            kept.clear();
            self.strip_block(block, &mut kept);
            if !kept.is_empty() {
                content(&kept);
            }
        }
    }

    fn strip_block(&mut self, mut rest: &[u8], kept: &mut Vec<u8>) {
        // Only the last one is of interest, so only that is parsed.
        let mut latest: &[u8] = &[];
        while let Some((&next, others)) = rest.split_first() {
            if self.is_within {
                let end = memchr(b'\n', rest);
                let (line, following) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
                kept.extend_from_slice(line);
                self.is_within = end.is_none();
                rest = following;
            } else if self.held.is_empty() {
                match prefix(rest) {
                    Prefix::Timestamp(length) => {
                        latest = &rest[..length];
                        if self.first.is_none() {
                            self.first = parse(latest);
                        }
                        rest = &rest[length + 1..];
                        self.is_within = true;
                    }
                    Prefix::Partial => {
                        self.held.extend_from_slice(rest);
                        rest = &[];
                    }
                    Prefix::Other => self.is_within = true,
                }
            } else {
                self.held.push(next);
                rest = others;
                match prefix(&self.held) {
                    Prefix::Timestamp(length) => {
                        self.last = parse(&self.held[..length]).or(self.last);
                        self.first = self.first.or(self.last);
                        self.held.clear();
                        self.is_within = true;
                    }
                    Prefix::Partial => {}
                    Prefix::Other => {
                        kept.append(&mut self.held);
                        self.is_within = next != b'\n';
                    }
                }
            }
        }
        if !latest.is_empty() {
            self.last = parse(latest).or(self.last);
        }
    }
}

/// Parses the time stamp that a line begins with.
pub(super) fn of_line(line: &[u8]) -> Option<Timestamp> {
    match prefix(line) {
        Prefix::Timestamp(length) => parse(&line[..length]),
        _ => None,
    }
}

fn parse(stamp: &[u8]) -> Option<Timestamp> {
    str::from_utf8(stamp).ok()?.parse().ok()
}

/// The prefix of a line.
#[derive(Debug, Eq, PartialEq)]
enum Prefix {
    /// A time stamp of this length, and a space.
    Timestamp(usize),
    /// The beginning of that, and nothing else.
    Partial,
    /// Anything else.
    Other,
}

fn prefix(bytes: &[u8]) -> Prefix {
    const TIME: &[u8] = b"0000-00-00T00:00:00";
    const ZONE: &[u8] = b"00:00";
    if !has_shape(bytes, TIME) {
        return Prefix::Other;
    }
    let mut at = TIME.len();
    if bytes.get(at) == Some(&b'.') {
        let digits = bytes[at + 1..].iter().take(9).take_while(|byte| byte.is_ascii_digit());
        at += 1 + digits.count();
    }
    match bytes.get(at) {
        None => return Prefix::Partial,
        Some(b'Z') => at += 1,
        Some(b'+' | b'-') if has_shape(&bytes[at + 1..], ZONE) => at += 1 + ZONE.len(),
        Some(_) => return Prefix::Other,
    }
    match bytes.get(at) {
        None => Prefix::Partial,
        Some(b' ') => Prefix::Timestamp(at),
        Some(_) => Prefix::Other,
    }
}

/// Returns whether `bytes` match `shape`, whose zeros stand for digits.
///
/// Only their common length counts.
fn has_shape(bytes: &[u8], shape: &[u8]) -> bool {
    bytes.iter().zip(shape).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        shape => byte == shape,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EARLY: &str = "2026-01-02T03:04:05.000000001Z";
    const LATE: &str = "2026-01-02T03:04:06.500000000+01:00";

    /// Strips a stream in pieces of these lengths; returns the rest and both times.
    fn strip(stream: &[u8], cuts: &[usize]) -> (Vec<u8>, Option<Timestamp>, Option<Timestamp>) {
        let mut stripper = TimestampStripper::default();
        let mut content = Vec::new();
        let mut rest = stream;
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, following) = rest.split_at((*cut).min(rest.len()));
            stripper.strip(piece, |kept| content.extend_from_slice(kept));
            rest = following;
        }
        assert!(stripper.held.capacity() <= 64, "memory is constant");
        (content, stripper.first(), stripper.last())
    }

    fn time(stamp: &str) -> Option<Timestamp> {
        Some(stamp.parse().unwrap())
    }

    #[test]
    fn each_line_loses_the_time_that_it_begins_with_and_nothing_else() {
        let stream = format!("{EARLY} one\n{EARLY} \n{EARLY} {LATE} two\n{LATE} thr");
        let (content, first, last) = strip(stream.as_bytes(), &[stream.len()]);
        assert_eq!(String::from_utf8(content).unwrap(), format!("one\n\n{LATE} two\nthr"));
        assert_eq!((first, last), (time(EARLY), time(LATE)));
    }

    #[test]
    fn what_comes_without_a_time_is_content() {
        for said in [
            "done\n",
            "2026-01-02 done\n",
            "2026\n\n",
            "2026-01-02T03:04:05.1234567891Z done\n",
            "2026-01-02T03:04:05\n",
            "failed to open log file",
        ] {
            let (content, first, _) = strip(said.as_bytes(), &[3]);
            assert_eq!((content.as_slice(), first), (said.as_bytes(), None));
        }
    }

    #[test]
    fn time_stamps_of_all_runtimes_are_read() {
        for (line, expected) in [
            (&b"2026-01-02T03:04:05.123456789+01:00 "[..], Some("2026-01-02T02:04:05.123456789Z")),
            (b"2026-01-02T03:04:05.1Z done\n\xff", Some("2026-01-02T03:04:05.1Z")),
            (b"2026-01-02T03:04:05-00:30 done", Some("2026-01-02T03:34:05Z")),
            (b"done", None),
            (b"\xff ", None),
        ] {
            let expected = expected.map(|expected| expected.parse().unwrap());
            assert_eq!(of_line(line), expected, "{line:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

        /// The definition takes each whole line by itself.
        #[test]
        fn however_the_stream_is_cut_the_result_is_that_of_the_definition(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "2026-01-02T03:04:05.000000001Z ", "2026-01-02T03:04:06.5+01:00 ", "2026-", "2026-01-02T03:04:05",
                    ".1", "Z", "+01", " ", "\n", "\n", "done", "0",
                ]),
                0..24,
            ),
            cuts in prop::collection::vec(1_usize..40, 1..20),
        ) {
            let stream = pieces.concat() + "\n";
            let (mut content, mut times) = (String::new(), Vec::new());
            for line in stream.split_inclusive('\n') {
                let rest = of_line(line.as_bytes()).and_then(|time| {
                    times.push(time);
                    Some(line.split_once(' ')?.1)
                });
                content += rest.unwrap_or(line);
            }
            let expected = (content.into_bytes(), times.first().copied(), times.last().copied());
            prop_assert_eq!(strip(stream.as_bytes(), &cuts), expected);
        }
    }
}
