use std::sync::{Arc, LazyLock};

use api::{
    v1beta1::Phase,
    views::{DaemonSetView, PodView},
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{OwnerReference, Time},
    jiff::Timestamp,
};
use serde_json::json;

use super::*;
use crate::{
    fixtures::{DAEMON_SET_UID, daemon_set, job, node, nodes, pod},
    observed::Nodes,
};

static NODES: LazyLock<Nodes> = LazyLock::new(|| nodes(["a", "b", "c", "d"].map(node)));

fn observed<'a>(
    job: &'a Job,
    daemon_set: Option<&'a DaemonSetView>,
    pods: &'a [Arc<PodView>],
    source: Source,
) -> Observed<'a> {
    Observed { job, daemon_set, pods, nodes: &NODES, source, now: Timestamp::UNIX_EPOCH }
}

fn act_on(job: &Job, daemon_set: Option<&DaemonSetView>, pods: &[Arc<PodView>]) -> Act {
    match decide(&observed(job, daemon_set, pods, Source::Live)) {
        Decision::Act(act) => *act,
        other => panic!("{other:?}"),
    }
}

fn reasons(status: &JobStatus) -> Vec<&str> {
    status.conditions.iter().map(|condition| condition.reason.as_str()).collect()
}

#[test]
fn a_new_job_gets_its_daemon_set_once_the_api_server_says_there_is_none() {
    let job = job();
    assert_eq!(decide(&observed(&job, None, &[], Source::Caches)), Decision::ObserveLive);
    let act = act_on(&job, None, &[]);
    assert_eq!(act.daemon_set, DaemonSetAction::Create);
    assert_eq!(act.status.phase, Some(Phase::Pending));
    assert_eq!(act.notes[0].reason, "SuccessfulCreate");
}

#[test]
fn a_creation_that_was_interrupted_before_its_event_is_noted_later() {
    let job = job();
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let act = act_on(&job, Some(&daemon_set), &[pod("a").build()]);
    assert_eq!(act.daemon_set, DaemonSetAction::Keep);
    assert_eq!(act.notes, [Note::created("sample-daemonset-job")]);
}

#[test]
fn completion_is_only_believed_from_the_api_server() {
    let job = job();
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let pods = [pod("a").done().work_hash(&work::hash(&job.spec)).build()];
    assert_eq!(
        decide(&observed(&job, Some(&daemon_set), &pods, Source::Caches)),
        Decision::ObserveLive
    );
    let act = act_on(&job, Some(&daemon_set), &pods);
    assert_eq!(act.status.phase, Some(Phase::Completed));
    assert_eq!(act.status.completed.as_deref(), Some("1/1"));
    assert_eq!(reasons(&act.status), ["Completed"]);
}

#[test]
fn progress_is_taken_from_the_caches() {
    let job = job();
    let daemon_set = daemon_set().of(&job).scheduled(3, 3).build();
    let hash = work::hash(&job.spec);
    let pods = [pod("a").done().work_hash(&hash).build(), pod("b").build(), pod("c").build()];
    let Decision::Act(act) = decide(&observed(&job, Some(&daemon_set), &pods, Source::Caches))
    else {
        panic!("progress needs no live observation");
    };
    assert_eq!(act.status.completed.as_deref(), Some("1/3"));
    assert_eq!((act.status.desired, act.status.active, act.status.succeeded), (3, 2, 1));
    assert_eq!(act.status.phase, Some(Phase::Running));
}

#[test]
fn no_matching_node_completes_with_a_reason_of_its_own() {
    let job = job();
    let daemon_set = daemon_set().of(&job).scheduled(0, 0).build();
    let act = act_on(&job, Some(&daemon_set), &[]);
    assert_eq!(reasons(&act.status), ["NoMatchingNodes"]);
    assert!(act.notes.iter().any(|note| note.is_warning));
}

#[test]
fn a_finished_job_stays_finished_and_loses_its_daemon_set() {
    let mut job = job();
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let pods = [pod("a").done().work_hash(&work::hash(&job.spec)).build()];
    job.status = Some(act_on(&job, Some(&daemon_set), &pods).status);
    let act = act_on(&job, Some(&daemon_set), &[pod("b").build()]);
    assert_eq!(act.daemon_set, DaemonSetAction::Delete(DAEMON_SET_UID.into()));
    assert_eq!(Some(act.status), job.status);
    assert_eq!(act.notes, []);
    assert_eq!(act_on(&job, None, &[]).daemon_set, DaemonSetAction::Keep);
}

