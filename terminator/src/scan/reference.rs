//! The definition of the scanner, for property tests and the fuzzer.

use super::scanner::{Scanner, is_word};

/// Returns whether the word is found in `log`.
///
/// It stands at some place without a word character before or after it, in any valid reading as UTF-8. The
/// character after it and the end of its line have come.
fn finds(word: &str, log: &[u8]) -> bool {
    let word = word.as_bytes();
    let places = (0..log.len()).filter(|&start| log[start..].starts_with(word));
    places.into_iter().any(|start| {
        let (before, after) = (&log[..start], &log[start + word.len()..]);
        let previous = (1..=4).find_map(|n| {
            let text = std::str::from_utf8(before.get(before.len().checked_sub(n)?..)?).ok()?;
            text.chars().last()
        });
        let next = (1..=4).find_map(|n| {
            let text = std::str::from_utf8(after.get(..n)?).ok()?;
            text.chars().next()
        });
        let first = &after[..after.len().min(4)];
        let is_cut = after.is_empty()
            || next.is_none()
                && std::str::from_utf8(first)
                    .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none());
        let is_whole = !previous.is_some_and(is_word) && !next.is_some_and(is_word);
        is_whole && !is_cut && after.contains(&b'\n')
    })
}

/// Checks that the scanner agrees for `log` in chunks of these sizes, repeated.
///
/// # Panics
/// When it does not.
pub fn check(word: &str, log: &[u8], chunks: &[usize]) {
    let mut scanner = Scanner::new(word);
    let mut rest = log;
    let mut found = false;
    for size in chunks.iter().cycle() {
        if rest.is_empty() || found {
            break;
        }
        let (chunk, behind) = rest.split_at((*size).clamp(1, rest.len()));
        found = scanner.push(chunk);
        rest = behind;
    }
    let seen = &log[..log.len() - rest.len()];
    assert_eq!(found, finds(word, seen), "{word:?} in {:?}", String::from_utf8_lossy(seen));
}

/// Checks an input of the fuzzer.
///
/// It has the length of the word, the size of a chunk, the word, and the log. Input of another form passes.
pub fn check_input(input: &[u8]) {
    let Some((&[length, chunk], rest)) = input.split_first_chunk() else {
        return;
    };
    let Some((word, log)) = rest.split_at_checked(length.into()) else {
        return;
    };
    if let Ok(word) = std::str::from_utf8(word)
        && !word.is_empty()
    {
        check(word, log, &[chunk.into()]);
    }
}
