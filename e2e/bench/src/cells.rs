//! Tables in Markdown, and their cells.

use super::summary::Spread;

/// Bytes of a MiB.
pub(super) const MIB: f64 = 1024.0 * 1024.0;

/// Requests a pod that are promised, while there are slots for all.
pub(super) const REQUESTS_A_POD: f64 = 2.0;

/// A table behind some words about it, empty without rows; a bar divides the cells.
pub(super) fn table(about: &str, head: &str, rows: impl IntoIterator<Item = String>) -> String {
    let rows: String = rows.into_iter().map(|row| format!("| {row} |\n")).collect();
    if rows.is_empty() {
        return rows;
    }
    let line = "| --- ".repeat(head.split(" | ").count());
    format!("{about}| {head} |\n{line}|\n{rows}\n")
}

/// A figure, or a dash for none.
pub(super) fn plain(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| "–".to_owned())
}

/// A figure, bold if it misses what is to be reached.
pub(super) fn verdict(cell: Option<(String, bool)>) -> String {
    plain(cell.map(|(text, kept)| if kept { text } else { format!("**{text}**") }))
}

/// The middle of some times, and their 99th percentile.
pub(super) fn both(spread: Spread) -> String {
    format!("{} / {}", time(spread.p50), time(spread.p99))
}

/// A time in milliseconds or seconds.
pub(super) fn time(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}
