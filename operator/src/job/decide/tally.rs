//! The tally of failed runs of a job container.
//!
//! Not every run that ended without success has failed. A sandbox ends with all that runs in it when its node
//! boots, when the container runtime stops it, or when its own process dies; then the kubelet creates another
//! one, and runs everything again. The pod's condition `PodReadyToStartContainers` shows that.
//!
//! The container's status shows the end of two runs: the last one, and the one before. Most earlier ones have
//! failed, for else there would be no further one, and the kubelet counts them. But some ended with their
//! sandbox, and with it the kubelet removes init containers, and with those, now and then, its own count. So
//! when a sandbox has ended, the operator records the tally by then on the pod, in the condition
//! [`labels::POD_SANDBOX_CHANGED`], and from then on after each run that ends.

use std::fmt;

use api::{
    job::CompletionMode,
    labels,
    views::{PodView, Sandbox},
};
use k8s_openapi::{
    api::core::v1::{ContainerStateTerminated, ContainerStatus},
    jiff::{SignedDuration, Timestamp},
};

/// Reasons of a container whose status is lost.
///
/// The container runtime or the kubelet loses it, most often when a node boots. Nobody knows how the work ended, so it
/// has not failed.
const LOST: [&str; 2] = ["ContainerStatusUnknown", "Unknown"];

/// Reason of a pod that its kubelet has ended for the shutdown of the node.
const NODE_SHUTDOWN: &str = "Terminated";

/// Reason of a run that was killed for its own use of memory.
const OUT_OF_MEMORY: &str = "OOMKilled";

/// Exit codes of a container that could not start, was killed, or was asked to end.
///
/// With such a code a run may have ended with its sandbox. Of a run that is not the last one nothing else shows that:
/// the kubelet does not say when its sandbox ended.
const ENDED_BY_OTHERS: [i32; 3] = [128, 128 + 9, 128 + 15];

/// How late the kubelet may report that the sandbox of a container is ready.
///
/// Up to Kubernetes 1.34 it does so when it has started all containers that it could start.
const REPORTED_LATE: SignedDuration = SignedDuration::from_secs(10);

/// Time between two moments of which the later one is known.
const BEFORE: SignedDuration = SignedDuration::from_secs(1);

/// Number of failed runs of a pod's job container, up to one of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Tally {
    pub(crate) failed: i32,
    /// How often the container had been restarted before the last run that is counted.
    ///
    /// -1: no run is counted yet.
    pub(crate) restarts: i32,
    /// ID of that run's container.
    pub(crate) container: Option<String>,
    /// When that run started.
    pub(crate) started: Option<Timestamp>,
}

/// A tally to record on a pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PodTally {
    /// Name of the pod.
    pub(crate) pod: String,
    /// UID of the pod.
    pub(crate) uid: String,
    pub(crate) tally: Tally,
}

impl PodTally {
    pub(crate) fn new(pod: &PodView, tally: Tally) -> Self {
        let known = |of: &Option<String>| of.clone().unwrap_or_default();
        Self { pod: known(&pod.metadata.name), uid: known(&pod.metadata.uid), tally }
    }
}

/// The runs of a job container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Runs {
    /// Number of failed ones.
    pub(crate) failed: i32,
    /// The tally, if the pod does not show it yet and should.
    pub(crate) to_record: Option<Tally>,
}

/// A run that has ended, as the container's status shows it.
struct Ended<'a> {
    run: &'a ContainerStateTerminated,
    /// How often the container had been restarted before.
    restarts: i32,
    /// The kubelet has done nothing about its end yet.
    is_over: bool,
}

