//! The image of the control plane that the integration tests start.

use std::time::Duration;

use anyhow::Result;
use harness::paths;
use harness::process::{Cmd, LogDir};

use crate::digest::Hash;

/// The environment variable by which the integration tests learn the image.
pub(crate) const ENVIRONMENT: &str = "CONTROL_PLANE_IMAGE";

/// How many integration tests run at a time: most of the time they wait.
pub(crate) const TEST_THREADS: &str = "16";

const REPOSITORY: &str = "daemonset-job/control-plane";

/// `docker build`; the images of Kubernetes have some hundred megabytes.
const DOCKER_TIMEOUT: Duration = Duration::from_secs(10 * 60);

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
        inputs.push(inspect(image, logs).await?);
    }
    let image = format!("{REPOSITORY}:{}", Hash::of(&inputs).short());
    if inspect(&image, logs).await.is_ok() {
        return Ok(image);
    }
    let mut build = Cmd::new("docker").args(["build", "--tag", &image]);
    for (argument, source) in sources.images() {
        build = build.arg("--build-arg").arg(format!("{argument}={source}"));
    }
    build
        .arg(&context)
        .timeout(DOCKER_TIMEOUT)
        .name("docker-build-control-plane")
        .run(logs)
        .await?;
    Ok(image)
}

/// The content hash of an image.
async fn inspect(image: &str, logs: &LogDir) -> Result<String> {
    let output = Cmd::new("docker")
        .args(["image", "inspect", "--format", "{{.Id}}", image])
        .run(logs)
        .await?;
    Ok(output.text())
}
