//! One reconciliation: observe → decide → apply.

use std::time::{Duration, Instant};

use api::{job::Job, views::DaemonSetView};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use runtime::client::{ShortError, error_kind};

use super::{
    apply::{
        self, DaemonSetWriter, ReleaseFailure, ReleaseWriter, StatusWriter, Written, events,
        pod_conditions,
    },
    decide::{
        self,
        actions::{Actions, Decision, Release},
        daemon_set::DaemonSetAction,
        job_view::JobView,
        observation::Observation,
        status::ours,
    },
    observe::{Observer, PodEvents, RefusedPods, Throttle},
    policy::Policies,
    report,
};
use crate::metrics::Metrics;

/// A Job is reconciled this often even if nothing happens to it.
const RECHECK: Duration = Duration::from_mins(5);
/// Time for a cache that lags to catch up.
pub(super) const CATCH_UP: Duration = Duration::from_millis(50);

/// Reconciles Jobs.
pub(crate) struct Reconciler {
    pub(crate) throttle: Throttle,
    pub(super) observer: Observer,
    refused_pods: RefusedPods,
    pod_events: PodEvents,
    daemon_sets: DaemonSetWriter,
    pub(super) status: StatusWriter,
    releases: ReleaseWriter,
    metrics: Metrics,
}

impl Reconciler {
    /// Makes a reconciler; pods of `ExitCode` Jobs will idle on `pause_image`.
    pub(crate) fn new(
        observer: Observer,
        policies: Policies,
        pause_image: String,
        metrics: Metrics,
    ) -> Self {
        let client = observer.client.clone();
        Self {
            throttle: Throttle::default(),
            observer,
            refused_pods: RefusedPods::new(client.clone()),
            pod_events: PodEvents::new(client.clone()),
            status: StatusWriter::new(client.clone()),
            releases: ReleaseWriter::new(client.clone()),
            daemon_sets: DaemonSetWriter::new(client, policies, pause_image),
            metrics,
        }
    }

    /// Waits until every cache has been filled; `false` if one never will be.
    pub(crate) async fn synced(&self) -> bool {
        self.observer.synced().await && self.daemon_sets.policies.synced().await
    }

    /// Brings the cluster closer to the spec of `job`, and the status to the cluster.
    ///
    /// # Errors
    /// When the API server could not accept a call now; the controller tries again.
    pub(crate) async fn reconcile(&self, job: &Job) -> Result<Action, Error> {
        // A Job from before the last write of its status is about to be replaced in the cache.
        if self.status.is_outdated(&job.metadata) {
            return Ok(Action::requeue(CATCH_UP));
        }

        // Observe the caches, and decide.
        let (started, now) = (Instant::now(), Timestamp::now());
        let applied = |daemon_set: &DaemonSetView| self.daemon_sets.written.get(daemon_set);
        let mut observation = self.observer.cached(JobView::new(job), applied, now);
        observation.release_refusal = self.releases.refusal(observation.job.uid);
        let mut decision = decide::decide(&observation);
        self.throttle.start_rest(observation.job.uid, started.elapsed(), Instant::now());

        // Observe the API server, and decide again, before anything that cannot be taken back.
        let is_due = |release: &Release| self.releases.is_due(observation.job.uid, release);
        if decision == Decision::ObserveLive || decision.repeats(observation.source, is_due) {
            let release_refusal = observation.release_refusal;
            observation = self.observer.live(observation.job, applied).await?;
            observation.release_refusal = release_refusal;
            if let Some(applied) = &observation.applied {
                self.daemon_sets.written.learn(observation.daemon_set.as_deref(), applied);
            }
            decision = decide::decide(&observation);
        }
        let Decision::Act(mut actions) = decision else {
            return Ok(Action::await_change());
        };

        report::looked(&self.metrics, &observation, &actions.status, started);

        // Find out why pods have been missing for long.
        if let Some(missing_pods) = &actions.missing_pods {
            let refusal = self.refused_pods.look_up(observation.job.namespace, missing_pods).await;
            actions.events.extend(refusal);
        }

        // Find out why pods have been starting for long.
        if !actions.stuck_pods.is_empty() {
            let nodes = &mut actions.status.nodes;
            self.pod_events.explain(observation.job.namespace, &actions.stuck_pods, nodes).await;
        }

        // Apply the decision. If the DaemonSet is refused, put that into the status instead.
        let mut applied = self.apply(&observation, &actions).await;
        if let Err(apply::Error::Refused(reason, message)) = applied {
            actions = decide::refused(&observation, reason, message);
            applied = self.apply(&observation, &actions).await;
        }

        // Report any other write that is refused, where the status may be what is.
        if let Err(apply::Error::Api(error)) = &applied
            && let Some(event) = self.daemon_sets.refusals.event(&observation.job, error)
        {
            events::publish(&self.observer.client, &observation.job, &event, now).await?;
        }
        let written = applied?;

        // Report a status that is new, and look again in time.
        if written == Written::Yes {
            report::written(&self.metrics, &observation, &actions.status);
        }
        let after = requeue_after(&actions, written);

        // Let the pods start whose nodes' turn it is, once the status that holds them is known to be stored.
        let look_again = self.release(&observation, &actions, written, now).await?;
        Ok(Action::requeue(look_again.map_or(after, |again| again.min(after))))
    }

