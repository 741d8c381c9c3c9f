//! Clusters of the harness's own, made by kind.
//!
//! A cluster has a folder that holds its kubeconfig, its kind configuration and a record of what it
//! is; the user's `~/.kube` and `KUBECONFIG` are never read or written. Whoever uses a cluster
//! holds the lock on its record, so that a cluster whose owner died is told from one in use.

mod load;
mod node;
mod provider;
mod record;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::artifacts::{NodeProbe, Probe};
use harness::process::{Cmd, LogDir};
use harness::provide::Image;
use harness::wait::{State, Waiter};
use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher;
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::{Value, json};

pub use self::load::Loaded;
pub use self::node::{Node, ResidentMemory};
pub use self::provider::Provider;
pub use self::record::Record;

/// How long kind may take; a minute on two cores is usual, several with a cold disk.
const CREATE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// How long the nodes of a cluster may take to be removed.
const DELETE_TIMEOUT: Duration = Duration::from_secs(120);

/// The label that kind puts on its containers, with the cluster's name as its value.
const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";

/// The nodes of all of kind's clusters on this machine, each with the cluster's name.
pub async fn all_nodes(provider: Provider, logs: &LogDir) -> Result<Vec<(String, String)>> {
    let list = provider
        .cmd()
        .args(["ps", "--all", "--filter", &format!("label={CLUSTER_LABEL}")])
        .args(["--format", &provider.names_with_label(CLUSTER_LABEL)])
        .run(logs)
        .await?;
    let nodes = list.text();
    let nodes = nodes.lines().filter_map(|line| line.split_once(' '));
    Ok(nodes.map(|(node, cluster)| (node.to_owned(), cluster.to_owned())).collect())
}

/// The label that kind puts on the containers of control planes.
const CONTROL_PLANE_LABEL: &str = "io.x-k8s.kind.role=control-plane";

/// A running cluster that this harness made.
#[derive(Debug)]
pub struct Cluster {
    record: Record,
    folder: PathBuf,
    logs: LogDir,
}

impl Cluster {
    /// Makes a cluster and waits until its API server answers; its nodes may not be ready yet.
    ///
    /// On failure the half-made cluster stays, to be looked at and then deleted.
    pub async fn create(record: Record, folder: &Path, logs: &LogDir) -> Result<Self> {
        let cluster = Self { record, folder: folder.to_owned(), logs: logs.clone() };
        ensure!(cluster.record.nodes > 0, "a cluster has at least one node, its control plane");
        let config = folder.join("kind.yaml");
        fs_err::write(&config, configuration(cluster.record.nodes).to_string())?;
        cluster.record.save(folder)?;
        cluster.record.provider.take(&cluster.record.image, logs).await?;
        cluster
            .kind(["create", "cluster", "--retain", "--wait", "0s"])
            .args(["--image", &cluster.record.image])
            .arg("--config")
            .arg(&config)
            .args(["--verbosity", "3"])
            .timeout(CREATE_TIMEOUT)
            .run(logs)
            .await?;
        Ok(cluster)
    }

    /// The cluster whose record lies in `folder`, whatever state it is in.
    pub fn recorded(folder: &Path, logs: &LogDir) -> Result<Option<Self>> {
        let record = Record::load(folder)?;
        Ok(record.map(|record| Self { record, folder: folder.to_owned(), logs: logs.clone() }))
    }

    /// The cluster whose record lies in `folder`, when all its nodes still exist.
    pub async fn open(folder: &Path, logs: &LogDir) -> Result<Option<Self>> {
        let Some(cluster) = Self::recorded(folder, logs)? else {
            return Ok(None);
        };
        let complete = cluster.nodes().await?.len() == cluster.record.nodes;
        let usable = complete && cluster.kubeconfig().exists();
        Ok(usable.then_some(cluster))
    }

    /// Removes the nodes of the cluster recorded in `folder`, whatever state they are in, and the record.
    pub async fn delete(folder: &Path, logs: &LogDir) -> Result<()> {
        let Some(cluster) = Self::recorded(folder, logs)? else {
            return Ok(());
        };
        loop {
            cluster.kind(["delete", "cluster"]).timeout(DELETE_TIMEOUT).run(logs).await?;
            // Docker finishes a node that it was starting when kind was killed.
            if cluster.nodes().await?.is_empty() {
                return Record::remove(folder);
            }
        }
    }

    /// What the cluster is made of.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The folder of what is known of the cluster.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where commands that concern the cluster log.
    pub fn logs(&self) -> &LogDir {
        &self.logs
    }

    /// The file that gives access to this cluster and no other.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// A client with the rights of the cluster's administrator.
    pub async fn client(&self) -> Result<Client> {
        client(&self.kubeconfig()).await
    }

