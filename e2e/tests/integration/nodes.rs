//! Nodes that come and go while a Job runs. These tests run alone, for all Jobs see all nodes.

use anyhow::ensure;
use api::conditions::COMPLETE;
use e2e::sim::NodeSpec;

use crate::cluster::NODES;
use crate::job::manifest;
use crate::test::alone;
use crate::wait::settle;

#[test]
fn node_that_joins_is_waited_for() {
    alone(async |cx| {
        let (_operator, terminator) = cx.both().await?;
        let job = cx.apply(&manifest("joined")).await?;
        let [first, second, third] = job.pods().await?;
        first.log("done\n")?;
        second.log("done\n")?;
        job.until_completed("2/3").await?;
        cx.sim().add_node(&NodeSpec::linux("joining-1")).await?;
        let joined = job.pod("joining-1").await?;
        job.until_completed("2/4").await?;
        third.log("done\n")?;
        job.until_completed("3/4").await?;
        settle().await;
        ensure!(terminator.deletions("/jobs/joined").is_empty());
        joined.log("done\n")?;
        job.until_gone().await
    });
}

#[test]
fn node_that_leaves_no_longer_counts() {
    alone(async |cx| {
        let _processes = cx.both().await?;
        cx.sim().add_node(&NodeSpec::linux("leaving-1")).await?;
        let job = cx.apply(&manifest("left")).await?;
        for pod in job.pods().await? {
            pod.log("done\n")?;
        }
        job.until_completed("3/4").await?;
        cx.sim().remove_node("leaving-1").await?;
        job.until_gone().await
    });
}

#[test]
fn node_that_takes_the_place_of_a_completed_one_is_waited_for() {
    alone(async |cx| {
        let (_operator, terminator) = cx.both().await?;
        cx.sim().add_node(&NodeSpec::linux("old-1")).await?;
        let job = cx.apply(&manifest("swapped")).await?;
        let [first, second, third] = job.pods().await?;
        for pod in [&first, &second, &job.pod("old-1").await?] {
            pod.log("done\n")?;
        }
        job.until_completed("3/4").await?;
        cx.sim().remove_node("old-1").await?;
        cx.sim().add_node(&NodeSpec::linux("new-1")).await?;
        let new = job.pod("new-1").await?;
        job.until_completed("2/4").await?;
        third.log("done\n")?;
        // Four nodes have been done and four are wanted, but they are not the same.
        job.until_completed("3/4").await?;
        settle().await;
        ensure!(terminator.deletions("/jobs/swapped").is_empty());
        new.log("done\n")?;
        job.until_gone().await
    });
}

#[test]
fn job_for_which_there_is_no_node_is_complete_and_kept() {
    alone(async |cx| {
        let (_operator, terminator) = cx.both().await?;
        for node in NODES {
            cx.sim().remove_node(node).await?;
        }
        let job = cx.apply(&manifest("nowhere")).await?;
        let complete = job.until_condition(COMPLETE).await?;
        ensure!(complete.reason == "NoMatchingNodes", "{complete:?}");
        settle().await;
        job.get().await?;
        ensure!(terminator.deletions("/jobs/nowhere").is_empty());
        Ok(())
    });
}