/// The runs of `container`, the job container of `pod`.
pub(crate) fn runs(mode: CompletionMode, pod: &PodView, container: &ContainerStatus) -> Runs {
    let known = recorded(pod).unwrap_or_default();
    let ended = ended(container);
    let shows_none = ended.is_empty();
    let new: Vec<_> = ended.into_iter().filter(|ended| known.is_before(ended)).collect();
    let has_failed =
        |ended: &Ended<'_>| !is_success(mode, ended.run) && !is_end_of_sandbox(pod, ended);
    let sandbox = pod.sandbox();
    let is_gone = sandbox.is_some_and(|sandbox| !sandbox.is_ready);
    let running = container.state.as_ref().and_then(|state| state.running.as_ref());
    // The kubelet may still find that the sandbox has ended, too, for it may be about to boot. It has not when it
    // starts the container again, or says that it waits with that.
    let is_open = |ended: &Ended<'_>| ended.is_over && sandbox.is_some_and(|it| it.is_ready);
    let settled = new.iter().take_while(|ended| !is_open(ended)).count();
    let mut next = known.after(&new[..settled], has_failed);
    let failed = next.failed;
    if let Some(running) = running {
        let started = running.started_at.as_ref().map(|time| time.0);
        if is_gone {
            // However it ends, that is for its sandbox.
            next.restarts = container.restart_count;
            next.container.clone_from(&container.container_id);
            next.started = started;
        } else if shows_none {
            // The kubelet has removed the runs before, which were in an earlier sandbox.
            next.restarts = next.restarts.max(container.restart_count - 1);
        }
        let before = started.and_then(|time| time.checked_sub(BEFORE).ok());
        next.started = next.started.or(before);
    } else {
        next.started = next.started.or(sandbox.and_then(|sandbox| sandbox.since));
    }
    // As long as its sandbox lasts, the kubelet's count suffices.
    let is_worth_it = is_gone || known != Tally::default() || next.failed <= next.restarts;
    let is_new = next != known && next.restarts >= 0;
    Runs { failed, to_record: Some(next).filter(|_| is_new && is_worth_it) }
}

/// Whether the init container `container`, the job container of `pod`, is done.
///
/// A container that is asked to end may exit with 0, so an end that comes with that of the sandbox proves nothing.
pub(crate) fn has_succeeded(pod: &PodView, container: &ContainerStatus) -> bool {
    // The next container has begun, maybe in an earlier sandbox.
    if pod.is_initialized() {
        return true;
    }
    let Some(run) = terminated(container).filter(|run| run.exit_code == 0) else {
        return false;
    };
    let ended = Ended { run, restarts: container.restart_count, is_over: true };
    let is_counted = recorded(pod).is_some_and(|known| !known.is_before(&ended));
    let is_of_this_sandbox = pod.sandbox().is_none_or(|sandbox| {
        let is_later = sandbox
            .since
            .zip(finished(run))
            .is_some_and(|(since, finished)| since.duration_since(finished) > REPORTED_LATE);
        sandbox.is_ready && !is_later
    });
    is_of_this_sandbox && !is_counted
}

fn is_success(mode: CompletionMode, run: &ContainerStateTerminated) -> bool {
    mode == CompletionMode::ExitCode && run.exit_code == 0
}

/// Whether a run ended because its sandbox did, as far as the pod shows that.
fn is_end_of_sandbox(pod: &PodView, ended: &Ended<'_>) -> bool {
    let Ended { run, is_over, .. } = *ended;
    let reason = run.reason.as_deref();
    if reason.is_some_and(|reason| LOST.contains(&reason)) {
        return true;
    }
    if pod.status.phase.is_some() {
        return pod.status.reason.as_deref() == Some(NODE_SHUTDOWN);
    }
    let Some(Sandbox { is_ready, since }) = pod.sandbox() else {
        return false;
    };
    let is_by_others = ENDED_BY_OTHERS.contains(&run.exit_code) && reason != Some(OUT_OF_MEMORY);
    // Late reports of a sandbox are rare enough to tolerate a run then, too.
    let is_before = since.zip(finished(run)).is_some_and(|(since, finished)| finished <= since);
    // While the sandbox is there a kubelet acts at once.
    !is_ready && is_over || is_by_others && (!is_ready || is_before)
}

/// The ended runs that the container's status shows, the earlier one first.
fn ended(container: &ContainerStatus) -> Vec<Ended<'_>> {
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let restarts = container.restart_count;
    if let Some(run) = terminated(container) {
        let before = last.map(|run| Ended { run, restarts: restarts - 1, is_over: false });
        return before.into_iter().chain([Ended { run, restarts, is_over: true }]).collect();
    }
    let is_running = container.state.as_ref().is_some_and(|state| state.running.is_some());
    let one = |run: &'_ ContainerStateTerminated| {
        let id = run.container_id.as_ref().filter(|id| !id.is_empty());
        // Another one has been created, and may not have been started.
        let is_followed = is_running || id.is_some() && id != container.container_id.as_ref();
        restarts - i32::from(is_followed)
    };
    last.map(|run| Ended { run, restarts: one(run), is_over: false }).into_iter().collect()
}