#[test]
fn changed_work_restarts_and_earlier_results_do_not_count() {
    let mut job = job();
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let pods = [pod("a").done().work_hash(&work::hash(&job.spec)).build()];
    job.status = Some(act_on(&job, Some(&daemon_set), &pods).status);
    job.spec.args = vec!["again".into()];
    job.metadata.generation = Some(2);
    let act = act_on(&job, Some(&daemon_set), &pods);
    assert_eq!(act.daemon_set, DaemonSetAction::Update(DAEMON_SET_UID.into()));
    assert_eq!(act.notes, [Note::restarted()]);
    assert_eq!((act.status.succeeded, act.status.phase), (0, Some(Phase::Running)));
    assert_eq!(act.status.conditions, []);
    assert_eq!(act.status.observed_generation, Some(2));
}

/// A pod on `node` for the work of `job` whose container has crashed once.
fn crashed(job: &Job, node: &str) -> Arc<PodView> {
    pod(node)
        .work_hash(&work::hash(&job.spec))
        .container(serde_json::json!({
            "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 3, "reason": "Error"}},
        }))
        .build()
}

#[test]
fn one_failed_node_too_many_ends_the_job_at_once() {
    let mut job = job();
    job.spec.backoff_limit_per_node = Some(0);
    let daemon_set = daemon_set().of(&job).scheduled(3, 3).build();
    let pods = [crashed(&job, "a"), crashed(&job, "b"), pod("c").build()];
    for (limit, expected) in
        [(None, vec![]), (Some(2), vec![]), (Some(1), vec!["MaxFailedNodesExceeded"])]
    {
        job.spec.max_failed_nodes = limit;
        let act = act_on(&job, Some(&daemon_set), &pods);
        assert_eq!(reasons(&act.status), expected, "{limit:?}");
        assert_eq!((act.status.failed, act.status.active), (2, 1));
    }
    let act = act_on(&job, Some(&daemon_set), &pods);
    assert_eq!(
        act.status.conditions[0].message,
        "2 nodes failed, more than the 1 of spec.maxFailedNodes: a, b"
    );
    assert_eq!(act.status.phase, Some(Phase::Failed));
    assert_eq!(act.status.completion_time, None);
}

#[test]
fn any_failed_node_fails_the_job_when_all_have_ended() {
    let mut job = job();
    job.spec.backoff_limit_per_node = Some(0);
    let daemon_set = daemon_set().of(&job).scheduled(2, 2).build();
    let pods = [crashed(&job, "a"), pod("b").done().work_hash(&work::hash(&job.spec)).build()];
    for limit in [None, Some(1)] {
        job.spec.max_failed_nodes = limit;
        let act = act_on(&job, Some(&daemon_set), &pods);
        assert_eq!(reasons(&act.status), ["NodesFailed"]);
        assert_eq!(act.status.conditions[0].message, "done on 1 of 2 nodes, failed on: a");
    }
}

#[test]
fn a_node_that_failed_just_now_is_looked_at_again_when_its_last_word_should_be_known() {
    let mut job = job();
    job.spec.backoff_limit_per_node = Some(0);
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let ended = json!({"exitCode": 1, "finishedAt": "1970-01-01T00:00:00Z"});
    let container = json!({
        "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": ended},
    });
    let pod = || pod("a").work_hash(&work::hash(&job.spec)).container(container.clone());
    let act = act_on(&job, Some(&daemon_set), &[pod().build()]);
    assert_eq!(act.again_after, Some(Duration::from_secs(10)));
    assert_eq!((act.status.phase, act.status.failed), (Some(Phase::Running), 0));
    let act = act_on(&job, Some(&daemon_set), &[pod().done().build()]);
    assert_eq!(reasons(&act.status), ["Completed"]);
    let pods = [pod().build()];
    let now = Timestamp::UNIX_EPOCH + Duration::from_secs(10);
    let late = Observed { now, ..observed(&job, Some(&daemon_set), &pods, Source::Live) };
    let Decision::Act(act) = decide(&late) else { panic!("it has failed") };
    assert_eq!(reasons(&act.status), ["NodesFailed"]);
}

#[test]
fn past_its_deadline_a_job_fails_and_names_what_is_not_done() {
    let mut job = job();
    job.spec.active_deadline_seconds = Some(60);
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let pods = [pod("slow").work_hash(&work::hash(&job.spec)).build()];
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    let decide_at = |job: &Job, source, now| {
        decide(&Observed {
            job,
            daemon_set: Some(&daemon_set),
            pods: &pods,
            nodes: &NODES,
            source,
            now,
        })
    };
    let Decision::Act(act) = decide_at(&job, Source::Caches, at(1000)) else { panic!("it runs") };
    assert_eq!(act.again_after, Some(Duration::from_secs(60)));
    job.status = Some(act.status);

    let Decision::Act(act) = decide_at(&job, Source::Caches, at(1059)) else { panic!("it runs") };
    assert_eq!(act.again_after, Some(Duration::from_secs(1)));
    assert_eq!(reasons(&act.status), Vec::<&str>::new());

    assert_eq!(decide_at(&job, Source::Caches, at(1060)), Decision::ObserveLive);
    let Decision::Act(act) = decide_at(&job, Source::Live, at(1060)) else { panic!("it ends") };
    assert_eq!(reasons(&act.status), ["DeadlineExceeded"]);
    let message = &act.status.conditions[0].message;
    assert_eq!(message, "not done within the 60 s of spec.activeDeadlineSeconds; not done: slow");
    assert_eq!(act.status.duration.as_deref(), Some("1m0s"));
    job.status = Some(act.status);

    let Decision::Act(act) = decide_at(&job, Source::Caches, at(1061)) else { panic!("it ended") };
    assert_eq!(act.daemon_set, DaemonSetAction::Delete(DAEMON_SET_UID.into()));
}

