//! Runs that fail, and runs that end with their sandbox, on a simulated kubelet.

mod histories;
mod stories;

use api::{
    job::{CompletionMode, JobSpec},
    labels,
};

use crate::{
    job::decide::outcome::{FailedBefore, outcome},
    testing::kubelet::{Kubelet, Version, time},
};

const MODES: [CompletionMode; 2] = [CompletionMode::TerminationWord, CompletionMode::ExitCode];
const VERSIONS: [Version; 2] = [Version::V33, Version::V37];

fn spec(mode: CompletionMode, limit: i32) -> JobSpec {
    JobSpec { completion_mode: mode, backoff_limit_per_node: Some(limit), ..JobSpec::default() }
}

/// A pod whose container runs, of each mode, with each kubelet.
fn kubelets() -> impl Iterator<Item = (CompletionMode, Kubelet)> {
    let pairs = MODES.into_iter().flat_map(|mode| VERSIONS.map(|version| (mode, version)));
    pairs.map(|(mode, version)| {
        let mut kubelet = Kubelet::new(mode, version);
        kubelet.pass(20);
        (mode, kubelet)
    })
}

/// The operator, which looks at some of the published states.
struct Operator {
    mode: CompletionMode,
    limit: i32,
    seen: usize,
    has_failed: bool,
    is_done: bool,
}

impl Operator {
    fn new(mode: CompletionMode, limit: i32) -> Self {
        Self { mode, limit, seen: 0, has_failed: false, is_done: false }
    }

    /// Looks at each new state, at once and right before the next.
    fn look(&mut self, kubelet: &mut Kubelet) {
        while self.seen < kubelet.published.len() {
            let (at, view) = kubelet.published[self.seen].clone();
            let next = kubelet.published.get(self.seen + 1).map_or(kubelet.now, |(at, _)| *at);
            self.seen += 1;
            let mut view = (*view).clone();
            // Later states show later records, too.
            view.status
                .conditions
                .retain(|condition| condition.type_ != labels::POD_SANDBOX_CHANGED);
            for now in [at, next] {
                let mut view = view.clone();
                if let Some(recorded) = &kubelet.recorded {
                    view.status.conditions.push(k8s_openapi::api::core::v1::PodCondition {
                        type_: labels::POD_SANDBOX_CHANGED.to_owned(),
                        message: Some(recorded.clone()),
                        ..Default::default()
                    });
                }
                let outcome = outcome(
                    &spec(self.mode, self.limit),
                    &view,
                    |_| FailedBefore::Exclusive(0),
                    time(now),
                );
                self.has_failed |= outcome.has_failed;
                self.is_done |= outcome.is_done;
                if let Some(tally) = outcome.tally {
                    kubelet.recorded = Some(tally.tally.to_string());
                }
            }
        }
    }

    /// Looks at the present state only.
    fn glance(&mut self, kubelet: &mut Kubelet) {
        self.seen = kubelet.published.len().saturating_sub(1);
        self.look(kubelet);
    }
}
