//! Writes the DaemonSets of Jobs.

use api::{job::template::Refusal, labels};
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use runtime::client::{ShortError, is_conflict, is_gone};
use tracing::{debug, info};

use crate::job::{
    decide::{
        daemon_set::{DaemonSetAction, desired},
        observation::JobView,
    },
    policy::Policies,
};

/// Writes DaemonSets.
pub(crate) struct DaemonSetWriter {
    pub(crate) client: Client,
    /// They limit the features of pods.
    pub(crate) policies: Policies,
    /// Image that pods of `ExitCode` Jobs idle on.
    pub(crate) pause_image: String,
}

impl DaemonSetWriter {
    /// Creates, updates or deletes the DaemonSet of `job`.
    ///
    /// # Errors
    /// When a call fails, or the DaemonSet is refused.
    pub(crate) async fn apply(
        &self,
        job: &JobView<'_>,
        action: &DaemonSetAction,
    ) -> Result<(), Error> {
        let api: Api<DaemonSet> = Api::namespaced(self.client.clone(), job.namespace);
        let name = &job.daemon_set;
        match action {
            DaemonSetAction::Keep => Ok(()),
            DaemonSetAction::Create => {
                let desired = self.desired(job)?;
                // Not forced: should someone else have created one a moment ago, it is a conflict.
                let params = PatchParams::apply(labels::OPERATOR);
                api.patch(name, &params, &Patch::Apply(desired)).await.map_err(refused)?;
                info!(daemon_set = name, "Job started");
                Ok(())
            }
            DaemonSetAction::Update(uid) => {
                let mut desired = self.desired(job)?;
                // A precondition: the API server refuses the patch of another object of that name.
                desired.metadata.uid = Some(uid.clone());
                let params = PatchParams::apply(labels::OPERATOR).force();
                api.patch(name, &params, &Patch::Apply(desired)).await.map_err(refused)?;
                info!(daemon_set = name, "Job started again: its work was changed");
                Ok(())
            }
            DaemonSetAction::Delete(uid) => {
                let preconditions =
                    Preconditions { uid: Some(uid.clone()), resource_version: None };
                let params = DeleteParams::background().preconditions(preconditions);
                match api.delete(name, &params).await {
                    Ok(_) => {
                        debug!(daemon_set = name, "deleted the DaemonSet of the finished Job");
                        Ok(())
                    }
                    // Gone, or another one by now.
                    Err(error) if is_gone(&error) || is_conflict(&error) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// The DaemonSet that `job` asks for, if the policy of its namespace allows it.
    fn desired(&self, job: &JobView<'_>) -> Result<DaemonSet, Error> {
        let desired = desired(job, &self.pause_image)?;
        if let Some(spec) = &desired.spec {
            let allowed = self.policies.check(job.namespace, &spec.template);
            allowed.ok_or(Error::UnknownNamespace)?.map_err(Error::Refused)?;
        }
        Ok(desired)
    }
}

/// Separates refusals from errors that may go by themselves.
fn refused(error: kube::Error) -> Error {
    match error {
        kube::Error::Api(refusal) if refusal.is_invalid() => {
            Error::Refused(format!("the API server refuses the DaemonSet: {}", refusal.message))
        }
        other => other.into(),
    }
}

/// Why actions could not be applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server did not accept a call.
    #[error("{}", ShortError(.0))]
    Api(#[from] kube::Error),
    /// The API server refuses the DaemonSet as it is, or the policy does.
    #[error("{0}")]
    Refused(String),
    /// The watch of namespaces has not shown that of the Job yet.
    #[error("its namespace is not known yet")]
    UnknownNamespace,
}

impl From<Refusal> for Error {
    fn from(Refusal { path, message }: Refusal) -> Self {
        Self::Refused(format!("spec.template.{path}: {message}"))
    }
}
