//! What Jobs may ask of nodes and namespaces.
//!
//! Who can create a Job runs containers of any image on every node. What these may have beside that is
//! limited here, for all namespaces, and for a namespace by its annotations: those who may write Jobs
//! seldom may write namespaces.

mod host_paths;
mod uses;

use std::{collections::BTreeSet, fmt, str::FromStr};

use api::{
    names,
    runtime::Cache,
    views::{self, NamespaceView},
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::runtime::reflector::ObjectRef;

pub use self::host_paths::HostPaths;
use self::uses::{Use, uses};

/// Refusals that a message names: it becomes part of the Job's status.
const NAMED: usize = 10;

/// What lets a container reach beyond its namespace and its node's isolation.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Feature {
    /// `hostNetwork`, `hostPID`, `hostIPC` and `hostPort`.
    HostNamespaces,
    /// What else the baseline Pod Security Standard forbids, but for volumes of the node: `privileged`,
    /// capabilities beyond the usual ones, `sysctls`, SELinux options, no seccomp or AppArmor profile.
    /// <https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline>
    Privileged,
    /// Secrets of the namespace, in volumes or variables. Those for pulling images are none.
    Secrets,
    /// Another service account than the namespace's default one.
    ServiceAccount,
}

impl Feature {
    const ALL: [Self; 4] =
        [Self::HostNamespaces, Self::Privileged, Self::Secrets, Self::ServiceAccount];
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A set of [`Feature`]s, separated by commas.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Features(BTreeSet<Feature>);

impl Features {
    /// Every one.
    #[must_use]
    pub fn all() -> Self {
        Self(Feature::ALL.into())
    }
}

impl FromStr for Features {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let feature = |name: &str| {
            Feature::ALL.into_iter().find(|feature| feature.to_string() == name).ok_or_else(|| {
                let all = Feature::ALL.map(|feature| feature.to_string()).join(", ");
                format!("{name:?} is none of {all}")
            })
        };
        list(text).map(feature).collect::<Result<_, _>>().map(Self)
    }
}

/// What Jobs may ask for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// The directories of nodes that they may mount.
    pub host_paths: HostPaths,
    /// What their pods may have.
    pub features: Features,
}

impl Policy {
    /// What `annotations` of a namespace say instead.
    fn overridden(&self, namespace: &NamespaceView) -> Result<Self, String> {
        let host_paths = annotation(namespace, names::ANNOTATION_ALLOWED_HOST_PATHS)?;
        let features = annotation(namespace, names::ANNOTATION_ALLOWED_POD_FEATURES)?;
        Ok(Self {
            host_paths: host_paths.unwrap_or_else(|| self.host_paths.clone()),
            features: features.unwrap_or_else(|| self.features.clone()),
        })
    }

    /// Whether pods may be made of `template`.
    ///
    /// # Errors
    /// When not: which fields ask for what is not allowed.
    pub fn check(&self, template: &PodTemplateSpec) -> Result<(), String> {
        let refusal = |(field, used): (String, Use)| match used {
            Use::Feature(feature) => (!self.features.0.contains(&feature))
                .then(|| format!("{field}: {feature} is not allowed")),
            Use::HostPath(path) => (!self.host_paths.contain(&path))
                .then(|| format!("{field}: {path:?} is none of {}", self.host_paths)),
        };
        let mut refusals: Vec<_> = uses(template).into_iter().filter_map(refusal).collect();
        if refusals.is_empty() {
            return Ok(());
        }
        let further = refusals.len().saturating_sub(NAMED);
        refusals.truncate(NAMED);
        let further = if further > 0 { format!("; and {further} more") } else { String::new() };
        Err(refusals.join("; ") + &further)
    }
}

fn annotation<T: FromStr<Err = String>>(
    namespace: &NamespaceView,
    name: &str,
) -> Result<Option<T>, String> {
    let value = views::annotation(&namespace.metadata, name).map(str::parse).transpose();
    // What is meant is not known: nothing is allowed.
    value.map_err(|error| format!("the namespace's annotation {name}: {error}"))
}

/// The policies of all namespaces.
pub(crate) struct Policies {
    /// That of the cluster.
    pub(crate) default: Policy,
    /// The namespaces, unless only one is served, for which `default` is meant.
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

    /// Whether pods may be made of `template` in `namespace`. None while the namespace is not known yet.
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

/// The items of a list that is written in one string.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
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
            (names::ANNOTATION_ALLOWED_HOST_PATHS, "/**"),
            (names::ANNOTATION_ALLOWED_POD_FEATURES, "Secrets, Privileged"),
        ];
        let wider = default.overridden(&namespace(&wider));
        assert_eq!(wider, Ok(policy("/**", "Privileged,Secrets")));
        let narrower = [(names::ANNOTATION_ALLOWED_HOST_PATHS, "")];
        assert_eq!(default.overridden(&namespace(&narrower)), Ok(policy("", "")));
    }

    #[test]
    fn an_annotation_that_is_not_understood_allows_nothing() {
        let namespace = namespace(&[(names::ANNOTATION_ALLOWED_POD_FEATURES, "Privilege")]);
        let error = policy("/**", "Secrets").overridden(&namespace).unwrap_err();
        assert!(
            error.contains("allowed-pod-features") && error.contains("\"Privilege\""),
            "{error}"
        );
    }
}
