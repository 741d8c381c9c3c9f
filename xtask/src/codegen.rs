//! `cargo xtask codegen` writes the files that are generated from the code.

mod api_reference;
mod deploy;
mod vocabulary;

use std::path::Path;

use anyhow::{Context as _, Result};
use harness::command::{Refusal, Verdict};
use harness::paths::{self, if_there};
use kube::CustomResourceExt;
use serde_json::Value;

use self::deploy::Generated;

/// Write the generated files.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail when a generated file is out of date.
    #[arg(long)]
    check: bool,
}

/// Writes the generated files, or checks them.
pub(crate) fn run(args: &Args) -> Result<Verdict> {
    if args.check {
        check()?;
        println!("the generated files are current");
        return Ok(Verdict::Passed);
    }
    for file in stale()? {
        fs_err::write(&file.path, file.content)?;
        println!("{} written", file.path.display());
    }
    Ok(Verdict::Passed)
}

/// Fails when a generated file is out of date.
pub(crate) fn check() -> Result<()> {
    let stale: Vec<_> = stale()?.into_iter().map(|file| file.path.display().to_string()).collect();
    if stale.is_empty() {
        return Ok(());
    }
    let error = format!("stale: {}; run `cargo xtask codegen`", stale.join(", "));
    Err(Refusal::Check(error).into())
}

/// The generated files that are out of date.
fn stale() -> Result<Vec<Generated>> {
    let mut stale = Vec::new();
    for file in generated()? {
        if if_there(fs_err::read_to_string(&file.path))?.as_ref() != Some(&file.content) {
            stale.push(file);
        }
    }
    Ok(stale)
}

fn generated() -> Result<Vec<Generated>> {
    let mut definition = api::job::Job::crd();
    let labels = deploy::LABELS.map(|(key, value)| (key.to_owned(), value.to_owned()));
    definition.metadata.labels = Some(labels.into());
    let reference = Generated {
        path: paths::workspace().join("docs/api.md"),
        content: api_reference::render(&definition)? + "\n" + vocabulary::SECTIONS,
    };
    let mut definition = serde_json::to_value(&definition).context("the CRD is no JSON")?;
    drop_defaults(&mut definition);
    let crd = serde_saphyr::to_string(&definition).context("the CRD is no YAML")?;
    let deploy = paths::workspace().join("deploy");
    let crd = Generated {
        path: deploy.join("10-crd.yaml"),
        content: format!("# Generated from the api crate by `cargo xtask codegen`.\n{crd}"),
    };
    let install = Generated {
        content: install(&deploy, &crd)?,
        path: deploy.join("kustomize/base/install.yaml"),
    };
    let mut files = deploy::files(&deploy, &crd)?;
    files.extend([crd, install, reference]);
    Ok(files)
}

/// Drops what the API server does not return, which GitOps tools would report as a difference for ever.
fn drop_defaults(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, value| name != "nullable" || *value != false);
            fields.values_mut().for_each(drop_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_defaults),
        _ => {}
    }
}

/// All manifests of a folder as one, in the order of their names.
///
/// kustomize reads no file from outside its own folder.
fn install(deploy: &Path, crd: &Generated) -> Result<String> {
    let mut manifests = Vec::new();
    for path in paths::entries(deploy)? {
        if path == crd.path {
            manifests.push(crd.content.clone());
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            manifests.push(fs_err::read_to_string(&path)?);
        }
    }
    let header = "# Generated from the files in deploy/ by `cargo xtask codegen`.\n";
    Ok(format!("{header}{}", manifests.join("---\n")))
}
