//! The README and the pages of `docs/`: what they say to apply and to type, against a real API server.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use harness::kustomize::{self, Kustomization};
use harness::pages::{CONSOLE, TRANSCRIPT};
use harness::{pages, paths};
use kube::CustomResourceExt as _;
use kube::api::DynamicObject;
use testbed::manifests;

use crate::cluster::artifacts;
use crate::job::manifest;
use crate::kubectl::Kubectl;
use crate::test::{Test, shared_test};

#[apply(shared_test)]
async fn manifests_on_pages_are_taken_by_the_api_server(cx: &Test) -> Result<()> {
    let mut taken = 0;
    for page in pages::all()? {
        for block in page.blocks().into_iter().filter(|block| block.language == "yaml") {
            let place = format!("{}:{}", page.path.display(), block.number);
            let mut objects =
                manifests::objects(&block.lines.join("\n")).with_context(|| place.clone())?;
            // No object of a cluster; `kustomize.rs` has kubectl render the like.
            objects.retain(|object| !is_kustomization(object));
            for object in &mut objects {
                ensure!(object.types.is_some(), "{place} is no whole manifest");
                object.metadata.namespace = Some(cx.namespace.clone());
                taken += 1;
            }
            let refused = cx.cluster.control_plane.dry_run(objects).await?;
            ensure!(refused.is_empty(), "{place}: {refused:?}");
        }
    }
    ensure!(taken >= 4, "only {taken} were found");
    Ok(())
}

fn is_kustomization(object: &DynamicObject) -> bool {
    object.types.as_ref().is_some_and(|types| types.kind == "Kustomization")
}

/// How a `kubectl` line of a page is tried.
#[derive(Debug, PartialEq, Eq)]
enum Trial {
    /// As it is written: it only reads.
    Run,
    /// Up to the point where it would change something.
    DryRun,
    /// The same, of what need not be there.
    DryDelete,
    /// Only its words are read, for what it waits for or talks to is not there.
    Parse,
}

fn trial(command: &str) -> Trial {
    let words: Vec<_> = command.split_whitespace().collect();
    // The verb may stand behind the namespace.
    let verb = match words.as_slice() {
        [_, "--namespace", _, verb, ..] | [_, verb, ..] => *verb,
        _ => "",
    };
    let is_here = |path: &&str| path.starts_with("deploy/");
    match verb {
        "get" | "describe" | "explain" if !words.contains(&"--watch") => Trial::Run,
        "create" => Trial::DryRun,
        // Kustomizations have tests of their own.
        "apply" if words.iter().any(is_here) && !words.contains(&"-k") => Trial::DryRun,
        "delete" if words.iter().any(is_here) => Trial::DryDelete,
        _ => Trial::Parse,
    }
}

#[apply(shared_test)]
async fn kubectl_lines_on_pages_are_run_or_at_least_read_by_kubectl(cx: &Test) -> Result<()> {
    let job = cx.apply(&manifest("on-pages")).await?;
    let kubectl = Kubectl::admin(cx)?;
    let (mut tried, mut counts) = (BTreeSet::new(), [0; 4]);
    for page in pages::all()? {
        let typed = page.commands(CONSOLE).into_iter().map(|line| (line, true));
        let shown = page.commands(TRANSCRIPT).into_iter().map(|line| (line, false));
        for ((place, command), is_for_all) in typed.chain(shown) {
            let Some(arguments) = command.strip_prefix("kubectl ") else { continue };
            let arguments = arguments.replace("NAME", &job.name).replace('\'', "");
            let trial = if is_for_all { trial(command) } else { Trial::Parse };
            let line = match trial {
                Trial::Run => arguments,
                Trial::DryRun => format!("{arguments} --dry-run=server"),
                Trial::DryDelete => {
                    format!("{arguments} --dry-run=server --ignore-not-found")
                }
                // kubectl refuses unknown commands and flags before it helps.
                Trial::Parse => match arguments.split_once(" -- ") {
                    Some((own, of_others)) => format!("{own} --help -- {of_others}"),
                    None => format!("{arguments} --help"),
                },
            };
            // Pages repeat each other.
            if tried.insert(line.clone()) {
                kubectl.output(&line).await.with_context(|| format!("{place}: {command}"))?;
                counts[trial as usize] += 1;
            }
        }
    }
    ensure!(counts.iter().all(|count| *count >= 2), "{counts:?}");
    Ok(())
}

