//! What the working container of a pod has come to.

use api::{
    names,
    v1beta1::{CompletionMode, JobSpec, NodeState, NodeStatus},
    views::PodView,
};
use k8s_openapi::{
    api::core::v1::{ContainerStateTerminated, ContainerStatus},
    jiff::{SignedDuration, Timestamp},
};

use crate::tally::{PodTally, has_succeeded, runs, terminated};

/// Bytes of a message about a node: 100 of them stay small beside the set of completed nodes.
const MAX_MESSAGE: usize = 256;

/// Bytes of what a container said last; the rest of a message is for the reason.
const MAX_LAST_WORDS: usize = 200;

/// How long after its end the run counts as failed that is one too many, where a word tells that the work is
/// done: by then the terminator has read the log. A log that cannot be read is tried some times within it.
const LAST_WORD: SignedDuration = SignedDuration::from_secs(10);

/// As this, where no word is waited for.
///
/// By then the kubelet has noticed if the sandbox has ended as well. It looks once in a second, may see the one without
/// the other, and start the container again in a sandbox that ends.
const SANDBOX: SignedDuration = SignedDuration::from_secs(5);

/// What the working container of a pod, or those of the pods of a node, have come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    /// Its work is done.
    pub(crate) is_done: bool,
    /// It has failed more often than the Job forgives.
    pub(crate) has_failed: bool,
    /// When it will have.
    ///
    /// Unless the word is found in its log, or its sandbox turns out to have ended.
    pub(crate) fails_at: Option<Timestamp>,
    /// What is to be recorded on the pod.
    pub(crate) tally: Option<PodTally>,
    /// How it is, for people. The node is not named.
    pub(crate) report: NodeStatus,
}

impl Run {
    /// Adds what a later pod of the same node has come to.
    pub(crate) fn follow(&mut self, later: Self) {
        self.is_done |= later.is_done;
        self.has_failed |= later.has_failed;
        self.fails_at = self.fails_at.into_iter().chain(later.fails_at).min();
        self.tally = later.tally;
        self.report = later.report;
    }
}

/// What the working container of `pod` has come to by `now`, which was created for the work of `spec`.
pub(crate) fn run(spec: &JobSpec, pod: &PodView, now: Timestamp) -> Run {
    let mode = spec.completion_mode;
    let Some(container) = pod.job_container(mode) else {
        let report = NodeStatus { message: unscheduled(pod), ..NodeStatus::default() };
        return Run {
            is_done: mode == CompletionMode::TerminationWord && pod.has_logged_word(),
            report,
            ..Run::default()
        };
    };
    let ended = last_ended(container);
    let is_done = match mode {
        CompletionMode::TerminationWord => pod.has_logged_word(),
        CompletionMode::ExitCode => has_succeeded(pod, container),
    };
    let running = container.state.as_ref().and_then(|state| state.running.as_ref());
    let is_running = running.is_some();
    let runs = runs(mode, pod, container);
    // What ends because its pod is deleted has not failed.
    let is_leaving = pod.metadata.deletion_timestamp.is_some();
    // One that the kubelet has given up is about to be replaced.
    let is_given_up = pod.status.phase.is_some();
    let fails = !is_done && !is_leaving && runs.failed > spec.backoff_limit();
    let settles = match mode {
        CompletionMode::TerminationWord => Some(LAST_WORD),
        CompletionMode::ExitCode => Some(SANDBOX).filter(|_| !is_given_up),
    };
    let fails_at =
        ended.filter(|_| fails).zip(settles).and_then(|(run, settles)| settled(run, settles, now));
    let to_record = runs.to_record.filter(|_| !is_leaving && !is_given_up);
    Run {
        is_done,
        has_failed: fails && fails_at.is_none(),
        fails_at,
        tally: to_record.map(|tally| PodTally::new(pod, tally)),
        report: NodeStatus {
            name: String::new(),
            state: if is_running { NodeState::Running } else { NodeState::Pending },
            restarts: container.restart_count,
            exit_code: ended.map(|run| run.exit_code),
            message: running
                .and_then(|running| pod.log_rotated(running.started_at.as_ref()?.0))
                .map(|message| told(Some(names::LOG_ROTATED), Some(message)))
                .or_else(|| message(container, ended)),
        },
    }
}

