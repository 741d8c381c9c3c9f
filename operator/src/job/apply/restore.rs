//! Makes a DaemonSet what its Job asks for, whoever has edited it.

use api::{labels, views::DaemonSetView};
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use runtime::client::is_invalid;
use serde::Serialize;
use serde_json::{Value, json};
use tracing::{info, warn};

use super::{daemon_set::DaemonSetWriter, error::Error, fields};
use crate::job::decide::{
    applied::Applied,
    daemon_set::{Gating, desired},
    job_view::JobView,
};

impl DaemonSetWriter {
    /// Puts the DaemonSet `uid` back to what `job` asks for.
    ///
    /// After a restart of the operator one that nobody has edited is left as it is: neither a later version of
    /// the operator, which writes other templates, nor a stricter policy stops work that goes on.
    pub(super) async fn restore(
        &self,
        api: &Api<DynamicObject>,
        job: &JobView<'_>,
        uid: &str,
        gating: Gating,
    ) -> Result<(), Error> {
        let desired = &desired(job, &self.pause_image, gating)?;
        let live = api.get_opt(&job.daemon_set).await?;
        let Some(live) = live.filter(|live| live.metadata.uid.as_deref() == Some(uid)) else {
            return Ok(());
        };
        let (object, wanted) = (value(&live)?, value(desired)?);
        let is_known = self.written.of(uid).is_some();
        if !is_known && self.is_as_written(&object, &wanted) {
            let object = match metadata_patch(&object, &wanted) {
                Some(patch) => self.merge(api, job, patch).await?,
                None => object,
            };
            self.written.insert(uid, applied(job, &object, &wanted, None)?);
            return Ok(());
        }
        let editors = fields::editors(&object);
        self.check_policy(job, desired)?;
        let restored = self.write(api, job, uid, desired).await;
        let restored = restored.map_err(|error| self.refused(job, error))?;
        let is_edit = live.metadata.generation != Some(restored.generation);
        if !is_edit && !is_known {
            self.written.insert(uid, restored);
            return Ok(());
        }
        // Who only takes something out owns no field, but this process knows what it has written.
        let editors = editors.or_else(|| is_known.then(|| "somebody".to_owned()));
        if is_edit {
            let by = editors.as_deref().unwrap_or_default();
            warn!(daemon_set = job.daemon_set, by, "DaemonSet was edited, and is put back");
        }
        self.written.insert_restored(uid, restored, editors.filter(|_| is_edit));
        Ok(())
    }

    /// Gives the DaemonSet `uid` the work that `job` has now.
    pub(super) async fn update(
        &self,
        api: &Api<DynamicObject>,
        job: &JobView<'_>,
        uid: &str,
        desired: &DaemonSet,
    ) -> kube::Result<()> {
        let written = self.write(api, job, uid, desired).await?;
        self.written.insert(uid, written);
        info!(daemon_set = job.daemon_set, "Job started again: its work was changed");
        Ok(())
    }

    /// Remembers a DaemonSet that was `created` as `desired`.
    pub(super) fn remember(
        &self,
        job: &JobView<'_>,
        created: &DynamicObject,
        desired: &DaemonSet,
    ) -> kube::Result<()> {
        let uid = created.metadata.uid.as_deref().unwrap_or_default();
        self.written.insert(uid, applied(job, &value(created)?, &value(desired)?, None)?);
        Ok(())
    }

    /// Writes `desired`, and takes out what others have added to the selection or the work.
    async fn write(
        &self,
        api: &Api<DynamicObject>,
        job: &JobView<'_>,
        uid: &str,
        desired: &DaemonSet,
    ) -> kube::Result<Applied> {
        let mut desired = desired.clone();
        // A precondition: the API server refuses the patch of another object of that name.
        desired.metadata.uid = Some(uid.to_owned());
        let params = PatchParams::apply(labels::OPERATOR).force();
        let wanted = value(&desired)?;
        let patch = Patch::Apply(desired);
        let apply = || api.patch(&job.daemon_set, &params, &patch);
        let written = match apply().await {
            // What others have added may not go with what we set, such as a second source of a volume.
            Err(error) if is_invalid(&error) => {
                self.replace_template(api, job, &wanted).await?;
                apply().await?
            }
            written => written?,
        };
        let mut object = value(&written)?;
        let before = object.clone();
        if fields::remove_foreign(&mut object) {
            let mut patch = fields::merge_patch(&before, &object);
            let metadata = &before["metadata"];
            patch["metadata"] = json!({"uid": uid, "resourceVersion": metadata["resourceVersion"]});
            object = self.merge(api, job, patch).await?;
        }
        applied(job, &object, &wanted, self.written.of(uid).as_ref())
    }

