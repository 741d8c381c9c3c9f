use api::job::Phase;

use super::*;
use crate::model::job::{Counts, Notice};

fn node(name: &str, state: State) -> NodeRow {
    NodeRow { name: name.to_owned(), state, ..NodeRow::default() }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn model() -> JobModel {
    let failed = NodeRow {
        runs: Some(3),
        exit_code: Some(1),
        reason: Some("Error".into()),
        message: Some("exit code 1".into()),
        output: Some("copying\ncp: /etc/ssl: Read-only file system\n".into()),
        pod: Some("rotate-ca-daemonset-job-x7k2p".into()),
        started: Some(at("2026-01-02T03:00:00Z")),
        finished: Some(at("2026-01-02T03:00:07Z")),
        ..node("ip-10-0-3-7", State::Failed)
    };
    let lost = NodeRow {
        message: Some("kubelet silent for 4m; waited for until the deadline".into()),
        ..node("ip-10-0-9-2", State::Unreachable)
    };
    let pulls = NodeRow {
        reason: Some("ErrImagePull".into()),
        message: Some("registry.example.org/team/rotate:1.2: not found".into()),
        ..node("ip-10-0-9-3", State::Pending)
    };
    let done = NodeRow { exit_code: Some(0), runs: Some(1), ..node("ip-10-0-1-1", State::Done) };
    JobModel {
        name: "rotate-ca".into(),
        namespace: "default".into(),
        phase: Some(Phase::Running),
        counts: Counts { desired: 60, done: 48, failed: 2, active: 3, waiting: 7, missing: 0 },
        started: Some(at("2026-01-02T03:00:00Z")),
        deadline_seconds: Some(600),
        notices: vec![Notice {
            type_: "Waiting".into(),
            reason: "PlacesInUse".into(),
            message: "3 of 3 places in use".into(),
        }],
        nodes: vec![failed, lost, pulls, done],
        ..JobModel::default()
    }
}

fn view() -> View {
    View { is_wide: false, all: false, now: at("2026-01-02T03:01:12Z") }
}

fn canvas(width: usize) -> Canvas {
    Canvas { width: Some(width), height: None, colour: false }
}

#[test]
fn golden_status_at_80_columns() {
    let expected = "\
rotate-ca (default)   Running   48/60   failed 2   waiting 7   1m12s of 10m
  Waiting: PlacesInUse: 3 of 3 places in use
NODE          STATE         RUNS   EXIT   LAST WORDS
ip-10-0-3-7   Failed           3      1   cp: /etc/ssl: Read-only file system
ip-10-0-9-2   Unreachable      –      –   kubelet silent for 4m; waited for unt…
ip-10-0-9-3   Pending          –      –   ErrImagePull: registry.example.org/te…
ip-10-0-1-1   Done             1      0
";
    assert_eq!(render(&model(), view(), canvas(80)), expected);
}

#[test]
fn golden_wide_status_at_200_columns() {
    let expected = "\
rotate-ca (default)   Running  ████████████████▒░░░  48/60   failed 2   waiting 7   1m12s of 10m
  Waiting: PlacesInUse: 3 of 3 places in use
NODE          STATE         RUNS   EXIT   TOOK   POD                             LAST WORDS
ip-10-0-3-7   Failed           3      1   7s     rotate-ca-daemonset-job-x7k2p   cp: /etc/ssl: Read-only file system
ip-10-0-9-2   Unreachable      –      –   –      –                               kubelet silent for 4m; waited for until the deadline
ip-10-0-9-3   Pending          –      –   –      –                               ErrImagePull: registry.example.org/team/rotate:1.2: not found
ip-10-0-1-1   Done             1      0   –      –
";
    let view = View { is_wide: true, ..view() };
    assert_eq!(render(&model(), view, canvas(200)), expected);
}

#[test]
fn nodes_beyond_the_screen_are_counted() {
    let nodes = (0..5_000).map(|number| match number {
        0..10 => node(&format!("a{number}"), State::Failed),
        10..50 => node(&format!("b{number}"), State::Running),
        _ => node(&format!("c{number}"), State::Done),
    });
    let model = JobModel { nodes: nodes.collect(), ..model() };
    let small = Canvas { height: Some(24), ..canvas(80) };
    let page = render(&model, view(), small);
    assert!(page.lines().count() < 24, "{page}");
    assert!(
        page.ends_with("… and 4,982 more nodes: 4,950 Done, 32 Running; --all shows them\n"),
        "{page}"
    );
    let all = render(&model, View { all: true, ..view() }, small);
    assert!(all.lines().count() > 5_000);
}

#[test]
fn message_of_a_node_cannot_move_the_cursor() {
    let evil = NodeRow { message: Some("a\u{1b}[2J\nb".into()), ..node("w", State::Pending) };
    let page = render(&JobModel { nodes: vec![evil], ..model() }, view(), canvas(80));
    assert!(page.contains("a b") && !page.contains('\u{1b}'), "{page:?}");
}

#[test]
fn job_that_nobody_has_looked_at_points_to_the_explanation() {
    let page = render(&JobModel { phase: None, ..model() }, view(), canvas(80));
    assert!(page.contains("kubectl dsjob explain"), "{page}");
}
