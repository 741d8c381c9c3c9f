//! Outcome of a pod's job container.

use api::{
    job::{CompletionMode, JobSpec, NodeState, NodeStatus},
    labels,
    views::{INITIALIZING, PodView},
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
const MAX_QUOTE: usize = 200;

/// Bytes of a container's output in a status: the kubelet keeps no more of a log.
/// <https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>
const MAX_OUTPUT: usize = 2048;

/// Delay before one run too many fails its node, in `TerminationWord` mode.
///
/// By then the terminator has read the log. It tries a log that cannot be read some times within it.
const WORD_DELAY: SignedDuration = SignedDuration::from_secs(10);

/// Delay before one run too many fails its node, in `ExitCode` mode.
///
/// By then the kubelet has noticed if the sandbox has ended as well. It looks once in a second, may see the one without
/// the other, and start the container again in a sandbox that ends.
const SANDBOX_DELAY: SignedDuration = SignedDuration::from_secs(5);

/// Time after which the events of a pod that its kubelet prepares may say why that takes so long.
const STUCK_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// Reasons of a pod that has failed because its node goes down, is starting, or is gone.
const NODE_AWAY: [&str; 4] = ["NodeLost", "NodeShutdown", "Shutdown", "Terminated"];

/// Number of failed runs of the earlier pods of a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FailedBefore {
    /// The runs of this pod are counted among them.
    Inclusive(i32),
    /// They are not.
    Exclusive(i32),
}

/// Outcome of a pod's job container, or of those of all pods of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Its work is done.
    pub(crate) is_done: bool,
    /// When it was done, or a while after that; none if that is not known.
    pub(crate) done_at: Option<Timestamp>,
    /// It has failed more often than the Job tolerates.
    pub(crate) has_failed: bool,
    /// When it will have failed.
    ///
    /// Unless the word is found in its log, or its sandbox turns out to have ended.
    pub(crate) fails_at: Option<Timestamp>,
    /// Tally to record on the pod.
    pub(crate) tally: Option<PodTally>,
    /// The failed runs of a pod that its kubelet has given up, for the next pod of the node.
    pub(crate) given_up: Option<GivenUp>,
    /// The pod, if its kubelet prepares it and says nothing more.
    pub(crate) preparing: Option<PreparedPod>,
    /// Its entry in the status of the Job, without the name of the node.
    ///
    /// With the output of the run that has failed the node.
    pub(crate) report: NodeStatus,
}

/// A pod that its kubelet has given up: rejected, evicted or preempted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct GivenUp {
    pub(crate) created: Timestamp,
    /// Its failed runs. To have been given up is one.
    pub(crate) runs: i32,
}

/// A pod whose containers do not start, and do not say why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum PreparedPod {
    /// It may take until then.
    Until(Timestamp),
    /// The pod with this UID has taken longer: its events may say why.
    Stuck(String),
}

impl Outcome {
    /// Adds the outcome of a later pod of the same node.
    pub(crate) fn follow(&mut self, later: Self) {
        self.is_done |= later.is_done;
        self.done_at = self.done_at.into_iter().chain(later.done_at).min();
        self.has_failed |= later.has_failed;
        self.fails_at = self.fails_at.into_iter().chain(later.fails_at).min();
        self.tally = later.tally;
        self.given_up = later.given_up;
        self.preparing = later.preparing;
        self.report = later.report;
    }
}

/// Outcome of the job container of `pod`, which runs the work of `spec`.
///
/// `failed_before` runs of earlier pods of the node have failed; none: those of this pod are among them.
pub(crate) fn outcome(
    spec: &JobSpec,
    pod: &PodView,
    failed_before: impl FnOnce(Option<Timestamp>) -> FailedBefore,
    now: Timestamp,
) -> Outcome {
    let mode = spec.completion_mode;
    let work = pod.job_container(mode);
    let is_done = is_done(mode, pod);
    // A run that ends because its pod is deleted has not failed.
    let is_leaving = pod.metadata.deletion_timestamp.is_some();
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    // An init container before the work fails as the work does.
    let preparation = pod.failing_preparation(mode);
    let runs = match (preparation, work) {
        (Some(preparation), _) => Some(runs(CompletionMode::ExitCode, pod, preparation)),
        (None, Some(work)) => Some(runs(mode, pod, work)),
        (None, None) => None,
    };
    let container = preparation.or(work);
    let ended = container.and_then(last_ended);
    let in_this_pod = runs.as_ref().map_or(0, |runs| runs.failed);
    let counts = is_rejected_or_evicted(pod) && !is_done && !is_leaving;
    let given_up =
        created.filter(|_| counts).map(|created| GivenUp { created, runs: in_this_pod.max(1) });
    let failed_before = failed_before(created);
    let failed = match (failed_before, counts) {
        (FailedBefore::Inclusive(runs), _) => runs,
        (FailedBefore::Exclusive(runs), true) => runs + in_this_pod.max(1),
        (FailedBefore::Exclusive(runs), false) => runs + in_this_pod,
    };
    // The DaemonSet controller is about to replace a pod that the kubelet has given up.
    let is_given_up = pod.status.phase.is_some();
    let fails = !is_done && !is_leaving && failed > spec.backoff_limit();
    let delay = match mode {
        CompletionMode::TerminationWord => Some(WORD_DELAY),
        CompletionMode::ExitCode => Some(SANDBOX_DELAY).filter(|_| !is_given_up),
    };
    let fails_at =
        ended.filter(|_| fails).zip(delay).and_then(|(run, delay)| delayed(run, delay, now));
    let to_record = runs.and_then(|runs| runs.to_record).filter(|_| !is_leaving && !is_given_up);
    let state = container.and_then(|container| container.state.as_ref());
    let is_running = state.is_some_and(|state| state.running.is_some());
    let has_failed = fails && fails_at.is_none();
    let (reason, message) = explanation(pod, preparation, work, ended).unzip();
    let output = ended.and_then(|run| output(run.message.as_deref()?));
    // A pod may have waited for its turn before: its kubelet knows of it since it was bound.
    let bound = pod.status.scheduled_at.or(created);
    let is_preparing = !is_leaving && !is_given_up && !is_done && is_prepared(pod, container);
    Outcome {
        is_done,
        done_at: is_done.then(|| done_at(mode, pod, work)).flatten(),
        has_failed,
        fails_at,
        tally: to_record.map(|tally| PodTally::new(pod, tally)),
        given_up,
        preparing: bound.filter(|_| is_preparing).map(|bound| prepared(pod, bound, now)),
        report: NodeStatus {
            name: String::new(),
            state: if is_running { NodeState::Running } else { NodeState::Pending },
            restarts: container.map_or(0, |container| container.restart_count),
            exit_code: ended.map(|run| run.exit_code),
            reason: reason.flatten(),
            message,
            output: output.filter(|_| has_failed),
        },
    }
}

