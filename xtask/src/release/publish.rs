//! Pushes what a release folder holds to a registry, digest for digest.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use harness::process::Cmd;
use harness::progress::Phase;

use super::chart;
use super::images::Released;
use crate::offline::provision::{CRANE, Provision};

/// A push over a slow connection.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Pushes images and chart.
pub(super) async fn push(
    folder: &Path,
    images: &[Released],
    provision: &Provision,
    phase: &Phase,
) -> Result<()> {
    let crane = CRANE.ensure(provision).await?;
    let mut layouts: Vec<_> =
        images.iter().map(|image| (image.layout.clone(), image.reference.clone())).collect();
    let chart = images.first().map(|image| (chart::layout_name(), chart::reference(image)));
    layouts.extend(chart);
    for (layout, reference) in layouts {
        phase.detail(&reference);
        let unpacked = tempfile::tempdir().context("cannot make a temporary folder")?;
        unpack(&folder.join(&layout), unpacked.path())?;
        Cmd::new(&crane)
            .arg("push")
            .arg(unpacked.path())
            .arg(harness::images::full_name(&reference))
            .timeout(TIMEOUT)
            .name(format!("crane-push-{layout}"))
            .run(provision.logs())
            .await
            .with_context(|| {
                format!(
                    "cannot push {reference}: `docker login` to a registry that you may write to, \
                     and name it with --registry"
                )
            })?;
    }
    Ok(())
}

/// Unpacks a layout, which crane reads from a folder alone.
fn unpack(archive: &Path, into: &Path) -> Result<()> {
    let read = || tar::Archive::new(std::fs::File::open(archive)?).unpack(into);
    read().with_context(|| format!("cannot unpack {}", archive.display()))
}
