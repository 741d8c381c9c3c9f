//! The first line about a Job: phase, bar, counts, time.

use console::Style;
use k8s_openapi::jiff::Timestamp;

use super::{
    style::{self, Canvas},
    text,
};
use crate::model::job::JobModel;

/// Widest and narrowest bar.
const BAR: (usize, usize) = (20, 8);
/// Blanks between the parts of the line.
const GAP: &str = "   ";

/// The line about a Job.
///
/// `rotate-ca (default)   Running  ████░░  48/60   failed 2   1m12s of 10m`
///
/// The bar takes the room that is left; without enough of it there is none.
pub(crate) fn line(model: &JobModel, canvas: Canvas, now: Timestamp) -> String {
    let phase = canvas.paint(style::of_phase(model.phase), style::phase(model.phase));
    let name = format!("{} ({})", canvas.bold(&model.name), model.namespace);
    let counts = model.counts;
    let behind = behind(model, canvas, now).join(GAP);
    if counts.desired == 0 {
        return [name, phase, behind].join(GAP).trim_end().to_owned();
    }
    let done = format!("{}/{}", counts.done, counts.desired);
    let plain = [name.as_str(), &phase, &done, &behind].join(GAP);
    let taken = console::measure_text_width(plain.trim_end()) + 1;
    let room = canvas.width.map_or(BAR.1 + BAR.0, |width| width.saturating_sub(taken));
    if room < BAR.1 {
        return plain.trim_end().to_owned();
    }
    let bar = bar(counts.done, counts.failed, counts.desired, room.min(BAR.0), canvas);
    format!("{name}{GAP}{phase}  {bar}  {done}{GAP}{behind}").trim_end().to_owned()
}

/// What is behind the bar.
fn behind(model: &JobModel, canvas: Canvas, now: Timestamp) -> Vec<String> {
    let counts = model.counts;
    let mut parts = Vec::new();
    if counts.failed > 0 {
        parts.push(canvas.red(&format!("failed {}", counts.failed)));
    }
    if counts.waiting > 0 {
        parts.push(format!("waiting {}", counts.waiting));
    }
    if counts.missing > 0 {
        parts.push(format!("without a pod {}", counts.missing));
    }
    if let Some(elapsed) = model.elapsed_seconds(now) {
        let deadline =
            model.deadline_seconds.map(|seconds| format!(" of {}", text::duration(seconds)));
        parts.push(text::duration(elapsed) + &deadline.unwrap_or_default());
    }
    parts
}

/// A bar whose ends are never shown too early.
fn bar(done: i32, failed: i32, of: i32, width: usize, canvas: Canvas) -> String {
    let cells = |part: i32| {
        let (part, of) = (usize::try_from(part).unwrap_or(0), usize::try_from(of).unwrap_or(1));
        let cells = (part * width).checked_div(of).unwrap_or(0).min(width);
        if part > 0 { cells.max(1) } else { cells }
    };
    let (is_over, done) = (done + failed >= of, cells(done));
    let failed = if is_over { width - done } else { cells(failed).min(width) };
    let done = done.min(width - failed);
    canvas.paint(Style::new().green(), &"█".repeat(done))
        + &canvas.red(&"▒".repeat(failed))
        + &canvas.dim(&"░".repeat(width - done - failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Canvas = Canvas { width: None, height: None, colour: false };

    #[test]
    fn bar_is_full_when_all_nodes_are_done_and_not_before() {
        assert_eq!(bar(0, 0, 60, 10, PLAIN), "░".repeat(10));
        assert_eq!(bar(1, 0, 5_000, 10, PLAIN), format!("█{}", "░".repeat(9)));
        assert_eq!(bar(4_999, 0, 5_000, 10, PLAIN), format!("{}░", "█".repeat(9)));
        assert_eq!(bar(5_000, 0, 5_000, 10, PLAIN), "█".repeat(10));
        assert_eq!(bar(2, 1, 3, 10, PLAIN), format!("{}{}", "█".repeat(6), "▒".repeat(4)));
        assert_eq!(bar(58, 2, 60, 10, PLAIN), format!("{}▒", "█".repeat(9)));
    }
}
