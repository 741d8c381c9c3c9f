//! Brings images from the local Docker daemon into the nodes of a cluster.
//!
//! Not `kind load`: it saves and sends everything each time, and stumbles over images with layers
//! of platforms that are not on this machine.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use harness::images::full_name;
use harness::process::{Cmd, LogDir};
use harness::provide::Image;

use super::node::Node;

/// How long importing an archive into a node may take.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(300);

/// Where a node keeps note of what it was given: a file an image, with its id.
const NOTES: &str = "/kind/daemonset-job-images";

/// Writes the ids and names of the images that the node both has a note of and still holds.
const LIST: &str = r#"
cd "$1" 2>/dev/null || exit 0
held=$(ctr --namespace=k8s.io images list --quiet)
for note in *; do
    [ -f "$note" ] || continue
    read -r id name < "$note"
    case "$held" in *"$name"*) echo "$id $name" ;; esac
done
"#;

/// What loading did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Images times nodes that had to be loaded.
    pub loaded: usize,
    /// Images times nodes that were there already.
    pub present: usize,
}

/// An image, with the id that it has in the local daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LocalImage {
    image: Image,
    id: String,
}

impl LocalImage {
    /// The line that the node's note holds.
    fn note(&self) -> String {
        format!("{} {}", self.id, self.image.name)
    }

    /// A file name that no other image has.
    fn note_file(&self) -> String {
        self.image.name.replace(['/', ':'], "_")
    }
}

pub(super) async fn load(nodes: &[Node], images: &[Image], logs: &LogDir) -> Result<Loaded> {
    let mut local = Vec::new();
    for image in images {
        let name = &image.local;
        let id = Cmd::new("docker")
            .args(["image", "inspect", "--format", "{{.Id}}", name])
            .run(logs)
            .await
            .with_context(|| format!("there is no image {name}: run `cargo xtask image`"))?;
        local.push(LocalImage { image: image.clone(), id: id.text() });
    }
    let images = local;
    let lacking = try_join_all(nodes.iter().map(|node| lacking(node, &images, logs))).await?;
    let wanted: Vec<_> = images
        .iter()
        .filter(|image| lacking.iter().flatten().any(|missing| missing == *image))
        .collect();
    let loaded = lacking.iter().map(Vec::len).sum();
    if !wanted.is_empty() {
        let archive = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
        Cmd::new("docker")
            .args(["save", "--output"])
            .arg(archive.path())
            .args(wanted.iter().map(|image| &image.image.local))
            .run(logs)
            .await?;
        let imports = nodes.iter().zip(&lacking);
        try_join_all(
            imports
                .filter(|(_, missing)| !missing.is_empty())
                .map(|(node, _)| import(node, archive.path(), &wanted, logs)),
        )
        .await?;
    }
    Ok(Loaded { loaded, present: nodes.len() * images.len() - loaded })
}

/// Feeds an OCI layout to the containerd of every node, and names the image in it by its digest too.
///
/// Manifests that name an image by its digest find it, as if it had been pulled.
pub(super) async fn load_layout(
    nodes: &[Node],
    layout: &Path,
    reference: &str,
    digest: &str,
    logs: &LogDir,
) -> Result<()> {
    let tagged = full_name(reference);
    let name = tagged.rsplit_once(':').map_or(&*tagged, |(name, _)| name);
    let pinned = format!("{name}@{digest}");
    try_join_all(nodes.iter().map(async |node| {
        feed(node, layout, logs).await?;
        node.exec(["ctr", "--namespace=k8s.io", "images", "tag", "--force", &tagged, &pinned])
            .run(logs)
            .await?;
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

/// The images that a node does not have.
async fn lacking(node: &Node, images: &[LocalImage], logs: &LogDir) -> Result<Vec<LocalImage>> {
    let list = node.exec(["sh", "-c", LIST, "sh", NOTES]).run(logs).await?;
    Ok(missing(images, &list.text()))
}

/// Feeds the archive to the node's containerd, and takes a note of what it holds.
async fn import(node: &Node, archive: &Path, images: &[&LocalImage], logs: &LogDir) -> Result<()> {
    feed(node, archive, logs).await?;
    let mut script = format!("mkdir -p {NOTES} && cd {NOTES}");
    for image in images {
        let (note, file) = (image.note(), image.note_file());
        let Image { local, name } = &image.image;
        if local != name {
            let (local, name) = (full_name(local), full_name(name));
            script += &format!(" && ctr --namespace=k8s.io images tag --force {local} {name}");
        }
        script += &format!(" && echo '{note}' > '{file}'");
    }
    node.exec(["sh", "-c", &script]).run(logs).await?;
    Ok(())
}

async fn feed(node: &Node, archive: &Path, logs: &LogDir) -> Result<()> {
    let import = node.exec(["ctr", "--namespace=k8s.io", "images", "import", "-"]);
    import.stdin_file(archive).timeout(IMPORT_TIMEOUT).run(logs).await?;
    Ok(())
}

fn missing(images: &[LocalImage], notes: &str) -> Vec<LocalImage> {
    let absent = |image: &&LocalImage| !notes.lines().any(|line| line == image.note());
    images.iter().filter(absent).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_is_loaded_again_only_when_its_id_changed() {
        let image = |name: &str, id: &str| LocalImage {
            image: Image::named(name.to_owned()),
            id: id.to_owned(),
        };
        let notes = "sha256:1 darkowlzz/a:v1\nsha256:2 darkowlzz/b:v1\n";
        let images = [
            image("darkowlzz/a:v1", "sha256:1"),
            image("darkowlzz/b:v1", "sha256:3"),
            image("darkowlzz/c:v1", "sha256:4"),
        ];
        assert_eq!(missing(&images, notes), images[1..]);
    }
}
