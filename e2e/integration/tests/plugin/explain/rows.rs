//! Every row of the page has a real cause in some test.

use anyhow::{Context as _, Result, ensure};
use harness::pages;

/// The page whose rows `explain` goes through.
const PAGE: &str = "docs/troubleshooting.md";

/// The beginnings of the page's symptoms, and the tests that make their causes.
///
/// `kind:` is a scenario, for causes that only a real kubelet makes.
const PROVED: &[(&str, &str)] = &[
    ("no `PHASE` at all", "job_without_an_operator_says_so"),
    ("`Pending` for long, no pods", "daemon_set_of_an_earlier_job_that_still_goes_is_named"),
    ("`Running` for long", "job_that_works_says_what_is_left"),
    ("… the sum of `active`", "refused_pods_quote_the_quota"),
    ("… a node is `Unreachable`", "lost_node_is_explained_with_how_long_the_job_waits_for_it"),
    ("… a node is `Pending` with `ErrImagePull`", "kind:image"),
    ("… a node is `Pending`, `Unschedulable`", "kind:room"),
    ("… a node is `Pending` with `FailedMount`", "kind:volume"),
    ("… a node is `Pending` or `Failed` with `SysctlForbidden`", "kind:sysctl"),
    (
        "… a message begins with `init container",
        "init_container_that_fails_is_named_with_its_last_words",
    ),
    ("… a node has many `restarts`", "failing_and_failed_nodes_are_told_apart"),
    ("… the log of a pod has the word", "word_in_a_line_without_end_is_found_in_the_log"),
    ("`LogRotated`, an event and a message", "longer_words_and_rotated_logs_are_found"),
    ("`Failed`, `InvalidSpec`", "fields_that_are_twice_or_not_allowed_have_cures_of_their_own"),
    ("… `duplicate name", "fields_that_are_twice_or_not_allowed_have_cures_of_their_own"),
    ("… `quantities must match", "refused_specs_and_daemon_sets_quote_the_api_server"),
    ("`Failed`, `DaemonSetRefused`", "refused_daemon_set_quotes_the_quota"),
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
    ("`Waiting`, `ReleaseRefused`", "refused_releases_and_refused_writes_quote_the_api_server"),
    ("a `WriteRefused` event", "refused_releases_and_refused_writes_quote_the_api_server"),
    ("the condition `DaemonSetEdited`", "tool_that_edits_the_daemon_set_is_named"),
    (
        "… `so the Job does not end",
        "daemon_set_that_admission_changes_holds_nodes_and_names_the_webhook",
    ),
    ("`Failed`, `NameConflict`", "deadlines_selectors_and_names_that_are_taken_are_explained"),
    ("`Failed`, `NodesFailed`", "more_failed_nodes_than_are_tolerated_are_named"),
    ("`Failed`, `DeadlineExceeded`", "deadlines_selectors_and_names_that_are_taken_are_explained"),
    (
        "`Completed`, `NoMatchingNodes`",
        "deadlines_selectors_and_names_that_are_taken_are_explained",
    ),
    ("a `DeletesItself` event", "tool_that_creates_the_job_again_is_named"),
    ("the Job is gone", "job_that_cannot_go_and_one_that_is_gone_are_explained"),
    ("a deleted Job does not disappear", "deletion_that_waits_for_pods_says_so"),
];

/// Rows without a cause to make, and why.
const UNPROVED: &[(&str, &str)] = &[
    ("the operator's pod restarts, its log says `too old`", "no cluster here is that old"),
    ("`Ready` is `False`", "the rows for `Running` are those of such a Job"),
    ("a Kustomization of Flux or an Application", "it shows what other rows say of its Jobs"),
    ("`kubectl wait --for=condition=Complete` fails", "it is about kubectl, not about a Job"),
];

/// The files with the tests.
const TESTS: [&str; 3] =
    [include_str!("../explain.rs"), include_str!("surroundings.rs"), include_str!("turns.rs")];
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
            None => TESTS.iter().any(|file| file.contains(&format!("fn {test}("))),
        };
        ensure!(is_there, "{symptom}: there is no test {test}");
        let rows = symptoms(&page.text).filter(|row| row.starts_with(symptom)).count();
        ensure!(rows >= 1, "{PAGE} has no row {symptom}");
    }
    Ok(())
}
