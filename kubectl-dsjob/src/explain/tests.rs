mod retention;

use api::job::{CompletionMode, Job, JobSpec};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::model::{
    daemon_set::DaemonSetFacts,
    evidence::{EventFacts, Known, LogEnd, OperatorPod},
    finding::Severity,
    job::JobModel,
};

/// The page whose rows the checks are.
const PAGE: &str = include_str!("../../../docs/troubleshooting.md");
/// Symptoms that have no Job, or stand for the rows below them.
const WITHOUT_CHECK: [&str; 5] = [
    "`Running` for long",
    "the Job is gone",
    "`kubectl wait --for=condition=Complete` fails",
    "`Ready` is `False`",
    "a Kustomization of Flux",
];

/// The beginnings of the page's symptoms, and the checks that recognize them.
const ROWS: &[(&str, &str)] = &[
    ("the operator's pod restarts, its log says `too old`", "OldApiServer"),
    ("no `PHASE` at all", "NoOperator"),
    ("`Pending` for long, no pods", "OldDaemonSet"),
    ("`Failed`, `InvalidSpec`", "InvalidSpec"),
    ("… `duplicate name", "InvalidSpec"),
    ("… `quantities must match", "InvalidSpec"),
    ("`Failed`, `DaemonSetRefused`", "DaemonSetRefused"),
    ("`Failed`, `NameConflict`", "NameConflict"),
    ("a `WriteRefused` event", "WriteRefused"),
    ("the condition `DaemonSetEdited`", "DaemonSetEdited"),
    ("… `so the Job does not end", "DaemonSetEdited"),
    ("… the sum of `active`, `succeeded` and `failed`", "RefusedPods"),
    ("a deleted Job does not disappear", "Deletion"),
    ("`Failed`, `NodesFailed` or `MaxFailedNodesExceeded`", "NodesFailed"),
    ("`Failed`, `DeadlineExceeded`", "DeadlineExceeded"),
    ("`Completed`, `NoMatchingNodes`", "NoMatchingNodes"),
    ("a `DeletesItself` event", "DeletesItself"),
    ("… a node is `Unreachable`", "Unreachable"),
    ("… a node is `Pending` with `ErrImagePull`", "Image"),
    ("… a node is `Pending`, `Unschedulable`", "NoRoom"),
    ("… a node is `Pending` with `FailedMount`", "Volumes"),
    ("… a node is `Pending` or `Failed` with `SysctlForbidden`", "Rejected"),
    ("… a message begins with `init container", "InitContainer"),
    ("… a node has many `restarts`", "Restarts"),
    ("… the log of a pod has the word", "WordNotFound"),
    ("`LogRotated`, an event and a message", "LogRotated"),
    ("`Suspended`", "Suspended"),
    ("`Running`, pods are `SchedulingGated`", "Waiting"),
    ("`Waiting`", "Waiting"),
    ("… `earlier work has not ended", "Waiting"),
    ("the condition `Waiting`", "Waiting"),
    ("… nodes wait", "Waiting"),
];

fn now() -> Timestamp {
    "2026-01-02T03:10:00Z".parse().unwrap()
}

/// A Job that runs on two of three nodes.
fn status() -> Value {
    json!({
        "observedGeneration": 1, "phase": "Running", "desired": 3, "active": 2, "succeeded": 1,
        "startTime": "2026-01-02T03:09:00Z",
        "nodes": [{"name": "w1", "state": "Running"}, {"name": "w2", "state": "Running"}],
    })
}

fn evidence(status: Value) -> Evidence {
    let mut job = Job::new("a", JobSpec { image: "busybox".into(), ..JobSpec::default() });
    job.metadata.uid = Some("uid".into());
    job.metadata.namespace = Some("ns".into());
    job.metadata.generation = Some(1);
    job.metadata.creation_timestamp = serde_json::from_value(json!("2026-01-02T03:08:00Z")).ok();
    job.status = Some(serde_json::from_value(status).unwrap());
    with_job(job)
}

