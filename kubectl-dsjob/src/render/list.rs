//! A table of Jobs.

use api::job::Phase;
use k8s_openapi::jiff::Timestamp;

use super::{
    style::{self, Canvas},
    table::{Cell, Table},
    text,
};

/// A Job in a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Entry {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) phase: Option<Phase>,
    pub(crate) completed: Option<String>,
    pub(crate) failed: i32,
    pub(crate) waiting: i32,
    pub(crate) duration: Option<String>,
    pub(crate) created: Option<Timestamp>,
    pub(crate) image: String,
    pub(crate) mode: &'static str,
    /// Reason of the condition that matters most.
    pub(crate) reason: Option<String>,
}

/// What of the Jobs is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) with_namespace: bool,
    pub(crate) is_wide: bool,
    pub(crate) now: Timestamp,
}

/// The table.
pub(crate) fn render(entries: &[Entry], view: View, canvas: Canvas) -> String {
    let mut header = Vec::new();
    if view.with_namespace {
        header.push("NAMESPACE");
    }
    header.extend(["NAME", "PHASE", "COMPLETED", "FAILED", "WAITING", "DURATION", "AGE"]);
    if view.is_wide {
        header.extend(["MODE", "IMAGE", "REASON"]);
    }
    let mut table = Table::new(header).right(&["FAILED", "WAITING"]);
    for entry in entries {
        let mut cells = Vec::<Cell>::new();
        if view.with_namespace {
            cells.push(entry.namespace.as_str().into());
        }
        let phase = Cell::styled(style::phase(entry.phase), style::of_phase(entry.phase));
        let failed = entry.failed.to_string();
        let failed = match entry.failed {
            0 => failed.into(),
            _ => Cell::styled(failed, style::of_phase(Some(Phase::Failed))),
        };
        let age = entry.created.map(|created| text::since(created, view.now));
        cells.extend([
            entry.name.as_str().into(),
            phase,
            entry.completed.as_deref().unwrap_or("–").into(),
            failed,
            entry.waiting.to_string().into(),
            entry.duration.as_deref().unwrap_or("–").into(),
            age.unwrap_or_default().into(),
        ]);
        if view.is_wide {
            cells.push(entry.mode.into());
            cells.push(entry.image.as_str().into());
            cells.push(entry.reason.as_deref().unwrap_or("–").into());
        }
        table.row(cells);
    }
    table.render(canvas)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let created = Some("2026-01-02T03:00:00Z".parse().unwrap());
        vec![
            Entry {
                namespace: "default".into(),
                name: "rotate-ca".into(),
                phase: Some(Phase::Running),
                completed: Some("48/60".into()),
                failed: 2,
                waiting: 7,
                created,
                image: "registry.example.org/team/rotate:1.2".into(),
                mode: "ExitCode",
                ..Entry::default()
            },
            Entry {
                namespace: "ops".into(),
                name: "unseen".into(),
                created,
                image: "busybox".into(),
                mode: "TerminationWord",
                ..Entry::default()
            },
        ]
    }

    fn view(is_wide: bool) -> View {
        let now = "2026-01-02T03:01:12Z".parse().unwrap();
        View { with_namespace: true, is_wide, now }
    }

    #[test]
    fn golden_list_at_80_columns() {
        let canvas = Canvas { width: Some(80), height: None, colour: false };
        let expected = "\
NAMESPACE   NAME        PHASE     COMPLETED   FAILED   WAITING   DURATION   AGE
default     rotate-ca   Running   48/60            2         7   –          1m12s
ops         unseen      Unseen    –                0         0   –          1m12s
";
        assert_eq!(render(&entries(), view(false), canvas), expected);
    }

    #[test]
    fn golden_wide_list_at_200_columns() {
        let canvas = Canvas { width: Some(200), height: None, colour: false };
        let expected = "\
NAMESPACE   NAME        PHASE     COMPLETED   FAILED   WAITING   DURATION   AGE     MODE              IMAGE                                  REASON
default     rotate-ca   Running   48/60            2         7   –          1m12s   ExitCode          registry.example.org/team/rotate:1.2   –
ops         unseen      Unseen    –                0         0   –          1m12s   TerminationWord   busybox                                –
";
        assert_eq!(render(&entries(), view(true), canvas), expected);
    }
}
