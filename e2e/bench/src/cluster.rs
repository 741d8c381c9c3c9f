//! What a benchmark runs on: a control plane of its own, simulated nodes, operator and terminator.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use api::labels;
use harness::paths;
use harness::wait::{Namespaced, Waiter};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde::Serialize;
use serde_json::{Value, json};
use testbed::control_plane::{AuditLog, Audited, ControlPlane, Settings};
use testbed::simulation::{NodeSpec, Simulation};

use testbed::program::{Process, Program, Usage};

/// Requests a second that each controller of the control plane may make: as many as it can.
pub const CONTROLLERS_QPS: u32 = 2000;

/// How long a request may take from the API server into our copy of the audit log.
const AUDITED: Duration = Duration::from_secs(10);

/// How long anything that is waited for may take: thousands of pods on a small machine.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// A control plane with nodes, and what runs against it. Dropping it ends it all.
pub struct Testbed {
    /// The control plane.
    pub control_plane: ControlPlane,
    /// Its nodes.
    pub sim: Simulation,
    /// Their names.
    pub nodes: Vec<String>,
    /// All rights.
    pub client: Client,
    programs: Programs,
    kubeconfig: PathBuf,
    folder: PathBuf,
    namespaces: AtomicU32,
    audit: Mutex<AuditLog>,
}

/// The binaries that are measured.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The operator.
    pub operator: Program,
    /// The terminator.
    pub terminator: Program,
}

/// Both processes, running.
pub struct Both {
    /// The operator.
    pub operator: Process,
    /// The terminator.
    pub terminator: Process,
}

impl Both {
    /// Waits until both are ready; how long the slower one took from its start.
    pub async fn ready(&mut self) -> Result<Duration> {
        let (a, b) = tokio::try_join!(self.operator.ready(), self.terminator.ready())?;
        Ok(a.max(b))
    }

    /// What the operator and the terminator use now.
    pub fn usage(&self) -> Result<[Usage; 2]> {
        Ok([self.operator.usage()?, self.terminator.usage()?])
    }

    /// Ends both, as a rollout does.
    pub async fn end(self) -> Result<()> {
        tokio::try_join!(self.operator.end(), self.terminator.end()).map(drop)
    }

    /// Ends both without a warning.
    pub async fn kill(self) -> Result<()> {
        tokio::try_join!(self.operator.kill(), self.terminator.kill()).map(drop)
    }
}

impl Testbed {
    /// Starts a control plane with so many nodes, with `deploy/` applied but for what it would run.
    pub async fn start(image: &str, nodes: u32, programs: Programs, folder: &Path) -> Result<Self> {
        fs_err::create_dir_all(folder)?;
        let (namespace, account) = service_account()?;
        let settings = Settings {
            controllers_qps: CONTROLLERS_QPS,
            audited_users: vec![format!("system:serviceaccount:{namespace}:{account}")],
        };
        let control_plane = ControlPlane::start_with(image, &settings).await?;
        control_plane.apply(&paths::workspace().join("deploy")).await?;
        control_plane.start_controllers().await?;
        let sim = Simulation::start(&control_plane)?;
        let specs: Vec<_> = (0..nodes).map(|n| NodeSpec::linux(format!("node-{n:04}"))).collect();
        let names = specs.iter().map(|node| node.name().to_owned()).collect();
        sim.add_nodes(specs).await?;
        let kubeconfig = folder.join("kubeconfig");
        let text = control_plane.service_account_kubeconfig(&namespace, &account).await?;
        std::fs::write(&kubeconfig, text)?;
        let audit = Mutex::new(control_plane.audit_log());
        let client = control_plane.client()?;
        Ok(Self {
            control_plane,
            sim,
            nodes: names,
            client,
            programs,
            kubeconfig,
            folder: folder.to_owned(),
            namespaces: AtomicU32::new(0),
            audit,
        })
    }

    /// Starts both processes.
    pub fn start_both(&self) -> Result<Both> {
        let start = |program: &Program| Process::start(program, &self.kubeconfig, &self.folder);
        Ok(Both {
            operator: start(&self.programs.operator)?,
            terminator: start(&self.programs.terminator)?,
        })
    }

    /// Makes a namespace.
    pub async fn namespace(&self, purpose: &str) -> Result<String> {
        let number = self.namespaces.fetch_add(1, Ordering::Relaxed);
        let name = format!("bench-{number}-{purpose}");
        let object = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.create(&PostParams::default(), &object).await?;
        Ok(name)
    }

