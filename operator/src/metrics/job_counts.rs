//! Counts Jobs and their nodes by their status.

use api::job::{
    CompletionPolicy, Job, JobStatus, NodeState, Phase, conditions,
    node_set::{Member, NodeSet},
};
use k8s_openapi::jiff::Timestamp;
use runtime::metrics::Labels;

/// Numbers of Jobs by phase, and of their nodes by state.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct JobCounts {
    pending: u32,
    running: u32,
    suspended: u32,
    completed: u32,
    failed: u32,
    nodes: Nodes,
    places_in_use: u32,
    /// The earliest start of an unfinished Job.
    oldest: Option<Timestamp>,
}

/// Numbers of nodes, summed over Jobs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Nodes {
    succeeded: i64,
    failed: i64,
    active: i64,
    waiting: i64,
    unreachable: i64,
    missing: i64,
}

impl JobCounts {
    /// Counts these Jobs; `None` stands for one that cannot be decoded.
    pub(super) fn of<'j>(jobs: impl Iterator<Item = Option<&'j Job>>) -> Self {
        let mut counts = Self::default();
        for job in jobs {
            match job {
                Some(job) => counts.add(job),
                // Its status, which cannot be decoded either, says so.
                None => counts.failed += 1,
            }
        }
        counts
    }

    fn add(&mut self, job: &Job) {
        let none = JobStatus::default();
        let status = job.status.as_ref().unwrap_or(&none);
        let phase = status.phase.unwrap_or_default();
        *match phase {
            Phase::Pending => &mut self.pending,
            Phase::Running => &mut self.running,
            Phase::Suspended => &mut self.suspended,
            Phase::Completed => &mut self.completed,
            Phase::Failed => &mut self.failed,
        } += 1;
        let JobStatus { desired, active, waiting, succeeded, failed, .. } = *status;
        let [desired, active, waiting, succeeded, failed] =
            [desired, active, waiting, succeeded, failed].map(i64::from);
        self.nodes.succeeded += succeeded;
        self.nodes.failed += failed;
        self.places_in_use += places_in_use(status);
        // Nothing of a finished Job runs any more, whatever was active last.
        if matches!(phase, Phase::Pending | Phase::Running) {
            let lost = status.nodes.iter().filter(|node| node.state == NodeState::Unreachable);
            let lost = i64::try_from(lost.count()).unwrap_or(i64::MAX);
            self.nodes.unreachable += lost;
            self.nodes.active += (active - lost).max(0);
            self.nodes.waiting += waiting;
            self.nodes.missing += (desired - active - waiting - succeeded - failed).max(0);
            let start = status.start_time.as_ref().or(job.metadata.creation_timestamp.as_ref());
            // A Job that never completes does not hang.
            let start = start.filter(|_| job.spec.completion_policy == CompletionPolicy::Always);
            self.oldest = self.oldest.into_iter().chain(start.map(|start| start.0)).min();
        }
    }

    /// Returns the numbers of Jobs by phase.
    pub(super) fn phases(&self) -> Vec<(Labels<1>, f64)> {
        let phases = [
            ("Pending", self.pending),
            ("Running", self.running),
            ("Suspended", self.suspended),
            ("Completed", self.completed),
            ("Failed", self.failed),
        ];
        phases.map(|(phase, jobs)| ([("phase", phase)], f64::from(jobs))).into()
    }

    /// Returns the numbers of nodes by state.
    #[expect(clippy::cast_precision_loss, reason = "there are not that many nodes")]
    pub(super) fn nodes(&self) -> Vec<(Labels<1>, f64)> {
        let states = [
            ("Succeeded", self.nodes.succeeded),
            ("Failed", self.nodes.failed),
            ("Active", self.nodes.active),
            ("Waiting", self.nodes.waiting),
            ("Unreachable", self.nodes.unreachable),
            ("Missing", self.nodes.missing),
        ];
        states.map(|(state, nodes)| ([("state", state)], nodes as f64)).into()
    }

    /// Returns the number of nodes that hold a place in their Job.
    pub(super) fn places_in_use(&self) -> f64 {
        f64::from(self.places_in_use)
    }

    /// Returns the age of the oldest unfinished Job in seconds; 0 if there is none.
    pub(super) fn oldest_age(&self, now: Timestamp) -> f64 {
        self.oldest.map_or(0.0, |start| now.duration_since(start).as_secs_f64().max(0.0))
    }
}

