//! Promises about one look at a Job whose nodes take turns.

mod cases;
mod gating;
mod growth;
mod places;
mod properties;
mod reasons;
mod time;

use std::sync::Arc;

use api::{
    job::{
        CompletionMode, Job, JobStatus, conditions,
        conditions::{Reason, WAITING},
        node_set::NodeSet,
        work_hash,
    },
    views::{NodeView, PodView},
};
use k8s_openapi::{
    apimachinery::pkg::util::intstr::IntOrString,
    jiff::{SignedDuration, Timestamp},
};
use serde_json::{Value, json};

use crate::{
    job::decide::{
        actions::{Actions, Decision},
        daemon_set::Gating,
        decide,
        observation::{Observation, Source},
    },
    testing::fixtures::{self, PodBuilder},
};

const START: Timestamp = Timestamp::UNIX_EPOCH;

/// A Job whose nodes take turns, and what is seen of it.
#[derive(Clone, Debug)]
struct Scene {
    job: Job,
    nodes: Vec<Arc<NodeView>>,
    pods: Vec<Arc<PodView>>,
    /// Number of nodes that the DaemonSet wants.
    wanted: i32,
    gating: Gating,
    source: Source,
    now: Timestamp,
    has_labels: bool,
    release_refusal: Option<String>,
    /// Generation of the DaemonSet; the operator has written 1.
    generation: i64,
}

impl Scene {
    /// The nodes of these names, all of which are wanted and hold no pod.
    fn new(nodes: &[&str]) -> Self {
        let mut job = fixtures::job();
        job.spec.backoff_limit_per_node = Some(0);
        let work_hash = Some(work_hash::hash(&job.spec));
        let started_nodes = Some(NodeSet::default());
        job.status = Some(JobStatus { work_hash, started_nodes, ..JobStatus::default() });
        Self {
            job,
            nodes: nodes.iter().map(|name| fixtures::node(name)).collect(),
            pods: Vec::new(),
            wanted: i32::try_from(nodes.len()).unwrap(),
            gating: Gating::Turn,
            source: Source::Live,
            now: START,
            has_labels: true,
            release_refusal: None,
            generation: 1,
        }
    }

    /// As [`Self::new`], and a pod on each of them waits.
    fn waiting(nodes: &[&str]) -> Self {
        nodes.iter().fold(Self::new(nodes), |scene, name| scene.pod(pod(name).gated()))
    }

    fn parallelism(mut self, nodes: i32) -> Self {
        self.job.spec.parallelism = Some(IntOrString::Int(nodes));
        self
    }

    fn per_cent(mut self, per_cent: &str) -> Self {
        self.job.spec.parallelism = Some(IntOrString::String(per_cent.to_owned()));
        self
    }

    fn order(mut self, order: Value) -> Self {
        self.job.spec.order = serde_json::from_value(order).unwrap();
        self
    }

    fn pod(mut self, pod: PodBuilder) -> Self {
        self.pods.push(pod.build());
        self
    }

    /// The pods of `node` are these.
    fn only(mut self, node: &str, pods: impl IntoIterator<Item = PodBuilder>) -> Self {
        self.pods.retain(|pod| pod.node() != Some(node));
        pods.into_iter().fold(self, Self::pod)
    }

    fn node(mut self, node: Arc<NodeView>) -> Self {
        self.nodes.retain(|known| known.metadata.name != node.metadata.name);
        self.nodes.push(node);
        self
    }

    fn without_node(mut self, name: &str) -> Self {
        self.nodes.retain(|known| known.metadata.name.as_deref() != Some(name));
        self
    }

    fn status(mut self, change: impl FnOnce(&mut JobStatus)) -> Self {
        change(self.job.status.get_or_insert_default());
        self
    }

    fn started(self, nodes: &[&str]) -> Self {
        self.status(|status| status.started_nodes = Some(set(nodes)))
    }

    fn stopping(self, nodes: &[&str]) -> Self {
        self.status(|status| status.stopping_nodes = Some(set(nodes)))
    }

    fn completed(self, nodes: &[&str]) -> Self {
        self.status(|status| status.completed_nodes = Some(set(nodes)))
    }

    fn failed(self, nodes: &[&str]) -> Self {
        self.status(|status| status.failed_nodes = Some(set(nodes)))
    }

    fn cached(mut self) -> Self {
        self.source = Source::Caches;
        self
    }

    fn decide(&self) -> Decision {
        let mut daemon_set =
            fixtures::daemon_set().of(&self.job).scheduled(self.wanted, self.wanted);
        if self.gating == Gating::Turn {
            daemon_set = daemon_set.gated();
        }
        let mut daemon_set = daemon_set.observed_generation(Some(self.generation)).build();
        daemon_set.metadata.generation = Some(self.generation);
        let mut observation = Observation {
            daemon_set: Some(Arc::new(daemon_set)),
            pods: self.pods.clone(),
            nodes: Arc::new(fixtures::nodes(self.nodes.clone())),
            has_labels: self.has_labels,
            release_refusal: self.release_refusal.clone(),
            source: self.source,
            now: self.now,
            ..fixtures::observation(&self.job)
        };
        if let Some(applied) = &mut observation.applied {
            applied.gating = self.gating;
        }
        decide(&observation)
    }

    fn look(&self) -> Actions {
        match self.decide() {
            Decision::Act(actions) => *actions,
            other => panic!("{other:?}"),
        }
    }
}

/// A pod of the work on `node`, released unless it is gated.
fn pod(node: &str) -> PodBuilder {
    let hash = work_hash::hash(&fixtures::job().spec);
    fixtures::pod(node).work_hash(&hash).identity(&format!("pod-of-{node}"), "1")
}

/// A pod of other work on `node`.
fn earlier(node: &str) -> PodBuilder {
    fixtures::pod(node).work_hash("earlier").identity(&format!("earlier-on-{node}"), "1")
}

fn failed(node: &str) -> PodBuilder {
    pod(node).container(json!({
        "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 1,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 3, "reason": "Error", "message": "no space"}},
    }))
}

fn set(nodes: &[&str]) -> NodeSet {
    let mut set = NodeSet::default();
    nodes.iter().for_each(|node| set.insert(&format!("uid-of-{node}")));
    set
}

/// A node that was created at this second, with its UID derived from both.
fn node_of(name: &str, created: i64) -> Arc<NodeView> {
    let mut node = (*fixtures::node(name)).clone();
    node.metadata.creation_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(created)));
    node.metadata.uid = Some(format!("uid-of-{name}-of-{created}"));
    Arc::new(NodeView::new(node.metadata, node.spec))
}

fn at(second: i64) -> Timestamp {
    START + SignedDuration::from_secs(second)
}

/// Names of the nodes whose pods are released.
fn released(actions: &Actions) -> Vec<&str> {
    let mut nodes: Vec<_> = actions.releases.iter().map(|release| &*release.node).collect();
    nodes.sort_unstable();
    nodes
}

/// Reason and message of the condition Waiting.
fn why(actions: &Actions) -> Option<(Reason, &str)> {
    let condition = conditions::find(&actions.status.conditions, WAITING)?;
    Some((Reason::of(condition)?, &condition.message))
}

fn started(actions: &Actions) -> &NodeSet {
    actions.status.started_nodes.as_ref().unwrap()
}

fn stopping(actions: &Actions) -> NodeSet {
    actions.status.stopping_nodes.clone().unwrap_or_default()
}
