//! Faults of an operator, for tests that show that the checks find them.

use api::job::{Job, node_set::NodeSet};

use super::{
    PodState,
    objects::{NodeState, Objects},
    operator::Seen,
    places::{has, member},
};
use crate::job::decide::{
    actions::{Actions, Release},
    daemon_set::{DaemonSetAction, Gating},
    observation::Source,
};

/// A fault of an operator.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// It releases every pod that waits, whatever the ledger says.
    SkipsLedger,
    /// It takes the pods that its cache shows released for the nodes that have started.
    CountsPods,
    /// It releases pods before it writes that their nodes have started.
    ReleasesFirst,
    /// It takes an unchanged status for a stored one.
    TrustsItsCache,
    /// It writes over whatever status there is by now.
    WritesAnyVersion,
    /// It releases a pod by its node, whatever its UID.
    ReleasesByNode,
    /// It lets a node go as soon as it is done.
    ForgetsMinReady,
    IgnoresSuspension,
    IgnoresWindows,
    IgnoresOrder,
    IgnoresFailures,
    /// It starts nodes that the control plane has lost.
    IgnoresTaints,
    /// It forgets where earlier work may still run.
    ForgetsStopping,
    /// It takes a node that its cache shows without a pod for one that is gone.
    DropsFromCaches,
    /// It sends a release again by what its caches show.
    RepeatsFromCaches,
    /// It never sends a release again.
    ReleasesOnce,
    /// It forgets pods that were done when they are gone.
    ForgetsGone,
    /// It creates a DaemonSet whose pods do not wait.
    ForgetsGate,
}

impl Fault {
    /// The Job as the operator takes it, if it does so wrongly.
    pub(super) fn mislead(self, job: &Job, seen: &Seen) -> Option<Job> {
        let mut job = job.clone();
        match self {
            Self::ForgetsMinReady => {
                job.spec.min_ready_seconds = job.spec.min_ready_seconds.map(|_| 0)
            }
            Self::IgnoresSuspension => job.spec.suspend = None,
            Self::IgnoresWindows => job.spec.windows.clear(),
            Self::IgnoresOrder => job.spec.order.clear(),
            Self::IgnoresFailures => job.spec.max_failed_nodes = None,
            Self::CountsPods => {
                let started = started_by_pods(&seen.objects);
                let ledger = job.status.as_mut().and_then(|status| status.started_nodes.as_mut());
                ledger.into_iter().for_each(|ledger| ledger.clone_from(&started));
            }
            Self::DropsFromCaches if seen.source == Source::Caches => {
                let is_held = |node: &NodeState| {
                    seen.objects.pods.values().any(|pod| pod.node_uid == node.uid)
                };
                let lost = seen.objects.nodes.values().filter(|node| !is_held(node));
                let ledger =
                    job.status.as_mut().and_then(|status| status.started_nodes.as_mut())?;
                lost.for_each(|node| ledger.remove(member(node.uid)));
            }
            _ => return None,
        }
        Some(job)
    }

    /// The objects as the operator takes them, if it does so wrongly.
    pub(super) fn blind(self, objects: &Objects) -> Option<Objects> {
        let is_blind = self == Self::IgnoresTaints;
        is_blind.then(|| {
            let mut objects = objects.clone();
            let nodes = std::sync::Arc::make_mut(&mut objects.nodes).values_mut();
            nodes.for_each(|node| node.is_unreachable = false);
            objects
        })
    }

    /// The actions that the operator takes in place of these.
    pub(super) fn corrupt(self, job: &Job, seen: &Seen, act: &Actions) -> Actions {
        let mut act = act.clone();
        match self {
            Self::SkipsLedger => {
                let waiting = seen.objects.pods.iter().filter(|(_, pod)| pod.is_gated);
                act.releases = waiting.map(|(uid, pod)| release(*uid, pod)).collect();
            }
            Self::ForgetsStopping => act.status.stopping_nodes = None,
            Self::ReleasesOnce => {
                let known = job.status.as_ref().and_then(|status| status.started_nodes.as_ref());
                let is_known = |release: &Release| {
                    let mut nodes = seen.objects.nodes.iter();
                    nodes.any(|(name, it)| name.to_string() == release.node && has(known, it.uid))
                };
                act.releases.retain(|release| !is_known(release));
            }
            Self::ForgetsGate => {
                if let DaemonSetAction::Create(gating) | DaemonSetAction::Update(_, gating) =
                    &mut act.daemon_set
                {
                    *gating = Gating::None;
                }
            }
            _ => {}
        }
        act
    }
}

fn release(uid: super::Uid, pod: &PodState) -> Release {
    let (uid, node) = (uid.to_string(), pod.node.to_string());
    Release { pod: format!("pod-{uid}"), uid, node, is_repeated: false }
}

fn started_by_pods(objects: &Objects) -> NodeSet {
    let mut started = NodeSet::default();
    let is_started = |pod: &&PodState| !pod.is_gated && !pod.is_done();
    for pod in objects.pods.values().filter(is_started) {
        started.insert(member(pod.node_uid));
    }
    started
}
