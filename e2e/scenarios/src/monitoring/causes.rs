//! Faults of the installation itself, which cause alerts.

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::env::ScenarioEnv;

/// The Role that allows the election of leaders.
const LEASES: &str = "daemonset-job-leases";

/// Our Deployment and its rights, to be changed and brought back.
pub(super) struct Installation<'a> {
    env: &'a ScenarioEnv<'a>,
    deployments: Api<Deployment>,
    cluster_roles: Api<ClusterRole>,
    roles: Api<Role>,
    deployment: Deployment,
    rules: Vec<PolicyRule>,
    rules_for_leases: Vec<PolicyRule>,
}

impl<'a> Installation<'a> {
    /// Reads what is there now.
    pub(super) async fn read(env: &'a ScenarioEnv<'a>) -> Result<Self> {
        let client = &env.cx.client;
        let namespace = &env.cx.deployed.namespace;
        let name = &env.cx.deployed.name;
        let deployments: Api<Deployment> = Api::namespaced((*client).clone(), namespace);
        let cluster_roles: Api<ClusterRole> = Api::all((*client).clone());
        let roles: Api<Role> = Api::namespaced((*client).clone(), namespace);
        let deployment = deployments.get(name).await?;
        let rules = cluster_roles.get(name).await?.rules.unwrap_or_default();
        let rules_for_leases = roles.get(LEASES).await?.rules.unwrap_or_default();
        Ok(Self { env, deployments, cluster_roles, roles, deployment, rules, rules_for_leases })
    }

    /// Runs so many pods, with these changes of their containers.
    pub(super) async fn run(&self, replicas: i32, change: impl Fn(&mut Value)) -> Result<()> {
        self.replace(|spec| {
            spec["replicas"] = json!(replicas);
            let containers = spec.pointer_mut("/template/spec/containers");
            let containers = containers.and_then(Value::as_array_mut).into_iter().flatten();
            containers.for_each(&change);
        })
        .await
    }

    /// Takes these verbs away for a resource, and gives all others back.
    pub(super) async fn forbid(&self, resource: &str, verbs: &[&str]) -> Result<()> {
        self.set_rules(rules_without(&self.rules, resource, verbs)).await
    }

    /// Gives all rights back to objects of the cluster.
    pub(super) async fn allow_all(&self) -> Result<()> {
        self.set_rules(self.rules.clone()).await
    }

    /// Allows the election of leaders, or forbids it.
    pub(super) async fn allow_election(&self, is_allowed: bool) -> Result<()> {
        let rules = if is_allowed { self.rules_for_leases.clone() } else { Vec::new() };
        let rules = Patch::Merge(json!({"rules": rules}));
        self.roles.patch(LEASES, &PatchParams::default(), &rules).await?;
        Ok(())
    }

    /// Brings all back to what was there at the start.
    pub(super) async fn restore(&self) -> Result<()> {
        self.allow_all().await?;
        self.allow_election(true).await?;
        self.replace(|_| ()).await?;
        self.env.cx.deployed.wait_until_available(self.env.cx.client, &self.env.wait).await
    }

    /// Replaces the Deployment by the one of the start with a change.
    async fn replace(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let name = &self.env.cx.deployed.name;
        let current = self.deployments.get(name).await?;
        let mut spec = json!(self.deployment.spec.as_ref().context("no spec")?);
        change(&mut spec);
        let mut wanted = self.deployment.clone();
        wanted.metadata.resource_version = current.metadata.resource_version;
        wanted.spec = serde_json::from_value(spec)?;
        self.deployments.replace(name, &PostParams::default(), &wanted).await?;
        Ok(())
    }

    async fn set_rules(&self, rules: Vec<PolicyRule>) -> Result<()> {
        let name = &self.env.cx.deployed.name;
        let rules = Patch::Merge(json!({"rules": rules}));
        self.cluster_roles.patch(name, &PatchParams::default(), &rules).await?;
        Ok(())
    }
}

/// Takes the variables away by which replicas elect a leader.
pub(super) fn without_election(container: &mut Value) {
    if let Some(variables) = container["env"].as_array_mut() {
        variables.retain(|variable| {
            variable["name"] != "POD_NAME" && variable["name"] != "POD_NAMESPACE"
        });
    }
}

/// Lets the terminator follow one log at a time.
pub(super) fn with_one_follower(container: &mut Value) {
    if container["name"] == "terminator"
        && let Some(variables) = container["env"].as_array_mut()
    {
        variables.push(json!({"name": "MAX_FOLLOWERS", "value": "1"}));
    }
}

fn rules_without(rules: &[PolicyRule], resource: &str, verbs: &[&str]) -> Vec<PolicyRule> {
    let is_of_it = |rule: &PolicyRule| rule.resources.iter().flatten().any(|it| it == resource);
    let mut rules = rules.to_vec();
    for rule in rules.iter_mut().filter(|rule| is_of_it(rule)) {
        rule.verbs.retain(|verb| !verbs.contains(&verb.as_str()));
    }
    // A rule without a verb is invalid.
    rules.retain(|rule| !rule.verbs.is_empty());
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(resource: &str, verbs: &[&str]) -> PolicyRule {
        PolicyRule {
            resources: Some(vec![resource.to_owned()]),
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            ..PolicyRule::default()
        }
    }

    #[test]
    fn only_the_verbs_of_one_resource_are_taken_away() {
        let rules = [rule("nodes", &["list", "watch"]), rule("pods", &["list", "patch"])];
        assert_eq!(rules_without(&rules, "nodes", &["list", "watch"]), rules[1..]);
        let fewer = rules_without(&rules, "pods", &["patch"]);
        assert_eq!(fewer, [rules[0].clone(), rule("pods", &["list"])]);
    }

    #[test]
    fn containers_are_changed_in_their_variables_alone() {
        let mut container =
            json!({"name": "terminator", "env": [{"name": "POD_NAME"}, {"name": "A"}]});
        without_election(&mut container);
        with_one_follower(&mut container);
        let one = json!({"name": "MAX_FOLLOWERS", "value": "1"});
        assert_eq!(container, json!({"name": "terminator", "env": [{"name": "A"}, one]}));
        let mut operator = json!({"name": "operator", "env": []});
        with_one_follower(&mut operator);
        assert_eq!(operator, json!({"name": "operator", "env": []}));
    }
}
