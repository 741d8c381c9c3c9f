use super::*;
use crate::testing::fixtures::{PodBuilder, pod};
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

/// The outcome of a pod that is the first of its node.
fn outcome(spec: &JobSpec, pod: &PodView, now: Timestamp) -> Outcome {
    super::outcome(spec, pod, |_| FailedBefore::Exclusive(0), now)
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
    let tolerated = by_word(1, container(0, ended, json!({})));
    assert_eq!((tolerated.has_failed, tolerated.fails_at), (false, None));
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
    let explained = |state| {
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
    let running = explained(json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}));
    assert_eq!(running, rotated);
    let next = explained(json!({"running": {"startedAt": "2026-01-01T00:02:00Z"}}));
    assert_eq!(next, crash, "that was the run before");
    assert_eq!(explained(json!({"waiting": {"reason": "CrashLoopBackOff"}})), crash);
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

/// A pod that its kubelet 1.37 has rejected, as it reports that.
fn rejected(reason: &str, created: i64) -> PodView {
    let mut pod = (*pod("a").created(at(created)).failed(reason).build()).clone();
    pod.status.message = Some("Pod was rejected: forbidden sysctl: \"net.core.somaxconn\"".into());
    pod
}

#[test]
fn a_rejection_by_the_kubelet_is_a_failed_run_and_is_quoted() {
    for mode in [CompletionMode::TerminationWord, CompletionMode::ExitCode] {
        let pod = rejected("SysctlForbidden", 0);
        let after = |failed, limit| super::outcome(&spec(mode, limit), &pod, |_| failed, at(1));
        let first = after(FailedBefore::Exclusive(0), 1);
        assert_eq!((first.has_failed, first.is_done), (false, false));
        assert_eq!(first.given_up, Some(GivenUp { created: at(0), runs: 1 }));
        assert_eq!(first.report.reason.as_deref(), Some("SysctlForbidden"));
        let message = "SysctlForbidden: Pod was rejected: forbidden sysctl: \"net.core.somaxconn\"";
        assert_eq!(first.report.message.as_deref(), Some(message));
        assert!(after(FailedBefore::Exclusive(1), 1).has_failed);
        // It is counted among them already.
        assert!(!after(FailedBefore::Inclusive(1), 1).has_failed);
        assert!(after(FailedBefore::Inclusive(2), 1).has_failed);
    }
}

#[test]
fn what_is_the_nodes_fault_or_was_done_before_is_no_failed_run() {
    let given_up = |pod: &PodView| outcome(&spec(CompletionMode::TerminationWord, 0), pod, at(1));
    for reason in ["Terminated", "NodeShutdown", "NodeLost", ""] {
        let outcome = given_up(&rejected(reason, 0));
        assert_eq!((outcome.given_up, outcome.has_failed), (None, false), "{reason}");
    }
    let done = pod("a").created(at(0)).done().failed("Evicted").build();
    assert!(given_up(&done).is_done && given_up(&done).given_up.is_none());
    let leaving = pod("a").created(at(0)).failed("Preempting").deleted().build();
    assert_eq!(given_up(&leaving).given_up, None);
}

#[test]
fn runs_before_an_eviction_are_lost_with_the_pod_and_kept_for_the_next() {
    let status = container(1, exited(1), exited(1));
    let evicted = pod("a").created(at(0)).container(status).failed("Evicted").build();
    let outcome = outcome(&spec(CompletionMode::TerminationWord, 5), &evicted, at(60));
    assert_eq!(outcome.given_up, Some(GivenUp { created: at(0), runs: 2 }));
    assert_eq!(outcome.report.reason.as_deref(), Some("Evicted"));
}