#[apply(shared_test)]
async fn manifests_apply_without_a_warning(cx: &Test) -> Result<()> {
    let kubectl = Kubectl::admin(cx)?;
    // By the server, for it has what no kubectl has applied.
    let dry_run = async |option: &str, folder: &Path| {
        let words = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", option];
        let apply = kubectl.command(words).arg(folder);
        harness::kubectl::without_warning(apply, &kubectl.logs).await
    };
    for folder in ["deploy", "deploy/samples", "deploy/admission"] {
        dry_run("--filename", Path::new(folder)).await?;
    }
    for folder in kustomize::folders(kustomize::READY)? {
        let namespaced = folder.ends_with("namespaced").then_some(cx.namespace.as_str());
        let own = Kustomization {
            namespace: namespaced,
            resources: vec![folder],
            ..Kustomization::default()
        };
        let folder = artifacts().join(&cx.namespace).join("kustomization");
        own.write(&folder)?;
        dry_run("--kustomize", &folder).await?;
    }
    Ok(())
}

/// Samples whose kinds are not part of Kubernetes.
const OF_OTHERS: [&str; 2] =
    ["deploy/samples/gitops/argo-cd.yaml", "deploy/samples/gitops/flux.yaml"];

#[test]
fn every_sample_is_in_the_gallery_which_applies_it() -> Result<()> {
    let pages = pages::all()?;
    let gallery = pages.iter().find(|page| page.path.ends_with("gallery.md"));
    let gallery = gallery.context("docs/gallery.md")?;
    let (links, commands) = (gallery.links(), gallery.commands(CONSOLE));
    let mut samples = 0;
    for folder in ["deploy/samples", "deploy/samples/gitops"] {
        for entry in std::fs::read_dir(paths::workspace().join(folder))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                continue;
            }
            let sample = format!("{folder}/{}", entry.file_name().to_string_lossy());
            ensure!(links.contains(&format!("../{sample}")), "{sample} is not in the gallery");
            let apply = format!("kubectl apply -f {sample}");
            let is_applied = commands.iter().any(|(_, command)| *command == apply);
            ensure!(is_applied != OF_OTHERS.contains(&&*sample), "{sample} and {apply}");
            let objects = manifests::objects(&std::fs::read_to_string(entry.path())?);
            ensure!(!objects.context(sample)?.is_empty());
            samples += 1;
        }
    }
    ensure!(samples >= 12, "only {samples} samples");
    Ok(())
}

#[apply(shared_test)]
async fn kubectl_refuses_what_it_does_not_know_before_it_helps(cx: &Test) -> Result<()> {
    let kubectl = Kubectl::admin(cx)?;
    kubectl.output("wait --for=delete dsjob/a --help").await?;
    ensure!(kubectl.output("wait --four=delete dsjob/a --help").await.is_err());
    Ok(())
}

#[apply(shared_test)]
async fn kubectl_explains_every_field_with_its_default(cx: &Test) -> Result<()> {
    let crd = serde_json::to_value(api::job::Job::crd())?;
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let fields = spec["properties"].as_object().context("properties")?;
    let kubectl = Kubectl::admin(cx)?;
    // The API server takes some seconds to publish the schema of a new resource.
    let explain = async || anyhow::Ok(kubectl.output("explain dsjob.spec").await?.text());
    let is_published = async || Ok(explain().await?.contains("completionMode"));
    cx.until("the fields of Jobs are explained", is_published).await?;
    let explained = explain().await?;
    for (name, field) in fields {
        let is_told =
            explained.lines().any(|line| line.split_whitespace().next() == Some(name.as_str()));
        ensure!(is_told, "no {name} in\n{explained}");
        let text = kubectl.output(&format!("explain dsjob.spec.{name}")).await?.text();
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let description = words(field["description"].as_str().context("a description")?);
        ensure!(words(&text).contains(&description), "{name}: {description}\n{text}");
    }
    Ok(())
}
