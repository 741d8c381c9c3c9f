//! Kustomizations: what platform teams install, from what lies in `deploy/kustomize/`.

use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use crate::paths;

/// The folder with those that can be applied, in the workspace.
pub const READY: &str = "deploy/kustomize";

/// The folder with the parts that they are made of.
pub const PARTS: &str = "deploy/kustomize/components";

/// The file that makes a folder a kustomization.
const FILE: &str = "kustomization.yaml";

/// A kustomization of one's own.
#[derive(Clone, Debug, Default)]
pub struct Kustomization<'a> {
    /// Where everything goes that has a namespace.
    pub namespace: Option<&'a str>,
    /// Kustomizations that it builds on: folders in the workspace.
    pub resources: Vec<PathBuf>,
    /// Parts: folders in the workspace.
    pub components: Vec<PathBuf>,
    /// Names of images, and what they are replaced by, with a tag or a digest.
    pub images: Vec<(&'a str, &'a str)>,
}

impl Kustomization<'_> {
    /// Writes it into a folder, which may lie anywhere.
    pub fn write(&self, folder: &Path) -> Result<()> {
        fs_err::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let from = |paths: &[PathBuf]| -> Result<Vec<PathBuf>> {
            let workspace = paths::workspace().canonicalize()?;
            Ok(paths.iter().map(|path| relative(&folder, &workspace.join(path))).collect())
        };
        let images: Vec<_> = self.images.iter().map(|(name, new)| image(name, new)).collect();
        let kustomization = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self.namespace,
            "resources": from(&self.resources)?,
            "components": from(&self.components)?,
            "images": images,
        });
        let file = folder.join(FILE);
        // JSON is YAML.
        Ok(fs_err::write(&file, kustomization.to_string())?)
    }
}

fn image(name: &str, new: &str) -> Value {
    if let Some((new, digest)) = new.split_once('@') {
        return json!({"name": name, "newName": new, "digest": digest});
    }
    let (new, tag) = new.rsplit_once(':').unwrap_or((new, "latest"));
    json!({"name": name, "newName": new, "newTag": tag})
}

/// The way from a folder to another one: kustomize knows no absolute ones.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let is_shared = |(a, b): &(Component<'_>, Component<'_>)| a == b;
    let shared = from.components().zip(to.components()).take_while(is_shared).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(to.components().skip(shared)).collect()
}

/// The folders in a folder of the workspace that hold a kustomization or a part of one.
pub fn folders(parent: &str) -> Result<Vec<PathBuf>> {
    let entries = paths::entries(paths::workspace().join(parent))?.into_iter();
    let folders = entries.filter(|entry| entry.join(FILE).exists());
    Ok(folders.map(|it| Path::new(parent).join(it.file_name().unwrap_or_default())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_is_replaced_by_tag_or_digest() {
        assert_eq!(
            image("a", "r:5000/b:1"),
            json!({"name": "a", "newName": "r:5000/b", "newTag": "1"})
        );
        let pinned = image("a", "r:5000/b@sha256:0");
        assert_eq!(pinned, json!({"name": "a", "newName": "r:5000/b", "digest": "sha256:0"}));
    }

    #[test]
    fn way_leads_up_and_down() {
        let way = |from, to| relative(Path::new(from), Path::new(to)).display().to_string();
        assert_eq!(way("/a/b/c", "/a/d"), "../../d");
        assert_eq!(way("/a", "/a/b"), "b");
        assert_eq!(way("/x/y", "/a"), "../../a");
    }

    #[test]
    fn what_can_be_applied_and_its_parts_are_found() {
        let names = |parent| -> Vec<_> {
            let folders = folders(parent).expect("a folder");
            folders.iter().map(|path| path.display().to_string()).collect()
        };
        let ready = ["base", "ha", "namespaced", "production"];
        assert_eq!(names(READY), ready.map(|name| format!("{READY}/{name}")));
        assert!(names(PARTS).contains(&format!("{PARTS}/ha")));
    }
}
