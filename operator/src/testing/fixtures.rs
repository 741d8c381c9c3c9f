//! Objects for tests, built in a chain.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    job::{Job, JobSpec, work_hash},
    labels,
    views::{
        DaemonSetView, Gates, NodeSpecView, NodeView, PodRevision, PodSpecView, PodStatusView,
        PodView,
    },
};
use k8s_openapi::{
    api::{apps::v1::DaemonSetStatus, core::v1::PodCondition},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
    jiff::Timestamp,
};
use kube::Resource;
use serde_json::json;

use crate::job::decide::{
    applied::Applied,
    job_view::JobView,
    observation::{Nodes, Observation, Source},
};

/// UID of the DaemonSet of [`daemon_set`] and [`pod`].
pub(crate) const DAEMON_SET_UID: &str = "ds-1";

/// A Job of generation 1.
pub(crate) fn job() -> Job {
    Job {
        metadata: ObjectMeta {
            name: Some("sample".into()),
            namespace: Some("default".into()),
            uid: Some("job-1".into()),
            generation: Some(1),
            ..ObjectMeta::default()
        },
        spec: JobSpec { image: "busybox".into(), ..JobSpec::default() },
        status: None,
    }
}

/// A live observation of `job` and the nodes a, b, c and d.
///
/// The operator has written the DaemonSet that [`daemon_set`] makes.
///
/// There is no DaemonSet, and it is the beginning of time.
pub(crate) fn observation(job: &Job) -> Observation<'_> {
    let job = JobView::new(job);
    let applied = Applied {
        job: job.uid.to_owned(),
        generation: 1,
        desired: job.desired,
        template_generations: vec![1],
        ..Applied::default()
    };
    Observation {
        job,
        applied: Some(applied),
        daemon_set: None,
        pods: Vec::new(),
        gone: Vec::new(),
        nodes: Arc::new(nodes(["a", "b", "c", "d"].map(node))),
        has_labels: true,
        release_refusal: None,
        source: Source::Live,
        now: Timestamp::UNIX_EPOCH,
    }
}

pub(crate) struct DaemonSetBuilder(DaemonSetView);

/// A DaemonSet with the work "w1", caught up, that wants no node.
pub(crate) fn daemon_set() -> DaemonSetBuilder {
    DaemonSetBuilder(DaemonSetView {
        metadata: ObjectMeta {
            name: Some(labels::daemon_set("sample")),
            namespace: Some("default".into()),
            uid: Some(DAEMON_SET_UID.into()),
            generation: Some(1),
            ..ObjectMeta::default()
        },
        status: Some(DaemonSetStatus {
            observed_generation: Some(1),
            ..DaemonSetStatus::default()
        }),
        template_generation: Some(1),
        gates: Gates::default(),
        metadata_digest: 0,
    })
    .work_hash("w1")
}

impl DaemonSetBuilder {
    pub(crate) fn scheduled(mut self, desired: i32, current: i32) -> Self {
        let status = self.status();
        status.desired_number_scheduled = desired;
        status.current_number_scheduled = current;
        self
    }

    pub(crate) fn misscheduled(mut self, nodes: i32) -> Self {
        self.status().number_misscheduled = nodes;
        self
    }

    pub(crate) fn observed_generation(mut self, generation: Option<i64>) -> Self {
        self.status().observed_generation = generation;
        self
    }

    pub(crate) fn work_hash(mut self, hash: &str) -> Self {
        annotate(&mut self.0.metadata, hash);
        self
    }

    /// Owned, and doing the work of, `job`.
    pub(crate) fn of(mut self, job: &Job) -> Self {
        self.0.metadata.owner_references = Some(vec![job.controller_owner_ref(&()).unwrap()]);
        self.work_hash(&work_hash::hash(&job.spec))
    }

    pub(crate) fn deleted(mut self) -> Self {
        self.0.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        self
    }

    /// Its pods wait for their nodes' turns.
    pub(crate) fn gated(mut self) -> Self {
        self.0.gates.turn = true;
        self
    }

    pub(crate) fn build(self) -> DaemonSetView {
        self.0
    }

    fn status(&mut self) -> &mut DaemonSetStatus {
        self.0.status.get_or_insert_default()
    }
}

/// The node `name`, whose UID is derived from its name.
pub(crate) fn node(name: &str) -> Arc<NodeView> {
    let metadata = ObjectMeta {
        name: Some(name.into()),
        uid: Some(format!("uid-of-{name}")),
        ..ObjectMeta::default()
    };
    Arc::new(NodeView::new(metadata, NodeSpecView::default()))
}

/// These nodes by name.
pub(crate) fn nodes(nodes: impl IntoIterator<Item = Arc<NodeView>>) -> Nodes {
    let named = |node: Arc<NodeView>| (node.metadata.name.clone().unwrap(), node);
    nodes.into_iter().map(named).collect()
}

/// As [`node`], one that the control plane has lost.
pub(crate) fn unreachable_node(name: &str) -> Arc<NodeView> {
    let taint = json!({"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"});
    let spec = serde_json::from_value(json!({"taints": [taint]})).unwrap();
    Arc::new(NodeView::new(node(name).metadata.clone(), spec))
}

