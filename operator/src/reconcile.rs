//! One reconciliation: observe, decide, apply. All calls to the API server are here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use api::{
    names,
    v1beta1::{Job, JobStatus},
    views::{self, DaemonSetView, PodView},
};
use k8s_openapi::{
    api::apps::v1::DaemonSet, apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, PartialObjectMeta, Patch, PatchParams, Preconditions},
    core::error_boundary::InvalidObject,
    runtime::{
        controller::Action,
        reflector::{ObjectRef, Store},
    },
};
use serde_json::json;
use tracing::info;

use crate::{
    daemon_set,
    decide::{self, Act, DaemonSetAction, Decision},
    events,
    observed::{Observed, Source},
    status::{self, Write},
};

/// A Job that nothing happens to is looked at this often all the same.
const RECHECK: Duration = Duration::from_mins(5);
/// Pods in one page of a list: what is held of a large Job at one time.
const PAGE: u32 = 500;

/// What a reconciliation works with.
pub struct Reconciler {
    /// For single calls.
    pub client: Client,
    /// Cache of all DaemonSets, so that a foreign one in the way is seen to come and go.
    pub daemon_sets: Store<DaemonSetView>,
    /// Cache of the pods of all Jobs.
    pub pods: Store<PodView>,
    /// When the status of a Job, by UID, was written within the last second.
    pub last_writes: Mutex<HashMap<String, Instant>>,
}

/// DaemonSet and pods of a Job, by value.
struct Children {
    daemon_set: Option<Arc<DaemonSetView>>,
    pods: Vec<Arc<PodView>>,
    source: Source,
}

impl Reconciler {
    /// Brings the cluster closer to what `job` asks for, and its status to what is there.
    ///
    /// # Errors
    /// When the API server could not take it now; it is to be tried again.
    pub async fn reconcile(&self, job: &Job) -> Result<Action, Error> {
        let now = Timestamp::now();
        let mut children = self.cached(job);
        let mut decision = decide::decide(&children.observed(job, now));
        if decision == Decision::ObserveLive {
            children = self.live(job).await?;
            decision = decide::decide(&children.observed(job, now));
        }
        let action = match decision {
            Decision::Act(act) => match self.apply(job, &act, now).await {
                Err(Error::Refused(message)) => {
                    let refused = decide::refused(&children.observed(job, now), &message);
                    match refused {
                        Decision::Act(act) => self.apply(job, &act, now).await?,
                        Decision::ObserveLive | Decision::Nothing => Action::requeue(RECHECK),
                    }
                }
                other => other?,
            },
            Decision::ObserveLive | Decision::Nothing => Action::await_change(),
        };
        Ok(action)
    }

    fn cached(&self, job: &Job) -> Children {
        let namespace = job.namespace().unwrap_or_default();
        let name = names::daemon_set(&job.name_any());
        let daemon_set = self
            .daemon_sets
            .get(&ObjectRef::new(&name).within(&namespace));
        let uid = daemon_set
            .as_ref()
            .and_then(|daemon_set| daemon_set.metadata.uid.as_deref());
        let is_its = |pod: &PodView| {
            uid.is_some() && pod.daemon_set().map(|owner| owner.uid.as_str()) == uid
        };
        let pods = self
            .pods
            .state()
            .into_iter()
            .filter(|pod| is_its(pod))
            .collect();
        Children {
            daemon_set,
            pods,
            source: Source::Caches,
        }
    }