/// As a kubelet 1.37 reports the input of the field.
#[test]
fn an_init_container_that_fails_before_the_work_fails_its_node_in_its_last_words() {
    let status = |name: &str, restarts, state, last| {
        json!({
            "name": name, "image": "", "imageID": "", "ready": false, "restartCount": restarts,
            "state": state, "lastState": last,
        })
    };
    let ended = || {
        json!({"terminated": {
            "exitCode": 7, "reason": "Error", "message": "no disk here\n", "finishedAt": at(0).to_string(),
        }})
    };
    let back_off = || json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
    let work =
        || status("job-container", 0, json!({"waiting": {"reason": "PodInitializing"}}), json!({}));
    for mode in [CompletionMode::TerminationWord, CompletionMode::ExitCode] {
        let of = |limit, prepare, now| {
            let pod = pod("a").init_container(prepare);
            let pod = match mode {
                CompletionMode::TerminationWord => pod.container(work()),
                CompletionMode::ExitCode => pod.init_container(work()),
            };
            outcome(&spec(mode, limit), &pod.build(), now)
        };
        let first = of(1, status("prepare", 0, ended(), json!({})), at(60));
        assert!(!first.has_failed && first.fails_at.is_none());
        let second = |now| of(1, status("prepare", 1, back_off(), ended()), now);
        assert!(!second(at(0)).has_failed && second(at(0)).fails_at.is_some());
        assert!(second(at(60)).has_failed);
        let report = second(at(60)).report;
        assert_eq!((report.restarts, report.exit_code), (1, Some(7)));
        assert_eq!(report.reason.as_deref(), Some("Error"));
        let message = "init container prepare: Error: no disk here";
        assert_eq!(report.message.as_deref(), Some(message));
    }
}

#[test]
fn a_pod_is_prepared_until_its_container_has_run_or_says_why_it_cannot() {
    let waiting = |reason: &str| container(0, json!({"waiting": {"reason": reason}}), json!({}));
    let is_preparing = |pod: PodBuilder| {
        let pod = pod.identity("uid-1", "1").created(at(0)).build();
        outcome(&spec(CompletionMode::TerminationWord, 0), &pod, at(60)).preparing.is_some()
    };
    assert!(is_preparing(pod("a")));
    assert!(is_preparing(pod("a").container(waiting("ContainerCreating"))));
    assert!(!is_preparing(pod("a").container(waiting("ErrImagePull"))));
    assert!(!is_preparing(pod("a").container(container(0, json!({"running": {}}), json!({})))));
    assert!(!is_preparing(pod("a").deleted()));
    assert!(!is_preparing(pod("")), "the scheduler has not bound it");
}

#[test]
fn a_run_that_fails_its_node_leaves_the_end_of_its_output() {
    let output = |limit, text: &str| {
        let ended = json!({"terminated": {"exitCode": 3, "reason": "Error", "message": text}});
        by_exit_code(limit, container(0, ended, json!({}))).report.output
    };
    let lines: String = (1..=40).map(|line| format!("line {line} of the evidence\n")).collect();
    assert_eq!(output(0, &lines).as_deref(), Some(lines.trim_end()));
    assert_eq!(output(1, &lines), None, "the node has not failed");
    assert_eq!(output(0, "\n"), None);
    assert_eq!(output(0, &"é".repeat(3000)).map(|text| text.len()), Some(2048));
}

#[test]
fn a_pod_that_has_waited_for_its_turn_is_prepared_since_it_was_bound() {
    let preparing = |bound_at: Option<Timestamp>| {
        let pod = pod("a").identity("uid-1", "1").created(at(0));
        let pod = bound_at.into_iter().fold(pod, PodBuilder::scheduled_at).build();
        outcome(&spec(CompletionMode::ExitCode, 0), &pod, at(60)).preparing
    };
    assert_eq!(preparing(Some(at(55))), Some(PreparedPod::Until(at(65))));
    let stuck = Some(PreparedPod::Stuck("uid-1".to_owned()));
    assert_eq!((preparing(Some(at(50))), preparing(None)), (stuck.clone(), stuck));
}
