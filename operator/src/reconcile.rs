//! One reconciliation: observe, decide, apply.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use api::{
    conditions::Reason,
    names,
    runtime::{Brief, error_kind},
    template::Refusal,
    v1beta1::{Job, JobSpec, JobStatus},
    views::PodView,
};
use k8s_openapi::{
    api::apps::v1::DaemonSet, apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
    core::error_boundary::InvalidObject,
    runtime::controller::Action,
};
use tracing::{debug, info, warn};

use crate::{
    daemon_set,
    decide::{self, Act, DaemonSetAction, Decision, LackingPods},
    events, mark,
    metrics::{Metrics, last_end},
    observe::Observer,
    pace::Pace,
    policy::Policies,
    recent::Recent,
    status::{self, Write},
    turn::{Turn, turn},
    write::{StatusWriter, Written},
};

/// A Job that nothing happens to is looked at this often all the same.
const RECHECK: Duration = Duration::from_mins(5);
/// How long a cache that has turned out to lag is given to catch up.
const CATCH_UP: Duration = Duration::from_millis(50);

/// What a reconciliation works with.
pub(crate) struct Reconciler {
    /// For single calls.
    pub(crate) client: Client,
    /// How often each is looked at: who reconciles asks it first.
    pub(crate) pace: Pace,
    /// Where Jobs are observed.
    pub(crate) observer: Observer,
    /// Where their status goes.
    pub(crate) writer: StatusWriter,
    /// The DaemonSets whose lack of pods was looked into.
    pub(crate) asked_why: Recent,
    /// Image that pods of `ExitCode` Jobs idle on.
    pub(crate) pause_image: String,
    /// What they may ask for.
    pub(crate) policies: Policies,
    /// What is told of all this.
    pub(crate) metrics: Metrics,
}

impl Reconciler {
    /// Waits until every cache has been filled; `false` if one never will be.
    pub(crate) async fn synced(&self) -> bool {
        self.observer.synced().await && self.policies.synced().await
    }

    /// Brings the cluster closer to what `job` asks for, and its status to what is there.
    ///
    /// # Errors
    /// When the API server could not take it now; it is to be tried again.
    pub(crate) async fn reconcile(&self, job: &Job) -> Result<Action, Error> {
        if self.writer.is_outdated(&job.metadata) {
            return Ok(Action::requeue(CATCH_UP));
        }
        let started = Instant::now();
        let now = Timestamp::now();
        let mut surroundings = self.observer.cached(job);
        let mut decision = decide::decide(&surroundings.observed(job, now));
        let uid = job.metadata.uid.as_deref().unwrap_or_default();
        self.pace.looked(uid, started.elapsed(), Instant::now());
        if decision == Decision::ObserveLive {
            surroundings = self.observer.live(job).await?;
            decision = decide::decide(&surroundings.observed(job, now));
        }
        let act = match decision {
            Decision::Act(act) => act,
            Decision::ObserveLive | Decision::Nothing => return Ok(Action::await_change()),
        };
        match self.apply(job, &act, surroundings.pods(), now).await {
            Err(Error::Refused(message)) => {
                match decide::refused(&surroundings.observed(job, now), &message) {
                    Decision::Act(act) => self.apply(job, &act, surroundings.pods(), now).await,
                    Decision::ObserveLive | Decision::Nothing => Ok(Action::await_change()),
                }
            }
            applied => applied,
        }
    }

    /// Says on a Job that cannot be decoded what is wrong with it. A Job stored under an older schema
    /// can be such a one; the schema of today refuses it at `kubectl apply`.
    ///
    /// # Errors
    /// When the API server could not take it now; it is to be tried again.
    pub(crate) async fn report_undecodable(
        &self,
        invalid: &InvalidObject,
    ) -> Result<Action, Error> {
        let error = self.why_undecodable(&invalid.metadata).await?;
        let error = error.unwrap_or_else(|| invalid.error.clone());
        let status = status::undecodable(&invalid.metadata, &error);
        Ok(match self.writer.write(&invalid.metadata, None, &status).await? {
            Written::Yes => {
                warn!("Job cannot be decoded: {error}");
                Action::await_change()
            }
            Written::Gone => Action::await_change(),
            Written::Outdated => Action::requeue(CATCH_UP),
        })
    }

