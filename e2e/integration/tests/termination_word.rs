//! What counts as the word, and for which Job.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;

use crate::job::{is_recorded, manifest};
use crate::test::{Test, alone_test, settle, shared_test};

#[apply(shared_test)]
async fn lines_that_only_contain_the_word_in_another_do_not_end_it(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running(&manifest("abandoned")).await?;
    for (pod, line) in pods.iter().zip(["abandoned\n", "undone\n", "donee\n"]) {
        pod.log(line)?;
    }
    settle().await;
    for pod in &pods {
        let object = pod.object();
        ensure!(!is_recorded(&object), "{:?}", object.status);
        pod.log("done\n")?;
    }
    job.until_gone().await
}

#[apply(shared_test)]
async fn word_is_found_anywhere_in_a_line_of_any_bytes(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    for (number, lines) in [
        ["Job done.\n", "done\r\n", "[done]\n"],
        ["all (done)!\n", "\tdone\n", "work done, sleeping\n"],
    ]
    .into_iter()
    .enumerate()
    {
        let job = cx.apply(&manifest(&format!("lines-{number}"))).await?;
        for (pod, line) in job.pods().await?.iter().zip(lines) {
            pod.log(line)?;
        }
        job.until_gone().await.context(format!("{lines:?}"))?;
    }

    let (job, [binary, long, parts]) = cx.running(&manifest("bytes")).await?;
    binary.log(&b"\xff\xfe\0 done \xc3\n"[..])?;
    let mut line = vec![b'x'; 1 << 20];
    line.extend_from_slice(b" done\n");
    long.log(Bytes::from(line))?;
    for part in ["Job d", "on", "e", ".\n"] {
        parts.log(part)?;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    job.until_gone().await
}

#[apply(shared_test)]
async fn word_of_a_run_that_has_crashed_counts_until_the_next_run_starts(cx: &Test) -> Result<()> {
    let _operator = cx.operator().await?;
    let (job, [waiting, running, third]) = cx.running(&manifest("crashed")).await?;
    for pod in [&waiting, &running] {
        pod.log("done\n")?;
        pod.exit(1)?;
    }
    running.restart()?;
    running.log("working again\n")?;
    let _terminator = cx.terminator().await?;
    third.log("done\n")?;
    job.until_recorded(&waiting).await?;
    job.until_recorded(&third).await?;
    settle().await;
    ensure!(!is_recorded(&running.object()), "the log of the run before is not read");
    running.log("done\n")?;
    job.until_gone().await
}

#[apply(alone_test)]
async fn jobs_of_two_namespaces_never_mix(cx: &Test) -> Result<()> {
    // Alone, for these processes see the Jobs of all namespaces.
    let _operator = cx.operator_of(None).await?;
    let terminator = cx.terminator_of(None).await?;
    let other = format!("{}-2", cx.namespace);
    cx.create_namespace(&other).await?;
    let mut manifest = manifest("same-name").word("alpha");
    let alpha = cx.apply(&manifest).await?;
    manifest = manifest.word("beta");
    let beta = cx.apply_in(&other, &manifest).await?;
    let (alphas, betas) = (alpha.pods().await?, beta.pods().await?);
    for (alpha, beta) in alphas.iter().zip(&betas) {
        alpha.log("beta done\n")?;
        beta.log("alpha done\n")?;
    }
    settle().await;
    for job in [&alpha, &beta] {
        job.until_completed("0/3").await?;
    }
    for pod in &alphas {
        pod.log("alpha\n")?;
    }
    alpha.until_gone().await?;
    settle().await;
    beta.until_completed("0/3").await?;
    ensure!(terminator.deletions("/jobs/same-name").len() == 1);
    for pod in &betas {
        pod.log("beta\n")?;
    }
    beta.until_gone().await?;
    cx.delete_namespace(&other).await
}
