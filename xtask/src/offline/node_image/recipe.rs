//! What the offline images are made of, and the names that follow from it.
//!
//! A tag ends in a hash of everything that went into the image, what it is built on included: a
//! change of any of it makes another name, and what did not change is found under its old one.

use std::path::Path;

use anyhow::{Result, bail};
use fs_err as fs;

use crate::digest::Hash;
use crate::offline::provision::go::Module;

/// The Debian release whose packages the images are made of.
pub(super) const DEBIAN: &str = "bookworm";

/// The Kubernetes that can be built, newest first: each has a folder with modules.
pub(super) const MINORS: [&str; 2] = ["1.37", "1.33"];

/// Goes into every hash. Raise it when a change outside the files must make new images.
const REVISION: &str = "2";

/// What the names of the images begin with.
const REPOSITORY: &str = harness::images::BUILT_HERE;

/// The folder of the recipe, in the workspace.
const FOLDER: &str = "images";

/// A program that runs as a container in the nodes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Component {
    /// The image's name in kubeadm's registry.
    pub(super) name: &'static str,
    /// The program, by the name that `go build` gives it.
    pub(super) program: &'static str,
    /// Whether the image holds programs of Debian too: a target of `components.Dockerfile`.
    pub(super) has_debian: bool,
}

pub(super) const ETCD: Component = Component { program: "server", ..alone("etcd") };
pub(super) const APISERVER: Component = alone("kube-apiserver");
pub(super) const CONTROLLER_MANAGER: Component = alone("kube-controller-manager");

/// All of them.
pub(super) const COMPONENTS: [Component; 6] = [
    with_debian("pause"),
    with_debian("kube-proxy"),
    ETCD,
    APISERVER,
    CONTROLLER_MANAGER,
    alone("kube-scheduler"),
];

const fn alone(name: &'static str) -> Component {
    Component { name, program: name, has_debian: false }
}

const fn with_debian(name: &'static str) -> Component {
    Component { name, program: "kube-proxy", has_debian: true }
}

/// The Go modules of a node, and the names of the images.
#[derive(Debug)]
pub(super) struct Recipe {
    /// The version of Kubernetes, for example `v1.37.2`.
    pub(super) kubernetes_version: String,
    pub(super) kubernetes: Module,
    pub(super) etcd: Module,
    pub(super) containerd: Module,
    pub(super) crictl: Module,
    pub(super) kube_router: Module,
    /// A minimal Debian.
    pub(super) debian: String,
    /// A node.
    pub(super) node: String,
    /// A base with a shell.
    pub(super) busybox: String,
    /// Enforces NetworkPolicies.
    pub(super) kube_router_image: String,
    pub(super) prometheus: Module,
    /// Scrapes metrics.
    pub(super) prometheus_image: String,
    components: Hash,
}

impl Recipe {
    /// Reads the recipe of a minor version of Kubernetes, for example `1.37`.
    pub(super) fn read(minor: &str) -> Result<Self> {
        Self::read_from(&harness::paths::workspace().join(FOLDER), minor)
    }

    fn read_from(images: &Path, minor: &str) -> Result<Self> {
        if !MINORS.contains(&minor) {
            bail!(
                "node images are built here of Kubernetes {}, not of {minor}",
                MINORS.join(" and ")
            );
        }
        let node = images.join("node");
        let kubernetes = Module::read(node.join(minor).join("kubernetes"))?;
        let version = kubernetes.version_of("k8s.io/kubernetes")?;
        let kubernetes = stamped(kubernetes, &version);
        let etcd = Module::read(node.join(minor).join("etcd"))?;
        let containerd =
            Module::read(node.join("containerd"))?.tags("no_btrfs,no_zfs,no_devmapper");
        let crictl = Module::read(node.join("crictl"))?;
        let kube_router = Module::read(images.join("kube-router"))?;
        // Discovery of other clouds would be most of it.
        let prometheus = Module::read(images.join("prometheus"))?;
        let prometheus = prometheus.tags("remove_all_sd,enable_kubernetes_sd");
        let prometheus_version = prometheus.version_of("github.com/prometheus/prometheus")?;

        let debian = Hash::of([REVISION, DEBIAN]);
        let components = debian.and(kubernetes.hash()).and(etcd.hash());
        let components = and_files(
            &components,
            &node,
            &["components.Dockerfile", "copy-with-libraries", "program.Dockerfile"],
        )?;
        let whole = components.and(containerd.hash()).and(crictl.hash());
        let whole = and_files(
            &whole,
            &node,
            &[
                "Dockerfile",
                "containerd.toml",
                "entrypoint",
                "import-images",
                "journalctl",
                "kubeadm",
                "pod-network.json",
                "pod-network.yaml",
            ],
        )?;
        let busybox = and_files(&debian, &images.join("busybox"), &["Dockerfile"])?;
        let router = debian.and(kube_router.hash());
        let router = and_files(&router, &images.join("kube-router"), &["Dockerfile"])?;
        let prometheus_image = Hash::of([REVISION]).and(prometheus.hash());
        let prometheus_image =
            and_files(&prometheus_image, &images.join("prometheus"), &["Dockerfile"])?;
        Ok(Self {
            debian: name(&debian, "debian", DEBIAN),
            node: name(&whole, "kind-node", &version),
            busybox: name(&busybox, "busybox", DEBIAN),
            kubernetes_version: version,
            kubernetes,
            etcd,
            containerd,
            crictl,
            kube_router_image: name(&router, "kube-router", DEBIAN),
            prometheus_image: name(&prometheus_image, "prometheus", &prometheus_version),
            prometheus,
            kube_router,
            components,
        })
    }

