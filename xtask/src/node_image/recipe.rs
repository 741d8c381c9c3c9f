//! What the offline images are made of, and the names that follow from it.
//!
//! A tag ends in a hash of everything that went into the image, what it is built on included: a
//! change of any of it makes another name, and what did not change is found under its old one.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// The Debian release whose packages the images are made of: the one that ships the whole source
/// of Kubernetes with the Go that builds it.
pub(super) const RELEASE: &str = "bookworm";

/// The version of that source. kubeadm asks for images of exactly this version.
pub(super) const KUBERNETES_VERSION: &str = "v1.20.2";

/// Goes into every hash. Raise it when a change outside the files must make new images.
const REVISION: &str = "1";

/// A program that runs as a container in the nodes.
pub(super) struct Component {
    /// The target in `components.Dockerfile`, and the image's name.
    pub(super) name: &'static str,
    /// The version by which kubeadm v1.20.2 asks for it, whatever Debian's is.
    version: &'static str,
}

pub(super) const ETCD: Component = Component { name: "etcd", version: "3.4.13-0" };
pub(super) const APISERVER: Component =
    Component { name: "kube-apiserver", version: KUBERNETES_VERSION };
pub(super) const CONTROLLER_MANAGER: Component =
    Component { name: "kube-controller-manager", version: KUBERNETES_VERSION };

/// All of them, in the order of `components.Dockerfile`.
pub(super) const COMPONENTS: [Component; 6] = [
    Component { name: "pause", version: "3.2" },
    ETCD,
    APISERVER,
    CONTROLLER_MANAGER,
    Component { name: "kube-scheduler", version: KUBERNETES_VERSION },
    Component { name: "kube-proxy", version: KUBERNETES_VERSION },
];

/// The names of the images.
#[derive(Debug)]
pub(super) struct Recipe {
    /// A minimal Debian.
    pub(super) debian: String,
    /// Kubernetes' programs, and nothing else.
    pub(super) kubernetes: String,
    /// A node.
    pub(super) node: String,
    /// A base with a shell.
    pub(super) busybox: String,
    components: Hash,
}

impl Recipe {
    /// Reads the recipe under `images/`.
    ///
    /// # Errors
    /// When a file of it is missing.
    pub(super) fn read(images: &Path) -> Result<Self> {
        let debian = Hash::new(REVISION).and(RELEASE);
        let kubernetes = debian.and(KUBERNETES_VERSION).and_files(
            &images.join("node"),
            &["build-kubernetes", "kubelet-97980.patch", "kubernetes.Dockerfile"],
        )?;
        let components = kubernetes
            .and_files(&images.join("node"), &["components.Dockerfile", "copy-with-libraries"])?;
        let node = components.and_files(
            &images.join("node"),
            &[
                "Dockerfile",
                "containerd.toml",
                "crictl",
                "entrypoint",
                "import-images",
                "journalctl",
                "kubeadm",
                "pod-network.json",
                "pod-network.yaml",
            ],
        )?;
        let busybox = debian.and_files(&images.join("busybox"), &["Dockerfile"])?;
        Ok(Self {
            debian: debian.name("debian", RELEASE),
            kubernetes: kubernetes.name("kubernetes", KUBERNETES_VERSION),
            node: node.name("kind-node", KUBERNETES_VERSION),
            busybox: busybox.name("busybox", RELEASE),
            components,
        })
    }

    /// The name of a component's image.
    pub(super) fn component(&self, component: &Component) -> String {
        self.components.name(component.name, component.version)
    }
}

/// A hash of a sequence of inputs.
#[derive(Clone, Debug)]
struct Hash(Sha256);

impl Hash {
    fn new(input: &str) -> Self {
        Self(Sha256::new()).and(input)
    }

    #[must_use]
    fn and(&self, input: impl AsRef<[u8]>) -> Self {
        let input = input.as_ref();
        let mut hash = self.0.clone();
        // The length keeps one input's end from passing for the next one's start.
        hash.update(input.len().to_le_bytes());
        hash.update(input);
        Self(hash)
    }

    fn and_files(&self, folder: &Path, names: &[&str]) -> Result<Self> {
        names.iter().try_fold(self.clone(), |hash, name| {
            let path = folder.join(name);
            let content =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(hash.and(name).and(content))
        })
    }

    fn name(&self, image: &str, version: &str) -> String {
        let digest = self.0.clone().finalize();
        let hash: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("daemonset-job/{image}:{version}-{hash}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use e2e::paths;
    use std::collections::BTreeSet;

    fn images() -> std::path::PathBuf {
        paths::workspace().join("images")
    }

    /// A copy of the recipe with one file changed.
    fn changed(file: &str) -> Recipe {
        let copy = tempfile::tempdir().expect("a folder");
        for folder in ["node", "busybox"] {
            fs::create_dir(copy.path().join(folder)).expect("made");
            for entry in fs::read_dir(images().join(folder)).expect("listed") {
                let entry = entry.expect("an entry");
                let to = copy.path().join(folder).join(entry.file_name());
                fs::copy(entry.path(), to).expect("copied");
            }
        }
        fs::write(copy.path().join(file), "changed").expect("written");
        Recipe::read(copy.path()).expect("complete")
    }

    #[test]
    fn changed_entrypoint_makes_a_new_node_of_the_same_kubernetes() {
        let (before, after) =
            (Recipe::read(&images()).expect("complete"), changed("node/entrypoint"));
        assert_ne!(before.node, after.node);
        assert_eq!(before.kubernetes, after.kubernetes);
        assert_eq!(before.component(&ETCD), after.component(&ETCD));
    }

    #[test]
    fn changed_build_of_kubernetes_changes_all_that_holds_it() {
        let (before, after) =
            (Recipe::read(&images()).expect("complete"), changed("node/build-kubernetes"));
        assert_ne!(before.kubernetes, after.kubernetes);
        assert_ne!(before.component(&APISERVER), after.component(&APISERVER));
        assert_ne!(before.node, after.node);
        assert_eq!((before.debian, before.busybox), (after.debian, after.busybox));
    }

    #[test]
    fn every_file_of_the_node_image_counts() {
        let before = Recipe::read(&images()).expect("complete").node;
        let entries = fs::read_dir(images().join("node")).expect("listed");
        let names: BTreeSet<_> =
            entries.map(|entry| entry.expect("an entry").file_name()).collect();
        for name in names {
            let file = Path::new("node").join(&name);
            let after = changed(&file.to_string_lossy()).node;
            assert_ne!(before, after, "{} is not hashed", file.display());
        }
    }
}