    /// Deletes the DaemonSets of a namespace, and waits until its pods are gone.
    pub async fn clear(&self, namespace: &str) -> Result<()> {
        let daemon_sets: Api<DaemonSet> = Api::namespaced(self.client.clone(), namespace);
        for daemon_set in daemon_sets.list_metadata(&ListParams::default()).await? {
            let deleted =
                daemon_sets.delete(&daemon_set.name_any(), &DeleteParams::background()).await;
            match deleted {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                result => drop(result?),
            }
        }
        self.sim.forget_behaviour(namespace);
        within(self.sim.until_empty(namespace), "the pods to be gone").await
    }

    /// Creates an object from JSON.
    pub async fn create<K: Namespaced + Serialize>(
        &self,
        namespace: &str,
        object: Value,
    ) -> Result<()> {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        Ok(())
    }

    /// The DaemonSet of a Job as somebody could make it by hand, unknown to us.
    pub async fn by_hand(&self, namespace: &str, job: &str) -> Result<Value> {
        let api: Api<DaemonSet> = Api::namespaced(self.client.clone(), namespace);
        let name = labels::daemon_set(job);
        let wait = Waiter::each(&self.client, namespace, LIMIT);
        let daemon_set = wait.object(api, &name, "made by the operator", |_| true).await?;
        let daemon_set = serde_json::to_value(daemon_set)?;
        let mut spec = daemon_set["spec"].clone();
        let labels = json!({"app": "by-hand"});
        spec["selector"] = json!({"matchLabels": labels});
        spec["template"]["metadata"] = json!({"labels": labels});
        Ok(json!({"metadata": {"name": "by-hand"}, "spec": spec}))
    }

    /// Waits until the pods of a DaemonSet are available on all nodes.
    pub async fn until_available(&self, namespace: &str, daemon_set: &str) -> Result<()> {
        let api: Api<DaemonSet> = Api::namespaced(self.client.clone(), namespace);
        let available = |it: &DaemonSet| it.status.as_ref().and_then(|it| it.number_available);
        let all = Some(i32::try_from(self.nodes.len())?);
        let wait = Waiter::each(&self.client, namespace, LIMIT);
        wait.object(api, daemon_set, "available", |it| available(it) >= all).await.map(drop)
    }

    /// Waits until a Job is gone.
    pub async fn until_job_is_gone(&self, namespace: &str, job: &str) -> Result<()> {
        let jobs: Api<api::job::Job> = Api::namespaced(self.client.clone(), namespace);
        Waiter::each(&self.client, namespace, LIMIT).gone(jobs, job).await
    }

    /// The requests of both processes since the last call.
    pub async fn requests(&self) -> Result<Vec<Audited>> {
        // The log is in order: with this request in it, all before it are.
        let marker = format!("/version?bench={}", paths::run_name());
        let marker = format!("{marker}-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        let client = testbed::kind::client(&self.kubeconfig).await?;
        client.request_text(http::Request::get(&marker).body(Vec::new())?).await?;
        let mut requests = Vec::new();
        let read = async {
            loop {
                let mut audit = self.audit.lock().unwrap_or_else(PoisonError::into_inner).read()?;
                let is_last = audit.iter().any(|request| request.uri == marker);
                audit.retain(|request| !request.uri.starts_with("/version?bench="));
                requests.append(&mut audit);
                if is_last {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(AUDITED, read).await.context("the audit log does not arrive")??;
        Ok(requests)
    }
}

/// Waits, but not for ever.
pub async fn within<T>(work: impl Future<Output = T>, what: &str) -> Result<T> {
    tokio::time::timeout(LIMIT, work).await.with_context(|| format!("waited {LIMIT:?} for {what}"))
}

/// Namespace and name of the service account that `deploy/` runs both processes as.
fn service_account() -> Result<(String, String)> {
    let path = paths::workspace().join("deploy/40-deployment.yaml");
    let text = fs_err::read_to_string(&path)?;
    let deployment: Deployment =
        serde_saphyr::from_str(&text).with_context(|| format!("in {}", path.display()))?;
    let account = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref()?.service_account_name.clone());
    Ok((
        deployment.namespace().context("the Deployment names no namespace")?,
        account.context("the Deployment names no service account")?,
    ))
}