pub(crate) struct PodBuilder(PodView);

/// A pod of [`daemon_set`] that is not done, on `node` or, if empty, on none.
pub(crate) fn pod(node: &str) -> PodBuilder {
    let mut metadata = ObjectMeta {
        owner_references: Some(vec![OwnerReference {
            api_version: "apps/v1".into(),
            kind: "DaemonSet".into(),
            name: labels::daemon_set("sample"),
            uid: DAEMON_SET_UID.into(),
            controller: Some(true),
            ..OwnerReference::default()
        }]),
        ..ObjectMeta::default()
    };
    annotate(&mut metadata, "w1");
    PodBuilder(PodView {
        metadata,
        template: PodRevision { generation: Some(1), hash: Some("h1".into()) },
        spec: PodSpecView { node_name: Some(node.into()), ..PodSpecView::default() },
        status: PodStatusView::default(),
    })
}

impl PodBuilder {
    pub(crate) fn identity(mut self, uid: &str, version: &str) -> Self {
        self.0.metadata.name = Some(format!("pod-{uid}"));
        self.0.metadata.uid = Some(uid.into());
        self.0.metadata.resource_version = Some(version.into());
        self
    }

    pub(crate) fn created(mut self, time: Timestamp) -> Self {
        self.0.metadata.creation_timestamp = Some(Time(time));
        self
    }

    /// Bound to its node at this time.
    pub(crate) fn scheduled_at(mut self, time: Timestamp) -> Self {
        self.0.status.scheduled_at = Some(time);
        self
    }

    pub(crate) fn done(mut self) -> Self {
        self.0.status.conditions.push(PodCondition {
            type_: labels::POD_COMPLETED.into(),
            status: "True".into(),
            ..PodCondition::default()
        });
        self
    }

    pub(crate) fn done_at(self, time: Timestamp) -> Self {
        let mut pod = self.done();
        for condition in &mut pod.0.status.conditions {
            condition.last_transition_time.get_or_insert(Time(time));
        }
        pod
    }

    /// It waits for its node's turn.
    pub(crate) fn gated(mut self) -> Self {
        self.0.spec.gates.turn = true;
        self.unbound()
    }

    /// It is meant for its node, and not bound to it yet.
    pub(crate) fn unbound(mut self) -> Self {
        let node = self.0.spec.node_name.take();
        let term = json!({"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": [node]},
        ]});
        let affinity = json!({"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]},
        }});
        self.0.spec.affinity = Some(serde_json::from_value(affinity).unwrap());
        self
    }

    /// With this status of the working container.
    pub(crate) fn container(mut self, status: serde_json::Value) -> Self {
        self.0.status.container_statuses.push(serde_json::from_value(status).unwrap());
        self
    }

    /// With this status of the working container in `ExitCode` mode.
    pub(crate) fn init_container(mut self, status: serde_json::Value) -> Self {
        self.0.status.init_container_statuses.push(serde_json::from_value(status).unwrap());
        self
    }

    /// With a sandbox that has been ready, or gone, since then.
    pub(crate) fn sandbox(mut self, is_ready: bool, since: Timestamp) -> Self {
        self.0.status.conditions.push(PodCondition {
            type_: "PodReadyToStartContainers".into(),
            status: if is_ready { "True" } else { "False" }.into(),
            last_transition_time: Some(Time(since)),
            ..PodCondition::default()
        });
        self
    }

    /// With this record of its runs.
    pub(crate) fn recorded(mut self, tally: &str) -> Self {
        self.0.status.conditions.push(PodCondition {
            type_: labels::POD_SANDBOX_CHANGED.into(),
            status: "True".into(),
            message: Some(tally.into()),
            ..PodCondition::default()
        });
        self
    }

    /// Failed for this reason, as its kubelet says.
    pub(crate) fn failed(mut self, reason: &str) -> Self {
        self.0.status.phase = Some("Failed".into());
        self.0.status.reason = Some(reason.into());
        self
    }

    /// Created from the pod template of this generation and hash.
    pub(crate) fn template(mut self, generation: i64, hash: &str) -> Self {
        self.0.template = PodRevision { generation: Some(generation), hash: Some(hash.into()) };
        self
    }

    pub(crate) fn owner(mut self, uid: &str) -> Self {
        for owner in self.0.metadata.owner_references.iter_mut().flatten() {
            owner.uid = uid.into();
        }
        self
    }

    pub(crate) fn work_hash(mut self, hash: &str) -> Self {
        annotate(&mut self.0.metadata, hash);
        self
    }

    /// Created for the Job with this UID.
    pub(crate) fn of_job(mut self, uid: &str) -> Self {
        let annotations = self.0.metadata.annotations.get_or_insert_default();
        annotations.insert(labels::ANNOTATION_JOB_UID.into(), uid.into());
        self
    }

    pub(crate) fn deleted(mut self) -> Self {
        self.0.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        self
    }

    pub(crate) fn build(self) -> Arc<PodView> {
        Arc::new(self.0)
    }
}

fn annotate(metadata: &mut ObjectMeta, hash: &str) {
    metadata.annotations =
        Some(BTreeMap::from([(labels::ANNOTATION_WORK_HASH.into(), hash.into())]));
}
