//! One reconciliation: observe, decide, apply.

use std::time::Duration;

use api::{
    names,
    template::Refusal,
    v1beta1::{Job, JobSpec},
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
use tracing::info;

use crate::{
    daemon_set,
    decide::{self, Act, DaemonSetAction, Decision},
    events,
    observe::Observer,
    recent::Recent,
    status::{self, Write},
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
    /// Where Jobs are observed.
    pub(crate) observer: Observer,
    /// Where their status goes.
    pub(crate) writer: StatusWriter,
    /// The DaemonSets whose lack of pods was looked into. While thousands of pods are being created, they
    /// lack pods at each reconciliation.
    pub(crate) asked_why: Recent,
    /// Image that pods of `ExitCode` Jobs idle on.
    pub(crate) pause_image: String,
}

impl Reconciler {
    /// Brings the cluster closer to what `job` asks for, and its status to what is there.
    ///
    /// # Errors
    /// When the API server could not take it now; it is to be tried again.
    pub(crate) async fn reconcile(&self, job: &Job) -> Result<Action, Error> {
        let now = Timestamp::now();
        let mut surroundings = self.observer.cached(job);
        let mut decision = decide::decide(&surroundings.observed(job, now));
        if decision == Decision::ObserveLive {
            surroundings = self.observer.live(job).await?;
            decision = decide::decide(&surroundings.observed(job, now));
        }
        let act = match decision {
            Decision::Act(act) => act,
            Decision::ObserveLive | Decision::Nothing => return Ok(Action::await_change()),
        };
        match self.apply(job, &act, now).await {
            Err(Error::Refused(message)) => {
                match decide::refused(&surroundings.observed(job, now), &message) {
                    Decision::Act(act) => self.apply(job, &act, now).await,
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
        Ok(match self.writer.write(&invalid.metadata, &status).await? {
            Written::Yes => Action::await_change(),
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

    async fn apply(&self, job: &Job, act: &Act, now: Timestamp) -> Result<Action, Error> {
        self.apply_daemon_set(job, &act.daemon_set).await?;
        for note in &act.notes {
            events::publish(&self.client, job, note, now).await?;
        }
        let recheck = act.again_after.map_or(RECHECK, |after| after.min(RECHECK));
        if let Some(daemon_set) = &act.lacks_pods
            && self.asked_why.since(daemon_set).is_none()
        {
            let namespace = job.namespace().unwrap_or_default();
            if let Some(note) = events::refused_pods(&self.client, &namespace, daemon_set).await? {
                events::publish(&self.client, job, &note, now).await?;
            }
            self.asked_why.done(daemon_set);
        }
        let since_last = self.writer.since_last(&job.metadata);
        Ok(Action::requeue(
            match status::when_to_write(job.status.as_ref(), &act.status, since_last, now) {
                Write::Never => recheck,
                Write::After(rest) => rest.min(recheck),
                Write::Now => match self.writer.write(&job.metadata, &act.status).await? {
                    Written::Yes => recheck,
                    Written::Outdated => CATCH_UP,
                },
            },
        ))
    }

    async fn apply_daemon_set(&self, job: &Job, action: &DaemonSetAction) -> Result<(), Error> {
        let name = names::daemon_set(&job.name_any());
        let namespace = job.namespace().unwrap_or_default();
        let api: Api<DaemonSet> = Api::namespaced(self.client.clone(), &namespace);
        match action {
            DaemonSetAction::Keep => Ok(()),
            DaemonSetAction::Create => {
                let desired = daemon_set::desired(job, &self.pause_image)?;
                // Not forced: should someone else have created one a moment ago, it is a conflict.
                let params = PatchParams::apply(names::OPERATOR);
                api.patch(&name, &params, &Patch::Apply(desired)).await.map_err(refused)?;
                info!(daemon_set = name, "created DaemonSet");
                Ok(())
            }
            DaemonSetAction::Update(uid) => {
                let mut desired = daemon_set::desired(job, &self.pause_image)?;
                // A precondition: the API server refuses the patch of another object of that name.
                desired.metadata.uid = Some(uid.clone());
                let params = PatchParams::apply(names::OPERATOR).force();
                api.patch(&name, &params, &Patch::Apply(desired)).await.map_err(refused)?;
                info!(daemon_set = name, "changed the work of the DaemonSet");
                Ok(())
            }
            DaemonSetAction::Delete(uid) => {
                let preconditions =
                    Preconditions { uid: Some(uid.clone()), resource_version: None };
                let params = DeleteParams::background().preconditions(preconditions);
                match api.delete(&name, &params).await {
                    Ok(_) => {
                        info!(daemon_set = name, "deleted the DaemonSet of the finished Job");
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
        kube::Error::Api(refusal) if refusal.code == 422 => Error::Refused(refusal.message.clone()),
        other => other.into(),
    }
}

/// Why a reconciliation is to be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not take a call.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// The API server refuses the DaemonSet as it is.
    #[error("the API server refuses the DaemonSet: {0}")]
    Refused(String),
    /// The caches will never be synced: their watches have ended.
    #[error("the watches have ended")]
    WatchEnded,
}

impl From<Refusal> for Error {
    fn from(Refusal { path, message }: Refusal) -> Self {
        Self::Refused(format!("spec.template.{path}: {message}"))
    }
}
