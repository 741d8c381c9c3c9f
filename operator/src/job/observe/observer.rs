//! Observes a Job: in the caches of the watches, or at the API server.

use std::{collections::HashSet, sync::Arc, time::Duration};

use api::{
    job::order,
    labels,
    views::{self, DaemonSetView, NodeView, PodView, RevisionView},
};
use k8s_openapi::{
    api::core::v1::PodCondition,
    apimachinery::pkg::apis::meta::v1::{LabelSelector, Time},
    jiff::Timestamp,
};
use kube::{Api, Client, Resource, api::ListParams, runtime::reflector::ObjectRef};
use runtime::{
    client::{PodId, set_condition},
    watch::Cache,
};
use serde::de::DeserializeOwned;
use tracing::debug;

use super::{node_index::NodeIndex, pod_index::PodIndex};
use crate::job::decide::{
    applied::Applied,
    job_view::JobView,
    nodes::needs_live_nodes,
    observation::{Nodes, Observation, Ownership, Source},
};

/// Objects in one page of a list, which are decoded at one time.
const PAGE: u32 = 500;

/// Time for the watch of pods to show a barrier. Most often it takes milliseconds.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(1);

/// Observes Jobs.
pub(crate) struct Observer {
    /// For single calls.
    pub(crate) client: Client,
    /// All DaemonSets, so that it sees a foreign one in the way of a Job.
    pub(crate) daemon_sets: Cache<DaemonSetView>,
    /// The pods of all Jobs.
    pub(crate) pods: PodIndex,
    pub(crate) nodes: NodeIndex,
}

impl Observer {
    /// Waits until every cache has been filled; `false` if one never will be.
    pub(crate) async fn synced(&self) -> bool {
        self.daemon_sets.synced().await && self.pods.synced().await && self.nodes.synced().await
    }

