//! Words of the API that are in no schema, and its promises.
//!
//! These are conditions, reasons, events, labels and annotations.

use api::job::conditions::{self, Reason};
use api::labels;

/// A word, and its meaning.
type Word<'w> = (&'w str, &'w str);

/// A table of words.
fn table(head: &str, words: &[Word<'_>]) -> String {
    let rows = words.iter().map(|(word, meaning)| format!("| `{word}` | {meaning} |\n"));
    format!("\n| {head} | meaning |\n| --- | --- |\n{}", rows.collect::<String>())
}

/// The sections of the page behind those about fields.
pub(super) fn render() -> String {
    let mut page = "\n## Conditions\n".to_owned();
    page += &table("type", &CONDITIONS);
    page += "\nA Job that is `Complete` or `Failed` has ended, unless the reason of `Failed` lifts. Others may add conditions of other types.\n";
    page += "\n## Reasons of conditions\n";
    page += &table("reason", &REASONS.map(|(reason, meaning)| (reason.as_str(), meaning)));
    page +=
        "\n## Events\n\nConditions are events too, with their reasons and messages. The others:\n";
    page += &table("reason", &EVENTS);
    page += "\n## Labels and annotations\n\nOn the DaemonSet of a Job and on its pods. They belong to the operator; `template` may add others.\n";
    page += &table("name", &OF_PODS);
    page += "\nOn namespaces, as limits for their Jobs ([security](../SECURITY.md#what-jobs-may-ask-for)):\n";
    page += &table("annotation", &OF_NAMESPACES);
    page += "\nConditions and gates of pods:\n";
    page += &table("name", &OF_POD_STATUS);
    page += "\nThe DaemonSet of a Job is named `<job>-daemonset-job`. A name that is too long for an object or a label is cut, and ends in a hash.\n";
    page + LIFE_CYCLE
}

const CONDITIONS: [Word<'_>; 8] = [
    (
        conditions::COMPLETE,
        "the work is done on every wanted node; `False` until then, from the first look on",
    ),
    (
        conditions::FAILED,
        "the Job cannot be done, or was not: the reason says why; `False` otherwise",
    ),
    (conditions::DAEMON_SET_EDITED, "somebody edits the DaemonSet, and the operator puts it back"),
    (conditions::SUSPENDED, "`True`: the Job is suspended. `False`: it was, and has been resumed"),
    (conditions::WAITING, "nodes wait for their turn: the message says what for"),
    (
        conditions::READY,
        "of a Job that never completes: whether the work is done on every wanted node",
    ),
    (
        conditions::RECONCILING,
        "the Job is not finished: the message says what is waited for. Not there otherwise",
    ),
    (
        conditions::STALLED,
        "the Job has failed, or cannot go on: reason and message are those of `Failed`. Not there otherwise",
    ),
];

const REASONS: [(Reason, &str); 31] = [
    (Reason::Completed, "`Complete`: every wanted node is done"),
    (
        Reason::NoMatchingNodes,
        "`Complete`: no node matches the selector, most often because of a typo",
    ),
    (Reason::NotComplete, "`Complete` is false"),
    (Reason::DeadlineExceeded, "`Failed`: the Job was not done within `activeDeadlineSeconds`"),
    (
        Reason::MaxFailedNodesExceeded,
        "`Failed`: more nodes have failed than `maxFailedNodes` tolerates",
    ),
    (Reason::NodesFailed, "`Failed`: every node has run to its end, and some have failed"),
    (
        Reason::InvalidSpec,
        "`Failed`: a field is invalid or not allowed here. It lifts with its cause",
    ),
    (
        Reason::NameConflict,
        "`Failed`: a DaemonSet of somebody else has the name. It lifts with its cause",
    ),
    (
        Reason::DaemonSetRefused,
        "`Failed`: the API server does not accept the DaemonSet now. It lifts with its cause",
    ),
    (Reason::NotFailed, "`Failed` is false"),
    (Reason::DaemonSetEdited, "`DaemonSetEdited`: its only reason"),
    (Reason::JobSuspended, "`Suspended` is true: no pod of the Job stays"),
    (
        Reason::PodsStopping,
        "`Suspended` is false: `suspend` is set, and pods of the Job are still there",
    ),
    (Reason::JobResumed, "`Suspended` is false: the Job was suspended before"),
    (Reason::PlacesInUse, "`Waiting`: as many nodes are at work as `parallelism` allows"),
    (Reason::Paused, "`Waiting`: `parallelism` is 0"),
    (Reason::WindowClosed, "`Waiting`: no window is open"),
    (Reason::OrderWaits, "`Waiting`: an earlier group of `order` is not through"),
    (
        Reason::MinReadySeconds,
        "`Waiting`: nodes have not been done, and ready, for `minReadySeconds`",
    ),
    (Reason::NodesUnreachable, "`Waiting`: the nodes that wait are unreachable, or not known"),
    (Reason::DaemonSetDiffers, "`Waiting`: the DaemonSet is not as the operator writes it"),
    (Reason::OtherGates, "`Waiting`: pods have scheduling gates of somebody else"),
    (
        Reason::NotGated,
        "`Waiting` is false: fields that make nodes take turns count from the next change of the work on",
    ),
    (Reason::LabelsUnknown, "`Waiting`: labels of nodes that `order` names are not known yet"),
    (
        Reason::TooManyFailed,
        "`Waiting`: more nodes have failed than `maxFailedNodes` tolerates; those at work finish",
    ),
    (Reason::ReleaseRefused, "`Waiting`: the API server refuses to let pods start"),
    (Reason::AllNodesDone, "`Ready` is true: every wanted node is done"),
    (
        Reason::NoNodesWanted,
        "`Ready` is true: no node matches the selector, most often because of a typo",
    ),
    (Reason::NodesNotDone, "`Ready` is false: some wanted nodes are not done, or have failed"),
    (Reason::NotRunning, "`Ready` is false: the Job is suspended, cannot go on, or has failed"),
    (Reason::Progressing, "`Reconciling`: its only reason"),
];

const EVENTS: [Word<'_>; 7] = [
    ("SuccessfulCreate", "the DaemonSet was created"),
    ("WorkChanged", "the work was changed, and starts again on every node"),
    ("NodesStarted", "nodes were let start, of a Job whose nodes take turns"),
    ("FailedCreate", "warning: Kubernetes refuses pods of the Job, in its own words"),
    (labels::LOG_ROTATED, "warning: logs have lost their beginning before they were read"),
    (
        "DeletesItself",
        "warning: the Job deletes itself, and Flux, Argo CD or Helm create it again then",
    ),
    ("WriteRefused", "warning: the API server refuses what the operator writes for the Job"),
];

const OF_PODS: [Word<'_>; 6] = [
    (labels::LABEL_DAEMON_SET_JOB, "label: `true` on the pods of all Jobs"),
    (labels::LABEL_JOB, "label: name of the Job"),
    (labels::LABEL_DAEMON_SET, "label: name of the DaemonSet"),
    (labels::ANNOTATION_WORK_HASH, "annotation: hash of the work"),
    (labels::ANNOTATION_JOB_UID, "annotation: UID of the Job"),
    (labels::ANNOTATION_TERMINATION_WORD, "annotation: the word, if the Job names one"),
];

const OF_NAMESPACES: [Word<'_>; 2] = [
    (labels::ANNOTATION_ALLOWED_HOST_PATHS, "directories of nodes, separated by commas"),
    (labels::ANNOTATION_ALLOWED_POD_FEATURES, "features of pods, separated by commas"),
];

const OF_POD_STATUS: [Word<'_>; 4] = [
    (labels::POD_COMPLETED, "condition, and readiness gate: the work of the pod is done"),
    (labels::POD_OBSERVED, "condition: the operator's cache of pods was current at its time"),
    (
        labels::POD_SANDBOX_CHANGED,
        "condition: the pod has lost a sandbox; its message counts failed runs",
    ),
    (labels::TURN_GATE, "scheduling gate: the node waits for its turn"),
];

const LIFE_CYCLE: &str = "
## The way to v1

`v1beta1` is the version that the first implementation had, and its manifests apply unchanged. Within `v1beta1`:

- fields are added, with a default that keeps the meaning of stored Jobs; none is removed, renamed or given another meaning;
- reasons, events and conditions are added; names that are in the tables above stay;
- messages, and the order of nodes in the status, may change at any time: match reasons, not messages;
- a stricter rule for a field may come with a version, and then refuses only new values: stored Jobs stay valid until the field changes.

`v1` comes when the fields have not changed in meaning for two releases in use. It will have the fields of `v1beta1` under the same names, so that
both versions are served from the same stored objects, without a webhook. `v1beta1` will then be served for at least a year, and a release note names
the version that ends it. Nothing has to be done before: `kubectl` and Helm convert nothing themselves, the API server does.
";

#[cfg(test)]
mod tests {
    use harness::paths;
    use regex::Regex;

    use super::*;

    /// The words in a file of the workspace that a pattern finds.
    fn words(file: &str, pattern: &str) -> Vec<String> {
        let text = std::fs::read_to_string(paths::workspace().join(file)).expect(file);
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let pattern = Regex::new(pattern).expect("a pattern");
        pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
    }

    #[test]
    fn every_reason_is_on_the_page_once() {
        for reason in Reason::ALL {
            let rows = REASONS.iter().filter(|(row, _)| *row == reason).count();
            assert_eq!(rows, 1, "{reason}");
        }
        assert_eq!(REASONS.len(), Reason::ALL.len());
    }

    #[test]
    fn every_word_of_the_api_is_on_the_page() {
        let page = render();
        let places = [
            ("api/src/job/conditions/types.rs", r#"pub const [A-Z_]+: &str = "([A-Za-z]+)""#, 8),
            ("operator/src/job/decide/events.rs", r#"reason: "([A-Za-z]+)""#, 3),
            ("operator/src/job/decide/events.rs", r#"const [A-Z_]+: &str = "([A-Za-z]+)""#, 1),
            (
                "api/src/labels.rs",
                r#"const (?:LABEL|ANNOTATION|POD|TURN)_[A-Z_]+: &str =[ \n]+"([^"=]+)""#,
                11,
            ),
        ];
        for (file, pattern, at_least) in places {
            let words = words(file, pattern);
            assert!(words.len() >= at_least, "{file}: {words:?}");
            for word in words {
                assert!(page.contains(&format!("| `{word}` |")), "{word} of {file}");
            }
        }
    }
}
