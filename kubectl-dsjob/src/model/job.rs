//! A Job as people look at it: its phase, its counts, what holds it up, its nodes.

use api::{
    job::{
        Job, JobStatus, Phase,
        conditions::{self, COMPLETE, DAEMON_SET_EDITED, FAILED, SUSPENDED, WAITING},
    },
    labels,
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use serde::Serialize;

use super::{
    facts::{NodeFacts, PodFacts},
    nodes::{self, NodeRow, State},
};

/// A Job with its nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobModel {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    /// `None` before the operator has looked at the Job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) phase: Option<Phase>,
    pub(crate) counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline_seconds: Option<i64>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) nodes: Vec<NodeRow>,
    /// What could not be read, and what is missing from the nodes for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) gaps: Vec<String>,
}

/// Numbers of nodes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Counts {
    pub(crate) desired: i32,
    pub(crate) done: i32,
    pub(crate) failed: i32,
    pub(crate) active: i32,
    pub(crate) waiting: i32,
    /// Nodes that should have a pod and have none.
    pub(crate) missing: i32,
}

/// A condition that says something to people.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Notice {
    #[serde(rename = "type")]
    pub(crate) type_: String,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// How a Job has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    Complete,
    Failed,
}

/// The types of conditions that are worth a line, in this order.
const NOTICES: [&str; 5] = [FAILED, COMPLETE, SUSPENDED, WAITING, DAEMON_SET_EDITED];

impl JobModel {
    /// The model of a Job from what is known of nodes and pods.
    pub(crate) fn new(job: &Job, nodes: &[NodeFacts], pods: &[PodFacts]) -> Self {
        let status = job.status.clone().unwrap_or_default();
        let rows = nodes::rows(job, nodes, pods);
        Self {
            name: job.metadata.name.clone().unwrap_or_default(),
            namespace: job.metadata.namespace.clone().unwrap_or_default(),
            uid: job.metadata.uid.clone().unwrap_or_default(),
            phase: status.phase.filter(|_| status.is_observed()),
            counts: Counts::new(&status),
            created: job.metadata.creation_timestamp.as_ref().map(|time| time.0),
            started: status.start_time.as_ref().map(|time| time.0),
            ended: ended(&status),
            deadline_seconds: job.spec.active_deadline_seconds,
            notices: notices(&status),
            nodes: rows,
            gaps: Vec::new(),
        }
    }

    /// Number of rows in a state.
    pub(crate) fn in_state(&self, state: State) -> usize {
        self.nodes.iter().filter(|node| node.state == state).count()
    }

    /// Time that the Job has run, or ran.
    pub(crate) fn elapsed_seconds(&self, now: Timestamp) -> Option<i64> {
        let end = self.ended.unwrap_or(now);
        Some(end.as_second().saturating_sub(self.started?.as_second()).max(0))
    }
}

impl Counts {
    fn new(status: &JobStatus) -> Self {
        let known = status.active + status.waiting + status.succeeded + status.failed;
        let is_suspended = conditions::find_true(&status.conditions, SUSPENDED).is_some();
        let is_ended = is_suspended || conditions::finished(&status.conditions).is_some();
        Self {
            desired: status.desired,
            done: status.succeeded,
            failed: status.failed,
            active: status.active,
            waiting: status.waiting,
            missing: if is_ended { 0 } else { (status.desired - known).max(0) },
        }
    }
}

/// The label selector of a Job's pods.
pub(crate) fn pod_selector(job: &str) -> String {
    let daemon_set = labels::label_value(&labels::daemon_set(job));
    format!("{}={daemon_set}", labels::LABEL_DAEMON_SET)
}

/// How a Job has ended, if it has.
///
/// One that has failed and is suspended has not: it goes on when it is resumed.
pub(crate) fn ending(job: &Job) -> Option<Ending> {
    let status = job.status.as_ref().filter(|status| status.is_current(&job.metadata))?;
    let condition = conditions::finished(&status.conditions)?;
    if condition.type_ == COMPLETE {
        return Some(Ending::Complete);
    }
    let is_suspended =
        job.spec.is_suspended() || conditions::find_true(&status.conditions, SUSPENDED).is_some();
    (!is_suspended).then_some(Ending::Failed)
}

fn ended(status: &JobStatus) -> Option<Timestamp> {
    let finished = || conditions::finished(&status.conditions);
    let completed = status.completion_time.as_ref().map(|time| time.0);
    completed.or_else(|| finished().map(|condition| condition.last_transition_time.0))
}

