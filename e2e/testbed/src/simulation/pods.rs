//! The pods that the API server has, and what the simulation knows beyond it: nodes, and holds.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::pod::SimPod;

/// What happens in a pod once its containers have started, until it is gone.
pub(super) type Behaviour = Arc<dyn Fn(SimPod) -> BoxFuture<'static, ()> + Send + Sync>;

/// All that is known, shared by the watch, the pods' tasks, the server and the tests.
#[derive(Default)]
pub(super) struct Pods {
    state: Mutex<State>,
    /// Changes whenever a pod does.
    changed: watch::Sender<()>,
    /// Changes whenever a hold does. Apart from the pods: each pod's task listens to it, and thousands
    /// of tasks cannot be woken by the changes of thousands of pods.
    holds_changed: watch::Sender<()>,
    /// Bytes of logs that were handed to readers.
    served: AtomicU64,
}

#[derive(Default)]
pub(super) struct State {
    /// How the pods of a namespace behave that start from now on.
    pub(super) behaviours: HashMap<String, Behaviour>,
    pub(super) nodes: BTreeSet<String>,
    /// On a node, for the pods of one namespace: tests that share nodes do not meet there.
    holds: HashSet<(Hold, String, String)>,
    by_uid: HashMap<String, SimPod>,
    /// A name may be taken anew before the old pod is forgotten: the last one counts.
    by_name: HashMap<(String, String), String>,
    created: u32,
    /// How many times logs of a namespace have been asked for.
    pub(super) log_requests: HashMap<String, usize>,
}

/// What the kubelet of a node leaves undone for a while.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Hold {
    /// It does not start the containers of new pods.
    Start,
    /// It does not remove pods that are being deleted; their containers run on.
    Stop,
}

impl Pods {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held is a failed test's; the maps are whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn hold_changes(&self) -> watch::Receiver<()> {
        self.holds_changed.subscribe()
    }

    pub(super) fn behaviour(&self, namespace: &str) -> Option<Behaviour> {
        self.lock().behaviours.get(namespace).cloned()
    }

    /// Counts a request for a log.
    pub(super) fn asked(&self, namespace: &str) {
        *self.lock().log_requests.entry(namespace.to_owned()).or_default() += 1;
    }

    /// Counts bytes of a log that a reader has got.
    pub(super) fn serve(&self, bytes: usize) {
        self.served.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Bytes of logs that readers have got so far.
    pub(super) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    pub(super) fn has_node(&self, name: &str) -> bool {
        self.lock().nodes.contains(name)
    }

    /// Begins or ends a hold.
    pub(super) fn hold(&self, hold: Hold, namespace: &str, node: &str, begins: bool) {
        let hold = (hold, namespace.to_owned(), node.to_owned());
        let holds = &mut self.lock().holds;
        if begins {
            holds.insert(hold)
        } else {
            holds.remove(&hold)
        };
        self.holds_changed.send_replace(());
    }

    pub(super) fn is_held(&self, hold: Hold, namespace: &str, node: &str) -> bool {
        self.lock().holds.contains(&(hold, namespace.to_owned(), node.to_owned()))
    }

    /// Takes in a pod as the watch shows it. Returns it when it is new.
    pub(super) fn observe(&self, object: Pod, stop: &CancellationToken) -> Option<SimPod> {
        let uid = object.uid()?;
        let key = (object.namespace()?, object.name_any());
        let mut state = self.lock();
        let new = if let Some(known) = state.by_uid.get(&uid) {
            known.observe(object);
            None
        } else {
            state.created += 1;
            let pod = SimPod::new(object, state.created, stop.child_token());
            state.by_uid.insert(uid.clone(), pod.clone());
            state.by_name.insert(key, uid);
            Some(pod)
        };
        drop(state);
        self.changed.send_replace(());
        new
    }

    /// Forgets a pod that is gone: its containers end.
    pub(super) fn forget(&self, uid: &str) {
        let mut state = self.lock();
        let gone = state.by_uid.remove(uid);
        if let Some(pod) = &gone {
            let key = (pod.namespace(), pod.name());
            if state.by_name.get(&key).is_some_and(|known| known == uid) {
                state.by_name.remove(&key);
            }
        }
        drop(state);
        if let Some(pod) = gone {
            pod.stop();
            pod.gone().cancel();
            self.changed.send_replace(());
        }
    }

    /// Forgets all pods but these, after the watch had to start over.
    pub(super) fn retain(&self, uids: &HashSet<String>) {
        let gone: Vec<String> = {
            let state = self.lock();
            let known = state.by_uid.keys();
            known.filter(|uid| !uids.contains(*uid)).cloned().collect()
        };
        for uid in gone {
            self.forget(&uid);
        }
    }

    pub(super) fn find(&self, namespace: &str, name: &str) -> Option<SimPod> {
        let state = self.lock();
        let uid = state.by_name.get(&(namespace.to_owned(), name.to_owned()))?;
        state.by_uid.get(uid).cloned()
    }

    /// How many pods a namespace has.
    pub(super) fn count(&self, namespace: &str) -> usize {
        self.lock().by_name.keys().filter(|(of, _)| of == namespace).count()
    }

    /// The pods of a namespace.
    pub(super) fn of(&self, namespace: &str) -> Vec<SimPod> {
        let state = self.lock();
        let in_namespace = state.by_name.iter().filter(|((ns, _), _)| ns == namespace);
        in_namespace.filter_map(|(_, uid)| state.by_uid.get(uid).cloned()).collect()
    }
}
