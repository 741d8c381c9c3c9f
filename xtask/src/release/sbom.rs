//! What the binaries are made of: a CycloneDX document for each, by cargo-cyclonedx.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use harness::paths;
use harness::process::Cmd;
use harness::progress::Phase;

use crate::offline::provision::{CARGO_CYCLONEDX, Provision};

/// What cargo-cyclonedx calls the document of a binary; it puts it beside the package's manifest.
const SUFFIX: &str = "_bin.cdx.json";

/// Writes `<package>.cdx.json` for each package.
pub(super) async fn write(
    packages: &[&str],
    dist: &Path,
    provision: &Provision,
    phase: &Phase,
) -> Result<()> {
    let program = CARGO_CYCLONEDX.ensure(provision).await?;
    phase.detail("cargo cyclonedx");
    let workspace = paths::workspace();
    let run = Cmd::new(program)
        .args(["cyclonedx", "--format=json", "--describe=binaries", "--spec-version=1.5"])
        // With this, the document says nothing of when it was made.
        .env("SOURCE_DATE_EPOCH", "0")
        .cwd(&workspace)
        .run(provision.logs())
        .await;
    // It writes one for every binary of the workspace. None may stay, whatever happened.
    let mut documents = Vec::new();
    for path in documents_in(&workspace)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs_err::read_to_string(&path);
        fs_err::remove_file(&path)?;
        documents.push((name, text?));
    }
    run?;
    let here = format!("path+file://{}", workspace.display());
    for package in packages {
        let name = format!("{package}{SUFFIX}");
        let document = documents.iter().find(|(found, _)| *found == name);
        let (_, text) = document.with_context(|| format!("cargo-cyclonedx wrote no {name}"))?;
        let path = dist.join(format!("{package}.cdx.json"));
        fs_err::write(path, text.replace(&here, "path+file:///workspace"))?;
    }
    Ok(())
}

/// The documents in the folders of the workspace's packages.
fn documents_in(workspace: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in paths::entries(workspace)?.iter().filter(|it| it.join("Cargo.toml").is_file()) {
        found.extend(paths::entries(folder)?);
    }
    found.retain(|file| file.to_string_lossy().ends_with(SUFFIX));
    Ok(found)
}
