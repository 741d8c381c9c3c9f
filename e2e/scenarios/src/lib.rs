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
use self::lifecycle::{exit_code, explained, failures};
use self::logs::{content, rotation, volume};
use self::nodes::{kept_free, lost, missing_image, sandboxes};
use self::rights::{network_policy, pod_security};
use self::rollout::upgrade;
pub use self::support::context::Context;

/// The scenarios beside the main job. They need a cluster of two nodes. Each takes half a minute.
pub const ALL: &[Scenario] = &[
    // First of those that run beside one another, for they take the longest.
    Scenario::shared("missing-image-is-told-of-every-node", |env| {
        Box::pin(missing_image::is_told_of_every_node(env))
    }),
    Scenario::shared("cordoned-and-tainted-nodes-run-a-job-too", |env| {
        Box::pin(kept_free::run_a_job_too(env))
    }),
    Scenario::shared("exit-code-of-an-ordinary-image-completes-the-job", |env| {
        Box::pin(exit_code::completes_the_job(env))
    })
    .ci(),
    Scenario::shared("work-that-cannot-begin-is-explained", |env| {
        Box::pin(explained::by_the_kubelets_words(env))
    })
    .ci(),
    Scenario::shared("failed-node-keeps-no-other-from-its-end", |env| {
        Box::pin(failures::keep_no_other_node_from_its_end(env))
    })
    .ci(),
    Scenario::shared("binary-noise-hides-no-word", |env| {
        Box::pin(content::binary_noise_hides_no_word(env))
    })
    .ci(),
    Scenario::shared("word-in-two-writes-is-one-word", |env| {
        Box::pin(content::word_in_two_writes_is_one_word(env))
    })
    .ci(),
    Scenario::shared("word-after-a-rotation-is-noticed", |env| {
        Box::pin(rotation::word_after_it_is_noticed(env))
    }),
    Scenario::shared("stopped-sandbox-has-not-failed", |env| Box::pin(sandboxes::stopped(env)))
        .ci(),
    Scenario::shared("sandbox-whose-process-dies-has-not-failed", |env| {
        Box::pin(sandboxes::dead(env))
    }),
    Scenario::shared("failure-before-a-stopped-sandbox-counts", |env| {
        Box::pin(sandboxes::failed_before(env))
    }),
    Scenario::shared("rights-are-those-that-are-listed", |env| {
        Box::pin(rights::are_those_that_are_listed(env))
    })
    .ci(),
    Scenario::shared("our-own-pods-are-restricted", |env| {
        Box::pin(pod_security::keeps_our_pods_restricted(env))
    })
    .ci(),
    Scenario::shared("restricted-namespace-runs-jobs-that-comply", |env| {
        Box::pin(pod_security::allows_jobs_that_comply(env))
    })
    .ci(),
    Scenario::shared("manifests-apply-without-a-warning", |env| {
        Box::pin(install::manifests::apply_without_a_warning(env))
    })
    .ci(),
    Scenario::shared("editors-see-jobs-and-change-none", |env| {
        Box::pin(rights::of_editors_end_at_jobs(env))
    })
    .ci(),
    Scenario::exclusive("upgrade-loses-no-job", |env| Box::pin(upgrade::loses_no_job(env)))
        .restarts_ours(),
    Scenario::exclusive("uninstall-leaves-nothing", |env| {
        Box::pin(install::uninstall::leaves_nothing(env))
    })
    .restarts_ours(),
    Scenario::exclusive("install-for-one-namespace-keeps-to-it", |env| {
        Box::pin(install::namespaced::keeps_to_its_namespace(env))
    })
    .restarts_ours(),
    Scenario::exclusive("network-policy-lets-through-what-is-needed", |env| {
        Box::pin(network_policy::lets_through_what_is_needed(env))
    })
    .restarts_ours()
    .needs_network_policies(),
    Scenario::exclusive("tour-goes-as-written", |env| {
        Box::pin(install::tour::goes_as_written(env))
    })
    .restarts_ours(),
    Scenario::exclusive("scaled-install-has-one-leader", |env| {
        Box::pin(ha::scaled_install_has_one_leader(env))
    })
    .restarts_ours(),
    // These share one install, so they follow one another.
    Scenario::exclusive("ha-leaders-that-are-killed-are-replaced", |env| {
        Box::pin(ha::killed_leaders_are_replaced(env))
    })
    .installed(ha::INSTALL),
    Scenario::exclusive("ha-leader-on-a-frozen-node-is-replaced", |env| {
        Box::pin(ha::frozen_leader_is_replaced(env))
    })
    .installed(ha::INSTALL),
    Scenario::exclusive("ha-upgrade-loses-no-job", |env| Box::pin(ha::upgrade_loses_no_job(env)))
        .installed(ha::INSTALL),
    Scenario::exclusive("word-is-found-after-200-mb-of-log-that-rotate", |env| {
        Box::pin(volume::word_is_found_after_200_mb_that_rotate(env))
    }),
    Scenario::exclusive("word-is-found-at-the-end-of-a-50-mb-line", |env| {
        Box::pin(volume::word_is_found_at_the_end_of_a_50_mb_line(env))
    }),
    Scenario::exclusive("both-killed-twenty-times-lose-no-job", |env| {
        Box::pin(faults::ours::both_killed(env))
    })
    .restarts_ours(),
    Scenario::exclusive("api-server-out-takes-nothing-back", |env| {
        Box::pin(faults::api_server::out(env))
    }),
    Scenario::exclusive("api-server-hanging-takes-nothing-back", |env| {
        Box::pin(faults::api_server::hanging(env))
    }),
    Scenario::exclusive("frozen-node-is-waited-for", |env| Box::pin(lost::frozen(env))),
    Scenario::exclusive("rebooted-node-has-not-failed", |env| Box::pin(lost::rebooted(env))),
    Scenario::exclusive("rebooted-node-of-the-operator-has-not-failed", |env| {
        Box::pin(lost::ours_rebooted(env))
    })
    .restarts_ours(),
    Scenario::exclusive("partitioned-node-counts-when-it-is-back", |env| {
        Box::pin(lost::partitioned(env))
    }),
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
