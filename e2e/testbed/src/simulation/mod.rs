//! Simulated nodes: stand-ins for kubelets on a real API server.
//!
//! This is a load generator, not a mock: API server, etcd and controllers are real
//! ([`crate::control_plane`]), and so is every object. Only what would happen on the machines is made
//! up. For any number of nodes there is one HTTPS server that the API server takes for their
//! kubelets, and one watch over all pods. As there is no scheduler either, the pods of DaemonSets are
//! bound to the nodes that they were made for.
//!
//! What a pod does is said by the test, through its [`SimPod`]. What a kubelet does of its own accord
//! it does here as well: it starts the containers, reports their state and the readiness of the pod
//! (readiness gates included), serves logs, and removes pods that are being deleted. It runs no
//! probes and no hooks, writes no events, and restarts no containers.

mod agent;
mod kubelet;
mod lease;
mod log;
mod node;
mod pod;
mod pods;
mod run;
mod status;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::node::NodeSpec;
pub use self::pod::SimPod;
pub use self::pods::Hold;

use self::agent::Agent;
use self::pods::{Behaviour, Pods};
use crate::control_plane::ControlPlane;

/// How long [`Simulation::wait_for`] waits.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How many nodes are registered at the same time.
const REGISTRATIONS: usize = 32;

/// A set of simulated nodes. Dropping it ends their kubelets; the objects stay.
pub struct Simulation {
    client: Client,
    pods: Arc<Pods>,
    port: u16,
    stop: CancellationToken,
    _stop: DropGuard,
}

impl Simulation {
    /// Starts without a node.
    pub fn start(control_plane: &ControlPlane) -> Result<Self> {
        let client = control_plane.client()?;
        let pods = Arc::new(Pods::default());
        let stop = CancellationToken::new();
        let (listener, port) = kubelet::listen()?;
        let server = kubelet::serve(listener, control_plane.kubelet_tls()?, pods.clone());
        let stopped = stop.clone();
        tokio::spawn(async move {
            if let Some(Err(error)) = stopped.run_until_cancelled(server).await {
                tracing::error!("{error:#}");
            }
        });
        let agent = Agent::new(client.clone(), pods.clone(), stop.clone());
        tokio::spawn(Arc::new(agent).run());
        Ok(Self { client, pods, port, stop: stop.clone(), _stop: stop.drop_guard() })
    }

    /// Adds a node to the cluster.
    pub async fn add_node(&self, node: &NodeSpec) -> Result<()> {
        let object = node.object(ControlPlane::HOST, self.port)?;
        self.pods.lock().nodes.insert(node.name().to_owned());
        Api::all(self.client.clone())
            .create(&PostParams::default(), &object)
            .await
            .with_context(|| format!("cannot create node {}", node.name()))?;
        Ok(())
    }

    /// Adds many nodes to the cluster, several at a time, and renews their leases from then on.
    ///
    /// A kubelet renews its lease every ten seconds. With thousands of them that would be most of what
    /// the API server does, so the leases of all are renewed less often when they are many; each says for
    /// how long it holds.
    pub async fn add_nodes(&self, nodes: Vec<NodeSpec>) -> Result<()> {
        let names = nodes.iter().map(|node| node.name().to_owned()).collect();
        futures::stream::iter(&nodes)
            .map(|node| self.add_node(node))
            .buffer_unordered(REGISTRATIONS)
            .try_collect::<()>()
            .await?;
        let leases = lease::renew_all(self.client.clone(), names);
        let stopped = self.stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(leases).await });
        Ok(())
    }

    /// Runs `work` in each pod of a namespace that starts from now on.
    ///
    /// It is polled from when the API server knows that the containers run until the pod is gone.
    pub fn behave<Work, Fut>(&self, namespace: &str, work: Work)
    where
        Work: Fn(SimPod) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let behaviour: Behaviour = Arc::new(move |pod| Box::pin(work(pod)));
        self.pods.lock().behaviours.insert(namespace.to_owned(), behaviour);
    }

    /// Lets pods of a namespace that start from now on run without a word again.
    pub fn forget_behaviour(&self, namespace: &str) {
        self.pods.lock().behaviours.remove(namespace);
    }

    /// Bytes of logs that were handed to readers so far, whoever they are.
    pub fn log_bytes_served(&self) -> u64 {
        self.pods.served()
    }

    /// How many times logs of the pods of a namespace have been asked for.
    pub fn log_requests(&self, namespace: &str) -> usize {
        self.pods.lock().log_requests.get(namespace).copied().unwrap_or_default()
    }

    /// Waits until the logs of a namespace have been asked for so many times, however long that takes.
    pub async fn until_log_requests(&self, namespace: &str, wanted: usize) {
        while self.log_requests(namespace) < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until a namespace has no pod left, as far as the simulated kubelets know.
    pub async fn until_empty(&self, namespace: &str) {
        let mut changes = self.pods.changes();
        loop {
            changes.mark_unchanged();
            if self.pods.count(namespace) == 0 {
                return;
            }
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
            // Many pods change at a time; one look at all of them is enough.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Removes a node, and then its pods, as the pod garbage collector would after a minute.
    pub async fn remove_node(&self, name: &str) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        nodes
            .delete(name, &DeleteParams::default())
            .await
            .with_context(|| format!("cannot delete node {name}"))?;
        self.pods.lock().nodes.remove(name);
        let pods: Api<Pod> = Api::all(self.client.clone());
        let on_node = ListParams::default().fields(&format!("spec.nodeName={name}"));
        for pod in pods.list(&on_node).await? {
            let pods: Api<Pod> =
                Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
            let gone = DeleteParams::default().grace_period(0);
            match pods.delete(&pod.name_any(), &gone).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                result => drop(result?),
            }
        }
        Ok(())
    }

    /// Makes a kubelet leave something undone for the pods of a namespace, until [`Self::release`].
    pub fn hold(&self, hold: Hold, namespace: &str, node: &str) {
        self.pods.hold(hold, namespace, node, true);
    }

    /// Ends a hold.
    pub fn release(&self, hold: Hold, namespace: &str, node: &str) {
        self.pods.hold(hold, namespace, node, false);
    }

    /// All pods of a namespace.
    pub fn pods(&self, namespace: &str) -> Vec<SimPod> {
        self.pods.of(namespace)
    }

    /// Waits for a pod of a namespace that is as `matches` wants it.
    pub async fn wait_for(
        &self,
        namespace: &str,
        what: &str,
        matches: impl Fn(&SimPod) -> bool,
    ) -> Result<SimPod> {
        match tokio::time::timeout(TIMEOUT, self.wait_long_for(namespace, matches)).await {
            Ok(pod) => Ok(pod),
            Err(_) => bail!(
                "no {what} in {namespace} after {TIMEOUT:?}; there are {:?}",
                self.pods
                    .of(namespace)
                    .iter()
                    .map(|pod| (pod.name(), pod.node(), pod.object().status))
                    .collect::<Vec<_>>()
            ),
        }
    }

    /// As [`Self::wait_for`], however long it takes.
    pub async fn wait_long_for(
        &self,
        namespace: &str,
        matches: impl Fn(&SimPod) -> bool,
    ) -> SimPod {
        let mut changes = self.pods.changes();
        loop {
            changes.mark_unchanged();
            if let Some(pod) = self.pods.of(namespace).into_iter().find(&matches) {
                return pod;
            }
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }
}
