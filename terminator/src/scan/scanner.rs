//! The scanner.

use memchr::{memchr, memmem::Finder};

/// Length of the longest character in bytes.
const MAX_CHAR: usize = 4;

/// Scans one log for one word.
///
/// A word is whole when the characters before and after it are neither letters, nor digits, nor
/// `_`; bytes that are not UTF-8 are no letters. It counts only when the byte after it has come: the
/// log may go on with `done_not_yet`.
///
/// It also counts only when its line has ended. A kubelet that cannot read a log writes that in its place, with
/// the path of the file, which has the names of namespace, Job and container. It ends no line:
/// <https://github.com/kubernetes/kubernetes/issues/140154>.
#[derive(Debug)]
pub struct Scanner {
    finder: Finder<'static>,
    /// The last bytes: a word that is not decided yet, and the character before it.
    tail: Vec<u8>,
    /// Whether `tail` is the whole log so far.
    is_start: bool,
    /// Whether the word is in the present line.
    is_seen: bool,
}

impl Scanner {
    /// Makes a scanner for `word`; an empty word is never found.
    #[must_use]
    pub fn new(word: &str) -> Self {
        let finder = Finder::new(word).into_owned();
        Self { finder, tail: Vec::new(), is_start: true, is_seen: false }
    }

    /// Takes the next bytes of the log; returns whether the word has been found.
    pub fn push(&mut self, chunk: &[u8]) -> bool {
        if self.is_seen {
            return ends_line(chunk);
        }
        // The seam first: words that end behind it, and words whose character before is in the tail.
        let reach = chunk.len().min(self.finder.needle().len() + 2 * MAX_CHAR);
        let seam = [self.tail.as_slice(), &chunk[..reach]].concat();
        let has_ended = match self.find(&seam, self.is_start) {
            Some(end) => Some(ends_line(&seam[end..]) || ends_line(&chunk[reach..])),
            None => self.find(chunk, false).map(|end| ends_line(&chunk[end..])),
        };
        self.is_seen = has_ended.is_some();
        self.keep_tail(chunk);
        has_ended == Some(true)
    }

    /// Returns the end of the word in `bytes`.
    ///
    /// They are the beginning of the log if `is_start`. Otherwise a match in the first few bytes is skipped,
    /// for the character before it is not known.
    fn find(&self, bytes: &[u8], is_start: bool) -> Option<usize> {
        let length = self.finder.needle().len();
        if length == 0 {
            return None;
        }
        let mut from = if is_start { 0 } else { MAX_CHAR };
        while let Some(found) = bytes.get(from..).and_then(|rest| self.finder.find(rest)) {
            let (start, end) = (from + found, from + found + length);
            if is_boundary_before(&bytes[..start]) && is_boundary_after(&bytes[end..]) {
                return Some(end);
            }
            // Not behind the match: the next one may overlap it.
            from = start + 1;
        }
        None
    }

    fn keep_tail(&mut self, chunk: &[u8]) {
        // A word that begins before this many bytes is decided: four bytes after it have been seen.
        let keep = MAX_CHAR + self.finder.needle().len() + MAX_CHAR - 1;
        if chunk.len() >= keep {
            self.is_start &= self.tail.is_empty() && chunk.len() == keep;
            self.tail.clear();
            self.tail.extend_from_slice(&chunk[chunk.len() - keep..]);
        } else {
            self.tail.extend_from_slice(chunk);
            let surplus = self.tail.len().saturating_sub(keep);
            self.is_start &= surplus == 0;
            self.tail.drain(..surplus);
        }
    }
}

fn ends_line(bytes: &[u8]) -> bool {
    memchr(b'\n', bytes).is_some()
}

/// Returns whether a word may begin after `before`.
///
/// That is the beginning of the log, or long enough to hold a whole character.
fn is_boundary_before(before: &[u8]) -> bool {
    let last = &before[before.len().saturating_sub(MAX_CHAR)..];
    // A character may be cut off at the front; what decides is the one at the end.
    !(0..last.len())
        .filter_map(|start| std::str::from_utf8(&last[start..]).ok())
        .any(|text| text.ends_with(is_word))
}

/// Returns whether a word may end before `after`; not if that is not known yet.
fn is_boundary_after(after: &[u8]) -> bool {
    let first = &after[..after.len().min(MAX_CHAR)];
    let valid = match std::str::from_utf8(first) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() > 0 => {
            std::str::from_utf8(&first[..error.valid_up_to()]).unwrap_or_default()
        }
        // Not a character, or (no length of the error) the beginning of one.
        Err(error) => return error.error_len().is_some(),
    };
    valid.chars().next().is_some_and(|next| !is_word(next))
}

pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::{super::reference, *};
    use proptest::prelude::*;

    fn finds(word: &str, log: impl AsRef<[u8]>) -> bool {
        Scanner::new(word).push(&[log.as_ref(), b"\n"].concat())
    }

    #[test]
    fn the_word_is_found_as_a_whole_word_anywhere_in_a_line() {
        for log in [
            "done\n",
            "Job done.\n",
            "x\ndone\n",
            "[done]",
            "done done_",
            "✓done✓",
            "a-done-b",
            "done\r\n",
            "\"done\",",
        ] {
            assert!(finds("done", log), "{log:?}");
        }
    }

    #[test]
    fn parts_of_other_words_are_not_the_word() {
        for log in [
            "abandoned\n",
            "undone\n",
            "done_\n",
            "done2\n",
            "Done\n",
            "doneé\n",
            "édone\n",
            "do\nne\n",
            "",
        ] {
            assert!(!finds("done", log), "{log:?}");
        }
    }

    #[test]
    fn a_word_at_the_end_of_what_has_come_is_not_found_yet() {
        let mut scanner = Scanner::new("done");
        assert!(!scanner.push(b"done"));
        assert!(!scanner.push(b""));
        assert!(scanner.push(b"\n"));
        let mut scanner = Scanner::new("done");
        assert!(!scanner.push(b"done"));
        assert!(!scanner.push(b"_not_yet\n"));
        // The first byte of a letter, then the letter.
        let mut scanner = Scanner::new("done");
        assert!(!scanner.push(b"done\xc3"));
        assert!(!scanner.push(b"\xa9\n"));
    }

    #[test]
    fn bytes_that_are_not_text_are_no_letters() {
        assert!(finds("done", b"\xff\xfedone\xff\n"));
        assert!(finds("done", b"\x00done\x00"));
    }

    #[test]
    fn a_match_may_overlap_one_that_is_not_whole() {
        assert!(finds("a a", "xa a a\n"));
    }

    #[test]
    fn an_empty_word_is_never_found() {
        assert!(!finds("", "anything\n"));
    }

    #[test]
    fn memory_stays_constant_whatever_is_logged() {
        let mut scanner = Scanner::new("done");
        for _ in 0..1000 {
            assert!(!scanner.push(&[b'x'; 8192]));
            assert!(!scanner.push(b"y"));
        }
        assert!(scanner.tail.capacity() < 64);
        assert!(!scanner.push(b" done "));
        for _ in 0..1000 {
            assert!(!scanner.push(&[b'x'; 8192]));
        }
        assert!(scanner.tail.capacity() < 64);
        assert!(scanner.push(b"\n"));
    }

    #[test]
    fn what_a_kubelet_says_of_a_log_that_it_cannot_read_is_no_part_of_it() {
        let error = "failed to try resolving symlinks in path \
            \"/var/log/pods/default_wait-until-done-daemonset-job-x7k2p_uid/job-container/0.log\"";
        let mut scanner = Scanner::new("done");
        assert!(!scanner.push(b"working\n"));
        assert!(!scanner.push(error.as_bytes()));
    }

    #[test]
    fn a_word_counts_when_its_line_has_ended() {
        let mut scanner = Scanner::new("done");
        assert!(!scanner.push(b"x\nall done, with 3 "));
        assert!(!scanner.push(b"warnings"));
        assert!(scanner.push(b".\n"));
    }

    /// The corpus has the inputs that the fuzzer kept, see `terminator/fuzz`.
    #[test]
    fn every_input_of_the_corpus_gives_what_the_definition_says() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/scan");
        let inputs: Vec<_> = std::fs::read_dir(corpus).unwrap().collect();
        assert!(inputs.len() >= 10, "the corpus is gone");
        for input in inputs {
            reference::check_input(&std::fs::read(input.unwrap().path()).unwrap());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

        /// Logs have parts of the word, letters of every length, and invalid bytes.
        #[test]
        fn however_the_log_is_cut_the_result_is_that_of_the_definition(
            word in prop::sample::select(vec!["done", "a a", "aa", "é", "-", "x"]),
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    &b"done"[..], b"do", b"ne", b"a", b" ", b"aa", b"\n", b"_", b"-", "é".as_bytes(), "✓".as_bytes(),
                    "𝒳".as_bytes(), b"\xff", b"\xc3", b"\xa9", b"\xf0\x9d", b"x",
                ]),
                0..24,
            ),
            cuts in prop::collection::vec(1_usize..9, 1..40),
        ) {
            let log = pieces.concat();
            reference::check(word, &log, &cuts);
            reference::check(word, &log, &[log.len()]);
        }
    }
}