/// Until when the end of a run may turn out to be another one, if that is not past.
///
/// Of a node whose clock is far ahead that cannot be told.
fn settled(
    run: &ContainerStateTerminated,
    settles: SignedDuration,
    now: Timestamp,
) -> Option<Timestamp> {
    let finished = run.finished_at.as_ref()?.0;
    let until = finished.checked_add(settles).ok()?;
    (now < until && finished.duration_since(now) < settles).then_some(until)
}

/// The last run that is over.
fn last_ended(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    terminated(container).or_else(|| container.last_state.as_ref()?.terminated.as_ref())
}

fn message(
    container: &ContainerStatus,
    ended: Option<&ContainerStateTerminated>,
) -> Option<String> {
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let waiting = waiting.map(|state| (state.reason.as_deref(), state.message.as_deref()));
    // That it waits to be started again says less than why it has to be.
    let (reason, text) = match (ended, waiting) {
        (Some(run), _) => (run.reason.as_deref(), run.message.as_deref().map(end)),
        (None, waiting) => waiting?,
    };
    Some(told(reason, text))
}

/// Why a pod without any container status is not there yet, in the scheduler's words.
fn unscheduled(pod: &PodView) -> Option<String> {
    let scheduled = pod.condition("PodScheduled")?;
    (scheduled.status == "False")
        .then(|| told(scheduled.reason.as_deref(), scheduled.message.as_deref()))
}

/// The end of what a container said: that is where it tells what went wrong.
fn end(text: &str) -> &str {
    let text = text.trim();
    &text[text.ceil_char_boundary(text.len().saturating_sub(MAX_LAST_WORDS))..]
}

