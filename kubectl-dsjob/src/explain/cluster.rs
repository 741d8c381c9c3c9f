//! Causes outside the Job: the operator, the API server, those who edit the Job's DaemonSet.

use api::job::{
    Phase,
    conditions::{DAEMON_SET_EDITED, FAILED, Reason},
};

use super::check::Check;
use crate::{
    model::{
        evidence::{Evidence, Known},
        finding::Finding,
        installation::OLDEST,
    },
    render::text,
};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "OldApiServer", find: old_api_server },
    Check { name: "NoOperator", find: no_operator },
    Check { name: "OldDaemonSet", find: old_daemon_set },
    Check { name: "InvalidSpec", find: invalid_spec },
    Check { name: "DaemonSetRefused", find: daemon_set_refused },
    Check { name: "NameConflict", find: name_conflict },
    Check { name: "WriteRefused", find: write_refused },
    Check { name: "DaemonSetEdited", find: daemon_set_edited },
    Check { name: "RefusedPods", find: refused_pods },
    Check { name: "Deletion", find: deletion },
];

/// Seconds for the operator to look at a Job, or for Kubernetes to delete it.
const PATIENCE: i64 = 5;

fn old_api_server(evidence: &Evidence) -> Option<Finding> {
    let (major, minor) = evidence.api_version.filter(|version| *version < OLDEST)?;
    let cause =
        format!("The API server is Kubernetes {major}.{minor}; daemonset-job needs 1.31 or later");
    Some(Finding::problem(cause).cure("upgrade the cluster"))
}

fn no_operator(evidence: &Evidence) -> Option<Finding> {
    let model = &evidence.model;
    if evidence.is_current() || model.created? > evidence.now - PATIENCE.seconds() {
        return None;
    }
    let what = match model.phase {
        None => "No operator has looked at the Job",
        Some(_) => "No operator has looked at the last change of the Job",
    };
    let namespace = &model.namespace;
    let finding = match &evidence.operator {
        Known::No(why) => Finding::problem(format!("{what}; whether one runs is not known: {why}"))
            .cure("ask an administrator: kubectl --namespace daemonset-job-system get pods"),
        Known::Yes(pods) if pods.is_empty() => Finding::problem(format!("{what}: none is installed, or its Deployment has no pods"))
            .cure("kubectl --namespace daemonset-job-system get deployments,pods; kubectl dsjob check says what is missing"),
        Known::Yes(pods) => match pods.iter().find(|pod| pod.is_ready) {
            None => {
                let pod = pods.first()?;
                let finding = Finding::problem(format!("{what}: the operator is not ready"));
                let cure = format!("kubectl --namespace {} logs {} --all-containers", pod.namespace, pod.name);
                pod.trouble.iter().fold(finding.cure(cure), |finding, trouble| finding.quote(trouble))
            }
            Some(pod) => match pod.watches.as_deref().filter(|watched| watched != namespace) {
                Some(watched) => Finding::problem(format!("{what}: the operator handles namespace {watched:?} alone, and the Job is in {namespace:?}"))
                    .cure("create the Job there, or install an operator for this namespace"),
                None => Finding::problem(format!("{what}, though it is ready"))
                    .cure(format!("kubectl --namespace {} logs {} --container operator", pod.namespace, pod.name)),
            },
        },
    };
    Some(finding)
}

fn old_daemon_set(evidence: &Evidence) -> Option<Finding> {
    let set = evidence.daemon_set.yes()?.as_ref()?;
    let since = set.deleted?;
    let is_earlier = set.job.as_deref() != Some(evidence.model.uid.as_str());
    let is_pending = evidence.model.phase == Some(Phase::Pending);
    if !is_earlier || !is_pending {
        return None;
    }
    let cause = format!(
        "Kubernetes is still deleting the DaemonSet {} of an earlier Job of this name, for {}",
        set.name,
        text::since(since, evidence.now)
    );
    Some(
        Finding::warning(cause)
            .cure("wait; a pod on a lost node holds it up until the node is back or deleted"),
    )
}