    /// What is wrong with a Job that cannot be decoded, with the path of the field: the watch of Jobs
    /// knows the error, but not its place.
    async fn why_undecodable(&self, job: &ObjectMeta) -> Result<Option<String>, Error> {
        let name = job.name.as_deref().unwrap_or_default();
        let namespace = job.namespace.as_deref().unwrap_or_default();
        let jobs: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &ApiResource::erase::<Job>(&()));
        let Some(raw) = jobs.get_opt(name).await? else {
            return Ok(None);
        };
        let spec = raw.data.get("spec").cloned().unwrap_or_default();
        let decoded: Result<JobSpec, _> = serde_path_to_error::deserialize(spec);
        Ok(decoded.err().map(|error| format!("spec.{}: {}", error.path(), error.inner())))
    }

    async fn apply(
        &self,
        job: &Job,
        act: &Act,
        pods: &[Arc<PodView>],
        now: Timestamp,
    ) -> Result<Action, Error> {
        self.apply_daemon_set(job, &act.daemon_set).await?;
        let namespace = job.namespace().unwrap_or_default();
        mark::record(&self.client, &namespace, &act.tallies, now).await?;
        for note in &act.notes {
            events::publish(&self.client, job, note, now).await?;
        }
        let recheck = act.again_after.map_or(RECHECK, |after| after.min(RECHECK));
        if let Some(LackingPods { daemon_set, ask_every }) = &act.lacks_pods
            && self.asked_why.since(daemon_set).is_none_or(|since| since >= *ask_every)
        {
            match events::refused_pods(&self.client, &namespace, daemon_set).await {
                Ok(Some(note)) => events::publish(&self.client, job, &note, now).await?,
                Ok(None) => {}
                Err(error) => warn!("why pods are missing is not known: {}", Brief(&error)),
            }
            self.asked_why.done(daemon_set, ());
        }
        let since_last = self.writer.since_last(&job.metadata);
        Ok(Action::requeue(
            match status::when_to_write(job.status.as_ref(), &act.status, since_last, now) {
                Write::Never => recheck,
                Write::After(rest) => rest.min(recheck),
                Write::Now => match self.write(job, &act.status).await? {
                    Written::Yes => {
                        self.tell(job, &act.status, pods);
                        recheck
                    }
                    Written::Gone => recheck,
                    Written::Outdated => CATCH_UP,
                },
            },
        ))
    }

    async fn write(&self, job: &Job, status: &JobStatus) -> kube::Result<Written> {
        self.writer.write(&job.metadata, job.status.as_ref(), status).await
    }

    /// Tells of a status that was written.
    fn tell(&self, job: &Job, status: &JobStatus, pods: &[Arc<PodView>]) {
        let completed = status.completed.as_deref().unwrap_or_default();
        match turn(job.status.as_ref(), status) {
            Turn::Finished(condition) => {
                let end = condition.last_transition_time.0;
                let start = status.start_time.as_ref().map_or(end, |start| start.0);
                let seconds = end.duration_since(start).as_secs_f64().max(0.0);
                self.metrics.finished(&condition.reason, seconds);
                if condition.reason == Reason::Completed.as_str()
                    && let Some(last) = last_end(&job.spec, pods)
                {
                    let latency = Timestamp::now().duration_since(last);
                    self.metrics.noticed(Duration::try_from(latency).unwrap_or_default());
                }
                let (reason, message) = (&condition.reason, &condition.message);
                info!(reason, completed, duration_seconds = seconds, "Job finished: {message}");
            }
            Turn::Blocked(condition) => {
                warn!(reason = condition.reason, "Job is blocked: {}", condition.message);
            }
            Turn::Progress => {
                debug!(phase = ?status.phase.unwrap_or_default(), completed, "progress")
            }
        }
    }

    /// The DaemonSet for `job`, if what it asks for is allowed.
    fn desired(&self, job: &Job, namespace: &str) -> Result<DaemonSet, Error> {
        let desired = daemon_set::desired(job, &self.pause_image)?;
        if let Some(spec) = &desired.spec {
            let allowed = self.policies.check(namespace, &spec.template);
            allowed.ok_or(Error::UnknownNamespace)?.map_err(Error::Refused)?;
        }
        Ok(desired)
    }

    async fn apply_daemon_set(&self, job: &Job, action: &DaemonSetAction) -> Result<(), Error> {
        let name = names::daemon_set(&job.name_any());
        let namespace = job.namespace().unwrap_or_default();
        let api: Api<DaemonSet> = Api::namespaced(self.client.clone(), &namespace);
        match action {
            DaemonSetAction::Keep => Ok(()),
            DaemonSetAction::Create => {
                let desired = self.desired(job, &namespace)?;
                // Not forced: should someone else have created one a moment ago, it is a conflict.
                let params = PatchParams::apply(names::OPERATOR);
                api.patch(&name, &params, &Patch::Apply(desired)).await.map_err(refused)?;
                info!(daemon_set = name, "Job started");
                Ok(())
            }
            DaemonSetAction::Update(uid) => {
                let mut desired = self.desired(job, &namespace)?;
                // A precondition: the API server refuses the patch of another object of that name.
                desired.metadata.uid = Some(uid.clone());
                let params = PatchParams::apply(names::OPERATOR).force();
                api.patch(&name, &params, &Patch::Apply(desired)).await.map_err(refused)?;
                info!(daemon_set = name, "Job started again: its work was changed");
                Ok(())
            }
            DaemonSetAction::Delete(uid) => {
                let preconditions =
                    Preconditions { uid: Some(uid.clone()), resource_version: None };
                let params = DeleteParams::background().preconditions(preconditions);
                match api.delete(&name, &params).await {
                    Ok(_) => {
                        debug!(daemon_set = name, "deleted the DaemonSet of the finished Job");
                        Ok(())
                    }
                    // Gone, or another one by now.
                    Err(kube::Error::Api(refusal)) if matches!(refusal.code, 404 | 409) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }
}

/// Tells what the API server will never accept from what it may accept later.
fn refused(error: kube::Error) -> Error {
    match error {
        kube::Error::Api(refusal) if refusal.code == 422 => {
            Error::Refused(format!("the API server refuses the DaemonSet: {}", refusal.message))
        }
        other => other.into(),
    }
}

/// Why a reconciliation is to be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not take a call.
    #[error("{}", Brief(.0))]
    Api(#[from] kube::Error),
    /// The API server refuses the DaemonSet as it is, or we do.
    #[error("{0}")]
    Refused(String),
    /// The watch of namespaces has not told of that of the Job yet.
    #[error("its namespace is not known yet")]
    UnknownNamespace,
    /// The caches will never be synced: their watches have ended.
    #[error("the watches have ended")]
    WatchEnded,
}

impl Error {
    /// Its kind, as metrics know it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Api(error) => error_kind(error),
            Self::Refused(_) => "invalid",
            Self::UnknownNamespace | Self::WatchEnded => "other",
        }
    }
}

impl From<Refusal> for Error {
    fn from(Refusal { path, message }: Refusal) -> Self {
        Self::Refused(format!("spec.template.{path}: {message}"))
    }
}
