//! Events of a Job.

use api::{
    job::{
        JobStatus, Phase,
        conditions::{self, Reason},
        node_set::NodeSet,
    },
    labels,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{daemon_set::DaemonSetAction, observation::Observation};

/// Reason of the DaemonSet controller's events about refused pods.
pub(crate) const FAILED_CREATE: &str = "FailedCreate";

/// Nodes that an event names.
const NAMED_NODES: usize = 5;

/// An event of a Job.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct JobEvent {
    /// Whether it asks for attention.
    pub(crate) is_warning: bool,
    /// Machine-readable, in CamelCase.
    pub(crate) reason: String,
    /// For people.
    pub(crate) message: String,
}

impl JobEvent {
    /// The DaemonSet of a Job was created, in the words of the built-in controllers.
    pub(crate) fn created(daemon_set: &str) -> Self {
        Self {
            is_warning: false,
            reason: "SuccessfulCreate".to_owned(),
            message: format!("Created DaemonSet {daemon_set}"),
        }
    }

    /// The work of a Job was changed while it ran.
    pub(crate) fn restarted() -> Self {
        Self {
            is_warning: false,
            reason: "WorkChanged".to_owned(),
            message: "The work changed and starts again on every node".to_owned(),
        }
    }

    /// A Job got this condition; none if that is no news for people who watch events.
    pub(crate) fn condition(condition: &Condition) -> Option<Self> {
        // They sum up what others say.
        if [conditions::RECONCILING, conditions::STALLED].contains(&condition.type_.as_str()) {
            return None;
        }
        let reason = Reason::of(condition);
        let (is_warning, name) = match reason {
            Some(Reason::Completed) => (false, condition.reason.as_str()),
            Some(Reason::JobSuspended) => (false, "Suspended"),
            Some(Reason::JobResumed) => (false, "Resumed"),
            Some(Reason::PodsStopping | Reason::NotComplete | Reason::NotFailed) => return None,
            Some(other)
                if [conditions::WAITING, conditions::READY].contains(&other.condition()) =>
            {
                return None;
            }
            _ => (true, condition.reason.as_str()),
        };
        Some(Self { is_warning, reason: name.to_owned(), message: condition.message.clone() })
    }

    /// The first nodes of a Job start, or the first ones after none was at work.
    ///
    /// The others follow as these make room. They are no events, for a Job may have thousands of nodes.
    pub(crate) fn nodes_started(names: &[&str]) -> Self {
        let named = names.iter().take(NAMED_NODES).copied().collect::<Vec<_>>().join(", ");
        let more = match names.len().saturating_sub(NAMED_NODES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Self {
            is_warning: false,
            reason: "NodesStarted".to_owned(),
            message: format!("Started nodes: {named}{more}"),
        }
    }

    /// The logs of some nodes of a Job do not go back to the start of their containers.
    ///
    /// It names none of the nodes, so that it is one event whatever their number.
    pub(crate) fn log_rotated() -> Self {
        Self {
            is_warning: true,
            reason: labels::LOG_ROTATED.to_owned(),
            message: "Some logs were read late and do not go back to the start of their containers, or to what was read: a \
                      termination word that has rotated away is not found; see status.nodes"
                .to_owned(),
        }
    }

    /// A Job deletes itself, and `manager` creates it again then.
    pub(crate) fn deletes_itself(manager: &str, when: &str, cure: &str) -> Self {
        Self {
            is_warning: true,
            reason: "DeletesItself".to_owned(),
            message: format!(
                "{manager} manages this Job, which deletes itself {when}: {manager} creates it again then, and it \
                 runs on every node again; {cure}"
            ),
        }
    }

    /// The API server refuses something else that the operator writes for a Job.
    pub(crate) fn write_refused(answer: &str) -> Self {
        Self {
            is_warning: true,
            reason: "WriteRefused".to_owned(),
            message: format!("The API server refuses what the operator writes: {answer}"),
        }
    }

    /// The API server refuses pods of a Job, in the DaemonSet controller's words.
    pub(crate) fn failed_create(message: String) -> Self {
        Self { is_warning: true, reason: FAILED_CREATE.to_owned(), message }
    }
}

/// The part of a message that tells causes apart.
///
/// Names of pods, numbers and times change from one message to the next about the same cause.
pub(crate) fn cause(message: &str) -> String {
    let mut cause = String::with_capacity(message.len());
    for word in message.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let end = word.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        let word = &word[..word.len() - end.len()];
        let is_suffix = cause.ends_with('-') && is_random(word);
        let varies = is_suffix || word.contains(|c: char| c.is_ascii_digit());
        cause += if varies { "#" } else { word };
        cause += end;
    }
    cause
}