fn with_job(job: Job) -> Evidence {
    Evidence {
        model: JobModel::new(&job, &[], &[]),
        job,
        daemon_set: Known::Yes(None),
        events: Known::Yes(Vec::new()),
        operator: Known::Yes(vec![OperatorPod { is_ready: true, ..OperatorPod::default() }]),
        api_version: Some((1, 37)),
        log_ends: Vec::new(),
        now: now(),
    }
}

/// Asserts that a check, and no other, finds something, and returns that.
fn only(evidence: &Evidence, check: &str) -> Finding {
    let found = explain(evidence);
    let names: Vec<_> = found.iter().map(|finding| finding.check).collect();
    assert_eq!(names, [check, "Outlook"], "{found:#?}");
    found.into_iter().next().unwrap()
}

fn condition(type_: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": "True", "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-02T03:09:30Z"})
}

fn with_condition(type_: &str, reason: &str, message: &str) -> Evidence {
    let mut status = status();
    status["conditions"] = json!([condition(type_, reason, message)]);
    evidence(status)
}

/// A Job one of whose nodes is like this.
fn with_node(node: Value) -> Evidence {
    let mut status = status();
    status["nodes"][0] = node;
    evidence(status)
}

fn event(reason: &str, message: &str) -> Known<Vec<EventFacts>> {
    let (job_uid, reason, message) = ("uid".to_owned(), reason.to_owned(), message.to_owned());
    Known::Yes(vec![EventFacts { job_uid, reason, message, last: None }])
}

#[test]
fn every_row_of_the_page_has_its_check() {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let rows: Vec<_> = rows.filter(|row| !["symptom", "---"].contains(row)).collect();
    assert!(rows.len() > 25, "{rows:?}");
    let known: Vec<_> = ROWS.iter().map(|(symptom, _)| symptom).chain(&WITHOUT_CHECK).collect();
    for row in rows {
        let row = row.trim_start_matches("… ");
        let is_known =
            known.iter().any(|symptom| row.starts_with(symptom.trim_start_matches("… ")));
        assert!(
            is_known,
            "ROWS says of no check in kubectl-dsjob/src/explain that it finds {row:?}"
        );
    }
    for (symptom, name) in ROWS.iter().copied() {
        assert!(checks().any(|check| check.name == name), "{symptom}: no check {name}");
    }
}

#[test]
fn a_job_that_works_says_what_is_left_and_for_how_long() {
    let mut evidence = evidence(status());
    evidence.model.deadline_seconds = Some(600);
    let [finding] = explain(&evidence).try_into().unwrap();
    let expected = "1 of 3 nodes done, 2 left: 2 Running; it runs for 1m, and at this pace for another \
                    2m; its deadline is in 9m";
    assert_eq!((finding.cause.as_str(), finding.severity), (expected, Severity::Info));
}

#[test]
fn a_missing_operator_is_found_before_anything_else() {
    let unseen = json!({"observedGeneration": -1});
    let mut none = evidence(unseen);
    none.operator = Known::Yes(Vec::new());
    assert!(only(&none, "NoOperator").cause.contains("none is installed"));
    let mut crashes = none.clone();
    let trouble = Some("operator: CrashLoopBackOff too old".to_owned());
    crashes.operator = Known::Yes(vec![OperatorPod { trouble, ..OperatorPod::default() }]);
    assert_eq!(only(&crashes, "NoOperator").quotes, ["operator: CrashLoopBackOff too old"]);
    let mut elsewhere = none.clone();
    let pod = OperatorPod { is_ready: true, watches: Some("ops".into()), ..OperatorPod::default() };
    elsewhere.operator = Known::Yes(vec![pod]);
    assert!(only(&elsewhere, "NoOperator").cause.contains("namespace \"ops\" alone"));
    let mut unknown = none.clone();
    unknown.operator = Known::No("you lack the right".into());
    assert!(only(&unknown, "NoOperator").cause.contains("you lack the right"));
    none.now = "2026-01-02T03:08:02Z".parse().unwrap();
    assert_eq!(explain(&none).len(), 1, "two seconds are no reason to worry");
}

