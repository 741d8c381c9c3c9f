//! Writes the DaemonSets of Jobs.

use api::{job::conditions::Reason, labels, views};
use k8s_openapi::{api::apps::v1::DaemonSet, jiff::Timestamp};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
};
use runtime::client::{is_conflict, is_gone};
use tracing::{debug, info};

use super::{error::Error, refusal::Refusals, written::WrittenDaemonSets};
use crate::job::{
    decide::{
        daemon_set::{DaemonSetAction, Gating, desired},
        job_view::JobView,
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
    pub(crate) refusals: Refusals,
    /// What it has written.
    pub(crate) written: WrittenDaemonSets,
}

impl DaemonSetWriter {
    pub(crate) fn new(client: Client, policies: Policies, pause_image: String) -> Self {
        let (refusals, written) = (Refusals::default(), WrittenDaemonSets::default());
        Self { client, policies, pause_image, refusals, written }
    }

    /// Creates, updates or deletes the DaemonSet of `job`.
    ///
    /// # Errors
    /// When a call fails, or the DaemonSet is refused.
    pub(crate) async fn apply(
        &self,
        job: &JobView<'_>,
        action: &DaemonSetAction,
    ) -> Result<(), Error> {
        let (client, resource) = (self.client.clone(), ApiResource::erase::<DaemonSet>(&()));
        // What others have set stays as the API server has it. And nothing decodes all of a pod's spec.
        let api: Api<DynamicObject> = Api::namespaced_with(client, job.namespace, &resource);
        let name = &job.daemon_set;
        let refused = |error| self.refused(job, error);
        match action {
            DaemonSetAction::Keep => Ok(()),
            DaemonSetAction::Create(gating) => {
                let mut desired = self.desired(job, *gating)?;
                self.refusals.rest(job, Timestamp::now())?;
                // The DaemonSet may adopt pods of an earlier one. Theirs must be other generations, or its
                // controller would take them for pods of this template.
                let generation = Timestamp::now().as_millisecond().to_string();
                let annotations = desired.metadata.annotations.get_or_insert_default();
                annotations.insert(views::TEMPLATE_GENERATION.to_owned(), generation);
                // Not forced: should someone else have created one a moment ago, it is a conflict.
                let params = PatchParams::apply(labels::OPERATOR);
                let patch = Patch::Apply(&desired);
                let created = api.patch(name, &params, &patch).await.map_err(refused)?;
                self.remember(job, &created, &desired)?;
                info!(daemon_set = name, "Job started");
                Ok(())
            }
            DaemonSetAction::Update(uid, gating) => {
                let desired = self.desired(job, *gating)?;
                self.refusals.rest(job, Timestamp::now())?;
                self.update(&api, job, uid, &desired).await.map_err(refused)
            }
            DaemonSetAction::Restore(uid, gating) => {
                self.refusals.rest(job, Timestamp::now())?;
                self.restore(&api, job, uid, *gating).await
            }
            DaemonSetAction::Delete(uid) => {
                self.written.remove(uid);
                self.delete(&api, name, uid, DeleteParams::background()).await
            }
            // It stays known what was written: pods that end meanwhile still do the work of the Job.
            DaemonSetAction::Stop(uid) => {
                self.delete(&api, name, uid, DeleteParams::foreground()).await
            }
        }
    }

    /// Deletes the DaemonSet `name` if it is still `uid`.
    async fn delete(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
        uid: &str,
        params: DeleteParams,
    ) -> Result<(), Error> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        match api.delete(name, &params.preconditions(preconditions)).await {
            Ok(_) => {
                debug!(daemon_set = name, "deleted the DaemonSet of a finished or suspended Job");
                Ok(())
            }
            // Gone, or another one by now.
            Err(error) if is_gone(&error) || is_conflict(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The DaemonSet that `job` asks for, if the policy of its namespace allows it.
    fn desired(&self, job: &JobView<'_>, gating: Gating) -> Result<DaemonSet, Error> {
        let desired = desired(job, &self.pause_image, gating)?;
        self.check_policy(job, &desired)?;
        Ok(desired)
    }

    /// Whether the policy of the namespace of `job` allows `desired`.
    pub(super) fn check_policy(&self, job: &JobView<'_>, desired: &DaemonSet) -> Result<(), Error> {
        if let Some(spec) = &desired.spec {
            let allowed = self.policies.check(job.namespace, &spec.template);
            allowed.ok_or(Error::UnknownNamespace)?.map_err(invalid)?;
        }
        Ok(())
    }

    /// Turns the answer to a write of a DaemonSet of `job` into a refusal, if it is one.
    pub(super) fn refused(&self, job: &JobView<'_>, error: kube::Error) -> Error {
        self.refusals.of(job, error)
    }
}

fn invalid(message: String) -> Error {
    Error::Refused(Reason::InvalidSpec, message)
}