    /// The name of a component's image.
    pub(super) fn component(&self, component: &Component) -> String {
        name(&self.components, component.name, &self.kubernetes_version)
    }

    /// The Go module of a component.
    pub(super) fn module(&self, component: &Component) -> &Module {
        if component.name == ETCD.name { &self.etcd } else { &self.kubernetes }
    }
}

/// Kubernetes with the versions that its own build would write into the programs.
/// <https://github.com/kubernetes/kubernetes/blob/v1.37.0/hack/lib/version.sh>
fn stamped(module: Module, version: &str) -> Module {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let stamps = [
        ("gitVersion", version),
        ("gitMajor", major),
        ("gitMinor", minor),
        ("gitTreeState", "clean"),
        ("gitCommit", "unknown"),
        ("buildDate", "1970-01-01T00:00:00Z"),
    ];
    ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"]
        .into_iter()
        .flat_map(|package| {
            stamps.map(|(variable, value)| (format!("{package}.{variable}"), value))
        })
        .fold(module, |module, (variable, value)| module.stamp(&variable, value))
}

/// Adds files of a folder to a hash, by their names.
fn and_files(hash: &Hash, folder: &Path, names: &[&str]) -> Result<Hash> {
    names.iter().try_fold(hash.clone(), |hash, name| {
        let path = folder.join(name);
        let content = fs::read(&path)?;
        Ok(hash.and(name).and(content))
    })
}

/// The name of an image.
fn name(hash: &Hash, image: &str, version: &str) -> String {
    format!("{REPOSITORY}{image}:{version}-{}", hash.short())
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness::paths;
    use std::path::PathBuf;

    fn images() -> PathBuf {
        paths::workspace().join(FOLDER)
    }

    fn recipe() -> Recipe {
        Recipe::read("1.37").expect("complete")
    }

    /// A copy of the recipe with a line added to one file.
    fn changed(file: &str) -> Recipe {
        let copy = tempfile::tempdir().expect("a folder");
        for folder in ["node", "busybox", "kube-router", "prometheus"] {
            for from in paths::files(images().join(folder)).expect("listed") {
                let to = copy.path().join(from.strip_prefix(images()).expect("inside"));
                fs::create_dir_all(to.parent().expect("a folder")).expect("made");
                fs::copy(from, to).expect("copied");
            }
        }
        let path = copy.path().join(file);
        let text = fs::read_to_string(&path).expect("read");
        fs::write(path, text + "\n// changed\n").expect("written");
        Recipe::read_from(copy.path(), "1.37").expect("complete")
    }

    #[test]
    fn changed_entrypoint_makes_a_new_node_of_the_same_kubernetes() {
        let (before, after) = (recipe(), changed("node/entrypoint"));
        assert_ne!(before.node, after.node);
        assert_eq!(before.component(&ETCD), after.component(&ETCD));
        assert_eq!(before.kubernetes.hash(), after.kubernetes.hash());
    }

    #[test]
    fn changed_kubernetes_changes_all_that_holds_it() {
        let (before, after) = (recipe(), changed("node/1.37/kubernetes/go.sum"));
        assert_ne!(before.component(&APISERVER), after.component(&APISERVER));
        assert_ne!(before.node, after.node);
        assert_eq!((before.debian, before.busybox), (after.debian, after.busybox));
    }

    #[test]
    fn every_file_of_the_node_image_counts() {
        let before = recipe().node;
        let of_another = images().join("node/1.33");
        for file in paths::files(images().join("node")).expect("listed") {
            if !file.starts_with(&of_another) {
                let name = file.strip_prefix(images()).expect("inside");
                let after = changed(&name.to_string_lossy()).node;
                assert_ne!(before, after, "{} is not hashed", name.display());
            }
        }
    }

    #[test]
    fn every_minor_version_has_its_modules() {
        for minor in MINORS {
            let recipe = Recipe::read(minor).expect("complete");
            assert!(recipe.kubernetes_version.starts_with(&format!("v{minor}.")), "{minor}");
        }
        let refused = Recipe::read("1.12").expect_err("not there").to_string();
        assert!(refused.contains("1.37 and 1.33"), "{refused}");
    }
}
