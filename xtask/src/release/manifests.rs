//! The manifests of a release, which name the images by digest.

use anyhow::{Context as _, Result};
use harness::kustomize::{self, Kustomization};
use harness::paths;
use harness::process::Cmd;

use super::folder::Folder;
use super::images::Released;
use crate::image::Names;
use crate::offline::node_image;
use crate::offline::provision::Provision;

/// Writes the resource definition, and each kustomization in one file.
///
/// Returns the names of the files.
pub(super) async fn write(
    images: &[Released],
    folder: &Folder,
    provision: &Provision,
) -> Result<String> {
    let mut names = vec!["crd.yaml".to_owned()];
    let crd = fs_err::read(paths::workspace().join("deploy/10-crd.yaml"))?;
    folder.write("crd.yaml", &crd)?;

    let kubectl = node_image::kubectl(provision).await?;
    let pinned: Vec<_> = images.iter().map(named).collect();
    let work = tempfile::tempdir_in(paths::target()).context("cannot make a temporary folder")?;
    for source in kustomize::folders(kustomize::READY)? {
        let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = match name.as_str() {
            "base" => "install.yaml".to_owned(),
            name => format!("install-{name}.yaml"),
        };
        let own = work.path().join(&name);
        let kustomization = Kustomization {
            resources: vec![source],
            images: pinned.iter().map(|(name, pinned)| (&**name, &**pinned)).collect(),
            ..Kustomization::default()
        };
        kustomization.write(&own)?;
        let rendered = Cmd::new(&kubectl)
            .arg("kustomize")
            .arg(&own)
            .name(format!("kustomize-{name}"))
            .run(provision.logs())
            .await?;
        folder.write(&name, &rendered.stdout)?;
        names.push(name);
    }
    Ok(names.join(", "))
}

/// The name of an image in `deploy/` without its tag, and its pinned name.
fn named(released: &Released) -> (String, String) {
    let default = Names::default().reference(released.image);
    let name = default.split(':').next().unwrap_or_default().to_owned();
    (name, released.pinned())
}