    /// The DaemonSet first: its pods are then at least as new as what its status has counted.
    async fn live(&self, job: &Job) -> Result<Children, Error> {
        let namespace = job.namespace().unwrap_or_default();
        let name = names::daemon_set(&job.name_any());
        let daemon_sets: Api<DaemonSetView> = Api::namespaced(self.client.clone(), &namespace);
        let daemon_set = daemon_sets.get_opt(&name).await?.map(Arc::new);
        let mut pods = Vec::new();
        if daemon_set.is_some() {
            let api: Api<PodView> = Api::namespaced(self.client.clone(), &namespace);
            let selector = format!("{}={}", names::LABEL_DAEMON_SET, names::label_value(&name));
            let mut page = ListParams::default().labels(&selector).limit(PAGE);
            loop {
                let list = api.list(&page).await?;
                pods.extend(list.items.into_iter().map(|mut pod| {
                    views::prune(&mut pod);
                    Arc::new(pod)
                }));
                match list.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => page = page.continue_token(&token),
                    None => break,
                }
            }
        }
        Ok(Children {
            daemon_set,
            pods,
            source: Source::Live,
        })
    }

    async fn apply(&self, job: &Job, act: &Act, now: Timestamp) -> Result<Action, Error> {
        self.apply_daemon_set(job, &act.daemon_set).await?;
        for note in &act.notes {
            events::publish(&self.client, job, note, now).await?;
        }
        match status::when_to_write(job.status.as_ref(), &act.status, self.since_last_write(job)) {
            Write::Never => Ok(Action::requeue(RECHECK)),
            Write::After(rest) => Ok(Action::requeue(rest)),
            Write::Now => {
                self.write_status(&job.metadata, &act.status).await?;
                Ok(Action::requeue(RECHECK))
            }
        }
    }

    async fn apply_daemon_set(&self, job: &Job, action: &DaemonSetAction) -> Result<(), Error> {
        let name = names::daemon_set(&job.name_any());
        let api: Api<DaemonSet> =
            Api::namespaced(self.client.clone(), &job.namespace().unwrap_or_default());
        match action {
            DaemonSetAction::Keep => Ok(()),
            DaemonSetAction::Create => {
                // Not forced: should someone else have created one a moment ago, this is a conflict.
                let params = PatchParams::apply(names::OPERATOR);
                api.patch(&name, &params, &Patch::Apply(daemon_set::desired(job)))
                    .await
                    .map_err(refused)?;
                info!(daemon_set = name, "created DaemonSet");
                Ok(())
            }
            DaemonSetAction::Update(uid) => {
                let mut desired = daemon_set::desired(job);
                // A precondition: the API server refuses the patch of another object of that name.
                desired.metadata.uid = Some(uid.clone());
                let params = PatchParams::apply(names::OPERATOR).force();
                api.patch(&name, &params, &Patch::Apply(desired))
                    .await
                    .map_err(refused)?;
                info!(daemon_set = name, "changed the work of the DaemonSet");
                Ok(())
            }
            DaemonSetAction::Delete(uid) => {
                let preconditions = Preconditions {
                    uid: Some(uid.clone()),
                    resource_version: None,
                };
                let params = DeleteParams::background().preconditions(preconditions);
                match api.delete(&name, &params).await {
                    Ok(_) => Ok(()),
                    // Gone, or another one by now.
                    Err(kube::Error::Api(refusal)) if matches!(refusal.code, 404 | 409) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// Says on a Job that cannot be decoded what is wrong with it. A Job stored under an older schema
    /// can be such a one; the schema of today refuses it at `kubectl apply`.
    ///
    /// # Errors
    /// When the API server could not take it now; it is to be tried again.
    pub async fn report_undecodable(&self, invalid: &InvalidObject) -> Result<Action, Error> {
        let status = status::undecodable(&invalid.metadata, &invalid.error);
        self.write_status(&invalid.metadata, &status).await?;
        Ok(Action::await_change())
    }

    async fn write_status(&self, job: &ObjectMeta, status: &JobStatus) -> Result<(), Error> {
        match self.patch_status(job, status).await {
            Ok(()) => {
                info!(
                    phase = ?status.phase.unwrap_or_default(),
                    completed = status.completed.as_deref().unwrap_or_default(),
                    reason = status.conditions.first().map(|condition| condition.reason.as_str()),
                    "status"
                );
                Ok(())
            }
            // Deleted meanwhile.
            Err(kube::Error::Api(refusal)) if refusal.code == 404 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn patch_status(&self, job: &ObjectMeta, status: &JobStatus) -> kube::Result<()> {
        let name = job.name.as_deref().unwrap_or_default();
        let namespace = job.namespace.as_deref().unwrap_or_default();
        let patch = json!({
            "apiVersion": Job::api_version(&()),
            "kind": Job::kind(&()),
            // The UID is a precondition: a Job created anew under this name has its own status.
            "metadata": {"uid": job.uid},
            "status": status,
        });
        // Only metadata is decoded from the answer: the rest may be what cannot be.
        let api: Api<PartialObjectMeta<Job>> = Api::namespaced(self.client.clone(), namespace);
        let params = PatchParams::apply(names::OPERATOR).force();
        api.patch_status(name, &params, &Patch::Apply(patch))
            .await?;
        let mut last_writes = self
            .last_writes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Older ones hold nothing back, and their Jobs may be gone.
        last_writes.retain(|_, at| at.elapsed() < status::PROGRESS_INTERVAL);
        last_writes.insert(job.uid.clone().unwrap_or_default(), Instant::now());
        Ok(())
    }

    fn since_last_write(&self, job: &Job) -> Option<Duration> {
        let last_writes = self
            .last_writes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        last_writes
            .get(job.metadata.uid.as_deref()?)
            .map(Instant::elapsed)
    }
}

impl Children {
    fn observed<'a>(&'a self, job: &'a Job, now: Timestamp) -> Observed<'a> {
        Observed {
            job,
            daemon_set: self.daemon_set.as_deref(),
            pods: &self.pods,
            source: self.source,
            now,
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
