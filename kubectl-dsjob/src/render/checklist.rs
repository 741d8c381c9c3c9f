//! The checklist of `check`.

use console::Style;

use super::{style::Canvas, text};
use crate::model::installation::{Item, Verdict};

/// The lines of the checklist.
pub(crate) fn render(items: &[Item], canvas: Canvas) -> String {
    let mut page = String::new();
    for item in items {
        let mark = match item.verdict {
            Verdict::Good => canvas.paint(Style::new().green(), "✓"),
            Verdict::Warning => canvas.bold("!"),
            Verdict::Bad => canvas.red("✗"),
        };
        let mut lines = item.text.lines();
        let first = text::wrap(lines.next().unwrap_or_default(), canvas.width, "  ");
        page += &format!("{mark} {}\n", first.trim_start());
        for line in lines {
            page += &format!("    {line}\n");
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> [Item; 3] {
        [
            Item::good("server", "Kubernetes v1.37.0".into()),
            Item::warning("right", "you may not list nodes in the whole cluster: nodes without a pod in status, results and report".into()),
            Item::bad("operator", "the operator has no pods".into()),
        ]
    }

    fn canvas(width: usize) -> Canvas {
        Canvas { width: Some(width), height: None, colour: false }
    }

    #[test]
    fn golden_checklist_at_80_columns() {
        let expected = "\
✓ Kubernetes v1.37.0
! you may not list nodes in the whole cluster: nodes without a pod in status,
  results and report
✗ the operator has no pods
";
        assert_eq!(render(&items(), canvas(80)), expected);
    }

    #[test]
    fn golden_checklist_at_200_columns() {
        let expected = "\
✓ Kubernetes v1.37.0
! you may not list nodes in the whole cluster: nodes without a pod in status, results and report
✗ the operator has no pods
";
        assert_eq!(render(&items(), canvas(200)), expected);
    }
}
