//! Everything about a Job in one HTML file, which asks no network for anything.
//!
//! The page holds the data as JSON and draws them itself, so that 5,000 nodes are a megabyte and not ten.

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::{
    error::Result,
    model::{finding::Finding, job::JobModel},
};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What a report is made from.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report<'r> {
    pub(crate) job: &'r JobModel,
    pub(crate) findings: Vec<Finding>,
    pub(crate) image: &'r str,
    pub(crate) command: Vec<String>,
    pub(crate) made: Timestamp,
    pub(crate) version: &'static str,
}

/// The page.
pub(crate) fn render(report: &Report<'_>) -> Result<String> {
    let title = format!("{} in {}", report.job.name, report.job.namespace);
    let data = inert(&serde_json::to_string(report)?);
    let mut page = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + data.len());
    let mut rest = PAGE;
    for (mark, text) in [
        ("{{title}}", escaped(&title).as_str()),
        ("{{style}}", STYLE),
        ("{{data}}", &data),
        ("{{script}}", SCRIPT),
    ] {
        let (before, after) = rest.split_once(mark).unwrap_or((rest, ""));
        page += before;
        page += text;
        rest = after;
    }
    Ok(page + rest)
}

/// JSON that no browser takes for the end of the element that it is in.
fn inert(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::nodes::{NodeRow, State};

    fn page(nodes: Vec<NodeRow>) -> String {
        let job =
            JobModel { name: "a".into(), namespace: "b".into(), nodes, ..JobModel::default() };
        let report = Report {
            job: &job,
            findings: vec![Finding::info("all well")],
            image: "busybox",
            command: vec!["uptime".into()],
            made: "2026-01-02T03:04:05Z".parse().unwrap(),
            version: "1",
        };
        render(&report).unwrap()
    }

    #[test]
    fn the_page_has_all_parts_and_asks_nobody_for_more() {
        let page = page(Vec::new());
        assert!(!page.contains("{{"), "{page}");
        assert!(page.contains("<title>a in b"), "{page}");
        for outside in ["http://", "https://", "src=", "@import", "url(", "fetch("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn output_of_a_container_cannot_leave_the_data() {
        let evil = "</script><script>alert(1)</script><!-- {{script}}";
        let output = Some(evil.to_owned());
        let page = page(vec![NodeRow { name: "w".into(), output, ..NodeRow::default() }]);
        assert!(!page.contains("<script>alert"), "{page}");
        let start = page.find("application/json\">").unwrap();
        let data = page[start..].split_once('>').unwrap().1.split_once("</script>").unwrap().0;
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["job"]["nodes"][0]["output"], evil);
    }

    #[test]
    fn five_thousand_nodes_are_two_megabytes_at_most() {
        let node = |number: usize| NodeRow {
            name: format!("ip-10-0-{}-{}.compute.internal", number / 256, number % 256),
            uid: Some("5f1c1a3e-0000-4000-8000-000000000000".into()),
            state: State::Done,
            runs: Some(1),
            exit_code: Some(0),
            started: Some("2026-01-02T03:04:05Z".parse().unwrap()),
            finished: Some("2026-01-02T03:04:15Z".parse().unwrap()),
            pod: Some("rotate-ca-daemonset-job-x7k2p".into()),
            ..NodeRow::default()
        };
        let length = page((0..5_000).map(node).collect()).len();
        assert!(length < 2_000_000, "{length}");
    }
}
