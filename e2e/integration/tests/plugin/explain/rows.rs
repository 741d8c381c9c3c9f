//! Every row of the page has a real cause in some test.

use anyhow::{Context as _, Result, ensure};
use harness::pages;

/// The page whose rows `explain` goes through.
const PAGE: &str = "docs/troubleshooting.md";

/// The beginnings of the page's symptoms, and the tests that make their causes.
///
/// `kind:` is a scenario, for causes that only a real kubelet makes.
const PROVED: &[(&str, &str)] = &[
    ("no `PHASE` at all", "job_that_nobody_looks_at_has_defaults_and_a_status_that_says_so"),
    ("`Pending` for long, no pods", "job_created_anew_waits_until_the_old_daemon_set_is_gone"),
    ("`Running` for long", "job_that_works_says_what_is_left"),
    ("… the sum of `active`", "input_20_pods_refused_again_and_again_are_one_event_not_active"),
    ("… a node is `Unreachable`", "node_that_is_lost_is_named_unreachable_and_waited_for"),
    ("… a node is `Pending` with `ErrImagePull`", "kind:image"),
    ("… a node is `Pending`, `Unschedulable`", "kind:room"),
    ("… a node is `Pending` with `FailedMount`", "kind:volume"),
    ("… a node is `Pending` or `Failed` with `SysctlForbidden`", "kind:sysctl"),
    (
        "… a message begins with `init container",
        "input_05_preparation_that_fails_fails_its_node_in_its_last_words",
    ),
    ("… a node has many `restarts`", "as_many_failed_runs_as_the_limit_are_forgiven_and_no_more"),
    ("… the log of a pod has the word", "word_in_a_line_without_end_is_found_in_the_log"),
    (
        "`LogRotated`, an event and a message",
        "log_that_rotated_unfollowed_is_reported_and_completes_nothing",
    ),
    ("`Failed`, `InvalidSpec`", "double_keys_and_bad_quantities_are_named_until_they_are_repaired"),
    ("… `duplicate name", "double_keys_and_bad_quantities_are_named_until_they_are_repaired"),
    (
        "… `quantities must match",
        "double_keys_and_bad_quantities_are_named_until_they_are_repaired",
    ),
    ("`Failed`, `DaemonSetRefused`", "input_01_quota_on_daemon_sets_is_quoted_until_it_is_gone"),
    (
        "`Running`, pods are `SchedulingGated`",
        "fields_that_make_nodes_wait_are_named_with_what_they_wait_for",
    ),
    ("`Waiting`, `PlacesInUse`", "fields_that_make_nodes_wait_are_named_with_what_they_wait_for"),
    ("… `earlier work has not ended", "earlier_work_that_has_not_ended_is_named"),
    ("`Waiting`, `Paused`", "fields_that_make_nodes_wait_are_named_with_what_they_wait_for"),
    ("`Waiting`, `WindowClosed`", "fields_that_make_nodes_wait_are_named_with_what_they_wait_for"),
    ("`Waiting`, `OrderWaits`", "fields_that_make_nodes_wait_are_named_with_what_they_wait_for"),
    ("`Waiting`, `MinReadySeconds`", "places_that_stay_taken_are_explained_by_what_holds_them"),
    ("`Waiting`, `NodesUnreachable`", "lost_nodes_whose_turn_it_is_are_named"),
    ("`Waiting`, `TooManyFailed`", "places_that_stay_taken_are_explained_by_what_holds_them"),
    (
        "`Waiting`, `DaemonSetDiffers`",
        "daemon_set_that_admission_changes_holds_nodes_and_names_the_webhook",
    ),
    ("`Waiting`, `OtherGates`", "fields_that_make_nodes_wait_are_named_with_what_they_wait_for"),
    ("`Waiting`, `LabelsUnknown`", "labels_that_the_operator_cannot_learn_are_waited_for"),
    ("`Waiting` is `False`, `NotGated`", "places_that_stay_taken_are_explained_by_what_holds_them"),
    ("`Suspended`", "suspension_is_explained_before_and_after_the_pods_have_stopped"),
    (
        "`Suspended` is `False`, `PodsStopping`",
        "suspension_is_explained_before_and_after_the_pods_have_stopped",
    ),
    (
        "`Waiting`, `ReleaseRefused`",
        "without_the_right_nothing_starts_the_job_says_so_and_goes_on_once_it_is_given",
    ),
    (
        "a `WriteRefused` event",
        "without_the_right_nothing_starts_the_job_says_so_and_goes_on_once_it_is_given",
    ),
    (
        "the condition `DaemonSetEdited`",
        "f08_selector_that_a_downscaler_sets_is_put_back_and_no_job_ends",
    ),
    (
        "… `so the Job does not end",
        "daemon_set_that_admission_changes_holds_nodes_and_names_the_webhook",
    ),
    ("`Failed`, `NameConflict`", "daemon_set_of_someone_else_is_left_alone_until_it_is_gone"),
    ("`Failed`, `NodesFailed`", "first_failed_node_ends_a_job_that_bears_none_at_once_for_good"),
    ("`Failed`, `DeadlineExceeded`", "deadline_ends_a_job_whose_pods_never_start_and_not_before"),
    ("`Completed`, `NoMatchingNodes`", "job_whose_selector_matches_no_node_is_complete_and_kept"),
    ("a `DeletesItself` event", "job_that_flux_would_create_for_ever_gets_one_warning"),
    ("the Job is gone", "job_goes_with_all_of_it_after_its_last_status_and_event_are_written"),
    (
        "a deleted Job does not disappear",
        "f11_deletion_in_the_foreground_ends_when_the_pods_are_gone",
    ),
];

