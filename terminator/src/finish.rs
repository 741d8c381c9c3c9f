//! Deletes Jobs that are complete.

use std::{future::Future, sync::Arc};

use api::{
    conditions::{self, Reason},
    runtime::{Backoff, Clients, watch},
    v1beta1::Job,
};
use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Preconditions},
    core::DeserializeGuard,
    runtime::{
        Config, Controller, WatchStreamExt,
        controller::{self, Action},
        reflector::{self, ObjectRef},
        watcher,
    },
};
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

/// Jobs that are deleted at the same time.
const CONCURRENCY: u16 = 16;

/// A Job that may not be decodable: one of those must not stop the watch of the others.
type MaybeJob = DeserializeGuard<Job>;

/// Whether `job` is to be deleted: its status says of its spec as it is now that all is done. A Job
/// that no node matched is kept for its user to see.
#[must_use]
pub fn is_due(job: &Job) -> bool {
    job.metadata.deletion_timestamp.is_none()
        && conditions::complete(job)
            .is_some_and(|condition| condition.reason != Reason::NoMatchingNodes.as_str())
}

struct Context {
    client: Client,
    backoff: Backoff<ObjectRef<MaybeJob>>,
}

/// Deletes the Jobs of `namespace`, or of all namespaces, as they complete, until `shutdown`
/// resolves. Tells `synced` when all Jobs have been seen.
pub async fn run(
    clients: Clients,
    namespace: Option<&str>,
    synced: oneshot::Sender<()>,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let (jobs, writer) = reflector::store();
    let events =
        watch::<MaybeJob>(&clients.stream, namespace, watcher::Config::default()).reflect(writer);
    let context = Arc::new(Context {
        client: clients.call,
        backoff: Backoff::default(),
    });
    let results = Controller::for_stream(events.applied_objects(), jobs.clone())
        .with_config(Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(shutdown)
        .run(finish, error_policy, Arc::clone(&context))
        .for_each(|result| {
            report(&context, result);
            std::future::ready(())
        });
    let ready = async {
        if jobs.wait_until_ready().await.is_ok() {
            // Nobody listens when the process is about to end.
            let _ = synced.send(());
        }
    };
    futures::join!(results, ready);
}

async fn finish(job: Arc<MaybeJob>, context: Arc<Context>) -> Result<Action, kube::Error> {
    if let Ok(job) = &job.0
        && is_due(job)
    {
        delete(&context.client, job).await?;
    }
    context.backoff.succeeded(&ObjectRef::from_obj(&*job));
    Ok(Action::await_change())
}

/// Deletes exactly the Job that was seen: another one of its name stays, and so does one that has
/// been edited since, for the edit may be more work.
async fn delete(client: &Client, job: &Job) -> Result<(), kube::Error> {
    let namespace = job.namespace().unwrap_or_default();
    let name = job.name_any();
    let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace);
    let preconditions = Preconditions {
        uid: job.metadata.uid.clone(),
        resource_version: job.metadata.resource_version.clone(),
    };
    match jobs
        .delete(
            &name,
            &DeleteParams::background().preconditions(preconditions),
        )
        .await
    {
        Ok(_) => {
            info!(namespace, job = name, "deleted the completed Job");
            Ok(())
        }
        // Gone, or changed: then an event of that is on its way.
        Err(kube::Error::Api(refusal)) if matches!(refusal.code, 404 | 409) => {
            debug!(namespace, job = name, "not deleted: {}", refusal.message);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that the controller asks for"
)]
fn error_policy(job: Arc<MaybeJob>, _: &kube::Error, context: Arc<Context>) -> Action {
    Action::requeue(context.backoff.failed(ObjectRef::from_obj(&*job)))
}

type Outcome =
    Result<(ObjectRef<MaybeJob>, Action), controller::Error<kube::Error, watcher::Error>>;

fn report(context: &Context, outcome: Outcome) {
    match outcome {
        Ok(_) => {}
        Err(controller::Error::ObjectNotFound(job)) => {
            let name = ObjectRef::<MaybeJob>::new(&job.name)
                .within(job.namespace.as_deref().unwrap_or_default());
            context.backoff.succeeded(&name);
        }
        Err(controller::Error::ReconcilerFailed(error, job)) => warn!(%job, "delete: {error}"),
        Err(controller::Error::QueueError(error)) => warn!("watch of Jobs: {error}"),
        Err(controller::Error::RunnerError(error)) => warn!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(reason: &str, observed_generation: i64) -> Job {
        serde_json::from_value(json!({
            "apiVersion": "daemonset.darkowlzz.space/v1beta1",
            "kind": "Job",
            "metadata": {"name": "j", "namespace": "n", "generation": 2},
            "spec": {"image": "busybox"},
            "status": {
                "observedGeneration": observed_generation,
                "conditions": [{
                    "type": "Complete", "status": "True", "reason": reason, "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_complete_job_is_due() {
        assert!(is_due(&job("Completed", 2)));
    }

    #[test]
    fn a_job_that_was_edited_since_it_completed_is_not_due() {
        assert!(!is_due(&job("Completed", 1)));
    }

    #[test]
    fn a_job_that_no_node_matched_is_kept() {
        assert!(!is_due(&job("NoMatchingNodes", 2)));
    }

    #[test]
    fn a_job_without_a_true_condition_is_not_due() {
        let mut running = job("Completed", 2);
        for condition in running
            .status
            .iter_mut()
            .flat_map(|status| &mut status.conditions)
        {
            condition.status = "False".into();
        }
        assert!(!is_due(&running));
        running.status = None;
        assert!(!is_due(&running));
    }
}
