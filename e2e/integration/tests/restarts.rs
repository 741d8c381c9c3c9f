//! Operator and terminator killed at any moment: what they know is on the objects.

use anyhow::ensure;

use crate::job::manifest;
use crate::test::{settle, shared};

#[test]
fn terminator_killed_in_the_middle_loses_nothing() {
    shared(async |cx| {
        let (_operator, terminator) = cx.both().await?;
        let job = cx.apply(&manifest("terminator-killed")).await?;
        let [before, meanwhile, after] = job.pods().await?;
        before.log("done\n")?;
        job.until_recorded(&before).await?;
        let requests = before.log_requests();
        terminator.kill();
        meanwhile.log("done\n")?;
        let _terminator = cx.terminator().await?;
        job.until_recorded(&meanwhile).await?;
        after.log("done\n")?;
        job.until_gone().await?;
        ensure!(before.log_requests() == requests, "what is recorded is not read again");
        Ok(())
    });
}

#[test]
fn operator_killed_in_the_middle_loses_nothing() {
    shared(async |cx| {
        let (operator, terminator) = cx.both().await?;
        let job = cx.apply(&manifest("operator-killed")).await?;
        let [before, meanwhile, after] = job.pods().await?;
        before.log("done\n")?;
        job.until_completed("1/3").await?;
        operator.kill();
        for pod in [&meanwhile, &after] {
            pod.log("done\n")?;
            job.until_recorded(pod).await?;
        }
        settle().await;
        job.until_completed("1/3").await?;
        ensure!(terminator.deletions("/jobs/operator-killed").is_empty());
        let _operator = cx.operator().await?;
        job.until_gone().await
    });
}

#[test]
fn work_done_while_neither_ran_is_found() {
    shared(async |cx| {
        let (operator, terminator) = cx.both().await?;
        let job = cx.apply(&manifest("unattended")).await?;
        let pods = job.pods().await?;
        operator.kill();
        terminator.kill();
        for pod in &pods {
            pod.log("done\n")?;
        }
        let _processes = cx.both().await?;
        job.until_gone().await
    });
}

#[test]
fn job_applied_while_no_operator_runs_is_taken_up_by_the_next_one() {
    shared(async |cx| {
        let job = cx.apply(&manifest("early")).await?;
        settle().await;
        let _processes = cx.both().await?;
        for pod in job.pods().await? {
            pod.log("done\n")?;
        }
        job.until_gone().await
    });
}

#[test]
fn two_operators_and_two_terminators_at_once_do_no_harm() {
    shared(async |cx| {
        let _first = cx.both().await?;
        let _second = cx.both().await?;
        let job = cx.apply(&manifest("doubled")).await?;
        let pods = job.pods().await?;
        for pod in &pods[1..] {
            pod.log("done\n")?;
        }
        job.until_completed("2/3").await?;
        settle().await;
        job.until_completed("2/3").await?;
        pods[0].log("done\n")?;
        job.until_gone().await
    });
}

#[test]
fn processes_end_in_order_when_they_are_told() {
    shared(async |cx| {
        let (operator, terminator) = cx.both().await?;
        let job = cx.apply(&manifest("abandoned-by-all")).await?;
        job.pods().await?;
        job.until_completed("0/3").await?;
        let started = std::time::Instant::now();
        operator.end().await?;
        terminator.end().await?;
        // A pod has thirty seconds; operators are replaced often, and nobody likes to wait.
        let took = started.elapsed();
        ensure!(took.as_secs() < 5, "{took:?}");
        Ok(())
    });
}