/// Rows without a cause to make, and why.
const UNPROVED: &[(&str, &str)] = &[
    ("the operator's pod restarts, its log says `too old`", "no cluster here is that old"),
    ("`Ready` is `False`", "the rows for `Running` are those of such a Job"),
    ("a Kustomization of Flux or an Application", "it shows what other rows say of its Jobs"),
    ("`kubectl wait --for=condition=Complete` fails", "it is about kubectl, not about a Job"),
];

/// The files with the tests.
const TESTS: [&str; 16] = [
    include_str!("../explain.rs"),
    include_str!("turns.rs"),
    include_str!("../../changes.rs"),
    include_str!("../../completion.rs"),
    include_str!("../../daemon_set.rs"),
    include_str!("../../deadline.rs"),
    include_str!("../../deletion.rs"),
    include_str!("../../failures.rs"),
    include_str!("../../field.rs"),
    include_str!("../../gitops.rs"),
    include_str!("../../nodes.rs"),
    include_str!("../../rotation.rs"),
    include_str!("../../schema.rs"),
    include_str!("../../strangers.rs"),
    include_str!("../../template.rs"),
    include_str!("../../turns/rights.rs"),
];
/// The scenario, which names its causes.
const SCENARIO: &str = include_str!("../../../../scenarios/src/plugin/explain.rs");

/// The symptoms of the page.
fn symptoms(page: &str) -> impl Iterator<Item = &str> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    rows.filter(|row| !["symptom", "---"].contains(row))
}

#[test]
fn every_row_of_the_page_has_a_real_cause() -> Result<()> {
    let pages = pages::all()?;
    let page = pages.iter().find(|page| page.path.as_os_str() == PAGE).context("no page")?;
    let known: Vec<_> = PROVED.iter().chain(UNPROVED).collect();
    for row in symptoms(&page.text) {
        let is_it = |(symptom, _): &&&(&str, &str)| row.starts_with(symptom);
        let found = known.iter().filter(is_it).max_by_key(|(symptom, _)| symptom.len());
        ensure!(found.is_some(), "no test makes the cause of {row:?}");
    }
    for (symptom, test) in PROVED {
        let is_there = match test.strip_prefix("kind:") {
            Some(cause) => SCENARIO.contains(&format!("\"{cause}\"")),
            None => TESTS.iter().any(|file| explains(file, test)),
        };
        ensure!(is_there, "{symptom}: there is no test {test}");
        let rows = symptoms(&page.text).filter(|row| row.starts_with(symptom)).count();
        ensure!(rows >= 1, "{PAGE} has no row {symptom}");
    }
    Ok(())
}

/// Whether a file has this test, and the test asks `explain`.
fn explains(file: &str, test: &str) -> bool {
    let body = file.split_once(&format!("fn {test}(")).and_then(|(_, rest)| rest.split_once("\n}"));
    body.is_some_and(|(body, _)| body.contains("explain"))
}
