//! What every test starts with, and what happens when it fails.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::FutureExt as _;
use harness::wait::Waiter;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use testbed::simulation::Simulation;

use crate::cluster::{ALONE, Cluster, RUNTIME, artifacts};

/// How long a wait may take: long enough for a busy machine with two cores.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// Long enough for what must not happen to happen: everything that operator and terminator do is
/// done within some tens of milliseconds of its cause.
const QUIET: Duration = Duration::from_secs(1);

/// Gives what must not happen the time to happen.
pub(crate) async fn settle() {
    tokio::time::sleep(QUIET).await;
}

/// One test with its namespace.
pub(crate) struct Test {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) cluster: &'static Cluster,
}

/// Runs a test beside others. It has to leave nodes and other namespaces alone.
pub(crate) fn shared(test: impl AsyncFnOnce(&Test) -> Result<()>) {
    RUNTIME.block_on(async {
        let _together = ALONE.read().await;
        run(test).await;
    });
}

/// Runs a test while no other runs. It may add and remove nodes.
pub(crate) fn alone(test: impl AsyncFnOnce(&Test) -> Result<()>) {
    RUNTIME.block_on(async {
        let _alone = ALONE.write().await;
        let result = AssertUnwindSafe(run(test)).catch_unwind().await;
        let cluster = Cluster::get().await.expect("the cluster");
        cluster.restore_nodes().await.expect("the nodes of before");
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

async fn run(test: impl AsyncFnOnce(&Test) -> Result<()>) {
    let cx = Test::start().await.expect("a namespace to test in");
    let result = AssertUnwindSafe(test(&cx)).catch_unwind().await;
    match result {
        Ok(Ok(())) => {
            cx.delete_namespace(&cx.namespace).await.expect("the namespace can be deleted")
        }
        Ok(Err(error)) => panic!("{error:#}\n{}", cx.dump().await),
        Err(panic) => {
            eprintln!("{}", cx.dump().await);
            std::panic::resume_unwind(panic);
        }
    }
}

impl Test {
    async fn start() -> Result<Self> {
        let cluster = Cluster::get().await?;
        let client = cluster.control_plane.client()?;
        let this = Self { namespace: namespace_name(), client, cluster };
        this.create_namespace(&this.namespace).await?;
        Ok(this)
    }

    /// Creates a namespace, and waits until pods can run in it.
    pub(crate) async fn create_namespace(&self, name: &str) -> Result<()> {
        let object = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &object).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), name);
        self.wait().object(accounts, "default", "to exist", |_| true).await?;
        Ok(())
    }

    /// Waits that quote the events of the test's namespace.
    pub(crate) fn wait(&self) -> Waiter<'static> {
        Waiter::each(&self.client, &self.namespace, TIMEOUT)
    }

    /// An interface to objects of a kind in the test's namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn sim(&self) -> &'static Simulation {
        &self.cluster.sim
    }

    /// Asks for the end of a namespace with all that is in it.
    pub(crate) async fn delete_namespace(&self, name: &str) -> Result<()> {
        Api::<Namespace>::all(self.client.clone())
            .delete(name, &DeleteParams::background())
            .await?;
        Ok(())
    }

    /// Writes what is in the namespace to a file, and says where.
    async fn dump(&self) -> String {
        match self.try_dump().await {
            Ok(file) => format!("objects and events: {}", file.display()),
            Err(error) => format!("objects and events cannot be collected: {error:#}"),
        }
    }

    async fn try_dump(&self) -> Result<PathBuf> {
        let mut lists = Vec::new();
        for path in [
            "apis/daemonset.darkowlzz.space/v1beta1/namespaces/{}/jobs",
            "apis/apps/v1/namespaces/{}/daemonsets",
            "api/v1/namespaces/{}/pods",
            "api/v1/namespaces/{}/events",
        ] {
            let uri = format!("/{}", path.replace("{}", &self.namespace));
            let request = http::Request::get(uri).body(Vec::new())?;
            lists.push(self.client.request::<serde_json::Value>(request).await?);
        }
        let file = artifacts().join(format!("{}.yaml", self.namespace));
        let text = serde_saphyr::to_string(&lists)?;
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}

/// `test-<number>-<name of the test>`, cut to the length of a label.
fn namespace_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let thread = std::thread::current();
    let test = thread.name().and_then(|name| name.rsplit("::").next());
    let mut name = format!("test-{number}-{}", test.unwrap_or_default());
    name = name.replace('_', "-");
    name.truncate(63);
    name.trim_end_matches('-').to_owned()
}