/// When the work of a pod was done, which is done.
///
/// In a sandbox that came later nothing shows that any more but that it was before.
fn done_at(
    mode: CompletionMode,
    pod: &PodView,
    work: Option<&ContainerStatus>,
) -> Option<Timestamp> {
    if mode == CompletionMode::TerminationWord {
        let recorded = pod.condition(labels::POD_COMPLETED)?.last_transition_time.as_ref();
        return recorded.map(|time| time.0);
    }
    let run = work.and_then(terminated).filter(|run| run.exit_code == 0);
    let finished = run.and_then(|run| run.finished_at.as_ref()).map(|time| time.0);
    finished.or_else(|| pod.sandbox().and_then(|sandbox| sandbox.since))
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

/// Explains a pod: its end, a lost log, the end of the last run, or why none has begun.
fn explanation(
    pod: &PodView,
    preparation: Option<&ContainerStatus>,
    work: Option<&ContainerStatus>,
    ended: Option<&ContainerStateTerminated>,
) -> Option<Explanation> {
    let status = &pod.status;
    if status.phase.is_some() && status.reason.as_ref().is_some_and(|reason| !reason.is_empty()) {
        return Some(explain(status.reason.as_deref(), status.message.as_deref()));
    }
    let Some(container) = preparation.or(work) else {
        return unscheduled(pod);
    };
    let state = container.state.as_ref();
    let rotated = state.filter(|_| preparation.is_none());
    let rotated = rotated
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
    let explanation = rotated.or_else(ended).or_else(waiting)?;
    let of = |(reason, message)| match preparation {
        Some(preparation) => {
            (reason, cut(format!("init container {}: {message}", preparation.name), MAX_MESSAGE))
        }
        None => (reason, message),
    };
    Some(of(explanation))
}

/// Whether the job container of `pod` has done its work.
pub(crate) fn is_done(mode: CompletionMode, pod: &PodView) -> bool {
    match mode {
        CompletionMode::TerminationWord => pod.has_logged_word(),
        CompletionMode::ExitCode => {
            pod.job_container(mode).is_some_and(|work| has_succeeded(pod, work))
        }
    }
}

/// Whether the kubelet prepares the pod, and its containers do not say what for.
fn is_prepared(pod: &PodView, container: Option<&ContainerStatus>) -> bool {
    let Some(container) = container else {
        return pod.spec.node_name.as_ref().is_some_and(|name| !name.is_empty());
    };
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    last_ended(container).is_none()
        && waiting.is_some_and(|waiting| {
            waiting.reason.as_ref().is_none_or(|reason| INITIALIZING.contains(&reason.as_str()))
        })
}

fn prepared(pod: &PodView, bound: Timestamp, now: Timestamp) -> PreparedPod {
    match bound.checked_add(STUCK_AFTER) {
        Ok(until) if until > now => PreparedPod::Until(until),
        _ => PreparedPod::Stuck(pod.metadata.uid.clone().unwrap_or_default()),
    }
}

/// Whether the kubelet has given up the pod for a reason that may repeat without end.
///
/// Where a node goes down, or is gone, that is not the work's fault.
fn is_rejected_or_evicted(pod: &PodView) -> bool {
    let reason = pod.status.reason.as_deref().unwrap_or_default();
    pod.status.phase.is_some() && !reason.is_empty() && !NODE_AWAY.contains(&reason)
}

/// Explains a pod without any container status, in the scheduler's words.
fn unscheduled(pod: &PodView) -> Option<Explanation> {
    let scheduled = pod.condition("PodScheduled")?;
    (scheduled.status == "False")
        .then(|| explain(scheduled.reason.as_deref(), scheduled.message.as_deref()))
}

/// The end of a container's output, which most often says what went wrong.
fn end_of_output(text: &str) -> &str {
    end(text.trim(), MAX_QUOTE)
}

/// The output of a run, as the kubelet keeps it, unless it is empty.
fn output(text: &str) -> Option<String> {
    let text = text.trim_end();
    (!text.is_empty()).then(|| end(text, MAX_OUTPUT).to_owned())
}

/// The end of `text` in at most `max` bytes.
fn end(text: &str, max: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(max))..]
}

/// Reason and message of a status, from those of Kubernetes.
pub(crate) fn explain(reason: Option<&str>, text: Option<&str>) -> Explanation {
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
