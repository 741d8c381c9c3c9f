//! `kubectl dsjob explain` against the real causes; the tests of most causes ask it as well.

mod rows;
mod turns;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::wait::State;
use serde_json::Value;

use crate::job::{exit_code_manifest, manifest};
use crate::kubectl::Kubectl;
use crate::test::{Test, shared_test};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// The finding of a check, which must be there and say all of this.
async fn finding(dsjob: &Kubectl, job: &str, check: &str, words: &[&str]) -> Result<Value> {
    let ended = dsjob.run(&format!("explain {job} -o json")).await?;
    let findings: Vec<Value> =
        serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))?;
    let has_problem = findings.iter().any(|it| it["severity"] == "problem");
    ensure!((ended.code == 1) == has_problem, "{ended:?}");
    let found = findings.iter().find(|finding| finding["check"] == check);
    let found = found.with_context(|| format!("no {check} in {findings:?}"))?.clone();
    ensure!(found["severity"] == "info" || found["cure"].is_string(), "{found}");
    let text = found.to_string();
    let missing = words.iter().find(|words| !text.contains(**words));
    ensure!(missing.is_none(), "{missing:?} is not in {found}");
    Ok(found)
}

impl Test {
    /// Waits until a check of `kubectl dsjob explain` finds something about a Job, and says all of this.
    pub(crate) async fn until_explained(
        &self,
        job: &str,
        check: &str,
        words: &[&str],
    ) -> Result<Value> {
        let dsjob = &Kubectl::admin(self)?;
        let look = || async {
            let found = finding(dsjob, job, check, words).await;
            Ok(found.map_or_else(|error| State::Waiting(format!("{error:#}")), State::Reached))
        };
        self.wait().poll(&format!("{check} of {job}"), LOOK, look).await
    }
}

#[apply(shared_test)]
async fn job_that_works_says_what_is_left(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("works").deadline(600)).await?;
    job.pods().await?[0].exit(0)?;
    job.until_completed("1/3").await?;
    let dsjob = &Kubectl::admin(cx)?;
    let text = dsjob.ok("explain works").await?;
    ensure!(
        text.contains("1 of 3 nodes done, 2 left") && text.contains("its deadline is in 9m"),
        "{text}"
    );
    ensure!(text.lines().count() == 1, "nothing else is to be said: {text}");
    Ok(())
}

#[apply(shared_test)]
async fn word_in_a_line_without_end_is_found_in_the_log(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&manifest("open-line")).await?;
    for pod in job.pods().await? {
        pod.log("working\ndone")?;
    }
    let found = cx.until_explained("open-line", "WordNotFound", &["line break"]).await?;
    ensure!(found["nodes"].as_array().is_some_and(|nodes| nodes.len() == 3), "{found}");
    Ok(())
}
