//! Writes the status of Jobs. The operator is its only writer.

use std::{collections::HashSet, time::Duration};

use api::{
    job::{Job, JobStatus},
    labels,
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};
use kube::{
    Api, Client, Resource,
    api::{PartialObjectMeta, Patch, PatchParams},
};
use runtime::{
    client::{is_conflict, is_gone},
    expiring_map::ExpiringMap,
};
use serde_json::json;

use crate::job::decide::{
    job_view::JobView,
    status::{LONGEST_INTERVAL, Write, ours, when_to_write},
};

/// How long the writer remembers that the conditions and nodes in a status are its own.
///
/// Forgetting it costs a call.
const OWNERSHIP: Duration = Duration::from_mins(10);

/// Writes the status of Jobs, and remembers when it did.
pub(crate) struct StatusWriter {
    client: Client,
    /// The versions of Jobs that the writes of the last seconds have made.
    recent: ExpiringMap<u64>,
    /// The Jobs of whose status this process has written each condition and node.
    owned: ExpiringMap,
}

/// Result of an update of a status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Written {
    /// It was written.
    Yes,
    /// It did not change.
    Unchanged,
    /// It is to be written after this time, with what it will be by then.
    Later(Duration),
    /// The Job is gone.
    Gone,
    /// The Job has changed since it was observed.
    Outdated,
}

impl StatusWriter {
    pub(crate) fn new(client: Client) -> Self {
        // Older ones hold nothing back.
        Self {
            client,
            recent: ExpiringMap::new(LONGEST_INTERVAL),
            owned: ExpiringMap::new(OWNERSHIP),
        }
    }

    /// Whether `job` is from before the last write of its status.
    ///
    /// The watch is about to show that write. The API server would not accept a status derived from `job`.
    ///
    /// Versions of one object are numbers that grow.
    /// <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>
    pub(crate) fn is_outdated(&self, job: &ObjectMeta) -> bool {
        let written = job.uid.as_deref().and_then(|uid| self.recent.get(uid));
        version(job).is_some_and(|version| written.is_some_and(|written| version < written))
    }

    /// Writes `status` of the observed `job` if it is time for that, or urgent.
    pub(crate) async fn update(
        &self,
        job: &JobView<'_>,
        status: &JobStatus,
        is_urgent: bool,
        now: Timestamp,
    ) -> kube::Result<Written> {
        match when_to_write(job.status, status, self.recent.age(job.uid), now) {
            Write::Never => Ok(Written::Unchanged),
            Write::After(rest) if !is_urgent => Ok(Written::Later(rest)),
            Write::After(_) | Write::Now => self.write(job.metadata, job.status, status).await,
        }
    }

    /// Writes `status` once more, which `job` has: whether it still has it, caches cannot say.
    ///
    /// The API server compares the version, and changes nothing.
    pub(crate) async fn confirm(
        &self,
        job: &JobView<'_>,
        status: &JobStatus,
    ) -> kube::Result<Written> {
        self.write(job.metadata, job.status, status).await
    }

    /// Writes `status`, derived from `job` when that had the status `known`.
    ///
    /// The version of `job` is a precondition: a status that was derived from an earlier one must not take
    /// back what a later one has recorded, and a Job created anew has a status of its own.
    ///
    /// An apply takes an item out of a list only if the same manager has applied it as an item. Up to
    /// 0.1.0 these lists were applied as wholes: such an item is applied once more before it is left
    /// out. The conditions that end a Job are never left out: they turn false.
    pub(crate) async fn write(
        &self,
        job: &ObjectMeta,
        known: Option<&JobStatus>,
        status: &JobStatus,
    ) -> kube::Result<Written> {
        let uid = job.uid.as_deref().unwrap_or_default();
        let mut version = job.resource_version.clone();
        if let Some(known) = known.map(ours)
            && self.owned.age(uid).is_none()
            && (lacks_condition(status, &known) || lacks_node(status, &known))
        {
            match self.apply(job, version, &known).await? {
                Applied::As(written) => version = written,
                Applied::Not(written) => return Ok(written),
            }
        }
        let written = match self.apply(job, version, status).await? {
            Applied::As(version) => version,
            Applied::Not(written) => return Ok(written),
        };
        let written = written.and_then(|version| version.parse().ok());
        self.recent.insert(uid, written.unwrap_or_default());
        self.owned.insert(uid, ());
        Ok(Written::Yes)
    }

    /// Applies `status` to `job` if that is in this version.
    async fn apply(
        &self,
        job: &ObjectMeta,
        version: Option<String>,
        status: &JobStatus,
    ) -> kube::Result<Applied> {
        let name = job.name.as_deref().unwrap_or_default();
        let namespace = job.namespace.as_deref().unwrap_or_default();
        let patch = json!({
            "apiVersion": Job::api_version(&()),
            "kind": Job::kind(&()),
            "metadata": {"uid": job.uid, "resourceVersion": version},
            "status": status,
        });
        // The rest of the answer may be the part of the Job that cannot be decoded.
        let api: Api<PartialObjectMeta<Job>> = Api::namespaced(self.client.clone(), namespace);
        let params = PatchParams::apply(labels::OPERATOR).force();
        match api.patch_status(name, &params, &Patch::Apply(patch)).await {
            Ok(written) => Ok(Applied::As(written.metadata.resource_version)),
            Err(error) if is_gone(&error) => Ok(Applied::Not(Written::Gone)),
            Err(error) if is_conflict(&error) => Ok(Applied::Not(Written::Outdated)),
            Err(error) => Err(error),
        }
    }
}

