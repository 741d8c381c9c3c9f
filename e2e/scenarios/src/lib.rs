//! The scenarios that run against a cluster with the operator deployed.
//!
//! The main job is [`sample_job`]; [`ALL`] lists the others. [`invariants`] holds for the cluster as a
//! whole when they have ended. The binary of this crate is the runner, `cargo xtask e2e`.

mod definition;
mod faults;
mod ha;
mod install;
pub mod invariants;
mod lifecycle;
mod logs;
mod nodes;
mod rights;
mod rollout;
mod support;

pub use self::definition::{Neighbours, Scenario};
pub use self::lifecycle::sample_job;
use self::lifecycle::{exit_code, explained};
use self::logs::{content, rotation, volume};
use self::nodes::{kept_free, lost, sandboxes};
use self::rights::{network_policy, pod_security};
use self::rollout::{suspension, turns, upgrade};
pub use self::support::context::Context;

/// A [`Scenario`] of this name: what the function of this path returns is boxed.
macro_rules! shared {
    ($name:literal, $run:path) => {
        Scenario::shared($name, |env| Box::pin($run(env)))
    };
}

/// The like of one that is exclusive.
macro_rules! exclusive {
    ($name:literal, $run:path) => {
        Scenario::exclusive($name, |env| Box::pin($run(env)))
    };
}

/// The scenarios beside the main job. They need a cluster of two nodes. Each takes half a minute.
pub const ALL: &[Scenario] = &[
    shared!("cordoned-and-tainted-nodes-run-a-job-too", kept_free::run_a_job_too),
    shared!("exit-code-of-an-ordinary-image-completes-the-job", exit_code::completes_the_job).ci(),
    shared!("work-that-cannot-begin-is-explained", explained::by_the_kubelets_words).ci(),
    shared!("binary-noise-hides-no-word", content::binary_noise_hides_no_word).ci(),
    shared!("word-in-two-writes-is-one-word", content::word_in_two_writes_is_one_word).ci(),
    shared!("word-after-a-rotation-is-noticed", rotation::word_after_it_is_noticed),
    shared!("stopped-sandbox-has-not-failed", sandboxes::stopped).ci(),
    shared!("sandbox-whose-process-dies-has-not-failed", sandboxes::dead),
    shared!("failure-before-a-stopped-sandbox-counts", sandboxes::failed_before).ci(),
    shared!("rights-are-those-that-are-listed", rights::are_those_that_are_listed).ci(),
    shared!("our-own-pods-are-restricted", pod_security::keeps_our_pods_restricted).ci(),
    shared!("restricted-namespace-runs-jobs-that-comply", pod_security::allows_jobs_that_comply)
        .ci(),
    shared!("editors-see-jobs-and-change-none", rights::of_editors_end_at_jobs).ci(),
    shared!("failed-canary-holds-the-rest", turns::failed_canary_holds_the_rest).ci(),
    shared!("edited-parallelism-starts-and-pauses", turns::limit_is_edited).ci(),
    shared!("nodes-start-only-in-windows", turns::open_only_in_windows),
    shared!("suspended-job-goes-on-where-it-was", suspension::goes_on_where_it_was).ci(),
    shared!("failed-job-is-retried-where-it-failed", suspension::retries_what_failed).ci(),
    shared!("job-that-never-completes-runs-where-nodes-join", suspension::never_completes),
    exclusive!("one-node-at-a-time-while-the-operator-is-killed", turns::never_two_at_work)
        .restarts_ours(),
    exclusive!("stopped-node-keeps-its-place", turns::stopped_node_keeps_its_place),
    exclusive!("upgrade-loses-no-job", upgrade::loses_no_job).restarts_ours(),
    exclusive!("uninstall-leaves-nothing", install::uninstall::leaves_nothing).restarts_ours(),
    exclusive!("release-installs-by-manifests", install::release::by_manifests)
        .restarts_ours()
        .needs_release(),
    exclusive!("release-installs-by-chart", install::release::by_chart)
        .restarts_ours()
        .needs_release(),
    exclusive!(
        "install-for-one-namespace-keeps-to-it",
        install::namespaced::keeps_to_its_namespace
    )
    .restarts_ours(),
    exclusive!(
        "network-policy-lets-through-what-is-needed",
        network_policy::lets_through_what_is_needed
    )
    .restarts_ours()
    .needs_network_policies(),
    exclusive!("tour-goes-as-written", install::tour::goes_as_written).restarts_ours(),
    exclusive!("scaled-install-has-one-leader", ha::scaled_install_has_one_leader).restarts_ours(),
    // These share one install, so they follow one another.
    exclusive!("ha-leaders-that-are-killed-are-replaced", ha::killed_leaders_are_replaced)
        .installed(ha::INSTALL),
    exclusive!("ha-leader-on-a-frozen-node-is-replaced", ha::frozen_leader_is_replaced)
        .installed(ha::INSTALL),
    exclusive!("ha-upgrade-loses-no-job", ha::upgrade_loses_no_job).installed(ha::INSTALL),
    exclusive!(
        "word-is-found-after-200-mb-of-log-that-rotate",
        volume::word_is_found_after_200_mb_that_rotate
    ),
    exclusive!(
        "word-is-found-at-the-end-of-a-50-mb-line",
        volume::word_is_found_at_the_end_of_a_50_mb_line
    ),
    exclusive!("both-killed-twenty-times-lose-no-job", faults::ours::both_killed).restarts_ours(),
    exclusive!("api-server-out-takes-nothing-back", faults::api_server::out),
    exclusive!("api-server-hanging-takes-nothing-back", faults::api_server::hanging),
    exclusive!("frozen-node-is-waited-for", lost::frozen),
    exclusive!("rebooted-node-has-not-failed", lost::rebooted),
    exclusive!("rebooted-node-of-the-operator-has-not-failed", lost::ours_rebooted).restarts_ours(),
    exclusive!("partitioned-node-counts-when-it-is-back", lost::partitioned),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_fit_namespaces() {
        let names: BTreeSet<_> = ALL.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), ALL.len());
        for name in names {
            let is_valid = name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            assert!(is_valid && name.len() <= 63, "{name}");
        }
    }
}