    /// Observes a Job in the caches.
    ///
    /// `applied` is what the operator remembers of a DaemonSet.
    pub(crate) fn cached<'j>(
        &self,
        job: JobView<'j>,
        applied: impl Fn(&DaemonSetView) -> Option<Applied>,
        now: Timestamp,
    ) -> Observation<'j> {
        let daemon_set = ObjectRef::new(&job.daemon_set).within(job.namespace);
        let daemon_set = self.daemon_sets.store.get(&daemon_set);
        let pods = daemon_set.as_deref().map(|daemon_set| self.pods_of(&job, uid(daemon_set)));
        let gone = daemon_set.as_deref().map_or_else(Vec::new, |it| self.pods.gone(uid(it)));
        let pods = pods.or_else(|| job.needs_all_pods().then(|| self.pods_of(&job, "")));
        let (nodes, has_labels) = self.nodes.known(order::keys(&job.spec.order));
        Observation {
            job,
            applied: daemon_set.as_deref().and_then(applied),
            daemon_set,
            pods: pods.unwrap_or_default(),
            gone,
            nodes,
            has_labels,
            release_refusal: None,
            source: Source::Caches,
            now,
        }
    }

    /// Observes a Job at the API server.
    ///
    /// It reads the DaemonSet first: the pods are then at least as new as what its status has counted.
    pub(crate) async fn live<'j>(
        &self,
        job: JobView<'j>,
        applied: impl Fn(&DaemonSetView) -> Option<Applied>,
    ) -> kube::Result<Observation<'j>> {
        let daemon_sets: Api<DaemonSetView> = Api::namespaced(self.client.clone(), job.namespace);
        let daemon_set = daemon_sets.get_opt(&job.daemon_set).await?.map(Arc::new);
        let (pods, nodes) = (Vec::new(), Arc::default());
        let applied = daemon_set.as_deref().and_then(applied);
        let (source, now) = (Source::Live, Timestamp::now());
        let mut live = Observation {
            job,
            daemon_set,
            pods,
            gone: Vec::new(),
            nodes,
            has_labels: true,
            applied,
            release_refusal: None,
            source,
            now,
        };
        // The pods of someone else's DaemonSet do not matter, and must not be touched.
        let Ownership::Own(daemon_set) = live.ownership() else {
            if live.job.needs_all_pods() {
                live.pods = self.list_pods(&live.job).await?;
                (live.nodes, live.has_labels) = self.nodes.known(order::keys(&live.job.spec.order));
                live.now = Timestamp::now();
            }
            return Ok(live);
        };
        let uid = uid(daemon_set).to_owned();
        let are_cached = self.catch_up(live.job.namespace, &uid).await;
        live.pods = if are_cached {
            self.pods_of(&live.job, &uid)
        } else {
            self.list_pods(&live.job).await?
        };
        live.gone = self.pods.gone(&uid);
        if live.needs_revision()
            && let Some(revision) = self.current_revision(&live).await?
            && let Some(applied) = &mut live.applied
        {
            applied.revision = Some(revision);
        }
        (live.nodes, live.has_labels) = self.nodes.known(order::keys(&live.job.spec.order));
        // Where the watch of pods is late, that of nodes may be, and neither may show yet that pods are gone.
        let may_be_late = !are_cached || self.pods.has_lost(&uid);
        if may_be_late || needs_live_nodes(&live) {
            live.nodes = Arc::new(self.list_nodes(&live.job.spec.order).await?);
            live.has_labels = true;
        }
        // Not before: a condition says when the Job ended, and its TTL is counted from there.
        live.now = Timestamp::now();
        Ok(live)
    }

    /// Returns the cached pods of the DaemonSet with this UID, and those of earlier ones if they matter.
    fn pods_of(&self, job: &JobView<'_>, daemon_set: &str) -> Vec<Arc<PodView>> {
        match job.needs_all_pods() {
            true => self.pods.of_all(job.namespace, &job.daemon_set),
            false => self.pods.of(daemon_set),
        }
    }

    /// Returns the hash of the pod template that a DaemonSet has in this generation.
    ///
    /// None if somebody may have replaced it meanwhile.
    async fn current_revision(&self, live: &Observation<'_>) -> kube::Result<Option<Box<str>>> {
        let (job, client) = (&live.job, &self.client);
        let Some(DaemonSetView { metadata, .. }) = live.daemon_set.as_deref() else {
            return Ok(None);
        };
        let params = ListParams::default().labels(&selector(job));
        let api: Api<RevisionView> = Api::namespaced(client.clone(), job.namespace);
        let mut revisions = self.list(&api, params).await?;
        revisions.retain(|revision| {
            views::controller(&revision.metadata).map(|owner| &owner.uid) == metadata.uid.as_ref()
        });
        let daemon_sets: Api<DaemonSetView> = Api::namespaced(client.clone(), job.namespace);
        let now = daemon_sets.get_opt(&job.daemon_set).await?;
        let is_same = now.is_some_and(|now| {
            now.metadata.uid == metadata.uid && now.metadata.generation == metadata.generation
        });
        let latest = revisions.iter().max_by_key(|revision| revision.revision);
        Ok(latest.filter(|_| is_same).and_then(|latest| latest.hash.clone()))
    }

    async fn list_pods(&self, job: &JobView<'_>) -> kube::Result<Vec<Arc<PodView>>> {
        let api = Api::namespaced(self.client.clone(), job.namespace);
        self.list(&api, ListParams::default().labels(&selector(job))).await
    }

    /// Waits until the cache of pods holds all their changes up to this call.
    ///
    /// Touching a pod is a barrier: when the watch shows it, it has shown all changes before. That takes two
    /// messages, where a list takes as long as there are pods, those of others in the namespace included.
    /// `false` if the barrier fails.
    async fn catch_up(&self, namespace: &str, daemon_set: &str) -> bool {
        let pods = self.pods.of(daemon_set);
        let Some(pod) = pods.iter().find(|pod| pod.metadata.deletion_timestamp.is_none()) else {
            return false;
        };
        let before = self.pods.version();
        let caught_up = async {
            match self.touch_pod(namespace, pod, Timestamp::now()).await {
                // An older version proves nothing: somebody has dropped the change, or restored an etcd backup.
                Ok(version) => self.pods.until(before, &version).await,
                Err(error) => {
                    // Most often the pod is gone. The list will show any other reason.
                    debug!("pods are listed, for none could be touched: {error}");
                    false
                }
            }
        };
        tokio::time::timeout(BARRIER_TIMEOUT, caught_up).await.unwrap_or_else(|_| {
            debug!("pods are listed, for the watch does not show a barrier");
            false
        })
    }

    /// Sets the condition [`labels::POD_OBSERVED`] of a pod.
    ///
    /// Returns the version of the pod with that change.
    async fn touch_pod(
        &self,
        namespace: &str,
        pod: &PodView,
        now: Timestamp,
    ) -> kube::Result<String> {
        let condition = PodCondition {
            type_: labels::POD_OBSERVED.to_owned(),
            status: "True".to_owned(),
            reason: Some("JobObserved".to_owned()),
            // No two messages are alike, or the second would change nothing.
            message: Some(format!("the operator looked at all pods of the Job at {now}")),
            last_transition_time: Some(Time(now)),
            ..PodCondition::default()
        };
        let pod = PodId {
            namespace,
            name: pod.metadata.name.as_deref().unwrap_or_default(),
            uid: pod.metadata.uid.as_deref().unwrap_or_default(),
            version: None,
        };
        let touched = set_condition(&self.client, pod, &condition, labels::OPERATOR).await?;
        Ok(touched.resource_version.unwrap_or_default())
    }

    /// Reads the nodes, with the labels that `order` names.
    async fn list_nodes(&self, order: &[LabelSelector]) -> kube::Result<Nodes> {
        let keys: HashSet<_> = order::keys(order).collect();
        let prune = |node: &mut NodeView| node.prune_labels(|key| keys.contains(key));
        let api = Api::all(self.client.clone());
        let nodes = self.list_pruned(&api, ListParams::default(), prune).await?;
        let named =
            nodes.into_iter().map(|node| (node.metadata.name.clone().unwrap_or_default(), node));
        Ok(named.collect())
    }

    async fn list<K>(&self, api: &Api<K>, params: ListParams) -> kube::Result<Vec<Arc<K>>>
    where
        K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
    {
        self.list_pruned(api, params, |_| ()).await
    }

    /// Lists objects, each pruned when its page has come.
    async fn list_pruned<K>(
        &self,
        api: &Api<K>,
        params: ListParams,
        prune: impl Fn(&mut K),
    ) -> kube::Result<Vec<Arc<K>>>
    where
        K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let mut objects = Vec::new();
        let mut page = params.limit(PAGE);
        loop {
            let mut list = api.list(&page).await?;
            list.items.iter_mut().for_each(&prune);
            objects.extend(list.items.into_iter().map(Arc::new));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(objects),
            }
        }
    }
}

/// The selector of the pods, and the revisions, of the DaemonSet of `job`.
fn selector(job: &JobView<'_>) -> String {
    format!("{}={}", labels::LABEL_DAEMON_SET, labels::label_value(&job.daemon_set))
}

fn uid(daemon_set: &DaemonSetView) -> &str {
    daemon_set.metadata.uid.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