/// The run that has ended, if no other one has followed.
pub(crate) fn terminated(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.state.as_ref()?.terminated.as_ref()
}

fn finished(run: &ContainerStateTerminated) -> Option<Timestamp> {
    run.finished_at.as_ref().map(|time| time.0)
}

/// When a run started.
///
/// A container that could not start did so at the beginning of time, and ended all the same.
fn started(run: &ContainerStateTerminated) -> Option<Timestamp> {
    let started = run.started_at.as_ref().map(|time| time.0);
    started.filter(|time| *time > Timestamp::UNIX_EPOCH).or_else(|| finished(run))
}

/// The tally that the operator has recorded on the pod.
fn recorded(pod: &PodView) -> Option<Tally> {
    Tally::parse(pod.condition(labels::POD_SANDBOX_CHANGED)?.message.as_deref()?)
}

impl Default for Tally {
    /// Before the first run.
    fn default() -> Self {
        Self { failed: 0, restarts: -1, container: None, started: None }
    }
}

impl Tally {
    /// The tally with these runs added, the earlier ones first.
    fn after(&self, runs: &[Ended<'_>], has_failed: impl Fn(&Ended<'_>) -> bool) -> Self {
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
            return self.clone();
        };
        let failed = runs.iter().filter(|run| has_failed(run)).count();
        // Nothing is known of the runs before one that ended with its sandbox.
        let unseen = if has_failed(first) { first.restarts - 1 - self.restarts } else { 0 };
        Self {
            failed: self.failed + i32::try_from(failed).unwrap_or(i32::MAX) + unseen.max(0),
            restarts: last.restarts,
            // A run whose status was lost has no ID.
            container: last.run.container_id.clone().or_else(|| self.container.clone()),
            started: started(last.run).or(self.started),
        }
    }

    /// Whether a run is not counted yet.
    ///
    /// The kubelet's count of restarts may have begun anew, or stand still.
    fn is_before(&self, ended: &Ended<'_>) -> bool {
        let id = ended.run.container_id.as_ref().filter(|id| !id.is_empty());
        let is_it = id.is_some() && id == self.container.as_ref();
        let started = started(ended.run).zip(self.started);
        let is_later = started.is_some_and(|(started, known)| started > known);
        !is_it && (is_later || ended.restarts > self.restarts)
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let mut words = text.split_whitespace().filter_map(|word| word.split_once('='));
            words.find(|(name, _)| *name == key).map(|(_, value)| value)
        };
        Some(Self {
            failed: value(FAILED)?.parse().ok()?,
            restarts: value(RESTARTS)?.parse().ok()?,
            container: value(CONTAINER).map(str::to_owned),
            started: value(STARTED).and_then(|time| time.parse().ok()),
        })
    }
}

const FAILED: &str = "failedRuns";
const RESTARTS: &str = "restartCount";
const CONTAINER: &str = "containerID";
const STARTED: &str = "startedAt";

/// As the pod's condition shows it.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FAILED}={} {RESTARTS}={}", self.failed, self.restarts)?;
        if let Some(container) = &self.container {
            write!(f, " {CONTAINER}={container}")?;
        }
        if let Some(started) = &self.started {
            write!(f, " {STARTED}={started}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tally_is_read_as_it_was_written() {
        let tally = Tally {
            failed: 2,
            restarts: 3,
            container: Some("containerd://abc".to_owned()),
            started: Timestamp::from_second(1_000).ok(),
        };
        let text = "failedRuns=2 restartCount=3 containerID=containerd://abc \
                    startedAt=1970-01-01T00:16:40Z";
        assert_eq!(tally.to_string(), text);
        assert_eq!(Tally::parse(text), Some(tally));
        let without = Tally { failed: 0, restarts: 0, container: None, started: None };
        assert_eq!(Tally::parse(&without.to_string()), Some(without));
        for text in ["", "failedRuns=2", "failedRuns=x restartCount=1", "somebody else's words"] {
            assert_eq!(Tally::parse(text), None, "{text}");
        }
    }
}
