//! Nodes come and go while Jobs run. Each scenario disturbs one worker, and lets the other nodes be done
//! before.

use anyhow::{Context as _, Result, ensure};

use super::work::Work;
use crate::cluster::Node;
use crate::fault::{self, Kind};
use crate::scenario::scene::Scene;

/// A frozen node is waited for, and named.
pub(in crate::scenario) async fn frozen(scene: &Scene<'_>) -> Result<()> {
    let nodes = Nodes::choose(scene, Ours::Elsewhere).await?;
    let work = nodes.all_but_one_done(scene).await?;
    let inflicted = fault::inflict(Kind::NodeFrozen, nodes.disturbed, scene.cx.cluster).await?;
    work.until_unreachable(nodes.disturbed).await?;
    work.none_ends().await?;
    inflicted.heal().await?;
    nodes.finish(work).await
}

/// A node that boots starts its work again, which is no failure.
pub(in crate::scenario) async fn rebooted(scene: &Scene<'_>) -> Result<()> {
    reboots(scene, Ours::Elsewhere).await
}

/// So it is when operator and terminator go down with it, and come back before they are moved away.
pub(in crate::scenario) async fn ours_rebooted(scene: &Scene<'_>) -> Result<()> {
    reboots(scene, Ours::There).await
}

async fn reboots(scene: &Scene<'_>, ours: Ours) -> Result<()> {
    let nodes = Nodes::choose(scene, ours).await?;
    let work = Work::start(scene).await?;
    let before = work.until_running_on(&nodes.all()).await?;
    nodes.let_others_be_done(&work).await?;
    let inflicted = fault::inflict(Kind::NodeDown, nodes.disturbed, scene.cx.cluster).await?;
    inflicted.heal().await?;
    work.until_running_again(&[nodes.disturbed], &before).await?;
    work.none_ends().await?;
    nodes.finish(work).await
}

/// What is done on a node while it is cut off from the API server counts when it is back.
pub(in crate::scenario) async fn partitioned(scene: &Scene<'_>) -> Result<()> {
    works_unseen(scene, Kind::Partition).await
}

/// So does what is done while the kubelet stands still.
pub(in crate::scenario) async fn kubelet_frozen(scene: &Scene<'_>) -> Result<()> {
    works_unseen(scene, Kind::KubeletFrozen).await
}

async fn works_unseen(scene: &Scene<'_>, fault: Kind) -> Result<()> {
    let nodes = Nodes::choose(scene, Ours::Elsewhere).await?;
    let work = nodes.all_but_one_done(scene).await?;
    let inflicted = fault::inflict(fault, nodes.disturbed, scene.cx.cluster).await?;
    work.open(&[nodes.disturbed]).await?;
    work.until_proven_on(nodes.disturbed).await?;
    work.none_ends().await?;
    inflicted.heal().await?;
    work.until_gone(&nodes.all()).await
}

/// A node that joins while a Job runs is waited for.
pub(in crate::scenario) async fn joining(scene: &Scene<'_>) -> Result<()> {
    let nodes = Nodes::choose(scene, Ours::Elsewhere).await?;
    let inflicted = fault::inflict(Kind::NodeAbsent, nodes.disturbed, scene.cx.cluster).await?;
    let work = Work::start(scene).await?;
    work.until_running_on(&nodes.others).await?;
    let (first, rest) = nodes.others.split_first().context("the cluster has one node")?;
    work.open(&[first]).await?;
    work.until_done_on(1, nodes.others.len()).await?;
    inflicted.heal().await?;
    work.until_running_on(&[nodes.disturbed]).await?;
    work.open(rest).await?;
    work.until_done_on(nodes.others.len(), nodes.all().len()).await?;
    work.none_ends().await?;
    nodes.finish(work).await
}

/// A node that is deleted is not waited for.
pub(in crate::scenario) async fn deleted(scene: &Scene<'_>) -> Result<()> {
    let nodes = Nodes::choose(scene, Ours::Elsewhere).await?;
    let work = nodes.all_but_one_done(scene).await?;
    let inflicted = fault::inflict(Kind::NodeDeleted, nodes.disturbed, scene.cx.cluster).await?;
    work.until_gone(&nodes.others).await?;
    inflicted.heal().await
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
    async fn choose(scene: &'a Scene<'_>, ours: Ours) -> Result<Self> {
        let control_plane = scene.cx.cluster.control_plane().await?;
        let pods = scene.cx.deployed.pods(scene.cx.client).await?;
        let is_of_ours = |node: &Node| {
            pods.iter().any(|pod| {
                let name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
                name == Some(node.name())
            })
        };
        let (chosen, others): (Vec<_>, Vec<_>) = scene.nodes.iter().partition(|node| {
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
    async fn all_but_one_done(&self, scene: &'a Scene<'a>) -> Result<Work<'a>> {
        let work = Work::start(scene).await?;
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