#[test]
fn work_that_is_done_when_the_deadline_passes_is_done() {
    let mut job = job();
    job.spec.active_deadline_seconds = Some(60);
    job.status = Some(JobStatus {
        start_time: Some(Time(Timestamp::from_second(-100).unwrap())),
        work_hash: Some(work::hash(&job.spec)),
        ..JobStatus::default()
    });
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let pods = [pod("a").done().work_hash(&work::hash(&job.spec)).build()];
    assert_eq!(reasons(&act_on(&job, Some(&daemon_set), &pods).status), ["Completed"]);
}

#[test]
fn an_edited_limit_keeps_the_results_and_changed_work_does_not() {
    let mut job = job();
    let status = JobStatus {
        work_hash: Some(work::hash(&job.spec)),
        completed_nodes: Some({
            let mut set = api::node_set::NodeSet::default();
            set.insert("uid-of-a");
            set
        }),
        ..JobStatus::default()
    };
    job.status = Some(status);
    let daemon_set = daemon_set().of(&job).scheduled(2, 2).build();
    let pods = [pod("a").build(), pod("b").build()];
    job.spec.ttl_seconds_after_finished = Some(5);
    let act = act_on(&job, Some(&daemon_set), &pods);
    assert_eq!(act.status.completed_nodes.map(|set| set.len()), Some(1));
    job.spec.termination_word = Some("finished".into());
    let act = act_on(&job, Some(&daemon_set), &pods);
    assert_eq!(act.status.completed_nodes, None);
}

#[test]
fn a_foreign_daemon_set_is_left_alone_until_it_is_gone() {
    let mut job = job();
    let foreign = daemon_set().scheduled(1, 1).build();
    let act = act_on(&job, Some(&foreign), &[]);
    assert_eq!(act.daemon_set, DaemonSetAction::Keep);
    assert_eq!(act.status.phase, Some(Phase::Failed));
    assert_eq!(reasons(&act.status), ["NameConflict"]);
    assert!(act.status.conditions[0].message.contains("sample-daemonset-job"));

    job.status = Some(act.status);
    let act = act_on(&job, None, &[]);
    assert_eq!(act.daemon_set, DaemonSetAction::Create);
    assert_eq!(act.status.conditions, []);
}

#[test]
fn the_daemon_set_of_an_earlier_job_is_waited_for() {
    let job = job();
    let mut earlier = job.clone();
    earlier.metadata.uid = Some("earlier".into());
    for leaving in [daemon_set().of(&earlier).build(), daemon_set().of(&job).deleted().build()] {
        let act = act_on(&job, Some(&leaving), &[]);
        assert_eq!(act.daemon_set, DaemonSetAction::Keep);
        assert_eq!(act.status.phase, Some(Phase::Pending));
    }
}

#[test]
fn a_daemon_set_of_another_kind_of_job_is_foreign() {
    let job = job();
    let mut batch = daemon_set().build();
    batch.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "batch/v1".into(),
        kind: "Job".into(),
        name: "sample".into(),
        controller: Some(true),
        ..OwnerReference::default()
    }]);
    assert_eq!(reasons(&act_on(&job, Some(&batch), &[]).status), ["NameConflict"]);
}

#[test]
fn an_unknown_field_of_the_template_is_named() {
    let mut job = job();
    job.spec.template = Some(serde_json::json!({"spec": {"hostPid": true}}));
    let act = act_on(&job, None, &[]);
    assert_eq!(act.daemon_set, DaemonSetAction::Keep);
    assert_eq!(act.status.conditions[0].message, "spec.template.spec.hostPid: unknown field");
}

#[test]
fn an_invalid_spec_creates_nothing_and_loses_nothing() {
    let mut job = job();
    job.spec.mount_path = Some("tmp".into());
    let running = daemon_set().of(&job).work_hash("w1").scheduled(1, 1).build();
    for daemon_set in [None, Some(&running)] {
        let act = act_on(&job, daemon_set, &[]);
        assert_eq!(act.daemon_set, DaemonSetAction::Keep);
        assert_eq!(reasons(&act.status), ["InvalidSpec"]);
        assert!(act.status.conditions[0].message.starts_with("spec.mountPath: "));
        assert!(act.notes[0].is_warning);
    }
}

