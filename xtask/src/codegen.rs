//! `cargo xtask codegen`: the manifests that are derived from the code.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use e2e::paths;
use kube::CustomResourceExt;

use crate::context::Verdict;

/// Write the generated manifests.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail when a generated file is not what it would be.
    #[arg(long)]
    check: bool,
}

/// A generated file.
struct Generated {
    path: PathBuf,
    content: String,
}

/// Writes the generated files, or checks them.
pub(crate) fn run(args: &Args) -> Result<Verdict> {
    if args.check {
        check()?;
        println!("the generated files are current");
        return Ok(Verdict::Passed);
    }
    for file in stale()? {
        std::fs::write(&file.path, file.content)
            .with_context(|| format!("cannot write {}", file.path.display()))?;
        println!("{} written", file.path.display());
    }
    Ok(Verdict::Passed)
}

/// Fails when a generated file is not what the code would make it.
pub(crate) fn check() -> Result<()> {
    let stale: Vec<_> = stale()?.into_iter().map(|file| file.path.display().to_string()).collect();
    ensure!(stale.is_empty(), "stale: {}; run `cargo xtask codegen`", stale.join(", "));
    Ok(())
}

/// The generated files that are not what they should be.
fn stale() -> Result<Vec<Generated>> {
    let mut stale = Vec::new();
    for file in generated()? {
        if !is_current(&file.path, &file.content)? {
            stale.push(file);
        }
    }
    Ok(stale)
}

fn generated() -> Result<Vec<Generated>> {
    let crd = serde_saphyr::to_string(&api::v1beta1::Job::crd()).context("the CRD is no YAML")?;
    Ok(vec![Generated {
        path: paths::workspace().join("deploy").join("10-crd.yaml"),
        content: format!("# Generated from the api crate by `cargo xtask codegen`.\n{crd}"),
    }])
}

fn is_current(path: &Path, content: &str) -> Result<bool> {
    match std::fs::read_to_string(path) {
        Ok(current) => Ok(current == content),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