    /// Applies `actions`, in their order, but for the releases.
    async fn apply(
        &self,
        observation: &Observation<'_>,
        actions: &Actions,
    ) -> Result<Written, apply::Error> {
        let Observation { job, now, .. } = observation;
        let client = &self.observer.client;
        // A cache that is late must not bring back the DaemonSet of a Job that is suspended or finished by now. A
        // Job that nobody has looked at has neither behind it.
        if matches!(actions.daemon_set, DaemonSetAction::Create(_))
            && let Some(known) = job.status.filter(|status| status.work_hash.is_some())
        {
            match self.status.confirm(job, &ours(known)).await? {
                Written::Yes => {}
                written => return Ok(written),
            }
        }
        self.daemon_sets.apply(job, &actions.daemon_set).await?;
        let recorded = pod_conditions::record(client, job.namespace, &actions.tallies, *now).await;
        for event in &actions.events {
            events::publish(client, job, event, *now).await?;
        }
        let written = self.status.update(job, &actions.status, actions.is_urgent, *now).await?;
        // A pod that cannot be written to holds up no status.
        recorded?;
        Ok(written)
    }

    /// Releases pods, if the status of `actions` is known to be stored.
    ///
    /// Returns the time after which to look again, should nothing happen before.
    async fn release(
        &self,
        observation: &Observation<'_>,
        actions: &Actions,
        written: Written,
        now: Timestamp,
    ) -> Result<Option<Duration>, Error> {
        let job = &observation.job;
        let due = self.releases.due(job.uid, &actions.releases);
        if due.is_empty() {
            return Ok(self.releases.rest(job.uid));
        }
        let written = match written {
            // Another process may have written since, or this one, and no cache shows it yet.
            Written::Unchanged => self.status.confirm(job, &actions.status).await?,
            written => written,
        };
        match written {
            Written::Yes => {}
            Written::Outdated => return Ok(Some(CATCH_UP)),
            Written::Unchanged | Written::Later(_) | Written::Gone => return Ok(None),
        }
        let released = |release: &Release| report::released(&self.metrics, observation, release);
        match self.releases.send(job, due, &released).await {
            Ok(look_again) => Ok(look_again),
            Err(ReleaseFailure { error, event }) => {
                if let Some(event) = event {
                    events::publish(&self.observer.client, job, &event, now).await?;
                }
                Err(error.into())
            }
        }
    }
}

fn requeue_after(actions: &Actions, written: Written) -> Duration {
    let recheck = actions.requeue_after.map_or(RECHECK, |after| after.min(RECHECK));
    match written {
        Written::Yes | Written::Unchanged | Written::Gone => recheck,
        Written::Later(rest) => rest.min(recheck),
        Written::Outdated => CATCH_UP,
    }
}

/// Why a reconciliation is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server did not accept a call.
    #[error("{}", ShortError(.0))]
    Api(#[from] kube::Error),
    /// Actions could not be applied.
    #[error(transparent)]
    Apply(#[from] apply::Error),
}

impl Error {
    /// Its kind, as metrics show it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Api(error) | Self::Apply(apply::Error::Api(error)) => error_kind(error),
            Self::Apply(apply::Error::Refused(..)) => "invalid",
            Self::Apply(apply::Error::UnknownNamespace) => "other",
        }
    }
}

#[cfg(test)]
mod tests;