/// Whether `word` may be what Kubernetes appends to the name of a pod.
///
/// <https://github.com/kubernetes/apimachinery/blob/master/pkg/util/rand/rand.go>
fn is_random(word: &str) -> bool {
    word.len() == 5 && word.chars().all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c))
}

/// The events for an action on the DaemonSet and for the next status.
///
/// An action that was interrupted before the status was written gets its event now.
pub(crate) fn events(
    observation: &Observation<'_>,
    daemon_set: &DaemonSetAction,
    next: &JobStatus,
) -> Vec<JobEvent> {
    let job = &observation.job;
    let current = job.status;
    let known_work = current.and_then(|status| status.work_hash.as_ref());
    let was_interrupted =
        *daemon_set == DaemonSetAction::Keep && next.phase == Some(Phase::Running);
    let mut events = Vec::new();
    match daemon_set {
        DaemonSetAction::Create(_) => events.push(JobEvent::created(&job.daemon_set)),
        DaemonSetAction::Update(..) => events.push(JobEvent::restarted()),
        _ if was_interrupted && known_work.is_none() => {
            events.push(JobEvent::created(&job.daemon_set));
        }
        _ if was_interrupted && known_work != next.work_hash.as_ref() => {
            events.push(JobEvent::restarted());
        }
        _ => {}
    }
    let has_rotated_log = |status: &JobStatus| {
        let mut reasons = status.nodes.iter().filter_map(|node| node.reason.as_deref());
        reasons.any(|reason| reason == labels::LOG_ROTATED)
    };
    if has_rotated_log(next) && !current.is_some_and(has_rotated_log) {
        events.push(JobEvent::log_rotated());
    }
    for condition in &next.conditions {
        let known = current.and_then(|it| conditions::find(&it.conditions, &condition.type_));
        let is_known = known.is_some_and(|known| {
            known.status == condition.status
                && known.reason == condition.reason
                && known.message == condition.message
        });
        if !is_known {
            events.extend(JobEvent::condition(condition));
        }
    }
    events.extend(nodes_started(observation, next));
    events
}

/// The event about the nodes that start while none was at work.
fn nodes_started(observation: &Observation<'_>, next: &JobStatus) -> Option<JobEvent> {
    let known = observation.job.status_of_work().and_then(|status| status.started_nodes.as_ref());
    let started = next.started_nodes.as_ref().filter(|started| !started.is_empty())?;
    if known.is_some_and(|known| !NodeSet::is_empty(known)) {
        return None;
    }
    let nodes = observation
        .nodes
        .iter()
        .filter(|(_, node)| node.member().is_some_and(|member| started.contains(member)));
    let mut names: Vec<_> = nodes.map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    Some(JobEvent::nodes_started(&names))
}

#[cfg(test)]
mod tests {
    use api::job::{Job, NodeStatus};
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::testing::fixtures::{job, observation};

    fn of_rotation(nodes: &[&str]) -> JobStatus {
        let reason = Some("LogRotated".to_owned());
        let node = |name: &&str| NodeStatus {
            name: (*name).to_owned(),
            reason: reason.clone(),
            ..NodeStatus::default()
        };
        JobStatus { nodes: nodes.iter().map(node).collect(), ..JobStatus::default() }
    }

