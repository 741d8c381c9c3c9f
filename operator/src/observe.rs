//! Observes a Job: in the caches of the watches, or at the API server.

use std::sync::Arc;

use api::{
    names,
    runtime::Cache,
    v1beta1::Job,
    views::{DaemonSetView, NodeView, PodView},
};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, ObjectList},
    core::{Request, request},
    runtime::reflector::ObjectRef,
};
use serde::de::DeserializeOwned;

use crate::{
    confirm::{asks_for_nodes, confirm},
    observed::{Observed, Source},
};

/// Objects in one page of a list: what is decoded of a large cluster at one time.
const PAGE: u32 = 500;

/// What there is to observe Jobs with.
pub(crate) struct Observer {
    /// For single calls.
    pub(crate) client: Client,
    /// Cache of all DaemonSets, so that a foreign one in the way is seen to come and go.
    pub(crate) daemon_sets: Cache<DaemonSetView>,
    /// Cache of the pods of all Jobs.
    pub(crate) pods: Cache<PodView>,
    /// Cache of the nodes.
    pub(crate) nodes: Cache<NodeView>,
}

/// What was observed around a Job, by value.
pub(crate) struct Surroundings {
    daemon_set: Option<Arc<DaemonSetView>>,
    pods: Vec<Arc<PodView>>,
    nodes: Vec<Arc<NodeView>>,
    source: Source,
}

impl Surroundings {
    /// The pods that were seen.
    pub(crate) fn pods(&self) -> &[Arc<PodView>] {
        &self.pods
    }

    /// Together with the Job itself, at the time `now`.
    pub(crate) fn observed<'a>(&'a self, job: &'a Job, now: Timestamp) -> Observed<'a> {
        Observed {
            job,
            daemon_set: self.daemon_set.as_deref(),
            pods: &self.pods,
            nodes: &self.nodes,
            source: self.source,
            now,
        }
    }
}

impl Observer {
    /// Waits until every cache has been filled; `false` if one never will be.
    pub(crate) async fn synced(&self) -> bool {
        self.daemon_sets.synced().await && self.pods.synced().await && self.nodes.synced().await
    }

    /// What the caches know.
    pub(crate) fn cached(&self, job: &Job) -> Surroundings {
        let namespace = job.namespace().unwrap_or_default();
        let name = names::daemon_set(&job.name_any());
        let daemon_set = self.daemon_sets.store.get(&ObjectRef::new(&name).within(&namespace));
        let uid = daemon_set.as_ref().and_then(|daemon_set| daemon_set.metadata.uid.as_deref());
        let is_its = |pod: &PodView| {
            uid.is_some() && pod.daemon_set().map(|owner| owner.uid.as_str()) == uid
        };
        let pods = self.pods.store.state().into_iter().filter(|pod| is_its(pod)).collect();
        Surroundings { daemon_set, pods, nodes: self.nodes.store.state(), source: Source::Caches }
    }

    /// What the API server knows. The DaemonSet is read first: its pods are then at least as new as
    /// what its status has counted.
    pub(crate) async fn live(&self, job: &Job) -> kube::Result<Surroundings> {
        let namespace = job.namespace().unwrap_or_default();
        let name = names::daemon_set(&job.name_any());
        let daemon_sets: Api<DaemonSetView> = Api::namespaced(self.client.clone(), &namespace);
        let daemon_set = daemon_sets.get_opt(&name).await?.map(Arc::new);
        let (mut pods, mut nodes) = (Vec::new(), self.nodes.store.state());
        if let Some(daemon_set) = &daemon_set {
            let selector = format!("{}={}", names::LABEL_DAEMON_SET, names::label_value(&name));
            pods = self.live_pods(job, &namespace, &selector).await?;
            if asks_for_nodes(job, daemon_set, &pods) {
                let api = Api::all(self.client.clone());
                nodes = self.list_whole(&api, ListParams::default()).await?;
            }
        }
        Ok(Surroundings { daemon_set, pods, nodes, source: Source::Live })
    }

    /// The pods that the API server holds: mostly the cached ones, confirmed.
    async fn live_pods(
        &self,
        job: &Job,
        namespace: &str,
        selector: &str,
    ) -> kube::Result<Vec<Arc<PodView>>> {
        let params = ListParams::default().labels(selector);
        let api: Api<PodView> = Api::namespaced(self.client.clone(), namespace);
        let live = self.list(&api, Request::list_metadata, params.clone()).await?;
        match confirm(&job.spec, &self.pods.store.state(), live) {
            Some(pods) => Ok(pods),
            None => self.list_whole(&api, params).await,
        }
    }

    async fn list_whole<K>(&self, api: &Api<K>, params: ListParams) -> kube::Result<Vec<Arc<K>>>
    where
        K: Resource + Clone + DeserializeOwned,
    {
        let objects: Vec<K> = self.list(api, Request::list, params).await?;
        Ok(objects.into_iter().map(Arc::new).collect())
    }

    /// What the API server holds, as `T`, which is what `ask` asks for.
    async fn list<K, T>(&self, api: &Api<K>, ask: Ask, params: ListParams) -> kube::Result<Vec<T>>
    where
        K: Resource,
        T: Clone + DeserializeOwned,
    {
        let request = Request::new(api.resource_url());
        let mut objects = Vec::new();
        let mut page = params.limit(PAGE);
        loop {
            let asked = ask(&request, &page).map_err(kube::Error::BuildRequest)?;
            let list: ObjectList<T> = self.client.request(asked).await?;
            objects.extend(list.items);
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(objects),
            }
        }
    }
}

/// Makes the request for a page of a list.
type Ask = fn(&Request, &ListParams) -> Result<http::Request<Vec<u8>>, request::Error>;
