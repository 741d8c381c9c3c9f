//! Reads a Job with its nodes and pods, at once and with as few rights as there are.

use api::{job::Job, views::PodView};
use kube::{Api, api::ListParams};

use super::{
    connect::Cluster,
    failure::{Doing, is_forbidden},
    find, pages,
};
use crate::{
    error::Result,
    model::{
        facts::{NodeFacts, PodFacts},
        job::{JobModel, pod_selector},
    },
};

/// A Job, and what belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) job: Job,
    pub(crate) nodes: Vec<NodeFacts>,
    pub(crate) pods: Vec<PodFacts>,
    /// What the caller may not read, and what is missing for it.
    pub(crate) gaps: Vec<String>,
}

impl Snapshot {
    /// Reads the Job of this name.
    pub(crate) async fn read(cluster: &Cluster, name: &str) -> Result<Self> {
        let job = find::job(cluster, name).await?;
        Self::of(cluster, job).await
    }

    /// Reads what belongs to a Job.
    pub(crate) async fn of(cluster: &Cluster, job: Job) -> Result<Self> {
        let (nodes, pods) = futures::join!(pages::nodes(&cluster.client), pods(cluster, &job));
        let mut gaps = Vec::new();
        let nodes = match nodes {
            Err(error) if is_forbidden(&error) => {
                gaps.push("you may not list nodes: nodes without a pod are not shown".to_owned());
                Vec::new()
            }
            nodes => nodes.map_err(|error| Doing::new("list", "nodes", None).failed(&error))?,
        };
        let pods = match pods {
            Err(error) if is_forbidden(&error) => {
                let namespace = &cluster.namespace;
                gaps.push(format!(
                    "you may not list pods in namespace {namespace:?}: running nodes are shown as far as the \
                     status names them"
                ));
                Vec::new()
            }
            pods => {
                let doing = Doing::new("list", "pods", Some(&cluster.namespace));
                pods.map_err(|error| doing.failed(&error))?
            }
        };
        Ok(Self { job, nodes, pods, gaps })
    }

    /// The model of the Job.
    pub(crate) fn model(&self) -> JobModel {
        let model = JobModel::new(&self.job, &self.nodes, &self.pods);
        JobModel { gaps: self.gaps.clone(), ..model }
    }
}

async fn pods(cluster: &Cluster, job: &Job) -> kube::Result<Vec<PodFacts>> {
    let api: Api<PodView> = cluster.api();
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let params = ListParams::default().labels(&pod_selector(name));
    let mode = job.spec.completion_mode;
    pages::list(&api, &params, |pod| Some(PodFacts::new(&pod, mode))).await
}
