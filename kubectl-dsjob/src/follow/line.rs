//! Lines of logs with their time stamps, and the prefix that says whose they are.

use console::Style;
use k8s_openapi::jiff::Timestamp;

use crate::render::style::Canvas;

/// The longest line; longer ones are cut into several.
const MAX_LINE: usize = 16 * 1024;

/// Cuts the chunks of a log into lines without their stamps, in constant memory.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    open: Vec<u8>,
    after: Option<Timestamp>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    /// The open line goes on one that was too long, so it has no stamp.
    is_rest: bool,
}

impl Lines {
    /// The lines that are younger than the last one of an earlier reading.
    ///
    /// Times in a query are whole seconds, so the lines of that second come again.
    pub(crate) fn after(after: Option<Timestamp>) -> Self {
        Self { after, ..Self::default() }
    }

    /// The lines that are whole now.
    pub(crate) fn take_in(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut lines = Vec::with_capacity(chunk.len());
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            self.open.extend_from_slice(text);
            if is_whole {
                self.cut(&mut lines);
                self.is_rest = false;
            } else if self.open.len() > MAX_LINE {
                self.cut(&mut lines);
                self.is_rest = true;
            }
        }
        lines
    }

    /// The line that has no end.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        let mut lines = Vec::new();
        if !self.open.is_empty() {
            self.cut(&mut lines);
        }
        lines
    }

    /// Time of the first line that is not known from an earlier reading.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.first
    }

    /// Time of the last line.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        self.last
    }

    fn cut(&mut self, lines: &mut Vec<u8>) {
        let (time, text) =
            if self.is_rest { (None, self.open.as_slice()) } else { split_stamp(&self.open) };
        let is_known = self.after.is_some() && time.is_some() && time <= self.after;
        if !is_known {
            self.first = self.first.or(time);
            self.last = self.last.max(time);
            lines.extend_from_slice(text);
            lines.push(b'\n');
        }
        self.open.clear();
    }
}

/// Splits a line that the kubelet has stamped into its time and its text.
///
/// A line without a stamp is a message of the kubelet about the log.
fn split_stamp(line: &[u8]) -> (Option<Timestamp>, &[u8]) {
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (stamp, rest) = line.split_at(end);
    let time = std::str::from_utf8(stamp).ok().and_then(|text| text.parse().ok());
    match time {
        Some(time) => (Some(time), rest.get(1..).unwrap_or_default()),
        None => (None, line),
    }
}

/// Appends whole lines, each with the prefix of its node.
pub(crate) fn prefixed(node: &str, lines: &[u8], canvas: Canvas, to: &mut Vec<u8>) {
    let prefix = prefix(node, canvas);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        to.extend_from_slice(prefix.as_bytes());
        to.extend_from_slice(line);
    }
}

/// Colours of nodes: those that are read on dark and on light screens.
const COLOURS: usize = 6;

/// The prefix of a node's lines, always in the same colour.
fn prefix(node: &str, canvas: Canvas) -> String {
    let hash =
        node.bytes().fold(5381_usize, |hash, byte| hash.wrapping_mul(33) ^ usize::from(byte));
    let style = match hash % COLOURS {
        0 => Style::new().cyan(),
        1 => Style::new().green(),
        2 => Style::new().magenta(),
        3 => Style::new().blue(),
        4 => Style::new().yellow(),
        _ => Style::new().red(),
    };
    canvas.paint(style, &format!("[{node}]")) + " "
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_taken_off_and_other_lines_are_left_whole() {
        let (time, text) = split_stamp(b"2026-01-02T03:04:05.000000001Z a b");
        assert_eq!(time, Some("2026-01-02T03:04:05.000000001Z".parse().unwrap()));
        assert_eq!(text, b"a b");
        assert_eq!(split_stamp(b"2026-01-02T03:04:05Z").1, b"");
        assert_eq!(split_stamp(b"unable to retrieve"), (None, &b"unable to retrieve"[..]));
    }

    fn text(lines: &mut Lines, chunk: &str) -> String {
        String::from_utf8(lines.take_in(chunk.as_bytes())).unwrap()
    }

    #[test]
    fn lines_come_whole_whatever_the_chunks_are() {
        let mut lines = Lines::default();
        assert_eq!(text(&mut lines, "2026-01-02T03:04:05Z a\n2026-01-0"), "a\n");
        assert_eq!(text(&mut lines, "2T03:04:06Z b"), "");
        assert_eq!(text(&mut lines, "c\n\n"), "bc\n\n");
        assert_eq!(lines.last(), Some("2026-01-02T03:04:06Z".parse().unwrap()));
        assert_eq!(text(&mut lines, "2026-01-02T03:04:07Z open"), "");
        assert_eq!(lines.end(), b"open\n");
    }

    #[test]
    fn lines_of_an_earlier_reading_are_left_out() {
        let mut lines = Lines::after(Some("2026-01-02T03:04:05.5Z".parse().unwrap()));
        let again = "2026-01-02T03:04:05.5Z old\n2026-01-02T03:04:05.6Z new\n";
        assert_eq!(text(&mut lines, again), "new\n");
    }

    #[test]
    fn a_line_without_end_takes_no_more_than_its_share_of_memory() {
        let mut lines = Lines::default();
        let mut bytes = 0;
        for _ in 0..100 {
            bytes += text(&mut lines, &"x".repeat(8 * 1024)).len();
            assert!(lines.open.len() <= MAX_LINE + 8 * 1024);
        }
        assert!(bytes > 700 * 1024);
    }

    #[test]
    fn the_prefix_of_a_node_is_its_name() {
        let plain = Canvas { width: None, height: None, colour: false };
        assert_eq!(prefix("w1", plain), "[w1] ");
        let painted = Canvas { colour: true, ..plain };
        assert_eq!(prefix("w1", painted), prefix("w1", painted));
        assert!(prefix("w1", painted).contains("\u{1b}["));
    }
}
