//! Outcome of a pod's job container.

use api::{
    job::{CompletionMode, JobSpec, NodeState, NodeStatus},
    labels,
    views::PodView,
};
use k8s_openapi::{
    api::core::v1::{ContainerStateTerminated, ContainerStatus},
    jiff::{SignedDuration, Timestamp},
};

use super::tally::{PodTally, has_succeeded, runs, terminated};

/// Bytes of a message about a node.
///
/// 100 messages stay small beside the set of completed nodes.
const MAX_MESSAGE: usize = 256;

/// Bytes of a reason. The kubelet's are shorter, but not every container runtime's.
const MAX_REASON: usize = 64;

/// Bytes of a container's output in a message; the rest is for the reason.
const MAX_OUTPUT: usize = 200;

/// Delay until one run too many counts as failed, where a word completes.
///
/// By then the terminator has read the log. It tries a log that cannot be read some times within it.
const WORD_DELAY: SignedDuration = SignedDuration::from_secs(10);

/// Delay until one run too many counts as failed, where no word does.
///
/// By then the kubelet has noticed if the sandbox has ended as well. It looks once in a second, may see the one without
/// the other, and start the container again in a sandbox that ends.
const SANDBOX_DELAY: SignedDuration = SignedDuration::from_secs(5);

/// Outcome of a pod's job container, or of those of all pods of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Its work is done.
    pub(crate) is_done: bool,
    /// It has failed more often than the Job tolerates.
    pub(crate) has_failed: bool,
    /// When it will have failed.
    ///
    /// Unless the word is found in its log, or its sandbox turns out to have ended.
    pub(crate) fails_at: Option<Timestamp>,
    /// Tally to record on the pod.
    pub(crate) tally: Option<PodTally>,
    /// Its entry in the status of the Job, without the name of the node.
    pub(crate) report: NodeStatus,
}

impl Outcome {
    /// Adds the outcome of a later pod of the same node.
    pub(crate) fn follow(&mut self, later: Self) {
        self.is_done |= later.is_done;
        self.has_failed |= later.has_failed;
        self.fails_at = self.fails_at.into_iter().chain(later.fails_at).min();
        self.tally = later.tally;
        self.report = later.report;
    }
}

/// Outcome of the job container of `pod`, which runs the work of `spec`.
pub(crate) fn outcome(spec: &JobSpec, pod: &PodView, now: Timestamp) -> Outcome {
    let mode = spec.completion_mode;
    let Some(container) = pod.job_container(mode) else {
        let (reason, message) = unscheduled(pod).unzip();
        return Outcome {
            is_done: mode == CompletionMode::TerminationWord && pod.has_logged_word(),
            report: NodeStatus { reason: reason.flatten(), message, ..NodeStatus::default() },
            ..Outcome::default()
        };
    };
    let ended = last_ended(container);
    let is_done = match mode {
        CompletionMode::TerminationWord => pod.has_logged_word(),
        CompletionMode::ExitCode => has_succeeded(pod, container),
    };
    let is_running = container.state.as_ref().is_some_and(|state| state.running.is_some());
    let runs = runs(mode, pod, container);
    // A run that ends because its pod is deleted has not failed.
    let is_leaving = pod.metadata.deletion_timestamp.is_some();
    // The DaemonSet controller is about to replace a pod that the kubelet has given up.
    let is_given_up = pod.status.phase.is_some();
    let fails = !is_done && !is_leaving && runs.failed > spec.backoff_limit();
    let delay = match mode {
        CompletionMode::TerminationWord => Some(WORD_DELAY),
        CompletionMode::ExitCode => Some(SANDBOX_DELAY).filter(|_| !is_given_up),
    };
    let fails_at =
        ended.filter(|_| fails).zip(delay).and_then(|(run, delay)| delayed(run, delay, now));
    let to_record = runs.to_record.filter(|_| !is_leaving && !is_given_up);
    let (reason, message) = explanation(pod, container, ended).unzip();
    Outcome {
        is_done,
        has_failed: fails && fails_at.is_none(),
        fails_at,
        tally: to_record.map(|tally| PodTally::new(pod, tally)),
        report: NodeStatus {
            name: String::new(),
            state: if is_running { NodeState::Running } else { NodeState::Pending },
            restarts: container.restart_count,
            exit_code: ended.map(|run| run.exit_code),
            reason: reason.flatten(),
            message,
        },
    }
}

/// Until when the end of a run may turn out to be another one, if that is not past.
///
/// A node whose clock is far ahead delays nothing.
fn delayed(
    run: &ContainerStateTerminated,
    delay: SignedDuration,
    now: Timestamp,
) -> Option<Timestamp> {
    let finished = run.finished_at.as_ref()?.0;
    let until = finished.checked_add(delay).ok()?;
    (now < until && finished.duration_since(now) < delay).then_some(until)
}

/// The last run that has ended.
fn last_ended(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    terminated(container).or_else(|| container.last_state.as_ref()?.terminated.as_ref())
}

/// Reason, for programs, and message, for people.
type Explanation = (Option<String>, String);

/// Explains a pod: a lost log, the end of the last run, or why none has begun.
fn explanation(
    pod: &PodView,
    container: &ContainerStatus,
    ended: Option<&ContainerStateTerminated>,
) -> Option<Explanation> {
    let state = container.state.as_ref();
    let rotated = state
        .and_then(|state| pod.log_rotated(state.running.as_ref()?.started_at.as_ref()?.0))
        .map(|message| explain(Some(labels::LOG_ROTATED), Some(message)));
    // That the kubelet waits before it starts it again says less than why it has to.
    let ended = || {
        ended.map(|run| explain(run.reason.as_deref(), run.message.as_deref().map(end_of_output)))
    };
    let waiting = || {
        let waiting = state?.waiting.as_ref()?;
        Some(explain(waiting.reason.as_deref(), waiting.message.as_deref()))
    };
    rotated.or_else(ended).or_else(waiting)
}

/// Explains a pod without any container status, in the scheduler's words.
fn unscheduled(pod: &PodView) -> Option<Explanation> {
    let scheduled = pod.condition("PodScheduled")?;
    (scheduled.status == "False")
        .then(|| explain(scheduled.reason.as_deref(), scheduled.message.as_deref()))
}

/// The end of a container's output, which most often says what went wrong.
fn end_of_output(text: &str) -> &str {
    let text = text.trim();
    &text[text.ceil_char_boundary(text.len().saturating_sub(MAX_OUTPUT))..]
}

fn explain(reason: Option<&str>, text: Option<&str>) -> Explanation {
    let reason = reason.filter(|reason| !reason.is_empty());
    (reason.map(|reason| cut(reason.to_owned(), MAX_REASON)), join_message(reason, text))
}

fn join_message(reason: Option<&str>, text: Option<&str>) -> String {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    cut(reason.into_iter().chain(text).collect::<Vec<_>>().join(": "), MAX_MESSAGE)
}

fn cut(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}

#[cfg(test)]
mod tests;
