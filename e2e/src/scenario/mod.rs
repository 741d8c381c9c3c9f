//! The scenarios that run against a cluster with the operator deployed.
//!
//! The main job is [`sample_job`]; [`ALL`] lists the others, which run beside one another.

mod crash;
mod definition;
mod deleted_pod;
mod exit_code;
mod failures;
mod faults;
mod ha;
mod install;
mod job;
mod leftovers;
mod lifetime;
mod log_content;
mod log_rotation;
mod log_volume;
mod manifest;
mod manifests;
mod many_jobs;
mod memory;
mod missing_image;
mod names;
mod namespaced;
mod network_policy;
mod node_selector;
mod nodes_kept_free;
mod recreated_job;
mod rights;
pub mod sample_job;
mod scene;
mod tour;
mod uninstall;
mod upgrade;
mod word;

pub use self::definition::{Context, Scenario};

/// The scenarios beside the main job. They need a cluster of two nodes. Each takes half a minute.
pub const ALL: &[Scenario] = &[
    // First of those that run beside one another, for they take the longest.
    Scenario::shared("missing-image-is-told-of-every-node", |scene| {
        Box::pin(missing_image::is_told_of_every_node(scene))
    }),
    Scenario::shared("cordoned-and-tainted-nodes-run-a-job-too", |scene| {
        Box::pin(nodes_kept_free::run_a_job_too(scene))
    }),
    Scenario::shared("twenty-jobs-in-five-namespaces-complete", |scene| {
        Box::pin(many_jobs::twenty_in_five_namespaces_complete(scene))
    }),
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
    Scenario::shared("binary-noise-hides-no-word", |scene| {
        Box::pin(log_content::binary_noise_hides_no_word(scene))
    })
    .ci(),
    Scenario::shared("word-in-two-writes-is-one-word", |scene| {
        Box::pin(log_content::word_in_two_writes_is_one_word(scene))
    })
    .ci(),
    Scenario::shared("word-after-a-rotation-is-noticed", |scene| {
        Box::pin(log_rotation::word_after_it_is_noticed(scene))
    }),
    Scenario::shared("crash-before-the-word-is-made-good-by-the-next-run", |scene| {
        Box::pin(crash::before_the_word_is_made_good_by_the_next_run(scene))
    })
    .ci(),
    Scenario::shared("stopped-sandbox-has-not-failed", |scene| Box::pin(faults::stopped(scene)))
        .ci(),
    Scenario::shared("sandbox-whose-process-dies-has-not-failed", |scene| {
        Box::pin(faults::dead(scene))
    }),
    Scenario::shared("failure-before-a-stopped-sandbox-counts", |scene| {
        Box::pin(faults::failed_before(scene))
    }),
    Scenario::shared("node-selector-that-matches-no-node-is-told", |scene| {
        Box::pin(node_selector::that_matches_no_node_is_told(scene))
    })
    .ci(),
    Scenario::shared("job-names-of-any-length-work", |scene| {
        Box::pin(names::of_any_length_work(scene))
    }),
    Scenario::shared("rights-are-those-that-are-listed", |scene| {
        Box::pin(rights::are_those_that_are_listed(scene))
    })
    .ci(),
    Scenario::shared("our-own-pods-are-restricted", |scene| {
        Box::pin(rights::keeps_our_pods_restricted(scene))
    })
    .ci(),
    Scenario::shared("restricted-namespace-runs-jobs-that-comply", |scene| {
        Box::pin(rights::allows_jobs_that_comply(scene))
    })
    .ci(),
    Scenario::shared("manifests-apply-without-a-warning", |scene| {
        Box::pin(manifests::apply_without_a_warning(scene))
    })
    .ci(),
    Scenario::shared("editors-see-jobs-and-change-none", |scene| {
        Box::pin(rights::of_editors_end_at_jobs(scene))
    })
    .ci(),
    Scenario::exclusive("upgrade-loses-no-job", |scene| Box::pin(upgrade::loses_no_job(scene)))
        .restarts_ours(),
    Scenario::exclusive("word-lost-to-a-rotation-is-reported", |scene| {
        Box::pin(log_rotation::word_lost_to_it_is_reported(scene))
    })
    .restarts_ours(),
    Scenario::exclusive("uninstall-leaves-nothing", |scene| {
        Box::pin(uninstall::leaves_nothing(scene))
    })
    .restarts_ours(),
    Scenario::exclusive("install-for-one-namespace-keeps-to-it", |scene| {
        Box::pin(namespaced::keeps_to_its_namespace(scene))
    })
    .restarts_ours(),
    Scenario::exclusive("network-policy-lets-through-what-is-needed", |scene| {
        Box::pin(network_policy::lets_through_what_is_needed(scene))
    })
    .restarts_ours()
    .needs_network_policies(),
    Scenario::exclusive("tour-goes-as-written", |scene| Box::pin(tour::goes_as_written(scene)))
        .restarts_ours(),
    Scenario::exclusive("ha-leaders-that-are-killed-are-replaced", |scene| {
        Box::pin(ha::killed_leaders_are_replaced(scene))
    })
    .restarts_ours(),
    Scenario::exclusive("ha-leader-on-a-frozen-node-is-replaced", |scene| {
        Box::pin(ha::frozen_leader_is_replaced(scene))
    })
    .restarts_ours(),
    Scenario::exclusive("ha-leader-that-stays-dead-is-replaced", |scene| {
        Box::pin(ha::dead_leader_is_replaced(scene))
    })
    .restarts_ours(),
    Scenario::exclusive("ha-leaders-that-end-hand-over", |scene| {
        Box::pin(ha::ending_leaders_hand_over(scene))
    })
    .restarts_ours(),
    Scenario::exclusive("ha-upgrade-loses-no-job", |scene| {
        Box::pin(ha::upgrade_loses_no_job(scene))
    })
    .restarts_ours(),
    Scenario::exclusive("word-is-found-after-200-mb-of-log", |scene| {
        Box::pin(log_volume::word_is_found_after_200_mb(scene))
    }),
    Scenario::exclusive("word-is-found-after-200-mb-of-log-that-rotate", |scene| {
        Box::pin(log_volume::word_is_found_after_200_mb_that_rotate(scene))
    }),
    Scenario::exclusive("word-is-found-at-the-end-of-a-50-mb-line", |scene| {
        Box::pin(log_volume::word_is_found_at_the_end_of_a_50_mb_line(scene))
    }),
    Scenario::exclusive("operator-killed-twenty-times-loses-no-job", |scene| {
        Box::pin(faults::operator_killed(scene))
    })
    .restarts_ours(),
    Scenario::exclusive("terminator-killed-twenty-times-loses-no-job", |scene| {
        Box::pin(faults::terminator_killed(scene))
    })
    .restarts_ours(),
    Scenario::exclusive("both-killed-twenty-times-lose-no-job", |scene| {
        Box::pin(faults::both_killed(scene))
    })
    .restarts_ours(),
    Scenario::exclusive("pod-of-ours-deleted-loses-no-job", |scene| {
        Box::pin(faults::pod_deleted(scene))
    })
    .restarts_ours(),
    Scenario::exclusive("api-server-killed-takes-nothing-back", |scene| {
        Box::pin(faults::killed(scene))
    }),
    Scenario::exclusive("api-server-out-takes-nothing-back", |scene| Box::pin(faults::out(scene))),
    Scenario::exclusive("api-server-hanging-takes-nothing-back", |scene| {
        Box::pin(faults::hanging(scene))
    }),
    Scenario::exclusive("frozen-node-is-waited-for", |scene| Box::pin(faults::frozen(scene))),
    Scenario::exclusive("rebooted-node-has-not-failed", |scene| Box::pin(faults::rebooted(scene))),
    Scenario::exclusive("rebooted-node-of-the-operator-has-not-failed", |scene| {
        Box::pin(faults::ours_rebooted(scene))
    })
    .restarts_ours(),
    Scenario::exclusive("partitioned-node-counts-when-it-is-back", |scene| {
        Box::pin(faults::partitioned(scene))
    }),
    Scenario::exclusive("node-of-a-frozen-kubelet-counts-when-it-is-back", |scene| {
        Box::pin(faults::kubelet_frozen(scene))
    }),
    Scenario::exclusive("joining-node-is-waited-for", |scene| Box::pin(faults::joining(scene))),
    Scenario::exclusive("deleted-node-is-not-waited-for", |scene| Box::pin(faults::deleted(scene))),
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
