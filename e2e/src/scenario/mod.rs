//! The scenarios that run against a cluster with the operator deployed.
//!
//! The main job is [`sample_job`]; [`ALL`] lists the others, which run beside one another.

mod deleted_pod;
mod exit_code;
mod failures;
mod job;
mod leftovers;
mod lifetime;
mod node_selector;
mod recreated_job;
pub mod sample_job;
mod scene;
mod word;

use anyhow::{Result, ensure};
use futures::future::BoxFuture;
use kube::Client;

use self::scene::Scene;
use crate::cluster::Cluster;
use crate::deploy::Deployed;
use crate::process::LogDir;
use crate::progress::Phase;

/// What a scenario works with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// A client with the administrator's rights.
    pub client: &'a Client,
    /// The operator's Deployment.
    pub deployed: &'a Deployed,
    /// Where commands log.
    pub logs: &'a LogDir,
    /// Shows what the scenario waits for.
    pub phase: &'a Phase,
}

/// A promise that is checked on a cluster, in a namespace of its own.
pub struct Scenario {
    /// What it promises; also the name of its namespace.
    pub name: &'static str,
    /// Whether nothing else may run beside it, because it disturbs nodes, the control plane, or our
    /// own processes.
    pub is_exclusive: bool,
    /// Whether it is part of `cargo xtask test`.
    pub is_ci: bool,
    /// Whether operator and terminator restart in its course.
    restarts_ours: bool,
    run: Run,
}

type Run = for<'a> fn(&'a Scene<'a>) -> BoxFuture<'a, Result<()>>;

/// The scenarios beside the main job. They need a cluster of two nodes. Each takes half a minute, most
/// of it for the removal of its pods; a kubelet of Kubernetes 1.20 now and then takes a minute more.
pub const ALL: &[Scenario] = &[
    Scenario::shared("exit-code-of-an-ordinary-image-completes-the-job", |scene| {
        Box::pin(exit_code::completes_the_job(scene))
    })
    .ci(),
    Scenario::shared("node-selector-decides-where-a-job-runs", |scene| {
        Box::pin(node_selector::decides_where_a_job_runs(scene))
    })
    .ci(),
    Scenario::shared("re-created-job-waits-for-its-predecessor", |scene| {
        Box::pin(recreated_job::waits_for_its_predecessor(scene))
    })
    .ci(),
    Scenario::shared("deleted-pod-takes-no-completion-back", |scene| {
        Box::pin(deleted_pod::takes_no_completion_back(scene))
    })
    .ci(),
    Scenario::shared("failed-node-keeps-no-other-from-its-end", |scene| {
        Box::pin(failures::keep_no_other_node_from_its_end(scene))
    })
    .ci(),
    Scenario::shared("failed-node-within-the-limit-lets-the-rest-finish", |scene| {
        Box::pin(failures::within_the_limit_let_the_rest_finish(scene))
    })
    .ci(),
    Scenario::shared("failed-node-ends-a-job-that-bears-none", |scene| {
        Box::pin(failures::end_a_job_that_bears_none(scene))
    })
    .ci(),
    Scenario::shared("namespaces-keep-their-words-apart", |scene| {
        Box::pin(word::namespaces_keep_theirs_apart(scene))
    })
    .ci(),
    Scenario::shared("deadline-stops-what-is-not-done", |scene| {
        Box::pin(lifetime::deadline_stops_what_is_not_done(scene))
    })
    .ci(),
    Scenario::shared("finished-job-stays-for-its-ttl", |scene| {
        Box::pin(lifetime::finished_job_stays_for_its_ttl(scene))
    })
    .ci(),
    Scenario::shared("word-of-a-sidecar-completes-nothing", |scene| {
        Box::pin(word::of_a_sidecar_completes_nothing(scene))
    })
    .ci(),
];

impl Scenario {
    /// One that runs beside others.
    const fn shared(name: &'static str, run: Run) -> Self {
        Self { name, is_exclusive: false, is_ci: false, restarts_ours: false, run }
    }

    /// One that has the cluster to itself.
    #[expect(dead_code, reason = "the faults come next")]
    const fn exclusive(name: &'static str, run: Run) -> Self {
        Self { is_exclusive: true, ..Self::shared(name, run) }
    }

    /// It is part of `cargo xtask test`.
    const fn ci(self) -> Self {
        Self { is_ci: true, ..self }
    }

    /// Operator or terminator restart in its course.
    #[expect(dead_code, reason = "the faults come next")]
    const fn restarts_ours(self) -> Self {
        Self { restarts_ours: true, ..self }
    }

    /// Runs it, and sees that it leaves the cluster as it was. One that fails leaves its namespace,
    /// to be looked at.
    ///
    /// # Errors
    /// When a promise is broken or the cluster does not answer.
    pub async fn run(&self, cx: Context<'_>) -> Result<()> {
        let restarts = cx.deployed.restarts(cx.client).await?;
        let scene = Scene::open(cx, self.name).await?;
        (self.run)(&scene).await?;
        scene.close().await?;
        let after = cx.deployed.restarts(cx.client).await?;
        ensure!(
            self.restarts_ours || after == restarts,
            "operator or terminator restarted: {restarts:?} became {after:?}"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_fit_namespaces() {
        let names: BTreeSet<_> = ALL.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), ALL.len());
        for name in names {
            let is_valid = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
            assert!(is_valid && name.len() <= 63, "{name}");
        }
    }
}
