//! One reconciliation: observe → decide → apply.

use std::time::{Duration, Instant};

use api::job::Job;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use runtime::client::{ShortError, error_kind};

use super::{
    apply::{self, DaemonSetWriter, StatusWriter, Written, events, pod_conditions},
    decide::{
        self,
        actions::{Actions, Decision},
        observation::{JobView, Observation},
    },
    observe::{Observer, RefusedPods, Throttle},
    policy::Policies,
    report::report,
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
    daemon_sets: DaemonSetWriter,
    pub(super) status: StatusWriter,
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
            status: StatusWriter::new(client.clone()),
            daemon_sets: DaemonSetWriter { client, policies, pause_image },
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
        let mut observation = self.observer.cached(JobView::new(job), now);
        let mut decision = decide::decide(&observation);
        self.throttle.start_rest(observation.job.uid, started.elapsed(), Instant::now());

        // Observe the API server, and decide again, before anything that cannot be taken back.
        if decision == Decision::ObserveLive {
            observation = self.observer.live(observation.job, now).await?;
            decision = decide::decide(&observation);
        }
        let Decision::Act(mut actions) = decision else {
            return Ok(Action::await_change());
        };

        // Find out why pods have been missing for long.
        if let Some(missing_pods) = &actions.missing_pods {
            let refusal = self.refused_pods.look_up(observation.job.namespace, missing_pods).await;
            actions.events.extend(refusal);
        }

        // Apply the decision. If the DaemonSet is refused, put that into the status instead.
        let written = match self.apply(&observation, &actions).await {
            Err(apply::Error::Refused(message)) => {
                actions = decide::refused(&observation, &message);
                self.apply(&observation, &actions).await?
            }
            applied => applied?,
        };

        // Report a status that is new, and look again in time.
        if written == Written::Yes {
            report(&self.metrics, &observation, &actions.status);
        }
        Ok(Action::requeue(requeue_after(&actions, written)))
    }

    /// Applies `actions`, in their order.
    async fn apply(
        &self,
        observation: &Observation<'_>,
        actions: &Actions,
    ) -> Result<Written, apply::Error> {
        let Observation { job, now, .. } = observation;
        let client = &self.observer.client;
        self.daemon_sets.apply(job, &actions.daemon_set).await?;
        pod_conditions::record(client, job.namespace, &actions.tallies, *now).await?;
        for event in &actions.events {
            events::publish(client, job, event, *now).await?;
        }
        Ok(self.status.update(job, &actions.status, *now).await?)
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
            Self::Apply(apply::Error::Refused(_)) => "invalid",
            Self::Apply(apply::Error::UnknownNamespace) => "other",
        }
    }
}
