//! What our own processes may do, and how their pods and those of Jobs are confined.

pub(crate) mod network_policy;
pub(crate) mod pod_security;

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};
use api::labels;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::watcher;

use harness::wait::{Objects, State};
use testbed::deploy::Deployed;

use crate::support::env::ScenarioEnv;

/// What `kubectl auth can-i --list` says of our service account and not of others.
const ALLOWED: &str = include_str!("allowed.txt");

/// Rights to the Leases of the election, in the operator's own namespace.
const LEASES: &str = include_str!("allowed-leases.txt");

/// The same for one namespace, whose kustomization does not know the names of the Leases.
const LEASES_WITHOUT_NAMES: &str = "leases.coordination.k8s.io [] [] [get update create]";

/// What is left to them where they have nothing to do, when they have one namespace only.
const ELSEWHERE: &str = include_str!("allowed-elsewhere.txt");

/// A service account that was given nothing.
const STRANGER: &str = "stranger";

/// A user who may edit a namespace.
const EDITOR: &str = "editor";

/// What would make more of the operator than it is: verb, resource, subresource.
const NEVER: [[&str; 3]; 9] = [
    ["get", "secrets", ""],
    ["list", "secrets", ""],
    ["get", "configmaps", ""],
    ["create", "pods", ""],
    ["create", "pods", "exec"],
    ["get", "pods", "exec"],
    ["create", "pods", "attach"],
    ["create", "serviceaccounts", "token"],
    ["create", "clusterrolebindings.rbac.authorization.k8s.io", ""],
];

/// The service account may do what the lists beside this file say, and no more.
pub(crate) async fn are_those_that_are_listed(env: &ScenarioEnv<'_>) -> Result<()> {
    let ours = &env.cx.deployed.namespace;
    let allowed = |namespace: &str| match namespace == ours {
        true => format!("{ALLOWED}\n{LEASES}"),
        false => ALLOWED.to_owned(),
    };
    are_listed(env, env.cx.deployed, allowed).await
}

/// In one namespace it may do what it otherwise may everywhere, but read namespaces.
pub(crate) async fn of_one_namespace(env: &ScenarioEnv<'_>, deployed: &Deployed) -> Result<()> {
    let here = ALLOWED.lines().filter(|rule| !rule.starts_with("namespaces "));
    let here = here.chain([LEASES_WITHOUT_NAMES]).collect::<Vec<_>>().join("\n");
    let allowed = |namespace: &str| match namespace == deployed.namespace {
        true => here.clone(),
        false => ELSEWHERE.to_owned(),
    };
    are_listed(env, deployed, allowed).await
}

/// Sees in some namespaces that the service account may do what is listed for each, and no more.
async fn are_listed(
    env: &ScenarioEnv<'_>,
    deployed: &Deployed,
    listed: impl Fn(&str) -> String,
) -> Result<()> {
    let mut stranger = ServiceAccount::default();
    stranger.metadata.name = Some(STRANGER.to_owned());
    env.api::<ServiceAccount>().create(&PostParams::default(), &stranger).await?;
    let stranger = user(env.namespace(), STRANGER);
    let ours = ours(env, deployed).await?;
    for namespace in [env.namespace(), &env.cx.deployed.namespace, "kube-system"] {
        let everyone = rules(env, &stranger, namespace).await?;
        let actual = rules(env, &ours, namespace).await?;
        let difference = difference(&listed(namespace), &actual, &everyone);
        ensure!(
            difference.is_empty(),
            "in {namespace} the rights are not those that are listed (+ has more, - has less):\n{difference}"
        );
        for [verb, resource, subresource] in NEVER {
            let subresource = format!("--subresource={subresource}");
            let can_i = ["auth", "can-i", verb, resource, &subresource];
            let answer = ask(env, &can_i, &ours, namespace).await?;
            // Beside warnings: some resources have no namespace.
            let is_no = answer.lines().any(|line| line == "no");
            ensure!(is_no, "may {verb} {resource} {subresource} in {namespace}: {answer}");
        }
    }
    let secrets = ask(env, &["get", "secrets"], &ours, "kube-system").await?;
    ensure!(secrets.contains("(Forbidden)"), "Secrets are not kept from it: {secrets}");
    Ok(())
}