    #[test]
    fn messages_about_one_cause_have_the_same_and_others_have_not() {
        let refused = |pod: &str, used: i32| {
            cause(&format!(
                "Error creating: pods \"a-daemonset-job-{pod}\" is forbidden: exceeded quota: none, used: pods={used}"
            ))
        };
        assert_eq!(refused("9w2kd", 0), refused("bcdfg", 12));
        assert_ne!(
            refused("9w2kd", 0),
            cause("Error creating: pods \"a-9w2kd\" is forbidden: policy")
        );
        assert_eq!(cause("at 2026-01-01T00:00:00Z"), cause("at 2027-12-31T23:59:59Z"));
        assert_ne!(cause("on node-worker"), cause("on node-other"));
        assert_eq!(cause("é: no"), "é: no");
    }

    #[test]
    fn rotated_logs_are_noted_once_whatever_the_number_of_nodes() {
        let published = |current: &[&str], next: &[&str]| {
            let job = Job { status: Some(of_rotation(current)), ..job() };
            events(&observation(&job), &DaemonSetAction::Keep, &of_rotation(next))
        };
        assert_eq!(published(&[], &["a"]), [JobEvent::log_rotated()]);
        assert_eq!(published(&["a"], &["a", "b"]), []);
        assert_eq!(published(&["a"], &[]), []);
        assert_eq!(published(&[], &[]), []);
    }

    /// The events from one status with these conditions to the next.
    fn published(current: &[Reason], next: &[Reason]) -> Vec<(String, bool)> {
        let with = |reasons: &[Reason]| {
            let now = Timestamp::UNIX_EPOCH;
            let condition = |it: &Reason| conditions::condition(*it, String::new(), None, now);
            let conditions = reasons.iter().map(condition).collect();
            JobStatus { conditions, ..JobStatus::default() }
        };
        let job = Job { status: Some(with(current)), ..job() };
        let events = events(&observation(&job), &DaemonSetAction::Keep, &with(next));
        events.into_iter().map(|event| (event.reason, event.is_warning)).collect()
    }

    #[test]
    fn suspension_and_resumption_are_noted_once_and_are_no_warnings() {
        use Reason::{JobResumed, JobSuspended, PodsStopping};
        let normal = |reason: &str| vec![(reason.to_owned(), false)];
        assert_eq!(published(&[], &[PodsStopping]), []);
        assert_eq!(published(&[PodsStopping], &[JobSuspended]), normal("Suspended"));
        assert_eq!(published(&[JobSuspended], &[JobSuspended]), []);
        assert_eq!(published(&[JobSuspended], &[JobResumed]), normal("Resumed"));
        assert_eq!(published(&[JobResumed], &[JobResumed]), []);
        assert_eq!(published(&[JobResumed], &[JobSuspended]), normal("Suspended"));
    }

    #[test]
    fn conditions_that_come_and_go_with_the_turns_of_nodes_are_no_events() {
        for reason in Reason::ALL {
            let is_quiet = [conditions::WAITING, conditions::READY, conditions::RECONCILING]
                .contains(&reason.condition())
                || [Reason::PodsStopping, Reason::NotComplete, Reason::NotFailed].contains(&reason);
            assert_eq!(published(&[], &[reason]).is_empty(), is_quiet, "{reason}");
        }
    }

    #[test]
    fn nodes_that_start_while_none_is_at_work_are_one_event() {
        let with = |started: &[&str]| {
            let mut set = NodeSet::default();
            started.iter().for_each(|node| set.insert(&format!("uid-of-{node}")));
            let work_hash = Some(api::job::work_hash::hash(&job().spec));
            JobStatus { work_hash, started_nodes: Some(set), ..JobStatus::default() }
        };
        let published = |current: &[&str], next: &[&str]| {
            let job = Job { status: Some(with(current)), ..job() };
            events(&observation(&job), &DaemonSetAction::Keep, &with(next))
        };
        assert_eq!(published(&[], &["b", "a"]), [JobEvent::nodes_started(&["a", "b"])]);
        assert_eq!(published(&["a", "b"], &["b", "c"]), []);
        assert_eq!(published(&["a"], &[]), []);
        let many = JobEvent::nodes_started(&["a", "b", "c", "d", "e", "f", "g"]);
        assert_eq!(many.message, "Started nodes: a, b, c, d, e and 2 more");
    }
}
