//! Objects of Jobs, anywhere in the cluster and of whatever kind, and the namespaces of scenarios.

use std::fmt;

use anyhow::{Context as _, Result};
use api::labels;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DynamicObject, ListParams};
use kube::discovery::{Discovery, verbs};
use kube::{Api, Client};

use crate::support::context::LABEL_SCENARIO;

/// How many kinds are listed at a time.
const AT_A_TIME: usize = 8;

/// An object that belongs to a Job, or is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    /// Its kind.
    pub kind: String,
    /// Its namespace; its own name if it is one; empty if it has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl fmt::Display for Ours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace == self.name {
            true => write!(f, "{} {}", self.kind, self.name),
            false => write!(f, "{} {}/{}", self.kind, self.namespace, self.name),
        }
    }
}

/// Lists every object of every kind that the API server knows, and returns those that are Jobs of ours,
/// that a Job of ours owns, or that carry the label of Jobs or of scenarios.
pub async fn ours(client: &Client) -> Result<Vec<Ours>> {
    let discovery = Discovery::new(client.clone()).run().await?;
    let kinds: Vec<_> = discovery
        .groups()
        .flat_map(kube::discovery::ApiGroup::recommended_resources)
        .filter(|(_, capabilities)| capabilities.supports_operation(verbs::LIST))
        .map(|(resource, _)| resource)
        .collect();
    let lists = stream::iter(kinds).map(async |kind| {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
        let list = api.list_metadata(&ListParams::default()).await;
        let objects = list.with_context(|| format!("cannot list {}", kind.plural))?.items;
        let is_job = kind.group == labels::GROUP && kind.kind == "Job";
        let ours = objects.into_iter().map(|object| object.metadata);
        let ours = ours.filter(|meta| is_job || is_ours(meta)).map(|meta| Ours {
            kind: kind.kind.clone(),
            namespace: meta
                .namespace
                .or_else(|| (kind.kind == "Namespace").then(|| meta.name.clone()).flatten())
                .unwrap_or_default(),
            name: meta.name.unwrap_or_default(),
            uid: meta.uid.unwrap_or_default(),
        });
        anyhow::Ok(ours.collect::<Vec<_>>())
    });
    let found: Vec<_> = lists.buffer_unordered(AT_A_TIME).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

fn is_ours(meta: &ObjectMeta) -> bool {
    let is_owned = meta.owner_references.iter().flatten().any(|owner| {
        let group = owner.api_version.split('/').next();
        group == Some(labels::GROUP) && owner.kind == "Job"
    });
    let is_labelled = [labels::LABEL_DAEMON_SET_JOB, LABEL_SCENARIO].iter().any(|label| {
        let labels = meta.labels.as_ref();
        labels.and_then(|labels| labels.get(*label)).is_some_and(|value| value == "true")
    });
    is_owned || is_labelled
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    use super::*;

    fn owned_by(api_version: &str, kind: &str) -> ObjectMeta {
        let owner = OwnerReference {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            ..OwnerReference::default()
        };
        ObjectMeta { owner_references: Some(vec![owner]), ..ObjectMeta::default() }
    }

    fn labelled(label: &str, value: &str) -> ObjectMeta {
        let label = (label.to_owned(), value.to_owned());
        ObjectMeta { labels: Some([label].into()), ..ObjectMeta::default() }
    }

    #[test]
    fn jobs_of_kubernetes_own_are_not_ours() {
        assert!(is_ours(&owned_by("daemonset.darkowlzz.space/v1beta1", "Job")));
        assert!(!is_ours(&owned_by("batch/v1", "Job")));
        assert!(!is_ours(&ObjectMeta::default()));
    }

    #[test]
    fn label_tells_what_has_lost_its_owner() {
        assert!(is_ours(&labelled(labels::LABEL_DAEMON_SET_JOB, "true")));
        assert!(!is_ours(&labelled(labels::LABEL_DAEMON_SET_JOB, "false")));
        assert!(is_ours(&labelled(LABEL_SCENARIO, "true")));
    }
}