/// Who may edit a namespace sees its Jobs, and changes nothing about them: that is given by choice.
pub(crate) async fn of_editors_end_at_jobs(env: &ScenarioEnv<'_>) -> Result<()> {
    let binding = ["create", "rolebinding", EDITOR, "--clusterrole=edit", "--user", EDITOR];
    env.kubectl(&binding, "").await?;
    // A controller puts the rules of this one together.
    let edit = watcher::Config::default().fields("metadata.name=edit");
    let roles: Api<ClusterRole> = Api::all(env.cx.client.clone());
    env.wait
        .watch(roles, edit, "ClusterRole edit with Jobs", |roles: &Objects<ClusterRole>| {
            let rules = roles.values().flat_map(|role| role.rules.iter().flatten());
            let mut groups = rules.flat_map(|rule| rule.api_groups.iter().flatten());
            let is_there = groups.any(|group| group == labels::GROUP);
            State::of(is_there.then_some(()), || "no rule for them".to_owned())
        })
        .await?;
    for (verb, expected) in
        [("list", "yes"), ("create", "no"), ("update", "no"), ("patch", "no"), ("delete", "no")]
    {
        let can_i = ["auth", "can-i", verb, "jobs.daemonset.darkowlzz.space"];
        let answer = ask(env, &can_i, EDITOR, env.namespace()).await?;
        let is_expected = answer.lines().any(|line| line == expected);
        ensure!(is_expected, "whether an editor may {verb} Jobs: {answer}");
    }
    Ok(())
}

/// The user that our processes are.
async fn ours(env: &ScenarioEnv<'_>, deployed: &Deployed) -> Result<String> {
    let pods = deployed.pods(env.cx.client).await?;
    let accounts: BTreeSet<_> =
        pods.iter().filter_map(|pod| pod.spec.as_ref()?.service_account_name.as_deref()).collect();
    match accounts.iter().collect::<Vec<_>>()[..] {
        [account] => Ok(user(&deployed.namespace, account)),
        _ => bail!("our pods have the service accounts {accounts:?}, and one is expected"),
    }
}

fn user(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

/// The rules that hold for a user, one a line.
async fn rules(env: &ScenarioEnv<'_>, user: &str, namespace: &str) -> Result<String> {
    let list = ["auth", "can-i", "--list", "--no-headers"];
    ask(env, &list, user, namespace).await
}

/// What kubectl says to this user, or of it, whether it is a refusal or not.
async fn ask(env: &ScenarioEnv<'_>, args: &[&str], user: &str, namespace: &str) -> Result<String> {
    let identity = ["--as", user, "--namespace", namespace];
    let command = env.cx.cluster.kubectl(args.iter().chain(&identity)).name("kubectl-as");
    match command.run(env.cx.logs).await {
        Ok(output) => Ok(output.text()),
        Err(error) if error.code().is_some() => Ok(error.tail.join("\n")),
        Err(error) => Err(error.into()),
    }
}

/// How `actual`, less the rights of everyone, differs from what is listed.
fn difference(listed: &str, actual: &str, everyone: &str) -> String {
    let everyone = normalized(everyone);
    let listed = normalized(listed);
    let actual: BTreeSet<_> = normalized(actual).difference(&everyone).cloned().collect();
    let more = actual.difference(&listed).map(|rule| format!("+ {rule}"));
    let less = listed.difference(&actual).map(|rule| format!("- {rule}"));
    more.chain(less).collect::<Vec<_>>().join("\n")
}

/// Rules without the white space that makes columns of them, and without comments.
fn normalized(rules: &str) -> BTreeSet<String> {
    rules
        .lines()
        .filter(|rule| !rule.starts_with('#'))
        .map(|rule| rule.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|rule| !rule.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYONE: &str = "selfsubjectaccessreviews   []   []   [create]\n";

    #[test]
    fn rules_are_compared_whatever_their_order_and_columns() {
        let listed = "# Comment\npods [] [] [list watch]\nnodes [] [] [list]\n";
        let actual = format!("nodes      [] [] [list]\n{EVERYONE}pods  []  []  [list watch]");
        assert_eq!(difference(listed, &actual, EVERYONE), "");
    }

    #[test]
    fn a_right_too_much_or_too_little_is_told() {
        let actual = format!("{EVERYONE}secrets [] [] [get]\n");
        let difference = difference("pods [] [] [list]\n", &actual, EVERYONE);
        assert_eq!(difference, "+ secrets [] [] [get]\n- pods [] [] [list]");
    }
}