    /// A kubectl command against this cluster.
    pub fn kubectl<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Cmd {
        Cmd::new(&self.record.kubectl)
            .env_remove("KUBECONFIG")
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(args)
            .cwd(harness::paths::workspace())
    }

    /// The nodes, stopped ones and control planes included, by name.
    pub async fn nodes(&self) -> Result<Vec<Node>> {
        self.nodes_with(&[]).await
    }

    /// The node that the API server runs on.
    pub async fn control_plane(&self) -> Result<Node> {
        let nodes = self.nodes_with(&[CONTROL_PLANE_LABEL]).await?;
        nodes.into_iter().next().context("the cluster has no control plane")
    }

    /// The node of this name, whether there is one or not.
    pub fn node(&self, name: &str) -> Node {
        Node::new(self.record.provider, name, &self.logs)
    }

    /// The cluster's containers that have these labels.
    async fn nodes_with(&self, labels: &[&str]) -> Result<Vec<Node>> {
        let cluster = format!("{CLUSTER_LABEL}={}", self.record.name);
        let labels = labels.iter().copied().chain([cluster.as_str()]);
        let filters = labels.flat_map(|label| ["--filter".to_owned(), format!("label={label}")]);
        let list = self
            .record
            .provider
            .cmd()
            .args(["ps", "--all", "--format", "{{.Names}}"])
            .args(filters)
            .run(&self.logs)
            .await?;
        let mut nodes: Vec<_> = list.text().lines().map(|name| self.node(name)).collect();
        nodes.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(nodes)
    }

    /// Waits until every node is registered and ready.
    pub async fn wait_for_nodes(&self, client: &Client, wait: &Waiter<'_>) -> Result<()> {
        let wanted = self.record.nodes;
        let nodes: Api<KubeNode> = Api::all(client.clone());
        let expected = format!("{wanted} ready nodes");
        wait.watch(nodes, watcher::Config::default(), &expected, |nodes| {
            let ready = nodes.values().filter(|node| is_ready(node)).count();
            if ready == wanted {
                return State::Reached(());
            }
            let waiting: Vec<_> =
                nodes.values().filter(|node| !is_ready(node)).map(|node| node.name_any()).collect();
            State::Waiting(format!("{ready} ready, {} not: {}", waiting.len(), waiting.join(" ")))
        })
        .await
    }

    /// Loads images from the local Docker daemon into every node that does not have them.
    pub async fn load(&self, images: &[Image]) -> Result<Loaded> {
        load::load(&self.nodes().await?, images, &self.logs).await
    }

    /// Loads an OCI layout into every node; manifests may name the image by its digest.
    pub async fn load_layout(&self, layout: &Path, reference: &str, digest: &str) -> Result<()> {
        load::load_layout(&self.nodes().await?, layout, reference, digest, &self.logs).await
    }

    /// The commands that look at the cluster; one whose nodes cannot be listed has none.
    pub async fn probe(&self) -> Probe {
        let nodes = self.nodes().await.unwrap_or_default();
        let nodes = nodes.iter().map(|node| NodeProbe {
            name: node.name().to_owned(),
            exec: node.exec::<&str>([]),
            inspect: node.outside(&["inspect"]),
        });
        Probe {
            kubectl: self.kubectl::<&str>([]),
            nodes: nodes.collect(),
            export_logs: self.kind(["export", "logs"]),
        }
    }

    /// A kind command that concerns this cluster.
    fn kind<const N: usize>(&self, verb: [&str; N]) -> Cmd {
        let command = Cmd::new(&self.record.kind)
            .name(format!("kind-{}", verb[..N.min(2)].join("-")))
            .env_remove("KUBECONFIG")
            .env("KIND_EXPERIMENTAL_PROVIDER", self.record.provider.to_string())
            .args(verb)
            .args(["--name", &self.record.name]);
        if verb.contains(&"cluster") {
            command.arg("--kubeconfig").arg(self.kubeconfig())
        } else {
            command
        }
    }
}

/// A client with the rights that a kubeconfig gives.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let read = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("cannot read {}", kubeconfig.display()))?;
    let mut config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    // The API server listens on this machine, whatever proxy the environment names for the rest.
    config.proxy_url = None;
    Ok(Client::try_from(config)?)
}

/// The kind configuration of a cluster with one control plane and `nodes - 1` workers.
///
/// The node image knows the version of Kubernetes, and images made for this harness bring their
/// pod network along as kind's own do, so that nothing else differs between clusters.
fn configuration(nodes: usize) -> Value {
    let roles = std::iter::once("control-plane").chain(std::iter::repeat("worker"));
    let nodes: Vec<_> = roles.take(nodes).map(|role| json!({"role": role})).collect();
    json!({"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": nodes})
}

fn is_ready(node: &KubeNode) -> bool {
    let conditions = node.status.iter().flat_map(|status| &status.conditions);
    conditions.flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
