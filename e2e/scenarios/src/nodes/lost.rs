//! Nodes are lost for a while as Jobs run. Each scenario disturbs one worker, and lets the other nodes be done
//! before.

use anyhow::{Context as _, Result, ensure};
use harness::job_handle::node_of;
use testbed::faults::{self, Fault};
use testbed::kind::Node;

use crate::plugin::explain;
use crate::support::env::ScenarioEnv;
use crate::support::work::Work;

/// A frozen node is waited for, and named; the plugin explains it.
pub(crate) async fn frozen(env: &ScenarioEnv<'_>) -> Result<()> {
    let nodes = Nodes::choose(env, Ours::Elsewhere).await?;
    let work = nodes.all_but_one_done(env).await?;
    let inflicted = faults::inflict(Fault::NodeFrozen, nodes.disturbed, env.cx.cluster).await?;
    work.until_unreachable(nodes.disturbed).await?;
    for job in work.jobs() {
        explain::names_a_lost_node(env, job, nodes.disturbed).await?;
    }
    work.none_ends().await?;
    inflicted.heal().await?;
    nodes.finish(work).await
}

/// A node that boots starts its work again, which is no failure.
pub(crate) async fn rebooted(env: &ScenarioEnv<'_>) -> Result<()> {
    reboots(env, Ours::Elsewhere).await
}

/// So it is when operator and terminator go down with it, and come back before they are moved away.
pub(crate) async fn ours_rebooted(env: &ScenarioEnv<'_>) -> Result<()> {
    reboots(env, Ours::There).await
}

async fn reboots(env: &ScenarioEnv<'_>, ours: Ours) -> Result<()> {
    let nodes = Nodes::choose(env, ours).await?;
    let work = Work::start(env).await?;
    let before = work.until_running_on(&nodes.all()).await?;
    nodes.let_others_be_done(&work).await?;
    let inflicted = faults::inflict(Fault::NodeDown, nodes.disturbed, env.cx.cluster).await?;
    inflicted.heal().await?;
    work.until_running_again(&[nodes.disturbed], &before).await?;
    work.none_ends().await?;
    nodes.finish(work).await
}

/// What is done on a node while it is cut off from the API server counts when it is back.
pub(crate) async fn partitioned(env: &ScenarioEnv<'_>) -> Result<()> {
    let nodes = Nodes::choose(env, Ours::Elsewhere).await?;
    let work = nodes.all_but_one_done(env).await?;
    let inflicted = faults::inflict(Fault::Partition, nodes.disturbed, env.cx.cluster).await?;
    work.open(&[nodes.disturbed]).await?;
    work.until_proven_on(nodes.disturbed).await?;
    work.none_ends().await?;
    inflicted.heal().await?;
    work.until_gone(&nodes.all()).await
}

/// Where our pod runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ours {
    /// On the disturbed node.
    There,
    /// On another node.
    Elsewhere,
}

/// Which node is disturbed, and which are not.
struct Nodes<'a> {
    disturbed: &'a Node,
    others: Vec<&'a Node>,
}

impl<'a> Nodes<'a> {
    /// Chooses a worker, for the control plane is needed.
    async fn choose(env: &'a ScenarioEnv<'_>, ours: Ours) -> Result<Self> {
        let control_plane = env.cx.cluster.control_plane().await?;
        let pods = env.cx.deployed.pods(env.cx.client).await?;
        let is_of_ours = |node: &Node| pods.iter().any(|pod| node_of(pod) == Some(node.name()));
        let (chosen, others): (Vec<_>, Vec<_>) = env.nodes.iter().partition(|node| {
            node.name() != control_plane.name() && is_of_ours(node) == (ours == Ours::There)
        });
        let (disturbed, spare) = chosen.split_first().context(
            "no worker is fit to be disturbed: the control plane and the node of the operator are not, so give \
             the cluster three nodes",
        )?;
        let others: Vec<_> = others.into_iter().chain(spare.iter().copied()).collect();
        ensure!(others.len() > 1, "a Job cannot be done on some nodes of two and not on others");
        Ok(Self { disturbed, others })
    }

    fn all(&self) -> Vec<&'a Node> {
        self.others.iter().copied().chain([self.disturbed]).collect()
    }

    /// Work that runs everywhere, and is done on all nodes but the one to be disturbed.
    async fn all_but_one_done(&self, env: &'a ScenarioEnv<'a>) -> Result<Work<'a>> {
        let work = Work::start(env).await?;
        work.until_running_on(&self.all()).await?;
        self.let_others_be_done(&work).await?;
        Ok(work)
    }

    async fn let_others_be_done(&self, work: &Work<'_>) -> Result<()> {
        work.open(&self.others).await?;
        work.until_done_on(self.others.len(), self.all().len()).await
    }

    /// Lets the last node be done.
    async fn finish(&self, work: Work<'_>) -> Result<()> {
        work.open(&[self.disturbed]).await?;
        work.until_gone(&self.all()).await
    }
}
