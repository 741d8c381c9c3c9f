//! An explanation, as people read it.

use super::{style::Canvas, text};
use crate::model::finding::{Finding, Severity};

/// Nodes that a finding names.
const NAMED: usize = 5;

/// The findings, each with its cure.
pub(crate) fn render(findings: &[Finding], canvas: Canvas) -> String {
    let mut page = String::new();
    for finding in findings {
        let mark = match finding.severity {
            Severity::Problem => canvas.red("✗"),
            Severity::Warning => canvas.bold("!"),
            Severity::Info => canvas.dim("·"),
        };
        let cause = text::wrap(&finding.cause, canvas.width, "  ");
        page += &format!("{mark} {}\n", cause.trim_start());
        for quote in &finding.quotes {
            let line = format!("“{}”", text::one_line(quote));
            page += &(text::wrap(&line, canvas.width, "    ") + "\n");
        }
        if finding.severity != Severity::Info && !finding.nodes.is_empty() {
            let line = format!("on {}", text::some(&finding.nodes, NAMED));
            page += &(text::wrap(&line, canvas.width, "    ") + "\n");
        }
        if let Some(cure) = &finding.cure {
            page += &(text::wrap(&format!("→ {cure}"), canvas.width, "    ") + "\n");
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> [Finding; 2] {
        [
            Finding::problem("2 nodes: the image cannot be pulled")
                .quote("ErrImagePull: registry.example.org/team/rotate:1.2: not found")
                .nodes(vec!["w1".into(), "w2".into()])
                .cure("fix the name \"registry.example.org/team/rotate:1.2\", or set imagePullSecrets in template"),
            Finding::info("58 of 60 nodes done, 2 left: 2 Pending; it runs for 1m12s"),
        ]
    }

    fn canvas(width: usize) -> Canvas {
        Canvas { width: Some(width), height: None, colour: false }
    }

    #[test]
    fn golden_explanation_at_80_columns() {
        let expected = "\
✗ 2 nodes: the image cannot be pulled
    “ErrImagePull: registry.example.org/team/rotate:1.2: not found”
    on w1, w2
    → fix the name \"registry.example.org/team/rotate:1.2\", or set
    imagePullSecrets in template
· 58 of 60 nodes done, 2 left: 2 Pending; it runs for 1m12s
";
        assert_eq!(render(&findings(), canvas(80)), expected);
    }

    #[test]
    fn golden_explanation_at_200_columns() {
        let expected = "\
✗ 2 nodes: the image cannot be pulled
    “ErrImagePull: registry.example.org/team/rotate:1.2: not found”
    on w1, w2
    → fix the name \"registry.example.org/team/rotate:1.2\", or set imagePullSecrets in template
· 58 of 60 nodes done, 2 left: 2 Pending; it runs for 1m12s
";
        assert_eq!(render(&findings(), canvas(200)), expected);
    }
}
