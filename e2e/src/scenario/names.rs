//! Jobs whose names are as short or as long as names can be.

use anyhow::{Result, ensure};
use futures::future::try_join_all;

use super::manifest;
use super::scene::Scene;

/// Lengths of names: the shortest, the longest that fits a label, the shortest that does not, and the
/// longest that the API takes.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>
const LENGTHS: [usize; 4] = [1, 63, 64, 253];

/// Jobs with names of any length that the API takes complete. Two of them differ in their last
/// character only, far behind what a label holds.
pub(super) async fn of_any_length_work(scene: &Scene<'_>) -> Result<()> {
    let mut names: Vec<_> = LENGTHS.map(|length| "n".repeat(length)).into();
    names.push("n".repeat(252) + "m");
    try_join_all(names.iter().enumerate().map(|(index, name)| completes(scene, name, index)))
        .await?;
    Ok(())
}

async fn completes(scene: &Scene<'_>, name: &str, index: usize) -> Result<()> {
    let script = format!(
        r"
        trap 'exit 0' TERM
        touch /basetarget/{index}
        echo done
        while :; do sleep 1; done
        "
    );
    let manifest = manifest::shell(scene, name, &script).to_string();
    scene.job(name).until_deleted(scene.apply(&manifest)).await?;
    let ran = scene.nodes_with(&index.to_string()).await?;
    ensure!(ran.len() == scene.nodes.len(), "Job {name} was deleted when it had run on {ran:?}");
    Ok(())
}