    /// Replaces the pod template as a whole, as `kubectl rollout undo` does.
    async fn replace_template(
        &self,
        api: &Api<DynamicObject>,
        job: &JobView<'_>,
        wanted: &Value,
    ) -> kube::Result<()> {
        let replaced = |field: &str| {
            let mut value = wanted["spec"][field].clone();
            value["$patch"] = json!("replace");
            value
        };
        let patch = json!({
            "metadata": {"uid": wanted["metadata"]["uid"]},
            "spec": {
                "template": replaced("template"), "updateStrategy": replaced("updateStrategy"),
            },
        });
        api.patch(&job.daemon_set, &params(), &Patch::Strategic(patch)).await.map(drop)
    }

    async fn merge(
        &self,
        api: &Api<DynamicObject>,
        job: &JobView<'_>,
        patch: Value,
    ) -> kube::Result<Value> {
        value(&api.patch(&job.daemon_set, &params(), &Patch::Merge(patch)).await?)
    }

    /// Whether nobody but an operator has decided about nodes and work of `object`.
    ///
    /// The containers that the operator adds to those of the user are its own matter, and so is the UID of the
    /// Job, which 0.1.0 did not write.
    fn is_as_written(&self, object: &Value, wanted: &Value) -> bool {
        let mut spec = wanted["spec"].clone();
        let annotations = spec.pointer_mut("/template/metadata/annotations");
        if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
            annotations.remove(labels::ANNOTATION_JOB_UID);
        }
        let containers =
            spec.pointer_mut("/template/spec/containers").and_then(Value::as_array_mut);
        if let Some(containers) = containers {
            containers.retain(|container| {
                container["name"] == labels::JOB_CONTAINER
                    || container["image"] != *self.pause_image
            });
        }
        !fields::has_foreign(object)
            && fields::contains(&object["spec"], &spec)
            && fields::differing_selection(object, wanted).is_none()
    }
}

/// The record of `object`, which was written as `wanted`.
fn applied(
    job: &JobView<'_>,
    object: &Value,
    wanted: &Value,
    before: Option<&Applied>,
) -> kube::Result<Applied> {
    let view: DaemonSetView =
        serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
    let differs = fields::differing_selection(object, wanted);
    Ok(Applied { differs, ..Applied::new(job, &view, before) })
}

/// The patch that adds the labels, annotations and owner in `wanted` to `object`, if one is missing.
fn metadata_patch(object: &Value, wanted: &Value) -> Option<Value> {
    let (metadata, wanted) = (&object["metadata"], &wanted["metadata"]);
    let fields = ["labels", "annotations", "ownerReferences"];
    if fields.iter().all(|field| fields::contains(&metadata[field], &wanted[field])) {
        return None;
    }
    let ours = wanted["ownerReferences"].as_array().into_iter().flatten();
    let others = metadata["ownerReferences"].as_array().into_iter().flatten();
    let others = others.filter(|other| ours.clone().all(|ours| ours["uid"] != other["uid"]));
    let owners: Vec<&Value> = ours.clone().chain(others).collect();
    Some(json!({"metadata": {
        "uid": metadata["uid"],
        "labels": wanted["labels"],
        "annotations": wanted["annotations"],
        "ownerReferences": owners,
    }}))
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(labels::OPERATOR.to_owned()), ..PatchParams::default() }
}

fn value(daemon_set: &impl Serialize) -> kube::Result<Value> {
    serde_json::to_value(daemon_set).map_err(kube::Error::SerdeError)
}
