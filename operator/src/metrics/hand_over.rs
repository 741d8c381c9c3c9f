//! The time in which a place goes from a node whose work has ended to the next one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use api::job::{
    JobStatus,
    node_set::{Member, NodeSet},
};
use prometheus_client::metrics::histogram::Histogram;

use super::detection::buckets;

/// Time after which a Job at which nobody has looked is forgotten: most often it is deleted.
const FORGET_AFTER: Duration = Duration::from_mins(10);

/// Measures hand-overs. Clones measure together.
///
/// A place is handed over when one acknowledged status takes a node out of `startedNodes` and another one in.
/// The time begins when the operator first sees that the work of the former has ended, and ends when the API
/// server has removed the gate of the latter's pod. Both are read from this process' monotonic clock.
#[derive(Clone, Debug)]
pub(crate) struct HandOvers {
    latencies: Histogram,
    jobs: Arc<Mutex<HashMap<String, Places>>>,
}

/// The places of one Job.
#[derive(Debug)]
struct Places {
    looked_at: Instant,
    /// When it was first seen that the work of a node that holds a place has ended.
    ended: HashMap<Member, Instant>,
    /// The same of the node before, for each node that has its place and may not start yet.
    taken: HashMap<Member, Instant>,
}

impl Default for HandOvers {
    fn default() -> Self {
        Self { latencies: buckets(), jobs: Arc::default() }
    }
}

impl HandOvers {
    /// The latencies.
    pub(super) fn histogram(&self) -> Histogram {
        self.latencies.clone()
    }

    /// Notes a look at a Job that began at `at`, and led from its `known` status to the `next` one.
    pub(crate) fn looked(
        &self,
        job: &str,
        known: Option<&JobStatus>,
        next: &JobStatus,
        at: Instant,
    ) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, after) = (started(known), started(Some(next)));
        // No place of any other Job is handed over, and it may have thousands of nodes.
        let is_over = next.waiting == 0 && before.is_superset(&after);
        if is_over && jobs.get(job).is_none_or(|places| places.taken.is_empty()) {
            jobs.remove(job);
            return;
        }
        jobs.retain(|_, places| at.saturating_duration_since(places.looked_at) < FORGET_AFTER);
        let places = jobs.entry(job.to_owned()).or_insert_with(|| Places::new(at));
        places.looked_at = at;
        let Some(completed) = &next.completed_nodes else { return };
        for node in before.iter().filter(|node| completed.contains(*node)) {
            places.ended.entry(node).or_insert(at);
        }
    }

    /// Notes that the API server has stored the `next` status in place of the `known` one.
    pub(crate) fn stored(&self, job: &str, known: Option<&JobStatus>, next: &JobStatus) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(places) = jobs.get_mut(job) else { return };
        let (before, after) = (started(known), started(Some(next)));
        let left = before.iter().filter(|node| !after.contains(*node));
        let mut freed: Vec<Instant> = left.filter_map(|node| places.ended.remove(&node)).collect();
        freed.sort_unstable();
        let entered = after.iter().filter(|node| !before.contains(*node));
        // What is freed and not taken now waits for something else: a window, a group, a node.
        places.taken.extend(entered.zip(freed));
        places.taken.retain(|node, _| after.contains(*node));
    }

    /// Notes that the pod of a node may start, as the API server has acknowledged at `now`.
    pub(crate) fn released(&self, job: &str, node: Member, now: Instant) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let freed = jobs.get_mut(job).and_then(|places| places.taken.remove(&node));
        if let Some(freed) = freed {
            self.latencies.observe(now.saturating_duration_since(freed).as_secs_f64());
        }
    }
}

impl Places {
    fn new(looked_at: Instant) -> Self {
        Self { looked_at, ended: HashMap::new(), taken: HashMap::new() }
    }
}

fn started(status: Option<&JobStatus>) -> NodeSet {
    status.and_then(|status| status.started_nodes.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text::encode, registry::Registry};

    use super::*;

    const JOB: &str = "job-1";

    fn set(uids: &[&str]) -> NodeSet {
        let mut set = NodeSet::default();
        uids.iter().for_each(|uid| set.insert(*uid));
        set
    }

    fn status(started: &[&str], completed: &[&str], waiting: i32) -> JobStatus {
        JobStatus {
            started_nodes: Some(set(started)),
            completed_nodes: Some(set(completed)),
            waiting,
            ..JobStatus::default()
        }
    }

    /// A look from one status to the next, which is stored.
    fn look(hand_overs: &HandOvers, known: &JobStatus, next: &JobStatus, at: Instant) {
        hand_overs.looked(JOB, Some(known), next, at);
        hand_overs.stored(JOB, Some(known), next);
    }

    /// Number and sum of the latencies.
    fn observed(hand_overs: &HandOvers) -> (String, String) {
        let mut registry = Registry::default();
        registry.register("h", "h", hand_overs.histogram());
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        (value("h_count"), value("h_sum"))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_hand_over_lasts_from_the_first_sight_of_the_end_to_the_release() {
        let (hand_overs, begin) = (HandOvers::default(), Instant::now());
        let at_work = status(&["a"], &[], 1);
        let (done, next) = (status(&["a"], &["a"], 1), status(&["b"], &["a"], 0));
        look(&hand_overs, &at_work, &done, begin);
        // Looks whose status was not stored change nothing.
        hand_overs.looked(JOB, Some(&done), &next, begin + seconds(1));
        look(&hand_overs, &done, &next, begin + seconds(2));
        hand_overs.released(JOB, Member::from("c"), begin + seconds(3));
        assert_eq!(observed(&hand_overs).0, "0");
        for _ in 0..2 {
            hand_overs.released(JOB, Member::from("b"), begin + seconds(3));
        }
        assert_eq!(observed(&hand_overs), ("1".to_owned(), "3.0".to_owned()));
    }

    #[test]
    fn a_node_that_starts_on_a_place_that_was_free_before_takes_over_from_nobody() {
        let (hand_overs, begin) = (HandOvers::default(), Instant::now());
        look(&hand_overs, &status(&[], &[], 2), &status(&["a"], &[], 1), begin);
        hand_overs.released(JOB, Member::from("a"), begin + seconds(1));
        let closed = status(&[], &["a"], 1);
        look(&hand_overs, &status(&["a"], &[], 1), &status(&["a"], &["a"], 1), begin);
        look(&hand_overs, &status(&["a"], &["a"], 1), &closed, begin);
        look(&hand_overs, &closed, &status(&["b"], &["a"], 0), begin + seconds(60));
        hand_overs.released(JOB, Member::from("b"), begin + seconds(61));
        assert_eq!(observed(&hand_overs).0, "0");
    }

    #[test]
    fn a_job_whose_nodes_do_not_wait_and_one_that_is_gone_cost_no_memory() {
        let (hand_overs, begin) = (HandOvers::default(), Instant::now());
        let (all, done) = (status(&["a", "b"], &[], 0), status(&["a", "b"], &["a"], 0));
        look(&hand_overs, &all, &done, begin);
        assert_eq!(hand_overs.jobs.lock().unwrap().len(), 0);
        hand_overs.looked("gone", None, &status(&[], &[], 1), begin);
        hand_overs.looked(JOB, None, &status(&[], &[], 1), begin + FORGET_AFTER);
        let jobs = hand_overs.jobs.lock().unwrap();
        assert_eq!(jobs.keys().collect::<Vec<_>>(), [JOB]);
    }
}
