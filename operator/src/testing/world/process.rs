//! A process of the operator: its caches, its memory, and its requests that are on their way.

use std::{collections::BTreeSet, ops::Range};

use k8s_openapi::jiff::Timestamp;

use super::{
    Kinds, World,
    objects::{Leave, Objects, Uid},
};
use crate::job::decide::{actions::Release, applied::Applied};

/// A process of the operator.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// What its watches have shown last. It never goes back.
    pub(super) caches: Objects,
    /// Its memory of the DaemonSet with this UID.
    pub(super) applied: Option<(String, Applied)>,
    /// The version of the Job that its last write of a status made.
    pub(super) written: Option<Uid>,
    /// The DaemonSets, by UID, of which it has seen a pod vanish.
    pub(super) losses: BTreeSet<String>,
    /// Those of the pods that are gone, and were done, that its watch has shown.
    pub(super) gone: Range<usize>,
    /// The pods whose releases it has sent, and the API server has answered.
    pub(super) sent: BTreeSet<Uid>,
}

/// A release that was sent, and has not reached the API server.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct InFlight {
    /// UID of the pod.
    pub(super) pod: Uid,
    /// The node of the pod when it was sent, and the nodes that were allowed to hold places.
    pub(super) node: Uid,
    pub(super) limit: usize,
    pub(super) sent: Timestamp,
}

impl InFlight {
    pub(super) fn leave(self) -> Leave {
        Leave { node: self.node, limit: self.limit }
    }
}

impl Process {
    /// A process that has just filled its caches.
    ///
    /// It has seen nothing of this number of pods that are gone.
    pub(super) fn new(now: &Objects, gone: usize) -> Self {
        Self {
            caches: now.clone(),
            applied: None,
            written: None,
            losses: BTreeSet::new(),
            gone: gone..gone,
            sent: BTreeSet::new(),
        }
    }
}

impl World {
    pub(super) fn process(&mut self, index: usize) -> &mut Process {
        let [first, second] = &mut self.processes;
        if index == 0 { first } else { second }
    }

    /// Whether a process has sent this release, and knows it.
    pub(super) fn has_sent(&self, process: usize, release: &Release) -> bool {
        let pod = release.uid.parse().ok();
        let process = self.processes.get(process);
        pod.zip(process).is_some_and(|(pod, process): (Uid, _)| process.sent.contains(&pod))
    }

    pub(super) fn restart(&mut self, process: usize) {
        self.digest_objects();
        *self.process(process) = Process::new(&self.now, self.gone.len());
    }

    pub(super) fn catch_up(&mut self, process: usize, kinds: Kinds) {
        let (now, gone) = (self.now.clone(), self.gone.len());
        let Process { caches, losses, gone: shown, .. } = self.process(process);
        caches.digests.take(&now.digests, kinds);
        if kinds.job {
            caches.job = now.job;
        }
        if kinds.daemon_set {
            caches.daemon_set = now.daemon_set;
        }
        if kinds.nodes {
            caches.nodes = now.nodes;
        }
        if kinds.pods {
            let lost = caches.pods.iter().filter(|(uid, _)| !now.pods.contains_key(uid));
            losses.extend(lost.map(|(_, pod)| pod.owner.clone()));
            caches.pods = now.pods;
            shown.end = gone;
        }
    }
}
