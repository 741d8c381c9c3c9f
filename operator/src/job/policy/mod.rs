//! Policies that limit what Jobs may ask of nodes and namespaces.
//!
//! A user who can create Jobs runs containers of any image on every node. A policy limits what these may have
//! beside that, for all namespaces, and for one by its annotations: users who can write Jobs seldom can write
//! namespaces.

mod features;
mod host_paths;
mod list;
mod uses;

use std::str::FromStr;

use api::{
    labels,
    views::{self, NamespaceView},
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::runtime::reflector::ObjectRef;
use runtime::watch::Cache;

use self::uses::{Use, uses};
pub(crate) use self::{features::Features, host_paths::HostPaths};

/// Refusals that a message names, which becomes part of the Job's status.
const MAX_REFUSALS: usize = 10;

/// Limits for the Jobs of a namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Policy {
    /// The directories of nodes that they may mount.
    pub(crate) host_paths: HostPaths,
    /// The features that their pods may have.
    pub(crate) features: Features,
}

impl Policy {
    /// This policy, with what the annotations of a namespace say instead.
    fn overridden(&self, namespace: &NamespaceView) -> Result<Self, String> {
        let host_paths = annotation(namespace, labels::ANNOTATION_ALLOWED_HOST_PATHS)?;
        let features = annotation(namespace, labels::ANNOTATION_ALLOWED_POD_FEATURES)?;
        Ok(Self {
            host_paths: host_paths.unwrap_or_else(|| self.host_paths.clone()),
            features: features.unwrap_or_else(|| self.features.clone()),
        })
    }

    /// Checks whether the policy allows pods of `template`.
    ///
    /// # Errors
    /// Names the fields that ask for something that is not allowed.
    fn check(&self, template: &PodTemplateSpec) -> Result<(), String> {
        let refusal = |(field, used): (String, Use)| match used {
            Use::Feature(feature) => (!self.features.contain(feature))
                .then(|| format!("{field}: {feature} is not allowed")),
            Use::HostPath(path) => (!self.host_paths.contain(&path))
                .then(|| format!("{field}: {path:?} is none of {}", self.host_paths)),
        };
        let mut refusals: Vec<_> = uses(template).into_iter().filter_map(refusal).collect();
        if refusals.is_empty() {
            return Ok(());
        }
        let further = refusals.len().saturating_sub(MAX_REFUSALS);
        refusals.truncate(MAX_REFUSALS);
        let further = if further > 0 { format!("; and {further} more") } else { String::new() };
        Err(refusals.join("; ") + &further)
    }
}

fn annotation<T: FromStr<Err = String>>(
    namespace: &NamespaceView,
    name: &str,
) -> Result<Option<T>, String> {
    let value = views::annotation(&namespace.metadata, name).map(str::parse).transpose();
    // Its meaning is not known: nothing is allowed.
    value.map_err(|error| format!("the namespace's annotation {name}: {error}"))
}

/// The policies of all namespaces.
pub(crate) struct Policies {
    /// The policy of the cluster.
    pub(crate) default: Policy,
    /// The namespaces. None: the operator serves only one, for which `default` counts.
    pub(crate) namespaces: Option<Cache<NamespaceView>>,
}

impl Policies {
    /// Waits until namespaces are known; `false` if they never will be.
    pub(crate) async fn synced(&self) -> bool {
        match &self.namespaces {
            Some(cache) => cache.synced().await,
            None => true,
        }
    }

    /// Checks whether the policy of `namespace` allows pods of `template`.
    ///
    /// None while the namespace is not known yet.
    pub(crate) fn check(
        &self,
        namespace: &str,
        template: &PodTemplateSpec,
    ) -> Option<Result<(), String>> {
        let Some(cache) = &self.namespaces else {
            return Some(self.default.check(template));
        };
        let namespace = cache.store.get(&ObjectRef::new(namespace))?;
        Some(self.default.overridden(&namespace).and_then(|policy| policy.check(template)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde_json::json;

    fn policy(host_paths: &str, features: &str) -> Policy {
        Policy { host_paths: host_paths.parse().unwrap(), features: features.parse().unwrap() }
    }

    fn namespace(annotations: &[(&str, &str)]) -> NamespaceView {
        let annotations = annotations.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        NamespaceView {
            metadata: ObjectMeta {
                annotations: Some(annotations.collect()),
                ..ObjectMeta::default()
            },
        }
    }

    #[test]
    fn all_that_is_not_allowed_is_named() {
        let template = serde_json::from_value(json!({"spec": {
            "hostPID": true,
            "volumes": [
                {"name": "basetarget", "hostPath": {"path": "/etc"}},
                {"name": "logs", "hostPath": {"path": "/var/log/pods"}},
            ],
            "containers": [],
        }}))
        .unwrap();
        assert_eq!(policy("/**", "HostNamespaces").check(&template), Ok(()));
        assert_eq!(
            policy("/var/log/**,/tmp", "Secrets").check(&template).unwrap_err(),
            "spec.template.spec.hostPID: HostNamespaces is not allowed; \
             spec.mountPath: \"/etc\" is none of /var/log/**, /tmp"
        );
        let none = policy("", "HostNamespaces").check(&template).unwrap_err();
        assert!(
            none.contains(
                "spec.mountPath: \"/etc\" is none of the allowed directories, for there are none"
            ),
            "{none}"
        );
    }

    #[test]
    fn a_message_stays_short_whatever_is_asked_for() {
        let volume = |number: u32| json!({"name": number.to_string(), "secret": {}});
        let volumes: Vec<_> = (0..1000).map(volume).collect();
        let template = json!({"spec": {"volumes": volumes, "containers": []}});
        let template = serde_json::from_value(template).unwrap();
        let message = policy("/**", "").check(&template).unwrap_err();
        assert!(message.ends_with("; and 990 more") && message.len() < 1000, "{message}");
    }

    #[test]
    fn what_a_namespace_says_counts_in_place_of_the_default() {
        let default = policy("/tmp", "");
        assert_eq!(default.overridden(&namespace(&[])), Ok(default.clone()));
        let wider = [
            (labels::ANNOTATION_ALLOWED_HOST_PATHS, "/**"),
            (labels::ANNOTATION_ALLOWED_POD_FEATURES, "Secrets, Privileged"),
        ];
        let wider = default.overridden(&namespace(&wider));
        assert_eq!(wider, Ok(policy("/**", "Privileged,Secrets")));
        let narrower = [(labels::ANNOTATION_ALLOWED_HOST_PATHS, "")];
        assert_eq!(default.overridden(&namespace(&narrower)), Ok(policy("", "")));
    }

    #[test]
    fn an_annotation_that_is_not_understood_allows_nothing() {
        let namespace = namespace(&[(labels::ANNOTATION_ALLOWED_POD_FEATURES, "Privilege")]);
        let error = policy("/**", "Secrets").overridden(&namespace).unwrap_err();
        assert!(
            error.contains("allowed-pod-features") && error.contains("\"Privilege\""),
            "{error}"
        );
    }
}
