//! What has become of each node: evidence for people, spreadsheets and programs.

use k8s_openapi::jiff::Timestamp;

use super::{
    status,
    style::{self, Canvas},
    table::{Cell, Table},
};
use crate::{
    error::{Error, Result},
    model::{job::JobModel, nodes::NodeRow},
};

/// The fields of a row, in the order of the columns.
const FIELDS: [&str; 10] = [
    "node", "uid", "state", "runs", "exitCode", "started", "finished", "reason", "message",
    "output",
];

/// A table for people.
pub(crate) fn table(model: &JobModel, is_wide: bool, canvas: Canvas, now: Timestamp) -> String {
    let header: &[&str] = match is_wide {
        true => &["NODE", "UID", "STATE", "RUNS", "EXIT", "STARTED", "FINISHED", "TOOK", "OUTPUT"],
        false => &["NODE", "STATE", "RUNS", "EXIT", "FINISHED", "TOOK", "OUTPUT"],
    };
    let mut table = Table::new(header.iter().copied()).right(&["RUNS", "EXIT"]);
    for row in &model.nodes {
        let number =
            |number: Option<i32>| Cell::from(number.map_or("–".into(), |it| it.to_string()));
        let time =
            |time: Option<Timestamp>| Cell::from(time.map_or("–".into(), |it| it.to_string()));
        let mut cells = vec![Cell::from(row.name.as_str())];
        if is_wide {
            cells.push(row.uid.as_deref().unwrap_or("–").into());
        }
        cells.push(Cell::styled(row.state.as_str(), style::of_state(row.state)));
        cells.extend([number(row.runs), number(row.exit_code)]);
        if is_wide {
            cells.push(time(row.started));
        }
        cells.push(time(row.finished));
        cells.push(status::took(row, now).unwrap_or("–".into()).into());
        cells.push(status::last_words(row).into());
        table.row(cells);
    }
    table.render(canvas)
}

/// Comma-separated values as of RFC 4180, with a header.
pub(crate) fn csv(rows: &[NodeRow]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let broken = |error: csv::Error| Error::new(format!("cannot write CSV: {error}"));
    writer.write_record(FIELDS).map_err(broken)?;
    for row in rows {
        let number = |number: Option<i32>| number.map(|it| it.to_string()).unwrap_or_default();
        let time = |time: Option<Timestamp>| time.map(|it| it.to_string()).unwrap_or_default();
        let text = |text: &Option<String>| guarded(text.as_deref().unwrap_or_default());
        let record = [
            row.name.clone(),
            row.uid.clone().unwrap_or_default(),
            row.state.as_str().to_owned(),
            number(row.runs),
            number(row.exit_code),
            time(row.started),
            time(row.finished),
            text(&row.reason),
            text(&row.message),
            text(&row.output),
        ];
        writer.write_record(record).map_err(broken)?;
    }
    let bytes = writer.into_inner().map_err(|error| Error::new(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A text that no spreadsheet takes for a formula: containers may have written it.
fn guarded(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::nodes::State;

    #[test]
    fn golden_csv_quotes_what_it_must_and_guards_formulas() {
        let rows = [
            NodeRow {
                name: "w1".into(),
                uid: Some("u".into()),
                state: State::Failed,
                runs: Some(2),
                exit_code: Some(1),
                started: Some("2026-01-02T03:04:05Z".parse().unwrap()),
                message: Some("=cmd()".into()),
                output: Some("a,\"b\"\nc".into()),
                ..NodeRow::default()
            },
            NodeRow { name: "w2".into(), state: State::Done, ..NodeRow::default() },
        ];
        let expected = "\
node,uid,state,runs,exitCode,started,finished,reason,message,output
w1,u,Failed,2,1,2026-01-02T03:04:05Z,,,'=cmd(),\"a,\"\"b\"\"
c\"
w2,,Done,,,,,,,
";
        assert_eq!(csv(&rows).unwrap(), expected);
    }

    fn model() -> JobModel {
        let row = NodeRow {
            name: "w1".into(),
            state: State::Failed,
            exit_code: Some(1),
            runs: Some(1),
            started: Some("2026-01-02T03:04:05Z".parse().unwrap()),
            finished: Some("2026-01-02T03:04:15Z".parse().unwrap()),
            output: Some("no such file or directory".into()),
            ..NodeRow::default()
        };
        JobModel { nodes: vec![row], ..JobModel::default() }
    }

    /// The table on so many columns.
    fn table_at(width: usize) -> String {
        let canvas = Canvas { width: Some(width), height: None, colour: false };
        table(&model(), false, canvas, "2026-01-02T03:05:00Z".parse().unwrap())
    }

    #[test]
    fn golden_table_at_80_columns() {
        let expected = "\
NODE   STATE    RUNS   EXIT   FINISHED               TOOK   OUTPUT
w1     Failed      1      1   2026-01-02T03:04:15Z   10s    no such file or dir…
";
        assert_eq!(table_at(80), expected);
    }

    #[test]
    fn golden_table_at_200_columns() {
        let expected = "\
NODE   STATE    RUNS   EXIT   FINISHED               TOOK   OUTPUT
w1     Failed      1      1   2026-01-02T03:04:15Z   10s    no such file or directory
";
        assert_eq!(table_at(200), expected);
    }
}