fn invalid_spec(evidence: &Evidence) -> Option<Finding> {
    let message = reason(evidence, Reason::InvalidSpec)?;
    let cure = match () {
        () if message.contains("duplicate name") => "remove one of the two items with this key",
        () if message.contains("quantities must match") => {
            "write the quantity as 64M, 64Mi, 1.5 or 1500m"
        }
        () if message.contains("not allowed") || message.contains("is none of") => {
            "have the feature allowed for this namespace (SECURITY.md), or do without it"
        }
        () => "fix the field with kubectl edit dsjob; the condition lifts by itself",
    };
    Some(Finding::problem("A field of the Job is invalid").quote(message).cure(cure))
}

fn daemon_set_refused(evidence: &Evidence) -> Option<Finding> {
    let message = reason(evidence, Reason::DaemonSetRefused)?;
    let cure = "remove the cause: the operator tries again, once a minute in the end, and the condition lifts";
    Some(
        Finding::problem("The API server does not accept the Job's DaemonSet")
            .quote(message)
            .cure(cure),
    )
}

fn name_conflict(evidence: &Evidence) -> Option<Finding> {
    let message = reason(evidence, Reason::NameConflict)?;
    let cure = "rename the Job, or delete that DaemonSet; the operator never changes it";
    Some(
        Finding::problem("The DaemonSet of this name belongs to somebody else")
            .quote(message)
            .cure(cure),
    )
}

fn write_refused(evidence: &Evidence) -> Option<Finding> {
    let event = evidence.event("WriteRefused")?;
    let cure =
        "most often a right of the operator is missing, or an admission webhook denies the write";
    Some(
        Finding::problem("The API server refuses what the operator writes")
            .quote(&event.message)
            .cure(cure),
    )
}

fn daemon_set_edited(evidence: &Evidence) -> Option<Finding> {
    let message = &evidence.condition(DAEMON_SET_EDITED)?.message;
    let cure = match message.contains("admission webhook sets") {
        true => "exempt the Job's DaemonSet from that webhook or policy",
        false => {
            "have that tool leave the DaemonSet alone: labels and annotations of the Job reach it, such as one that excludes it"
        }
    };
    Some(
        Finding::warning("Somebody edits the Job's DaemonSet, and the operator puts it back")
            .quote(message)
            .cure(cure),
    )
}

fn refused_pods(evidence: &Evidence) -> Option<Finding> {
    let missing = evidence.model.counts.missing;
    if missing == 0 || evidence.is_ended() {
        return None;
    }
    let nodes = text::count(usize::try_from(missing).unwrap_or(0), "node");
    let cause = format!("{nodes} should have a pod and have none");
    Some(match (evidence.event("FailedCreate"), &evidence.events) {
        (Some(event), _) => Finding::problem(cause + ": the API server refuses the pods")
            .quote(&event.message)
            .cure("raise the quota, create what is missing, or choose a namespace whose Pod Security level allows the template"),
        (None, Known::No(why)) => Finding::warning(format!("{cause}; why is not known: {why}"))
            .cure(format!("kubectl --namespace {} get events", evidence.model.namespace)),
        (None, Known::Yes(_)) => Finding::info(cause + " yet: Kubernetes creates them"),
    })
}

fn deletion(evidence: &Evidence) -> Option<Finding> {
    let since = evidence.job.metadata.deletion_timestamp.as_ref()?.0;
    if since > evidence.now - PATIENCE.seconds() {
        return Some(Finding::info("The Job is being deleted"));
    }
    let finalizers = evidence.job.metadata.finalizers.clone().unwrap_or_default();
    let foreign: Vec<_> = finalizers.iter().filter(|it| *it != "foregroundDeletion").collect();
    let age = text::since(since, evidence.now);
    Some(match foreign.first() {
        Some(finalizer) => Finding::problem(format!(
            "The Job is being deleted for {age}: the finalizer {finalizer:?} holds it"
        ))
        .cure("ask the owner of that finalizer; nothing of daemonset-job sets one"),
        None => Finding::warning(format!(
            "The Job is being deleted for {age}: Kubernetes waits for its pods"
        ))
        .cure("a pod on a lost node goes when the node is back or deleted"),
    })
}

/// The message of the condition Failed with this reason.
fn reason(evidence: &Evidence, reason: Reason) -> Option<&str> {
    let condition = evidence.condition(FAILED)?;
    (Reason::of(condition) == Some(reason)).then_some(condition.message.as_str())
}

trait Seconds {
    fn seconds(self) -> std::time::Duration;
}

impl Seconds for i64 {
    fn seconds(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.unsigned_abs())
    }
}
