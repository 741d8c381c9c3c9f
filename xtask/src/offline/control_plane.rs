//! The image of the control plane that the integration tests start.

use anyhow::Result;
use harness::paths;
use harness::process::LogDir;

use super::docker::{self, Build};
use crate::digest::Hash;

/// The environment variable by which the integration tests learn the image.
pub(crate) const ENVIRONMENT: &str = "CONTROL_PLANE_IMAGE";

/// How many integration tests run at a time: most of the time they wait.
pub(crate) const TEST_THREADS: &str = "16";

const REPOSITORY: &str = "daemonset-job/control-plane";

/// The images that the programs are taken from; each has them in `/usr/local/bin`.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) etcd: String,
    pub(crate) kube_apiserver: String,
    pub(crate) kube_controller_manager: String,
    /// Any static busybox in `/bin/busybox`.
    pub(crate) busybox: String,
}

impl Sources {
    /// The official images, of versions that kubeadm would install together.
    /// <https://github.com/kubernetes/kubernetes/blob/v1.37.2/cmd/kubeadm/app/constants/constants.go>
    pub(crate) fn official() -> Self {
        Self {
            etcd: "registry.k8s.io/etcd:3.7.0-0".to_owned(),
            kube_apiserver: "registry.k8s.io/kube-apiserver:v1.37.2".to_owned(),
            kube_controller_manager: "registry.k8s.io/kube-controller-manager:v1.37.2".to_owned(),
            busybox: "busybox:1.36-musl".to_owned(),
        }
    }

    /// The names of all images.
    pub(crate) fn references(&self) -> [&str; 4] {
        self.images().map(|(_, image)| image)
    }

    /// The build arguments of `images/control-plane/Dockerfile` that are images.
    fn images(&self) -> [(&'static str, &str); 4] {
        [
            ("ETCD_IMAGE", &self.etcd),
            ("KUBE_APISERVER_IMAGE", &self.kube_apiserver),
            ("KUBE_CONTROLLER_MANAGER_IMAGE", &self.kube_controller_manager),
            ("BUSYBOX_IMAGE", &self.busybox),
        ]
    }
}

/// Builds the image unless Docker has it, and returns its name.
///
/// The tag is a hash of all that goes into it, so a change of any of that makes another image.
pub(crate) async fn ensure(sources: &Sources, logs: &LogDir) -> Result<String> {
    let context = paths::workspace().join("images/control-plane");
    let mut inputs = Vec::new();
    for file in ["Dockerfile", "control-plane"] {
        inputs.push(fs_err::read_to_string(context.join(file))?);
    }
    for (_, image) in sources.images() {
        inputs.push(docker::inspect(image, "Id", logs).await?);
    }
    let image = format!("{REPOSITORY}:{}", Hash::of(&inputs).short());
    if !docker::has(&image, logs).await {
        let mut build = Build::new(context, "Dockerfile");
        for (argument, source) in sources.images() {
            build = build.argument(argument, source);
        }
        build.run(Some(&image), logs).await?;
    }
    Ok(image)
}