/// Result of an apply.
enum Applied {
    /// The Job has this version now.
    As(Option<String>),
    /// It was not written.
    Not(Written),
}

/// Whether a condition of `known` is not in `status`.
fn lacks_condition(status: &JobStatus, known: &JobStatus) -> bool {
    let has = |type_| status.conditions.iter().any(|condition| condition.type_ == type_);
    known.conditions.iter().any(|condition| !has(&*condition.type_))
}

/// Whether a node of `known` is not in `status`.
fn lacks_node(status: &JobStatus, known: &JobStatus) -> bool {
    let names: HashSet<_> = status.nodes.iter().map(|node| &node.name).collect();
    known.nodes.iter().any(|node| !names.contains(&node.name))
}

/// The version of an object, if it is a number.
fn version(metadata: &ObjectMeta) -> Option<u64> {
    metadata.resource_version.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use api::job::{
        NodeStatus,
        conditions::{self, Reason},
    };
    use http::{Request, Response};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
    use kube::client::Body;
    use serde_json::Value;

    use super::*;

    /// A Job in this version.
    fn job(version: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some("j".to_owned()),
            uid: Some("job-1".to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        }
    }

    type Patches = Arc<Mutex<Vec<Value>>>;

    /// A writer, and its patches.
    ///
    /// The API server accepts all of them, in versions from 10 on.
    fn writer() -> (StatusWriter, Patches) {
        let patches = Patches::default();
        let taken = Arc::clone(&patches);
        let service = tower::service_fn(move |request: Request<Body>| {
            let taken = Arc::clone(&taken);
            async move {
                let patch = request.into_body().collect_bytes().await.unwrap();
                let mut taken = taken.lock().unwrap();
                let written = json!({
                    "apiVersion": Job::api_version(&()), "kind": Job::kind(&()),
                    "metadata": job(&(10 + taken.len()).to_string()),
                });
                taken.push(serde_json::from_slice(&patch).unwrap());
                let body = Body::from(written.to_string().into_bytes());
                Ok::<_, std::convert::Infallible>(Response::new(body))
            }
        });
        (StatusWriter::new(Client::new(service, "default")), patches)
    }

    #[tokio::test]
    async fn a_job_is_outdated_until_the_version_that_was_written_is_seen() {
        let (writer, _) = writer();
        assert!(!writer.is_outdated(&job("9")));
        let written = writer.write(&job("9"), None, &JobStatus::default()).await;
        assert_eq!(written.unwrap(), Written::Yes);
        let versions = ["9", "10", "11", "opaque"];
        let outdated = versions.map(|version| writer.is_outdated(&job(version)));
        assert_eq!(outdated, [true, false, false, false]);
    }

    /// Versions, reasons of conditions, and names of nodes of the patches.
    fn sent(patches: &Patches) -> Vec<(String, Vec<Value>, Vec<Value>)> {
        let all = |status: &Value, list: &str, field: &str| {
            let items = status[list].as_array().cloned().unwrap_or_default();
            items.iter().map(|item| item[field].clone()).collect()
        };
        let patches = std::mem::take(&mut *patches.lock().unwrap());
        let sent = patches.iter().map(|patch| {
            let status = &patch["status"];
            let version = patch["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            (version.to_owned(), all(status, "conditions", "reason"), all(status, "nodes", "name"))
        });
        sent.collect()
    }

    #[tokio::test]
    async fn what_is_left_out_of_a_list_was_applied_by_item_before() {
        let (writer, patches) = writer();
        let node = |name: &str| NodeStatus { name: name.to_owned(), ..NodeStatus::default() };
        let condition = |type_: &str| {
            let (reason, now) = (Reason::NodesFailed, Timestamp::UNIX_EPOCH);
            let condition = conditions::condition(reason, String::new(), None, now);
            Condition { type_: type_.to_owned(), ..condition }
        };
        let with_node = |name| JobStatus { nodes: vec![node(name)], ..JobStatus::default() };
        let (failed, others) = (condition("Failed"), condition("Audited"));
        let known = JobStatus { conditions: vec![failed, others], ..with_node("a") };
        writer.write(&job("9"), Some(&known), &with_node("b")).await.unwrap();
        let (reason, a, b) = (vec![json!("NodesFailed")], vec![json!("a")], vec![json!("b")]);
        assert_eq!(
            sent(&patches),
            [("9".to_owned(), reason, a.clone()), ("10".to_owned(), vec![], b.clone())]
        );
        // By now they are known to have been.
        writer.write(&job("11"), Some(&known), &with_node("b")).await.unwrap();
        assert_eq!(sent(&patches), [("11".to_owned(), vec![], b)]);
    }
}
