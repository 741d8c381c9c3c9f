//! The baseline: what the same takes without operator and terminator.
//!
//! That is: a DaemonSet by hand, a bare client that follows one log, and the polling of the first implementation.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::AsyncBufReadExt as _;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;
use testbed::simulated_work::{Distribution, End, Work};
use testbed::simulation::SimPod;

use super::cluster::{Testbed, within};
use super::jobs::seconds;
use super::report::Baseline;

/// How often the first implementation polled.
const POLL: Duration = Duration::from_secs(10);

/// Makes a DaemonSet by hand and takes all times of it.
///
/// One node's pod waits with its word until polling goes on, and the client that follows one log reads
/// that of the pod that is to end last of the others. This is `run` (from 0) of so many runs.
pub(super) async fn measure(
    testbed: &Testbed,
    daemon_set: Value,
    times: Distribution,
    (run, runs): (u32, u32),
) -> Result<Baseline> {
    let namespace = testbed.namespace("floor").await?;
    let (held, others) = testbed.nodes.split_first().context("no nodes")?;
    let is_held = held.clone();
    let work = Work::new(times, move |node| if node == is_held { End::Held } else { End::Word });
    work.assign(&testbed.sim, &namespace);
    let slowest = others.iter().max_by_key(|node| times.draw(node)).unwrap_or(held).clone();

    let created = Timestamp::now();
    testbed.create::<DaemonSet>(&namespace, daemon_set).await?;
    let measure = async {
        let follow = async {
            let pod = testbed.sim.wait_long_for(&namespace, |pod| on(pod, &slowest)).await;
            follow(&testbed.client, &namespace, &pod.name()).await
        };
        let all = others.len();
        let (arrived, ()) = tokio::join!(follow, work.until(|counts| counts.ended >= all));
        let ended = work.ended();
        let last = work.last().map_or(created, |last| last.at);
        // With a single node it is the one that is held, whose log nobody follows.
        let followed = ended.get(&slowest).map(|ended| ended.at);
        let follow = match followed {
            Some(at) => seconds(at, arrived?),
            None => bail!("{slowest} has not ended"),
        };
        anyhow::Ok((seconds(created, last), follow))
    };
    let (whole, follow) = within(measure, "the DaemonSet by hand").await??;

    // The word may fall into any part of the interval: the runs share it, and a single one takes its middle.
    let into = POLL.mul_f64((f64::from(run) + 0.5) / f64::from(runs));
    let release = async {
        tokio::time::sleep(into).await;
        work.finish();
    };
    let polling = async {
        let (rounds, ()) = tokio::join!(poll(&testbed.client, &namespace), release);
        rounds
    };
    let (rounds, noticed) = within(polling, "the polling baseline").await??;
    let last = work.last().context("no pod has ended")?;
    testbed.clear(&namespace).await?;
    Ok(Baseline { whole, follow, polling: seconds(last.at, noticed), rounds })
}

fn on(pod: &SimPod, node: &str) -> bool {
    pod.node().as_deref() == Some(node) && pod.is_running()
}

/// Follows one log until the word is in it; the time of that.
async fn follow(client: &Client, namespace: &str, pod: &str) -> Result<Timestamp> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = LogParams { follow: true, ..LogParams::default() };
    let mut lines = pods.log_stream(pod, &params).await?.lines();
    while let Some(line) = futures::TryStreamExt::try_next(&mut lines).await? {
        if line == "done" {
            return Ok(Timestamp::now());
        }
    }
    bail!("the log of {pod} has ended without the word")
}

/// Lists the pods and reads every log in full, one after another, every ten seconds, until all have
/// logged the word. How long each round took, and when the last one ended.
async fn poll(client: &Client, namespace: &str) -> Result<(Vec<f64>, Timestamp)> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut rounds = Vec::new();
    let mut tick = tokio::time::interval(POLL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        let started = Timestamp::now();
        let mut all_done = true;
        for pod in pods.list(&ListParams::default()).await? {
            let log = pods.logs(&pod.name_any(), &LogParams::default()).await?;
            all_done &= log.lines().any(|line| line == "done");
        }
        rounds.push(seconds(started, Timestamp::now()));
        if all_done {
            return Ok((rounds, Timestamp::now()));
        }
    }
}
