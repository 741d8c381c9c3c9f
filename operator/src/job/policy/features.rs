//! Features of pods that a policy allows.

use std::{collections::BTreeSet, fmt, str::FromStr};

use super::list::items;

/// A way for a container out of its namespace or its isolation from the node.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Feature {
    /// `hostNetwork`, `hostPID`, `hostIPC` and `hostPort`.
    HostNamespaces,
    /// All else that the baseline Pod Security Standard forbids.
    ///
    /// That is `privileged`, capabilities beyond the usual ones, `sysctls`, SELinux options, no seccomp or AppArmor
    /// profile. Volumes of the node are not a feature: [`HostPaths`](super::HostPaths) limit them.
    /// <https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline>
    Privileged,
    /// Secrets of the namespace, in volumes or variables, but not to pull images.
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
    pub(crate) fn all() -> Self {
        Self(Feature::ALL.into())
    }

    pub(super) fn contain(&self, feature: Feature) -> bool {
        self.0.contains(&feature)
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
        items(text).map(feature).collect::<Result<_, _>>().map(Self)
    }
}
