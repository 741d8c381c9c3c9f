//! Causes on nodes: what keeps their containers from running, or from succeeding.

use super::check::Check;
use crate::{
    model::{
        evidence::Evidence,
        finding::{Finding, Severity},
        nodes::{NodeRow, State},
    },
    render::{status, text},
};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "Unreachable", find: unreachable },
    Check { name: "Image", find: image },
    Check { name: "NoRoom", find: no_room },
    Check { name: "Volumes", find: volumes },
    Check { name: "Rejected", find: rejected },
    Check { name: "InitContainer", find: init_container },
    Check { name: "Restarts", find: restarts },
];

/// Names that a finding quotes.
const QUOTED: usize = 3;

const IMAGE: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "RegistryUnavailable",
    "ImageInspectError",
];
const VOLUMES: [&str; 6] = [
    "FailedMount",
    "FailedAttachVolume",
    "FailedMapVolume",
    "FailedCreatePodSandBox",
    "CreateContainerConfigError",
    "CreateContainerError",
];
const REJECTED: [&str; 6] = [
    "SysctlForbidden",
    "UnexpectedAdmissionError",
    "NodeAffinity",
    "Evicted",
    "AppArmor",
    "PodSecurity",
];
const INIT_CONTAINER: &str = "init container ";

/// The nodes that are not done and of which `is_it` is true.
fn held(evidence: &Evidence, is_it: impl Fn(&NodeRow) -> bool) -> Vec<&NodeRow> {
    let is_held =
        |node: &&NodeRow| !matches!(node.state, State::Done | State::Waiting) && is_it(node);
    evidence.model.nodes.iter().filter(is_held).collect()
}

/// Nodes with one of these reasons, but not for an init container.
fn with_reason<'e>(evidence: &'e Evidence, reasons: &[&str]) -> Vec<&'e NodeRow> {
    held(evidence, |node| {
        !is_init(node) && node.reason.as_deref().is_some_and(|reason| reasons.contains(&reason))
    })
}

fn is_init(node: &NodeRow) -> bool {
    node.message.as_deref().is_some_and(|message| message.starts_with(INIT_CONTAINER))
}

/// A finding about these nodes, with what some of them say.
fn about(nodes: &[&NodeRow], cause: &str, cure: String) -> Option<Finding> {
    if nodes.is_empty() {
        return None;
    }
    let what = format!("{}: {cause}", text::count(nodes.len(), "node"));
    let names = nodes.iter().map(|node| node.name.clone()).collect();
    let mut said: Vec<String> = Vec::new();
    for node in nodes {
        let words = status::last_words(node);
        if !words.is_empty() && !said.contains(&words) && said.len() < QUOTED {
            said.push(words);
        }
    }
    let finding = Finding::problem(what).cure(cure).nodes(names);
    Some(said.into_iter().fold(finding, Finding::quote))
}

fn unreachable(evidence: &Evidence) -> Option<Finding> {
    let nodes = held(evidence, |node| node.state == State::Unreachable);
    let until = match evidence.model.deadline_seconds {
        Some(seconds) => format!("until its deadline of {}", text::duration(seconds)),
        None => "without end, for it has no activeDeadlineSeconds".to_owned(),
    };
    let cure = format!(
        "bring the nodes back, or delete them: kubectl delete node NAME; the Job waits for them {until}"
    );
    about(&nodes, "the control plane has lost them", cure)
}

fn image(evidence: &Evidence) -> Option<Finding> {
    let cure =
        format!("fix the name {:?}, or set imagePullSecrets in template", evidence.job.spec.image);
    about(&with_reason(evidence, &IMAGE), "the image cannot be pulled", cure)
}

fn no_room(evidence: &Evidence) -> Option<Finding> {
    let nodes = held(evidence, |node| {
        let reason = node.reason.as_deref().unwrap_or_default();
        reason == "Unschedulable" || reason.starts_with("OutOf")
    });
    let cure = "lower the resources of the container in template, or free room on the nodes";
    about(&nodes, "too little room for the container's requests", cure.to_owned())
}

fn volumes(evidence: &Evidence) -> Option<Finding> {
    let cure =
        "create what is missing (ConfigMap, Secret, claim, path), or change volumes in template";
    about(&with_reason(evidence, &VOLUMES), "the kubelet cannot prepare the pod", cure.to_owned())
}

fn rejected(evidence: &Evidence) -> Option<Finding> {
    let cure = "change template so that the kubelet takes the pod, or free the node; each rejection is a failed run";
    about(
        &with_reason(evidence, &REJECTED),
        "the kubelet rejects or evicts the pods",
        cure.to_owned(),
    )
}

fn init_container(evidence: &Evidence) -> Option<Finding> {
    let cure = "fix that init container of template; each of its failures is a failed run";
    about(
        &held(evidence, is_init),
        "an init container fails before the work begins",
        cure.to_owned(),
    )
}

fn restarts(evidence: &Evidence) -> Option<Finding> {
    let limit = evidence.job.spec.backoff_limit();
    let failed = |node: &NodeRow| node.exit_code.is_some_and(|code| code != 0);
    let is_failing = |node: &NodeRow| failed(node) && !is_init(node) && node.state != State::Failed;
    let nodes = held(evidence, is_failing);
    let most = nodes.iter().filter_map(|node| node.runs).max().unwrap_or_default();
    let cause = format!(
        "the container fails, and runs again (run {most}; a node fails after {})",
        limit + 1
    );
    let name = &evidence.model.name;
    let cure = format!(
        "fix the work: kubectl dsjob logs {name} --previous; or lower backoffLimitPerNode, so that the Job reports it sooner"
    );
    let finding = about(&nodes, &cause, cure)?;
    Some(Finding { severity: Severity::Warning, ..finding })
}