/// Number of nodes that hold a place in an unfinished Job, as its status says.
fn places_in_use(status: &JobStatus) -> u32 {
    if conditions::finished(&status.conditions).is_some() {
        return 0;
    }
    let (started, stopping) = (status.started_nodes.as_ref(), status.stopping_nodes.as_ref());
    let is_started = |node: &Member| started.is_some_and(|started| started.contains(*node));
    let stopping = stopping.into_iter().flat_map(NodeSet::iter).filter(|node| !is_started(node));
    let places = started.map_or(0, NodeSet::len) + stopping.count();
    u32::try_from(places).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use api::job::{NodeStatus, conditions::Reason};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::testing::fixtures::job;

    fn job_with(status: JobStatus) -> Job {
        Job { status: Some(status), ..job() }
    }

    fn counts(jobs: &[Option<Job>]) -> JobCounts {
        JobCounts::of(jobs.iter().map(Option::as_ref))
    }

    fn value(counted: &[(Labels<1>, f64)], label: &str) -> Option<f64> {
        counted.iter().find(|([(_, value)], _)| *value == label).map(|(_, number)| *number)
    }

    #[test]
    fn jobs_are_counted_by_phase_and_those_that_cannot_be_decoded_have_failed() {
        let with = |phase| job_with(JobStatus { phase: Some(phase), ..JobStatus::default() });
        let phases = [Phase::Running, Phase::Suspended, Phase::Completed];
        let jobs: Vec<_> = phases.map(|phase| Some(with(phase))).into_iter().collect();
        let jobs = [jobs, vec![Some(job()), None]].concat();
        let phases = counts(&jobs).phases();
        for phase in ["Pending", "Running", "Suspended", "Completed", "Failed"] {
            assert_eq!(value(&phases, phase), Some(1.0), "{phase}");
        }
    }

    #[test]
    fn a_wanted_node_is_in_one_state_and_those_of_a_finished_job_are_not_active() {
        let lost = NodeStatus { state: NodeState::Unreachable, ..NodeStatus::default() };
        let status = JobStatus {
            phase: Some(Phase::Running),
            desired: 15,
            active: 4,
            waiting: 5,
            succeeded: 3,
            failed: 1,
            nodes: vec![lost],
            ..JobStatus::default()
        };
        let failed = JobStatus { phase: Some(Phase::Failed), ..status.clone() };
        let nodes = counts(&[status, failed].map(|status| Some(job_with(status)))).nodes();
        for (state, expected) in [
            ("Succeeded", 6.0),
            ("Failed", 2.0),
            ("Active", 3.0),
            ("Waiting", 5.0),
            ("Unreachable", 1.0),
            ("Missing", 2.0),
        ] {
            assert_eq!(value(&nodes, state), Some(expected), "{state}");
        }
    }

    #[test]
    fn a_place_is_in_use_once_and_not_in_a_finished_job() {
        let set = |uids: &[&str]| {
            let mut set = NodeSet::default();
            uids.iter().for_each(|uid| set.insert(*uid));
            Some(set)
        };
        let running = JobStatus {
            started_nodes: set(&["a", "b"]),
            stopping_nodes: set(&["b", "c"]),
            ..JobStatus::default()
        };
        let why = (Reason::NodesFailed, String::new(), None, Timestamp::UNIX_EPOCH);
        let failed = conditions::condition(why.0, why.1, why.2, why.3);
        let finished = JobStatus { conditions: vec![failed], ..running.clone() };
        let jobs = [running, finished, JobStatus::default()].map(|it| Some(job_with(it)));
        assert_eq!(counts(&jobs).places_in_use(), 3.0);
    }

    #[test]
    fn the_oldest_job_is_the_one_that_has_run_for_the_longest() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let since = |second, phase| {
            let start_time = Some(Time(at(second)));
            Some(job_with(JobStatus { phase: Some(phase), start_time, ..JobStatus::default() }))
        };
        let mut never = since(4, Phase::Running);
        let spec = never.as_mut().map(|job: &mut Job| &mut job.spec);
        spec.unwrap().completion_policy = CompletionPolicy::Never;
        let jobs = [
            never,
            since(5, Phase::Completed),
            since(6, Phase::Suspended),
            since(20, Phase::Running),
            since(10, Phase::Pending),
        ];
        assert_eq!(counts(&jobs).oldest_age(at(70)), 60.0);
        assert_eq!(JobCounts::default().oldest_age(at(70)), 0.0);
    }
}
