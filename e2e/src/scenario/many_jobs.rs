//! Many Jobs at a time.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::manifest::shell;
use super::scene::Scene;

/// Namespaces beside the scene's own.
const OTHERS: [&str; 4] = [
    "twenty-jobs-in-five-namespaces-2",
    "twenty-jobs-in-five-namespaces-3",
    "twenty-jobs-in-five-namespaces-4",
    "twenty-jobs-in-five-namespaces-5",
];

/// In each namespace: two that are done by the word and two by their exit code, one of each a little
/// later than the other.
const JOBS: [&str; 4] = ["by-word", "by-word-later", "by-exit-code", "by-exit-code-later"];

/// Twenty Jobs, with four names in five namespaces, do their work on every node each, and none is taken
/// for another.
pub(super) async fn twenty_in_five_namespaces_complete(scene: &Scene<'_>) -> Result<()> {
    let mut others = Vec::new();
    for name in OTHERS {
        others.push(Scene::open(scene.cx, name).await?);
    }
    try_join_all(std::iter::once(scene).chain(&others).map(four_complete)).await?;
    try_join_all(others.into_iter().map(Scene::close)).await?;
    Ok(())
}

async fn four_complete(scene: &Scene<'_>) -> Result<()> {
    try_join_all(JOBS.map(|name| completes(scene, name))).await?;
    Ok(())
}

/// The Job of this name goes when it has run on every node, not before.
async fn completes(scene: &Scene<'_>, name: &str) -> Result<()> {
    let manifest = manifest(scene, name).to_string();
    let (life, ()) = scene.job(name).until_deleted(scene.apply(&manifest)).await?;
    let ran = scene.nodes_with(name).await?;
    let wanted = usize::try_from(life.status.desired)?;
    ensure!(
        ran.len() == scene.nodes.len() && wanted == ran.len(),
        "Job {name} was deleted when it had run on {ran:?}, {wanted} nodes wanted"
    );
    Ok(())
}

fn manifest(scene: &Scene<'_>, name: &str) -> Value {
    let pause = if name.ends_with("later") { 5 } else { 0 };
    let work = format!("trap 'exit 143' TERM; sleep {pause}; touch /basetarget/{name}");
    if name.contains("exit-code") {
        let mut job = shell(scene, name, &work);
        job["spec"]["completionMode"] = json!("ExitCode");
        return job;
    }
    shell(scene, name, &format!("{work}; echo done; while :; do sleep 1; done"))
}
