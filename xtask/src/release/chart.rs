//! The chart of a release, as helm's package and as an OCI artifact.
//!
//! <https://helm.sh/docs/topics/registries/#helm-chart-manifest>

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use harness::images::VERSION;
use harness::paths;
use harness::process::Cmd;
use serde_json::{Value, json};

use super::folder::Folder;
use super::images::Released;
use crate::image;
use crate::image::oci::{self, Blob, MANIFEST};
use crate::offline::provision::{HELM, Provision};

/// The chart, in the workspace.
const CHART: &str = "deploy/helm/daemonset-job";

/// Its name, and that of its repository in a registry.
const NAME: &str = "daemonset-job";

const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
const CONTENT: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// Writes package and OCI layout of the chart.
///
/// Its values name the images by digest.
pub(super) async fn write(
    registry: &str,
    images: &[Released],
    folder: &Folder,
    provision: &Provision,
) -> Result<PathBuf> {
    let helm = HELM.ensure(provision).await?;
    let work = tempfile::tempdir_in(paths::target()).context("cannot make a temporary folder")?;
    let chart = work.path().join(NAME);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(image::created()?);
    copy(&paths::workspace().join(CHART), &chart, time)?;
    let values = chart.join("values.yaml");
    let text = fs_err::read_to_string(&values)?;
    let pinned = pin(&text, registry, images)?;
    fs_err::write(&values, &pinned)?;
    set_time(&values, time)?;
    Cmd::new(helm)
        .arg("package")
        .arg(&chart)
        .arg("--destination")
        .arg(folder.path())
        .name("helm-package")
        .run(provision.logs())
        .await?;
    let package = folder.file(&format!("{NAME}-{VERSION}.tgz"));
    let content = fs_err::read(&package)?;
    let metadata = fs_err::read_to_string(chart.join("Chart.yaml"))?;
    let metadata: Value = serde_saphyr::from_str(&metadata).context("Chart.yaml is no YAML")?;
    let reference = format!("{}/{NAME}:{VERSION}", registry.trim_end_matches('/'));
    let layout = layout(&reference, &metadata, content)?;
    folder.write(&layout_name(), &layout)?;
    Ok(package)
}

/// The file with the chart as an OCI artifact.
pub(super) fn layout_name() -> String {
    format!("{NAME}-chart-{VERSION}.oci.tar")
}

/// Name and tag of the chart in the registry of an image.
pub(super) fn reference(image: &Released) -> String {
    let registry = image.reference.rsplit_once('/').map_or("", |(registry, _)| registry);
    format!("{registry}/{NAME}:{VERSION}")
}

/// Writes registry and digests into the text of the values, whose comments stay.
fn pin(values: &str, registry: &str, images: &[Released]) -> Result<String> {
    let mut section = "";
    let mut pinned = 0;
    let mut text = String::with_capacity(values.len());
    for line in values.lines() {
        if let Some((key, _)) = line.split_once(':')
            && !line.starts_with([' ', '#'])
        {
            section = key;
        }
        let digest = images.iter().find(|released| released.image.package() == Some(section));
        if section == "image" && line.starts_with("  registry:") {
            text += &format!("  registry: {}\n", registry.trim_end_matches('/'));
            pinned += 1;
        } else if line == r#"    digest: """#
            && let Some(released) = digest
        {
            text += &format!("    digest: {}\n", released.digest);
            pinned += 1;
        } else {
            text += line;
            text.push('\n');
        }
    }
    ensure!(pinned == images.len() + 1, "{CHART}/values.yaml has no place for the images");
    Ok(text)
}

/// The chart as an OCI artifact.
fn layout(reference: &str, metadata: &Value, content: Vec<u8>) -> Result<Vec<u8>> {
    let config = Blob::json(CONFIG, metadata);
    let content = Blob::new(CONTENT, content);
    let mut manifest = Blob::manifest(&config, &content);
    manifest["annotations"] = json!({
        "org.opencontainers.image.title": metadata["name"],
        "org.opencontainers.image.version": metadata["version"],
        "org.opencontainers.image.description": metadata["description"],
        "org.opencontainers.image.source": harness::images::SOURCE,
    });
    let manifest = Blob::json(MANIFEST, &manifest);
    oci::layout(reference, &manifest, &[&config, &content], image::created()?)
}

/// Copies a folder. All files get one time, which helm writes into the package.
fn copy(from: &Path, to: &Path, time: SystemTime) -> Result<()> {
    for file in paths::files(from)? {
        let target = to.join(file.strip_prefix(from)?);
        fs_err::create_dir_all(target.parent().context("a file in no folder")?)?;
        fs_err::copy(file, &target)?;
        set_time(&target, time)?;
    }
    Ok(())
}

fn set_time(file: &Path, time: SystemTime) -> Result<()> {
    Ok(fs_err::OpenOptions::new().write(true).open(file)?.file().set_modified(time)?)
}

#[cfg(test)]
mod tests {
    use crate::image::Image;

    use super::*;

    fn released(image: Image, digest: &str) -> Released {
        let reference = format!("r.example/team/{}:1", image.repository());
        Released { image, reference, digest: digest.to_owned(), layout: String::new() }
    }

    #[test]
    fn values_of_the_chart_name_registry_and_digests() {
        let images =
            [released(Image::Operator, "sha256:1"), released(Image::Terminator, "sha256:2")];
        let path = paths::workspace().join(CHART).join("values.yaml");
        let before = std::fs::read_to_string(path).expect("values");
        let after = pin(&before, "r.example/team/", &images).expect("pinned");
        let values: Value = serde_saphyr::from_str(&after).expect("YAML");
        assert_eq!(values["image"]["registry"], "r.example/team");
        assert_eq!(values["operator"]["image"]["digest"], "sha256:1");
        assert_eq!(values["terminator"]["image"]["digest"], "sha256:2");
        assert_eq!(values["test"]["image"]["digest"], "");
        let changed = before.lines().zip(after.lines()).filter(|(old, new)| old != new).count();
        assert_eq!(changed, 3, "{after}");
        assert_eq!(before.lines().count(), after.lines().count());
        assert!(pin("image:\n  registry: a\n", "b", &images).is_err());
    }

    #[test]
    fn chart_stands_beside_the_images() {
        let image = released(Image::Operator, "sha256:1");
        assert_eq!(reference(&image), format!("r.example/team/daemonset-job:{VERSION}"));
    }
}