fn told(reason: Option<&str>, text: Option<&str>) -> String {
    let parts: Vec<&str> = [reason, text.map(str::trim)]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    let mut told = parts.join(": ");
    told.truncate(told.floor_char_boundary(MAX_MESSAGE));
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::pod;
    use serde_json::{Value, json};

    fn container(restarts: i32, state: Value, last_state: Value) -> Value {
        json!({
            "name": "job-container", "image": "", "imageID": "", "ready": false,
            "restartCount": restarts, "state": state, "lastState": last_state,
        })
    }

    fn exited(code: i32) -> Value {
        json!({"terminated": {"exitCode": code, "reason": "Error", "message": "no space left\n"}})
    }

    fn spec(mode: CompletionMode, limit: i32) -> JobSpec {
        JobSpec { completion_mode: mode, backoff_limit_per_node: Some(limit), ..JobSpec::default() }
    }

    fn by_word(limit: i32, status: Value) -> Run {
        run(
            &spec(CompletionMode::TerminationWord, limit),
            &pod("a").container(status).build(),
            at(0),
        )
    }

    fn by_exit_code(limit: i32, status: Value) -> Run {
        run(&spec(CompletionMode::ExitCode, limit), &pod("a").init_container(status).build(), at(0))
    }

    /// So many seconds after the runs of these tests have ended, where they tell when.
    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    #[test]
    fn the_last_run_fails_its_node_when_it_is_known_how_it_ended() {
        let mut ended = exited(1);
        ended["terminated"]["finishedAt"] = json!(at(0).to_string());
        let (word, code) = (CompletionMode::TerminationWord, CompletionMode::ExitCode);
        for (mode, seconds, fails_at) in [
            // Its word may be in the log.
            (word, 0, Some(at(10))),
            (word, 9, Some(at(10))),
            (word, 10, None),
            // Its sandbox may have ended.
            (code, 0, Some(at(5))),
            (code, 4, Some(at(5))),
            (code, 5, None),
            // Its clock is ahead of ours, by little and by much.
            (word, -9, Some(at(10))),
            (word, -10, None),
        ] {
            let status = container(0, ended.clone(), json!({}));
            let pod = match mode {
                CompletionMode::TerminationWord => pod("a").container(status).build(),
                CompletionMode::ExitCode => pod("a").init_container(status).build(),
            };
            let run = run(&spec(mode, 0), &pod, at(seconds));
            assert_eq!(
                (run.has_failed, run.fails_at),
                (fails_at.is_none(), fails_at),
                "{mode:?} {seconds} s"
            );
        }
        let forgiven = by_word(1, container(0, ended, json!({})));
        assert_eq!((forgiven.has_failed, forgiven.fails_at), (false, None));
    }

    #[test]
    fn the_run_after_those_that_are_forgiven_fails_the_node_when_it_ends() {
        let running = json!({"running": {}});
        let backing_off = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let table = [
            (0, exited(1), json!({}), 0, true),
            (0, exited(1), json!({}), 1, false),
            (1, running.clone(), exited(1), 1, false),
            (1, exited(1), exited(1), 1, true),
            (1, backing_off.clone(), exited(1), 1, true),
            (1, backing_off, exited(1), 2, false),
            (2, running, exited(1), 1, true),
        ];
        for (restarts, state, last_state, limit, expected) in table {
            let status = container(restarts, state, last_state);
            assert_eq!(
                by_word(limit, status.clone()).has_failed,
                expected,
                "{status}, limit {limit}"
            );
            assert_eq!(
                by_exit_code(limit, status.clone()).has_failed,
                expected,
                "{status}, limit {limit}"
            );
        }
    }

    #[test]
    fn exit_code_zero_is_success_only_in_exit_code_mode() {
        let status = container(0, exited(0), json!({}));
        let run = by_exit_code(0, status.clone());
        assert!(run.is_done && !run.has_failed);
        let run = by_word(0, status);
        assert!(!run.is_done && run.has_failed);
    }

    #[test]
    fn a_run_that_succeeds_after_failures_is_done() {
        let run = by_exit_code(6, container(3, exited(0), exited(1)));
        assert!(run.is_done && !run.has_failed);
    }

    #[test]
    fn a_container_that_was_lost_in_a_reboot_has_not_failed() {
        for reason in ["ContainerStatusUnknown", "Unknown"] {
            let lost = json!({"terminated": {"exitCode": 255, "reason": reason}});
            assert!(!by_word(0, container(0, lost, json!({}))).has_failed);
        }
    }

    #[test]
    fn a_container_that_ends_with_its_pod_has_not_failed() {
        let pod = pod("a").deleted().container(container(0, exited(143), json!({}))).build();
        assert!(!run(&spec(CompletionMode::TerminationWord, 0), &pod, at(0)).has_failed);
    }

    #[test]
    fn the_word_counts_though_the_container_crashes_afterwards() {
        let pod = pod("a").done().container(container(0, exited(1), json!({}))).build();
        let run = run(&spec(CompletionMode::TerminationWord, 0), &pod, at(0));
        assert!(run.is_done && !run.has_failed);
    }

    #[test]
    fn the_report_tells_why_a_container_does_not_run() {
        let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"x\""}});
        let report = by_word(6, container(0, waiting, json!({}))).report;
        assert_eq!(report.state, NodeState::Pending);
        assert_eq!(
            report.message.as_deref(),
            Some("ImagePullBackOff: Back-off pulling image \"x\"")
        );

        let backing_off =
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
        let report = by_word(6, container(2, backing_off, exited(3))).report;
        assert_eq!((report.restarts, report.exit_code), (2, Some(3)));
        assert_eq!(report.message.as_deref(), Some("Error: no space left"));
    }

    #[test]
    fn a_log_that_lost_its_beginning_is_told_while_its_container_runs() {
        let message = |state| {
            let mut pod = (*pod("a").container(container(1, state, exited(1))).build()).clone();
            pod.status.conditions.push(
                serde_json::from_value(json!({
                    "type": names::POD_COMPLETED, "status": "False", "reason": "LogRotated",
                    "message": "its log begins late", "lastTransitionTime": "2026-01-01T00:01:00Z",
                }))
                .unwrap(),
            );
            run(&spec(CompletionMode::TerminationWord, 6), &pod, at(0)).report.message
        };
        let running = message(json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}));
        assert_eq!(running.as_deref(), Some("LogRotated: its log begins late"));
        let next = message(json!({"running": {"startedAt": "2026-01-01T00:02:00Z"}}));
        assert_eq!(next.as_deref(), Some("Error: no space left"), "that was the run before");
        let crashed = message(json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        assert_eq!(crashed.as_deref(), Some("Error: no space left"));
    }

    #[test]
    fn of_what_a_container_said_the_end_is_told() {
        let text = format!("{}\nno such file\n", "usage ".repeat(100));
        let state = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": text}});
        let message = by_word(6, container(0, state, json!({}))).report.message.unwrap();
        assert!(message.starts_with("Error: ") && message.ends_with("\nno such file"), "{message}");
        assert!(message.len() <= MAX_MESSAGE);
    }

    #[test]
    fn a_long_message_is_cut() {
        let waiting = json!({"waiting": {"reason": "é".repeat(300)}});
        let message = by_word(6, container(0, waiting, json!({}))).report.message.unwrap();
        assert_eq!(message.len(), MAX_MESSAGE);
    }
}
