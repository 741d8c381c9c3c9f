//! One screen about a Job.

use k8s_openapi::jiff::Timestamp;

use super::{
    progress,
    style::{self, Canvas},
    table::{Cell, Table},
    text,
};
use crate::model::{
    job::JobModel,
    nodes::{NodeRow, State},
};

/// Lines that are not nodes: first line, notices, header, rest, prompt.
const AROUND: usize = 6;

/// What of a Job is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// More columns.
    pub(crate) is_wide: bool,
    /// All nodes, however small the screen is.
    pub(crate) all: bool,
    pub(crate) now: Timestamp,
}

/// The screen.
pub(crate) fn render(model: &JobModel, view: View, canvas: Canvas) -> String {
    let mut page = progress::line(model, canvas, view.now) + "\n";
    for notice in &model.notices {
        let line =
            format!("{}: {}: {}", notice.type_, notice.reason, text::one_line(&notice.message));
        page += &(text::wrap(&line, canvas.width, "  ") + "\n");
    }
    if model.phase.is_none() {
        page += "  No operator has looked at this Job yet: kubectl dsjob explain says why.\n";
    }
    for gap in &model.gaps {
        page += &(text::wrap(&format!("({gap})"), canvas.width, "  ") + "\n");
    }
    let room = canvas.height.filter(|_| !view.all);
    let room = room.map_or(usize::MAX, |height| height.saturating_sub(AROUND).max(3));
    let shown = model.nodes.get(..room.min(model.nodes.len())).unwrap_or_default();
    if !shown.is_empty() {
        page += &nodes(shown, view, canvas);
    }
    if let Some(rest) = model.nodes.get(shown.len()..).filter(|rest| !rest.is_empty()) {
        page += &(canvas.dim(&format!("… and {}; --all shows them", summary(rest))) + "\n");
    }
    page
}

fn nodes(rows: &[NodeRow], view: View, canvas: Canvas) -> String {
    let header: &[&str] = match view.is_wide {
        true => &["NODE", "STATE", "RUNS", "EXIT", "TOOK", "POD", "LAST WORDS"],
        false => &["NODE", "STATE", "RUNS", "EXIT", "LAST WORDS"],
    };
    let mut table = Table::new(header.iter().copied()).right(&["RUNS", "EXIT"]);
    for row in rows {
        let number = |number: Option<i32>| number.map_or("–".to_owned(), |it| it.to_string());
        let mut cells: Vec<Cell> = vec![
            row.name.as_str().into(),
            Cell::styled(row.state.as_str(), style::of_state(row.state)),
            number(row.runs).into(),
            number(row.exit_code).into(),
        ];
        if view.is_wide {
            cells.push(took(row, view.now).unwrap_or("–".to_owned()).into());
            cells.push(row.pod.as_deref().unwrap_or("–").into());
        }
        cells.push(last_words(row).into());
        table.row(cells);
    }
    table.render(canvas)
}

/// Time from the start of the current or last run until its end, or until now.
pub(crate) fn took(row: &NodeRow, now: Timestamp) -> Option<String> {
    let end = row.finished.or_else(|| (row.state == State::Running).then_some(now))?;
    Some(text::since(row.started?, end))
}

/// What a node says: the end of its output, or why it does not run.
pub(crate) fn last_words(row: &NodeRow) -> String {
    let output = row.output.as_deref().and_then(text::last_line);
    if let Some(line) = output {
        return text::one_line(line);
    }
    let message = text::one_line(row.message.as_deref().unwrap_or_default());
    match row.reason.as_deref() {
        Some("Error") if message.is_empty() => {
            row.exit_code.map_or("Error".to_owned(), |code| format!("exit code {code}"))
        }
        Some(reason) if message.is_empty() => reason.to_owned(),
        Some(reason) if !message.contains(reason) && reason != "Error" => {
            format!("{reason}: {message}")
        }
        _ => message,
    }
}

/// Numbers of nodes by state: `4,900 Done, 40 Running`.
fn summary(rows: &[NodeRow]) -> String {
    let counted = State::ALL.iter().rev().filter_map(|state| {
        let number = rows.iter().filter(|row| row.state == *state).count();
        (number > 0).then(|| format!("{} {}", text::thousands(number), state.as_str()))
    });
    format!("{}: {}", text::count(rows.len(), "more node"), counted.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests;