#[test]
fn an_old_api_server_and_a_daemon_set_that_still_goes_are_named() {
    let mut old = evidence(status());
    old.api_version = Some((1, 30));
    assert!(only(&old, "OldApiServer").cause.contains("1.30"));
    let mut going = evidence(json!({"observedGeneration": 1, "phase": "Pending"}));
    let set = DaemonSetFacts {
        job: Some("earlier".into()),
        deleted: Some(now()),
        ..DaemonSetFacts::default()
    };
    going.daemon_set = Known::Yes(Some(set));
    assert!(only(&going, "OldDaemonSet").cause.contains("earlier Job"));
}

#[test]
fn each_reason_of_a_failed_job_has_its_check_and_the_message_is_quoted() {
    for (reason, check) in [
        ("InvalidSpec", "InvalidSpec"),
        ("DaemonSetRefused", "DaemonSetRefused"),
        ("NameConflict", "NameConflict"),
        ("NodesFailed", "NodesFailed"),
        ("MaxFailedNodesExceeded", "NodesFailed"),
        ("DeadlineExceeded", "DeadlineExceeded"),
    ] {
        let finding = only(&with_condition("Failed", reason, "because"), check);
        assert_eq!(finding.quotes, ["because"], "{reason}");
        assert!(finding.cure.is_some() && finding.severity == Severity::Problem, "{reason}");
    }
    let none = only(&with_condition("Complete", "NoMatchingNodes", "none"), "NoMatchingNodes");
    assert!(none.cure.unwrap().contains("selector"));
}

#[test]
fn sub_rows_of_invalid_specs_have_cures_of_their_own() {
    for (message, cure) in [
        ("spec.template…: duplicate name: \"X\"", "remove one"),
        ("quantities must match the regular expression", "64Mi"),
        (
            "spec.template.spec.hostNetwork: HostNamespaces is not allowed",
            "allowed for this namespace",
        ),
        ("spec.mountPath: \"/var/lib\" is none of /var/log", "allowed for this namespace"),
        ("spec.mountPath: must be an absolute path", "fix the field"),
    ] {
        let finding = only(&with_condition("Failed", "InvalidSpec", message), "InvalidSpec");
        assert!(finding.cure.unwrap().contains(cure), "{message}");
    }
}

#[test]
fn edits_of_the_daemon_set_name_the_tool_or_the_webhook() {
    let edited = "DaemonSetEdited";
    let finding = only(&with_condition(edited, edited, "by kured"), edited);
    assert!(finding.cure.unwrap().contains("that tool"));
    let webhook = "so the Job does not end: an admission webhook sets spec.nodeSelector";
    let finding = only(&with_condition(edited, edited, webhook), edited);
    assert!(finding.cure.unwrap().contains("exempt"));
}

#[test]
fn refused_writes_and_refused_pods_quote_their_events() {
    let mut evidence = evidence(status());
    evidence.events = event("WriteRefused", "no right");
    assert_eq!(only(&evidence, "WriteRefused").quotes, ["no right"]);
    evidence.events = event("FailedCreate", "exceeded quota");
    evidence.model.counts.missing = 2;
    let finding = only(&evidence, "RefusedPods");
    assert_eq!(
        (finding.quotes.as_slice(), finding.severity),
        (&["exceeded quota".to_owned()][..], Severity::Problem)
    );
    evidence.events = Known::No("you lack the right to list events".into());
    assert!(only(&evidence, "RefusedPods").cause.contains("you lack the right"));
    evidence.events = Known::Yes(Vec::new());
    assert_eq!(only(&evidence, "RefusedPods").severity, Severity::Info);
}

