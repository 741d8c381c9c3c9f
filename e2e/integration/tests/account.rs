//! A service account with the rights of `deploy/`, some of which are taken away for a while.

use anyhow::Result;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};
use kube::api::DeleteParams;
use serde_json::json;
use testbed::manifests;

use crate::test::{Test, create, merge, settle};

/// The account. The ClusterRole with its rights has the name of the test's namespace.
pub(crate) const NAME: &str = "restricted";

/// An account in the namespace of a test.
pub(crate) struct Account<'t> {
    cx: &'t Test,
    rules: Vec<PolicyRule>,
}

impl<'t> Account<'t> {
    /// Makes one that has all rights.
    pub(crate) async fn create(cx: &'t Test) -> Result<Self> {
        let deployed = cx.all::<ClusterRole>().get("daemonset-job").await?;
        let this = Self { cx, rules: deployed.rules.unwrap_or_default() };
        cx.create::<ServiceAccount>(json!({"metadata": {"name": NAME}})).await?;
        let role = json!({"metadata": {"name": cx.namespace}, "rules": this.rules});
        create(&cx.all::<ClusterRole>(), role).await?;
        let (role, namespace) = (&cx.namespace, &cx.namespace);
        let binding = manifests::binding(role, "ClusterRole", role, namespace, NAME);
        create(&cx.all::<ClusterRoleBinding>(), binding).await?;
        Ok(this)
    }

    /// A kubeconfig of it.
    pub(crate) async fn kubeconfig(&self) -> Result<String> {
        let control_plane = &self.cx.cluster.control_plane;
        control_plane.service_account_kubeconfig(&self.cx.namespace, NAME).await
    }

    /// Takes verbs away, each list for a resource.
    pub(crate) async fn forbid(&self, forbidden: &[(&str, &[&str])]) -> Result<()> {
        let mut rules = self.rules.clone();
        for rule in &mut rules {
            for (resource, verbs) in forbidden {
                if rule.resources.iter().flatten().any(|it| it == resource) {
                    rule.verbs.retain(|verb| !verbs.contains(&verb.as_str()));
                }
            }
        }
        // A rule without a verb is invalid.
        rules.retain(|rule| !rule.verbs.is_empty());
        self.set(&rules).await
    }

    /// Gives all rights back.
    pub(crate) async fn allow_all(&self) -> Result<()> {
        self.set(&self.rules).await
    }

    /// Removes what is not in the namespace.
    pub(crate) async fn delete(self) -> Result<()> {
        let (name, params) = (&self.cx.namespace, DeleteParams::default());
        self.cx.all::<ClusterRoleBinding>().delete(name, &params).await?;
        self.cx.all::<ClusterRole>().delete(name, &params).await?;
        Ok(())
    }

    async fn set(&self, rules: &[PolicyRule]) -> Result<()> {
        let roles = self.cx.all::<ClusterRole>();
        merge(&roles, &self.cx.namespace, json!({"rules": rules})).await?;
        // The API server takes a moment to notice.
        settle().await;
        Ok(())
    }
}