/// The conditions of a Job that say something to people.
pub(crate) fn notices(status: &JobStatus) -> Vec<Notice> {
    let found = NOTICES.iter().filter_map(|type_| conditions::find_true(&status.conditions, type_));
    found.map(Notice::new).collect()
}

impl Notice {
    fn new(condition: &Condition) -> Self {
        Self {
            type_: condition.type_.clone(),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use api::job::JobSpec;
    use serde_json::json;

    use super::*;

    fn job(status: serde_json::Value) -> Job {
        let mut job = Job::new("a", JobSpec::default());
        job.metadata.generation = Some(1);
        job.status = Some(serde_json::from_value(status).unwrap());
        job
    }

    fn failed(reason: &str) -> serde_json::Value {
        json!({"type": "Failed", "status": "True", "reason": reason, "message": "m",
            "lastTransitionTime": "2026-01-02T03:04:05Z"})
    }

    #[test]
    fn nodes_without_a_pod_are_missing_until_the_end() {
        let counts = json!({"observedGeneration": 1, "desired": 9, "active": 1, "waiting": 2,
            "succeeded": 3, "failed": 1});
        let model = JobModel::new(&job(counts.clone()), &[], &[]);
        assert_eq!(model.counts.missing, 2);
        let mut ended = counts;
        ended["conditions"] = json!([failed("DeadlineExceeded")]);
        assert_eq!(JobModel::new(&job(ended), &[], &[]).counts.missing, 0);
    }

    #[test]
    fn a_job_ends_by_a_current_final_condition_alone() {
        let with = |generation: i64, reason: &str| {
            ending(&job(json!({"observedGeneration": generation, "conditions": [failed(reason)]})))
        };
        assert_eq!(with(1, "NodesFailed"), Some(Ending::Failed));
        assert_eq!(with(0, "NodesFailed"), None);
        assert_eq!(with(1, "InvalidSpec"), None);
    }

    #[test]
    fn a_failed_job_that_is_suspended_has_not_ended_and_a_complete_one_has() {
        let condition = |type_: &str, status: &str| {
            json!({"type": type_, "status": status, "reason": "JobSuspended", "message": "m",
                "lastTransitionTime": "2026-01-02T03:04:05Z"})
        };
        let of = |suspend: bool, conditions: &[serde_json::Value]| {
            let mut job = job(json!({"observedGeneration": 1, "conditions": conditions}));
            job.spec.suspend = Some(suspend);
            ending(&job)
        };
        let failed = failed("NodesFailed");
        assert_eq!(of(true, std::slice::from_ref(&failed)), None, "its pods stop");
        assert_eq!(of(true, &[failed.clone(), condition("Suspended", "True")]), None);
        assert_eq!(of(false, &[failed.clone(), condition("Suspended", "True")]), None);
        let resumed = condition("Suspended", "False");
        assert_eq!(of(false, &[failed, resumed]), Some(Ending::Failed));
        assert_eq!(of(true, &[condition("Complete", "True")]), Some(Ending::Complete));
    }

    #[test]
    fn conditions_that_are_false_say_nothing() {
        let conditions: Vec<_> = ["Complete", "Failed", "Reconciling", "Stalled", "Suspended"]
            .map(|type_| {
                json!({"type": type_, "status": "False", "reason": "NodesFailed", "message": "m",
                    "lastTransitionTime": "2026-01-02T03:04:05Z"})
            })
            .into();
        let job = job(json!({"observedGeneration": 1, "desired": 3, "active": 1,
            "conditions": conditions}));
        let model = JobModel::new(&job, &[], &[]);
        assert_eq!((ending(&job), model.ended), (None, None));
        assert_eq!((model.notices.len(), model.counts.missing), (0, 2));
    }

    #[test]
    fn time_stops_at_the_end() {
        let status = json!({"observedGeneration": 1, "startTime": "2026-01-02T03:04:00Z",
            "conditions": [failed("NodesFailed")]});
        let model = JobModel::new(&job(status), &[], &[]);
        assert_eq!(model.elapsed_seconds("2027-01-01T00:00:00Z".parse().unwrap()), Some(5));
        assert_eq!(model.notices[0].reason, "NodesFailed");
    }

    #[test]
    fn a_job_that_nobody_has_looked_at_has_no_phase() {
        let status = json!({"observedGeneration": -1, "phase": "Pending"});
        assert_eq!(JobModel::new(&job(status), &[], &[]).phase, None);
    }
}