#[test]
fn each_cause_on_a_node_has_its_check() {
    for (reason, message, check) in [
        ("ErrImagePull", "not found", "Image"),
        ("ImagePullBackOff", "", "Image"),
        ("Unschedulable", "0/3 nodes", "NoRoom"),
        ("OutOfcpu", "", "NoRoom"),
        ("FailedMount", "configmap \"missing\" not found", "Volumes"),
        ("FailedCreatePodSandBox", "", "Volumes"),
        ("Evicted", "", "Rejected"),
        ("SysctlForbidden", "", "Rejected"),
        ("Error", "init container prepare: exit code 1", "InitContainer"),
        ("LogRotated", "opened late", "LogRotated"),
    ] {
        let node = json!({"name": "w1", "state": "Pending", "reason": reason, "message": message});
        let finding = only(&with_node(node), check);
        assert_eq!(finding.nodes, ["w1"], "{reason}");
        assert!(finding.cure.is_some(), "{reason}");
    }
    let lost = only(&with_node(json!({"name": "w1", "state": "Unreachable"})), "Unreachable");
    assert!(lost.cure.unwrap().contains("without end"));
    let fails = json!({"name": "w1", "state": "Pending", "reason": "CrashLoopBackOff", "exitCode": 1, "restarts": 2});
    let finding = only(&with_node(fails), "Restarts");
    assert!(finding.cause.contains("run 3; a node fails after 7"), "{}", finding.cause);
}

#[test]
fn a_word_in_an_open_line_is_found_in_the_end_of_the_log() {
    let mut evidence = evidence(status());
    evidence.log_ends = vec![LogEnd { node: "w1".into(), word: None, text: "done".into() }];
    let finding = only(&evidence, "WordNotFound");
    assert!(finding.cure.unwrap().contains("flush"));
    evidence.job.spec.completion_mode = CompletionMode::ExitCode;
    assert_eq!(explain(&evidence).len(), 1);
}

#[test]
fn what_nodes_wait_for_is_told_with_the_message_of_the_condition() {
    for (reason, severity) in [
        ("PlacesInUse", Severity::Info),
        ("WindowClosed", Severity::Info),
        ("OrderWaits", Severity::Info),
        ("MinReadySeconds", Severity::Info),
        ("LabelsUnknown", Severity::Info),
        ("Paused", Severity::Problem),
        ("NotGated", Severity::Problem),
        ("NodesUnreachable", Severity::Problem),
        ("DaemonSetDiffers", Severity::Problem),
        ("TooManyFailed", Severity::Problem),
        ("ReleaseRefused", Severity::Problem),
        ("OtherGates", Severity::Problem),
    ] {
        let finding = only(&with_condition("Waiting", reason, "said"), "Waiting");
        assert_eq!(
            (finding.severity, finding.quotes),
            (severity, vec!["said".to_owned()]),
            "{reason}"
        );
    }
    let kept = with_condition("Waiting", "PlacesInUse", "node w7 failed and keeps its place");
    assert!(explain(&kept).iter().any(|finding| finding.check == "FailedKeepPlaces"));
    let suspended =
        only(&with_condition("Suspended", "JobSuspended", "by spec.suspend"), "Suspended");
    assert_eq!(suspended.cure.as_deref(), Some("kubectl dsjob resume a"));
}

#[test]
fn a_deletion_that_hangs_names_the_finalizer() {
    let mut job = evidence(status()).job;
    job.metadata.deletion_timestamp =
        Some(serde_json::from_value(json!("2026-01-02T03:05:00Z")).unwrap());
    job.metadata.finalizers = Some(vec!["example.org/audit".into()]);
    let finding = only(&with_job(job.clone()), "Deletion");
    assert!(finding.cause.contains("\"example.org/audit\""), "{}", finding.cause);
    job.metadata.finalizers = Some(vec!["foregroundDeletion".into()]);
    assert!(only(&with_job(job), "Deletion").cause.contains("waits for its pods"));
}

#[test]
fn events_tell_how_a_job_that_is_gone_has_ended() {
    let event = |uid: &str, reason: &str| EventFacts {
        job_uid: uid.into(),
        reason: reason.into(),
        message: "done on 3 of 3 nodes".into(),
        last: Some("2026-01-02T03:09:00Z".parse().unwrap()),
    };
    let [done] =
        gone(&[event("2", "Completed"), event("1", "NodesFailed")], now()).try_into().unwrap();
    assert!(done.cause.starts_with("The Job has completed") && done.cause.ends_with("1m ago"));
    let [not] =
        gone(&[event("2", "SuccessfulCreate"), event("1", "Completed")], now()).try_into().unwrap();
    assert_eq!(not.quotes, ["SuccessfulCreate: done on 3 of 3 nodes"]);
}