/// It would be looked at again and again, without a pause, for as long as it is wrong.
#[test]
fn a_deadline_that_has_passed_does_not_wake_a_job_that_waits_to_be_mended() {
    let start = Time(Timestamp::UNIX_EPOCH - k8s_openapi::jiff::SignedDuration::from_secs(60));
    let mut job = job();
    job.spec.active_deadline_seconds = Some(30);
    let base = status::base(&job, Timestamp::UNIX_EPOCH);
    job.status = Some(JobStatus { start_time: Some(start.clone()), ..base });
    let foreign = daemon_set().build();
    let act = act_on(&job, Some(&foreign), &[]);
    assert_eq!((reasons(&act.status), act.again_after), (vec!["NameConflict"], None));

    job.spec.max_failed_nodes = Some(-1);
    let act = act_on(&job, None, &[]);
    assert_eq!((reasons(&act.status), act.again_after), (vec!["InvalidSpec"], None));
}

#[test]
fn an_invalid_edit_keeps_the_results_for_when_it_is_mended() {
    let mut job = job();
    let mut nodes = api::node_set::NodeSet::default();
    nodes.insert("uid-of-a");
    let start_time = Some(Time(Timestamp::from_second(-60).unwrap()));
    job.status = Some(JobStatus {
        work_hash: Some(work::hash(&job.spec)),
        completed_nodes: Some(nodes.clone()),
        start_time: start_time.clone(),
        ..JobStatus::default()
    });
    let valid = job.spec.clone();
    job.spec.image.clear();
    let daemon_set = daemon_set().work_hash(&work::hash(&valid)).build();
    job.status = Some(act_on(&job, Some(&daemon_set), &[]).status);
    assert_eq!(job.status.as_ref().and_then(|status| status.phase), Some(Phase::Failed));
    job.spec = valid;
    let status = act_on(&job, None, &[]).status;
    assert_eq!(status.completed_nodes, Some(nodes));
    assert_eq!(status.start_time, start_time);
    assert_eq!(status.conditions, []);
}

#[test]
fn a_daemon_set_that_stays_without_pods_is_asked_why_and_less_often_with_time() {
    let job = job();
    let mut daemon_set = daemon_set().of(&job).scheduled(2, 0).build();
    let ago = |age| Timestamp::UNIX_EPOCH - k8s_openapi::jiff::SignedDuration::from_secs(age);
    for (age, expected) in
        [(-1, None), (0, None), (4, None), (5, Some(5)), (20, Some(10)), (3600, Some(60))]
    {
        daemon_set.metadata.creation_timestamp = Some(Time(ago(age)));
        let act = act_on(&job, Some(&daemon_set), &[]);
        let lacks_pods = expected.map(|seconds| LackingPods {
            daemon_set: DAEMON_SET_UID.to_owned(),
            ask_every: Duration::from_secs(seconds),
        });
        assert_eq!((act.lacks_pods, act.again_after), (lacks_pods, Some(REFUSAL)), "{age} s");
    }
}

#[test]
fn a_daemon_set_that_gets_its_pods_by_and_by_is_not_asked_why() {
    let job = job();
    let mut daemon_set = daemon_set().of(&job).scheduled(2, 1).build();
    let ago = |age| Timestamp::UNIX_EPOCH - k8s_openapi::jiff::SignedDuration::from_secs(age);
    daemon_set.metadata.creation_timestamp = Some(Time(ago(60)));
    let asks = |age| {
        let pods = [pod("a").created(ago(age)).build()];
        act_on(&job, Some(&daemon_set), &pods).lacks_pods.is_some()
    };
    assert_eq!([4, 5].map(asks), [false, true]);
}

#[test]
fn what_is_known_is_not_noted_again() {
    let mut job = job();
    job.spec.image.clear();
    job.status = Some(act_on(&job, None, &[]).status);
    let act = act_on(&job, None, &[]);
    assert_eq!(act.notes, []);
    assert_eq!(Some(act.status), job.status);
}

#[test]
fn a_job_that_is_going_away_is_left_alone() {
    let mut job = job();
    job.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    assert_eq!(decide(&observed(&job, None, &[], Source::Live)), Decision::Nothing);
}

#[test]
fn what_the_api_server_refuses_is_quoted() {
    let job = job();
    let Decision::Act(act) = refused(&observed(&job, None, &[], Source::Live), "spec.x: bad")
    else {
        panic!("a refusal is reported");
    };
    assert_eq!(reasons(&act.status), ["InvalidSpec"]);
    assert!(act.status.conditions[0].message.ends_with("spec.x: bad"));
}
