use super::*;
use crate::testing::fixtures::pod;
use serde_json::{Value, json};

fn container(restarts: i32, state: Value, last_state: Value) -> Value {
    json!({
        "name": "job-container", "image": "", "imageID": "", "ready": false,
        "restartCount": restarts, "state": state, "lastState": last_state,
    })
}

fn exited(code: i32) -> Value {
    json!({"terminated": {"exitCode": code, "reason": "Error", "message": "no space left\n"}})
}

fn spec(mode: CompletionMode, limit: i32) -> JobSpec {
    JobSpec { completion_mode: mode, backoff_limit_per_node: Some(limit), ..JobSpec::default() }
}

fn by_word(limit: i32, status: Value) -> Outcome {
    outcome(
        &spec(CompletionMode::TerminationWord, limit),
        &pod("a").container(status).build(),
        at(0),
    )
}

fn by_exit_code(limit: i32, status: Value) -> Outcome {
    outcome(&spec(CompletionMode::ExitCode, limit), &pod("a").init_container(status).build(), at(0))
}

/// The time so many seconds after the end of the runs of these tests.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

#[test]
fn the_last_run_fails_its_node_when_it_is_known_how_it_ended() {
    let mut ended = exited(1);
    ended["terminated"]["finishedAt"] = json!(at(0).to_string());
    let (word, code) = (CompletionMode::TerminationWord, CompletionMode::ExitCode);
    for (mode, seconds, fails_at) in [
        // Its word may be in the log.
        (word, 0, Some(at(10))),
        (word, 9, Some(at(10))),
        (word, 10, None),
        // Its sandbox may have ended.
        (code, 0, Some(at(5))),
        (code, 4, Some(at(5))),
        (code, 5, None),
        // Its clock is ahead of ours, by little and by much.
        (word, -9, Some(at(10))),
        (word, -10, None),
    ] {
        let status = container(0, ended.clone(), json!({}));
        let pod = match mode {
            CompletionMode::TerminationWord => pod("a").container(status).build(),
            CompletionMode::ExitCode => pod("a").init_container(status).build(),
        };
        let run = outcome(&spec(mode, 0), &pod, at(seconds));
        assert_eq!(
            (run.has_failed, run.fails_at),
            (fails_at.is_none(), fails_at),
            "{mode:?} {seconds} s"
        );
    }
    let forgiven = by_word(1, container(0, ended, json!({})));
    assert_eq!((forgiven.has_failed, forgiven.fails_at), (false, None));
}

#[test]
fn the_run_after_those_that_are_forgiven_fails_the_node_when_it_ends() {
    let running = json!({"running": {}});
    let backing_off = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let table = [
        (0, exited(1), json!({}), 0, true),
        (0, exited(1), json!({}), 1, false),
        (1, running.clone(), exited(1), 1, false),
        (1, exited(1), exited(1), 1, true),
        (1, backing_off.clone(), exited(1), 1, true),
        (1, backing_off, exited(1), 2, false),
        (2, running, exited(1), 1, true),
    ];
    for (restarts, state, last_state, limit, expected) in table {
        let status = container(restarts, state, last_state);
        assert_eq!(by_word(limit, status.clone()).has_failed, expected, "{status}, limit {limit}");
        assert_eq!(
            by_exit_code(limit, status.clone()).has_failed,
            expected,
            "{status}, limit {limit}"
        );
    }
}

#[test]
fn exit_code_zero_is_success_only_in_exit_code_mode() {
    let status = container(0, exited(0), json!({}));
    let run = by_exit_code(0, status.clone());
    assert!(run.is_done && !run.has_failed);
    let run = by_word(0, status);
    assert!(!run.is_done && run.has_failed);
}

#[test]
fn a_run_that_succeeds_after_failures_is_done() {
    let run = by_exit_code(6, container(3, exited(0), exited(1)));
    assert!(run.is_done && !run.has_failed);
}

