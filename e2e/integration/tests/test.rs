//! What every test starts with, and what happens when it fails.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use api::job::Job;
use futures::FutureExt as _;
use harness::wait::{Namespaced, State, Waiter, Watched};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Event, Namespace, Node, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde_json::{Value, json};
use testbed::manifests;
use testbed::simulation::{Hold, Simulation};

use crate::cluster::{ALONE, Cluster, NODES, RUNTIME, artifacts};

/// How long a wait may take: long enough for a busy machine with two cores.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// Long enough for what must not happen: what happens takes tens of milliseconds.
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

/// Makes a test of an async function, which the function of this path runs.
macro_rules! test_by {
    ($run:path; $(#[$attribute:meta])* async fn $name:ident $($rest:tt)*) => {
        $(#[$attribute])*
        #[test]
        fn $name() {
            async fn $name $($rest)*
            $run($name);
        }
    };
}
pub(crate) use test_by;

/// A test that runs beside others, and leaves nodes and other namespaces alone.
macro_rules! shared_test {
    ($($test:tt)*) => { $crate::test::test_by! { $crate::test::shared; $($test)* } };
}
pub(crate) use shared_test;

/// A test that has a cluster for itself, and may add and remove nodes.
macro_rules! alone_test {
    ($($test:tt)*) => { $crate::test::test_by! { $crate::test::alone; $($test)* } };
}
pub(crate) use alone_test;

/// Runs a test beside others.
pub(crate) fn shared(test: impl AsyncFnOnce(&Test) -> Result<()>) {
    RUNTIME.block_on(async { run(Cluster::shared().await.expect("a cluster"), test).await });
}

/// Runs a test that has a cluster for itself.
pub(crate) fn alone(test: impl AsyncFnOnce(&Test) -> Result<()>) {
    RUNTIME.block_on(async {
        let _alone = ALONE.lock().await;
        let cluster = Cluster::alone().await.expect("a cluster");
        let result = AssertUnwindSafe(run(cluster, test)).catch_unwind().await;
        cluster.restore_nodes().await.expect("the nodes of before");
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

async fn run(cluster: &'static Cluster, test: impl AsyncFnOnce(&Test) -> Result<()>) {
    let cx = Test::start(cluster).await.expect("a namespace to test in");
    let result = AssertUnwindSafe(test(&cx)).catch_unwind().await;
    match result {
        Ok(Ok(())) => cx.clean_up().await.expect("what is left can be deleted"),
        Ok(Err(error)) => panic!("{error:#}\n{}", cx.dump().await),
        Err(panic) => {
            eprintln!("{}", cx.dump().await);
            std::panic::resume_unwind(panic);
        }
    }
}

impl Test {
    async fn start(cluster: &'static Cluster) -> Result<Self> {
        let client = cluster.control_plane.client()?;
        let this = Self { namespace: namespace_name(), client, cluster };
        this.create_namespace(&this.namespace).await?;
        Ok(this)
    }

    /// Creates a namespace, and waits until pods can run in it.
    pub(crate) async fn create_namespace(&self, name: &str) -> Result<()> {
        create(&self.all::<Namespace>(), json!({"metadata": {"name": name}})).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), name);
        self.wait().object(accounts, "default", "to exist", |_| true).await?;
        Ok(())
    }

    /// Waits that quote the events of the test's namespace.
    pub(crate) fn wait(&self) -> Waiter<'static> {
        Waiter::each(&self.client, &self.namespace, TIMEOUT)
    }

    /// Waits for what cannot be watched.
    pub(crate) async fn until(
        &self,
        expected: &str,
        is_so: impl AsyncFn() -> Result<bool>,
    ) -> Result<()> {
        let check =
            || async { Ok(State::of(is_so().await?.then_some(()), || "it is not so".to_owned())) };
        self.wait().poll(expected, Duration::from_millis(50), check).await
    }

    /// The events of the test's namespace with this reason.
    pub(crate) async fn events(&self, reason: &str) -> Result<Vec<Event>> {
        let with_reason = ListParams::default().fields(&format!("reason={reason}"));
        Ok(self.api::<Event>().list(&with_reason).await?.items)
    }

    /// Creates a DaemonSet that no Job owns, for no node.
    pub(crate) async fn create_foreign(&self, name: &str) -> Result<DaemonSet> {
        self.create(json!(foreign_daemon_set(name)?)).await
    }

    /// Sees what the API server makes of such a DaemonSet, without keeping it.
    pub(crate) async fn probe_foreign(&self) -> kube::Result<DaemonSet> {
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let probe = foreign_daemon_set("probe").expect("a DaemonSet");
        self.api::<DaemonSet>().create(&params, &probe).await
    }

    /// Makes the kubelets of all nodes leave something undone for the pods of the test.
    pub(crate) fn hold_everywhere(&self, hold: Hold) {
        NODES.iter().for_each(|node| self.sim().hold(hold, &self.namespace, node));
    }

    /// Ends such holds.
    pub(crate) fn release_everywhere(&self, hold: Hold) {
        NODES.iter().for_each(|node| self.sim().release(hold, &self.namespace, node));
    }

    /// An interface to objects of a kind in the test's namespace.
    pub(crate) fn api<K: Namespaced>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// An interface to objects of a kind in all namespaces, or in none.
    pub(crate) fn all<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    /// Creates an object in the test's namespace.
    pub(crate) async fn create<K: Namespaced + Serialize>(&self, object: Value) -> Result<K> {
        create(&self.api(), object).await
    }

    /// Changes fields of the spec of a node.
    pub(crate) async fn patch_node(&self, node: &str, spec: Value) -> Result<()> {
        merge(&self.all::<Node>(), node, json!({"spec": spec})).await.map(drop)
    }

    /// Marks a node as the node lifecycle does when its kubelet is silent, or takes the mark away.
    pub(crate) async fn set_unreachable(&self, node: &str, is_unreachable: bool) -> Result<()> {
        let taint = json!({"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"});
        let taints = if is_unreachable { vec![taint] } else { Vec::new() };
        self.patch_node(node, json!({"taints": taints})).await
    }

    /// Sets labels of a node.
    pub(crate) async fn label_node(&self, node: &str, labels: Value) -> Result<()> {
        merge(&self.all::<Node>(), node, json!({"metadata": {"labels": labels}})).await.map(drop)
    }

    /// Sets annotations of the test's namespace.
    pub(crate) async fn annotate_namespace(&self, annotations: Value) -> Result<()> {
        let annotations = json!({"metadata": {"annotations": annotations}});
        merge(&self.all::<Namespace>(), &self.namespace, annotations).await.map(drop)
    }

    /// Whether there is no object of a kind in the test's namespace.
    pub(crate) async fn has_none<K: Namespaced>(&self) -> Result<bool> {
        Ok(self.api::<K>().list_metadata(&ListParams::default()).await?.items.is_empty())
    }

    /// Asks the API server for a path.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        Ok(self.client.request(http::Request::get(path).body(Vec::new())?).await?)
    }

    pub(crate) fn sim(&self) -> &'static Simulation {
        &self.cluster.sim
    }

    /// Asks for the end of what makes others work. The rest ends with the control plane: to delete a namespace costs it as
    /// much as a test.
    async fn clean_up(&self) -> Result<()> {
        let (params, all) = (DeleteParams::background(), ListParams::default());
        self.api::<Job>().delete_collection(&params, &all).await?;
        self.api::<DaemonSet>().delete_collection(&params, &all).await?;
        Ok(())
    }

    /// Asks for the end of a namespace with all that is in it.
    pub(crate) async fn delete_namespace(&self, name: &str) -> Result<()> {
        self.all::<Namespace>().delete(name, &DeleteParams::background()).await?;
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
            "/apis/daemonset.darkowlzz.space/v1beta1/namespaces/{}/jobs",
            "/apis/apps/v1/namespaces/{}/daemonsets",
            "/api/v1/namespaces/{}/pods",
            "/api/v1/namespaces/{}/events",
        ] {
            lists.push(self.get(&path.replace("{}", &self.namespace)).await?);
        }
        let file = artifacts().join(format!("{}.yaml", self.namespace));
        let text = serde_saphyr::to_string(&lists)?;
        fs_err::write(&file, text)?;
        Ok(file)
    }
}

/// Creates an object.
pub(crate) async fn create<K: Watched + Serialize>(objects: &Api<K>, object: Value) -> Result<K> {
    Ok(objects.create(&PostParams::default(), &serde_json::from_value(object)?).await?)
}

/// Changes fields of an object, as `kubectl patch --type merge` does.
pub(crate) async fn merge<K: Watched>(objects: &Api<K>, name: &str, fields: Value) -> Result<K> {
    Ok(objects.patch(name, &PatchParams::default(), &Patch::Merge(fields)).await?)
}

/// Sets the finalizers of an object.
pub(crate) async fn hold<K: Watched>(objects: &Api<K>, name: &str, by: &[&str]) -> Result<K> {
    merge(objects, name, json!({"metadata": {"finalizers": by}})).await
}

fn foreign_daemon_set(name: &str) -> Result<DaemonSet> {
    let container = json!({"name": "main", "image": "example.com/main:1"});
    let nowhere = json!({"no-such-label": "here"});
    manifests::daemon_set(name, &json!({"nodeSelector": nowhere, "containers": [container]}))
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
