//! The control planes and nodes of the tests.

use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context as _, Result};
use harness::paths;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use testbed::control_plane::ControlPlane;
use testbed::simulation::{NodeSpec, Simulation};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, OnceCell};

/// The Linux nodes: what a Job wants to run on. One is tainted as control planes are, one cordoned.
pub(crate) const NODES: [&str; 3] = ["control-plane", "worker-1", "worker-2"];
/// Where no Job runs unless it says so.
pub(crate) const WINDOWS_NODE: &str = "windows-1";

/// The image to start; `cargo xtask test` builds it and sets this.
const IMAGE: &str = "CONTROL_PLANE_IMAGE";

/// One runtime for all tests: clients and simulated kubelets belong to the runtime they start in.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    rustls::crypto::ring::default_provider().install_default().expect("no other provider");
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| "warn,operator=debug,terminator=debug".into()),
        )
        .with_writer(log_file)
        .with_ansi(false)
        .init();
    Runtime::new().expect("a runtime")
});

/// Held by a test while [`Cluster::alone`] is its own.
pub(crate) static ALONE: Mutex<()> = Mutex::const_new(());

/// What tests run against. It lives as long as the process, and its container no longer.
pub(crate) struct Cluster {
    pub(crate) control_plane: ControlPlane,
    pub(crate) sim: Simulation,
    /// What the processes run as, according to `deploy/`.
    pub(crate) service_account: ServiceAccount,
}

/// A service account by name.
pub(crate) struct ServiceAccount {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Cluster {
    /// The cluster of tests that run side by side; the first caller starts it.
    pub(crate) async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// The cluster of tests that change nodes or leave their namespaces, one at a time.
    pub(crate) async fn alone() -> Result<&'static Self> {
        static ALONE: OnceCell<Cluster> = OnceCell::const_new();
        ALONE.get_or_try_init(Self::start).await
    }

    async fn start() -> Result<Self> {
        let control_plane = ControlPlane::start(&control_plane_image()?).await?;
        control_plane.apply(&paths::workspace().join("deploy")).await?;
        control_plane.start_controllers().await?;
        let sim = Simulation::start(&control_plane)?;
        let service_account = service_account(&control_plane).await?;
        let this = Self { control_plane, sim, service_account };
        this.restore_nodes().await?;
        Ok(this)
    }

    /// Brings the nodes back to what every test starts with.
    pub(crate) async fn restore_nodes(&self) -> Result<()> {
        let api: Api<Node> = Api::all(self.control_plane.client()?);
        let found = api.list_metadata(&ListParams::default()).await?;
        let found: Vec<String> = found.iter().map(|node| node.name_any()).collect();
        let wanted = nodes();
        for name in &found {
            if wanted.iter().all(|node| node.name() != name) {
                self.sim.remove_node(name).await?;
            }
        }
        for node in &wanted {
            if found.iter().all(|name| node.name() != name) {
                self.sim.add_node(node).await?;
            }
        }
        Ok(())
    }
}

/// The image of the control plane.
pub(crate) fn control_plane_image() -> Result<String> {
    std::env::var(IMAGE).with_context(|| {
        format!("{IMAGE} is not set: run these tests with `cargo xtask test`, which builds it")
    })
}

fn nodes() -> [NodeSpec; 4] {
    [
        NodeSpec::linux(NODES[0]).tainted("node-role.kubernetes.io/control-plane", "NoSchedule"),
        NodeSpec::linux(NODES[1]),
        NodeSpec::linux(NODES[2]).cordoned(),
        NodeSpec::windows(WINDOWS_NODE),
    ]
}

/// The service account of the one Deployment in `deploy/`.
async fn service_account(control_plane: &ControlPlane) -> Result<ServiceAccount> {
    let deployments: Api<Deployment> = Api::all(control_plane.client()?);
    let deployments = deployments.list(&ListParams::default()).await?;
    let deployment = deployments.iter().next().context("deploy/ has no Deployment")?;
    let object = serde_json::to_value(deployment)?;
    let name = object.pointer("/spec/template/spec/serviceAccountName");
    let name = name.and_then(|name| name.as_str()).map(str::to_owned);
    Ok(ServiceAccount {
        namespace: deployment.namespace().context("a namespace")?,
        name: name.context("deploy/ names no service account")?,
    })
}

/// The folder for what the tests leave behind.
pub(crate) fn artifacts() -> &'static Path {
    static FOLDER: LazyLock<std::path::PathBuf> = LazyLock::new(|| {
        let folder = paths::target().join("integration").join(paths::run_name());
        std::fs::create_dir_all(&folder).expect("a folder for artifacts");
        folder
    });
    &FOLDER
}

fn log_file() -> impl std::io::Write {
    static FILE: LazyLock<std::fs::File> =
        LazyLock::new(|| std::fs::File::create(artifacts().join("tests.log")).expect("a log file"));
    &*FILE
}