#[test]
fn a_container_that_was_lost_in_a_reboot_has_not_failed() {
    for reason in ["ContainerStatusUnknown", "Unknown"] {
        let lost = json!({"terminated": {"exitCode": 255, "reason": reason}});
        assert!(!by_word(0, container(0, lost, json!({}))).has_failed);
    }
}

#[test]
fn a_container_that_ends_with_its_pod_has_not_failed() {
    let pod = pod("a").deleted().container(container(0, exited(143), json!({}))).build();
    assert!(!outcome(&spec(CompletionMode::TerminationWord, 0), &pod, at(0)).has_failed);
}

#[test]
fn the_word_counts_though_the_container_crashes_afterwards() {
    let pod = pod("a").done().container(container(0, exited(1), json!({}))).build();
    let run = outcome(&spec(CompletionMode::TerminationWord, 0), &pod, at(0));
    assert!(run.is_done && !run.has_failed);
}

#[test]
fn the_report_tells_why_a_container_does_not_run() {
    let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"x\""}});
    let report = by_word(6, container(0, waiting, json!({}))).report;
    assert_eq!(report.state, NodeState::Pending);
    assert_eq!(report.reason.as_deref(), Some("ImagePullBackOff"));
    assert_eq!(report.message.as_deref(), Some("ImagePullBackOff: Back-off pulling image \"x\""));

    let backing_off = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
    let report = by_word(6, container(2, backing_off, exited(3))).report;
    assert_eq!((report.restarts, report.exit_code), (2, Some(3)));
    assert_eq!(report.reason.as_deref(), Some("Error"));
    assert_eq!(report.message.as_deref(), Some("Error: no space left"));
}

#[test]
fn the_report_tells_why_the_scheduler_binds_no_pod() {
    let mut unbound = (*pod("").build()).clone();
    unbound.status.conditions.push(
        serde_json::from_value(json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available",
        }))
        .unwrap(),
    );
    let report = outcome(&spec(CompletionMode::ExitCode, 6), &unbound, at(0)).report;
    assert_eq!(report.reason.as_deref(), Some("Unschedulable"));
    assert_eq!(report.message.as_deref(), Some("Unschedulable: 0/3 nodes are available"));
}

#[test]
fn a_log_that_lost_its_beginning_is_told_while_its_container_runs() {
    let told = |state| {
        let mut pod = (*pod("a").container(container(1, state, exited(1))).build()).clone();
        pod.status.conditions.push(
            serde_json::from_value(json!({
                "type": labels::POD_COMPLETED, "status": "False", "reason": "LogRotated",
                "message": "its log begins late", "lastTransitionTime": "2026-01-01T00:01:00Z",
            }))
            .unwrap(),
        );
        let report = outcome(&spec(CompletionMode::TerminationWord, 6), &pod, at(0)).report;
        (report.reason.unwrap(), report.message.unwrap())
    };
    let rotated = ("LogRotated".to_owned(), "LogRotated: its log begins late".to_owned());
    let crash = ("Error".to_owned(), "Error: no space left".to_owned());
    let running = told(json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}));
    assert_eq!(running, rotated);
    let next = told(json!({"running": {"startedAt": "2026-01-01T00:02:00Z"}}));
    assert_eq!(next, crash, "that was the run before");
    assert_eq!(told(json!({"waiting": {"reason": "CrashLoopBackOff"}})), crash);
}

#[test]
fn of_what_a_container_said_the_end_is_told() {
    let text = format!("{}\nno such file\n", "usage ".repeat(100));
    let state = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": text}});
    let message = by_word(6, container(0, state, json!({}))).report.message.unwrap();
    assert!(message.starts_with("Error: ") && message.ends_with("\nno such file"), "{message}");
    assert!(message.len() <= MAX_MESSAGE);
}

#[test]
fn a_long_message_is_cut() {
    let waiting = json!({"waiting": {"reason": "é".repeat(300)}});
    let report = by_word(6, container(0, waiting, json!({}))).report;
    assert_eq!(report.message.map(|message| message.len()), Some(MAX_MESSAGE));
    assert_eq!(report.reason.map(|reason| reason.len()), Some(MAX_REASON));
}
