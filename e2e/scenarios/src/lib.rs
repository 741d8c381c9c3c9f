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
mod monitoring;
mod nodes;
mod plugin;
mod rights;
mod rollout;
mod support;

pub use self::definition::{Neighbours, Scenario};
pub use self::lifecycle::sample_job;
use self::lifecycle::{exit_code, gallery};
use self::logs::{content, rotation, volume};
use self::nodes::{kept_free, lost, sandboxes};
use self::plugin::{explain, run};
use self::rights::{network_policy, pod_security};
use self::rollout::{suspension, turns, upgrade};
pub use self::support::context::Context;

/// A [`Scenario`] of this name: what the function of this path returns is boxed.
macro_rules! shared {
    ($name:literal, $about:literal, $run:path) => {
        Scenario::shared($name, $about, |env| Box::pin($run(env)))
    };
}

/// The like of one that is exclusive.
macro_rules! exclusive {
    ($name:literal, $about:literal, $run:path) => {
        Scenario::exclusive($name, $about, |env| Box::pin($run(env)))
    };
}

/// The scenarios beside the main job. They need a cluster of two nodes. Each takes half a minute.
pub const ALL: &[Scenario] = &[
    shared!(
        "cordoned-and-tainted-nodes-run-a-job-too",
        "A Job runs on nodes that are kept free of other pods",
        kept_free::run_a_job_too
    ),
    shared!(
        "exit-code-of-an-ordinary-image-completes-the-job",
        "A sample of an ordinary image is done when its containers exit with 0",
        exit_code::completes_the_job
    )
    .ci(),
    shared!(
        "samples-of-the-gallery-end-well",
        "Samples of docs/gallery.md are done on every node, with their CronJob and service account",
        gallery::ends_well
    ),
    shared!(
        "binary-noise-hides-no-word",
        "The word is found among bytes that are no text",
        content::binary_noise_hides_no_word
    )
    .ci(),
    shared!(
        "word-in-two-writes-is-one-word",
        "A word that a program logs in two writes is found",
        content::word_in_two_writes_is_one_word
    )
    .ci(),
    shared!(
        "word-after-a-rotation-is-noticed",
        "A word that is logged after the kubelet has rotated the log is found",
        rotation::word_after_it_is_noticed
    ),
    shared!(
        "stopped-sandbox-has-not-failed",
        "A pod whose sandbox is stopped runs again, and no failure is counted",
        sandboxes::stopped
    )
    .ci(),
    shared!(
        "sandbox-whose-process-dies-has-not-failed",
        "A pod whose sandbox dies runs again, and no failure is counted",
        sandboxes::dead
    ),
    shared!(
        "failure-before-a-stopped-sandbox-counts",
        "A failed run stays counted when the sandbox of its pod is stopped later",
        sandboxes::failed_before
    )
    .ci(),
    shared!(
        "rights-are-those-that-are-listed",
        "The service account may do what a list says, and nothing else",
        rights::are_those_that_are_listed
    )
    .ci(),
    shared!(
        "our-own-pods-are-restricted",
        "Operator and terminator run under the restricted Pod Security Standard",
        pod_security::keeps_our_pods_restricted
    )
    .ci(),
    shared!(
        "restricted-namespace-runs-jobs-that-comply",
        "Jobs that comply with Pod Security run, and others are explained",
        pod_security::allows_jobs_that_comply
    )
    .ci(),
    shared!(
        "editors-see-jobs-and-change-none",
        "Users who may edit a namespace see Jobs, and cannot change them",
        rights::of_editors_end_at_jobs
    )
    .ci(),
    shared!(
        "plugin-runs-watches-and-collects",
        "kubectl dsjob runs a Job, follows it, and collects its output",
        run::watches_and_collects
    )
    .needs_plugin()
    .ci(),
    shared!(
        "work-that-cannot-begin-is-explained",
        "Status and kubectl dsjob explain quote the kubelet where work cannot begin",
        explain::in_the_kubelets_words
    )
    .needs_plugin()
    .ci(),
    shared!(
        "failed-canary-holds-the-rest",
        "No node starts after the first group has failed, until edits start some, none, and all",
        turns::failed_canary_holds_the_rest
    )
    .ci(),
    shared!(
        "nodes-start-only-in-windows",
        "Nodes start while a window is open",
        turns::open_only_in_windows
    ),
    shared!(
        "suspended-job-goes-on-where-it-was",
        "A Job that is suspended and resumed, also when it has failed, runs on each node once",
        suspension::goes_on_where_it_was
    )
    .ci(),
    shared!(
        "job-that-never-completes-runs-where-nodes-join",
        "A Job that never completes runs on nodes that join later",
        suspension::never_completes
    ),
    exclusive!(
        "one-node-at-a-time-while-the-operator-is-killed",
        "Never do two nodes work, however often the operator is killed",
        turns::never_two_at_work
    )
    .restarts_ours(),
    exclusive!(
        "stopped-node-keeps-its-place",
        "A rollout waits for a node that is stopped in its turn",
        turns::stopped_node_keeps_its_place
    ),
    exclusive!(
        "upgrade-loses-no-job",
        "Jobs go on while operator and terminator are replaced",
        upgrade::loses_no_job
    )
    .restarts_ours(),
    exclusive!(
        "uninstall-leaves-nothing",
        "The commands of the page remove all that was installed",
        install::uninstall::leaves_nothing
    )
    .restarts_ours(),
    exclusive!(
        "release-installs-by-manifests",
        "The manifests of a release lead to a first Job that is done",
        install::release::by_manifests
    )
    .restarts_ours()
    .needs_release(),
    exclusive!(
        "release-installs-by-chart",
        "Jobs outlive install, upgrade, rollback and uninstall of the chart of a release",
        install::release::by_chart
    )
    .restarts_ours()
    .needs_release(),
    exclusive!(
        "install-for-one-namespace-keeps-to-it",
        "An operator of one namespace leaves the others alone",
        install::namespaced::keeps_to_its_namespace
    )
    .restarts_ours(),
    exclusive!(
        "network-policy-lets-through-what-is-needed",
        "The NetworkPolicy lets metrics and the API server through, and nothing else",
        network_policy::lets_through_what_is_needed
    )
    .restarts_ours()
    .needs_network_policies(),
    exclusive!(
        "alerts-fire-and-stop-in-a-prometheus",
        "A Prometheus scrapes both processes, its alerts fire and stop, and the dashboard has data",
        monitoring::alerts_fire_and_stop
    )
    .restarts_ours()
    .needs_prometheus(),
    exclusive!(
        "tour-goes-as-written",
        "The commands of docs/tour.md print what the page shows",
        install::tour::goes_as_written
    )
    .restarts_ours(),
    exclusive!(
        "scaled-install-has-one-leader",
        "Of two replicas one works, and hands over when it ends",
        ha::scaled_install_has_one_leader
    )
    .restarts_ours(),
    // These share one install, so they follow one another.
    exclusive!(
        "ha-leaders-that-are-killed-are-replaced",
        "Another replica goes on when leaders are killed or deleted",
        ha::killed_leaders_are_replaced
    )
    .installed(ha::INSTALL),
    exclusive!(
        "ha-leader-on-a-frozen-node-is-replaced",
        "Another replica goes on when the leader's node freezes, and only one writes",
        ha::frozen_leader_is_replaced
    )
    .installed(ha::INSTALL),
    exclusive!(
        "ha-upgrade-loses-no-job",
        "Jobs go on while both replicas are replaced one by one",
        ha::upgrade_loses_no_job
    )
    .installed(ha::INSTALL),
    exclusive!(
        "word-is-found-after-200-mb-of-log-that-rotate",
        "The word is found behind a log that rotates many times",
        volume::word_is_found_after_200_mb_that_rotate
    ),
    exclusive!(
        "word-is-found-at-the-end-of-a-50-mb-line",
        "The word is found in constant memory at the end of a very long line",
        volume::word_is_found_at_the_end_of_a_50_mb_line
    ),
    exclusive!(
        "both-killed-twenty-times-lose-no-job",
        "Jobs go on while operator and terminator are killed again and again",
        faults::ours::both_killed
    )
    .restarts_ours(),
    exclusive!(
        "api-server-out-takes-nothing-back",
        "Jobs go on after the API server was killed",
        faults::api_server::out
    ),
    exclusive!(
        "api-server-hanging-takes-nothing-back",
        "Jobs go on after the API server did not answer",
        faults::api_server::hanging
    ),
    exclusive!("frozen-node-is-waited-for", "A Job waits for a node that freezes", lost::frozen)
        .needs_plugin(),
    exclusive!(
        "rebooted-node-has-not-failed",
        "A node that reboots works again, and no failure is counted",
        lost::rebooted
    ),
    exclusive!(
        "rebooted-node-of-the-operator-has-not-failed",
        "The node of operator and terminator reboots, and no failure is counted",
        lost::ours_rebooted
    )
    .restarts_ours(),
    exclusive!(
        "partitioned-node-counts-when-it-is-back",
        "Work that ends while its node is cut off counts when the node is back",
        lost::partitioned
    ),
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

    #[test]
    fn each_says_in_a_line_what_it_shows() {
        for Scenario { name, about, .. } in ALL {
            assert!((20..=90).contains(&about.len()) && !about.ends_with('.'), "{name}: {about}");
        }
        let distinct: BTreeSet<_> = ALL.iter().map(|scenario| scenario.about).collect();
        assert_eq!(distinct.len(), ALL.len());
    }
}
