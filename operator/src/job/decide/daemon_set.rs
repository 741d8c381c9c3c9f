//! The DaemonSet that a Job asks for.

use std::collections::BTreeMap;

use api::{
    job::{CompletionMode, JobSpec, Refusal, template},
    labels,
    views::DaemonSetView,
};
use k8s_openapi::{
    DeepMerge,
    api::{
        apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, RollingUpdateDaemonSet},
        core::v1::{
            Capabilities, Container, HostPathVolumeSource, PodReadinessGate, PodSchedulingGate,
            PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile, SecurityContext,
            Toleration, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};

use super::job_view::JobView;

/// The container that keeps a pod of an `ExitCode` Job there when its work is done.
const IDLE_CONTAINER: &str = "idle";

/// The user of the idle container, and of all our images.
///
/// It runs as this one, whatever user the template sets for the pod.
const IDLE_USER: i64 = 65532;

/// Resources that the idle container has as the job container: those that quotas, LimitRanges and QoS look at.
const IDLE_RESOURCES: [&str; 2] = ["cpu", "memory"];

/// A decision about the DaemonSet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum DaemonSetAction {
    /// Leave it as it is.
    Keep,
    /// Create it.
    Create(Gating),
    /// Give the one with this UID the work that the Job has now.
    Update(String, Gating),
    /// Make the one with this UID what the Job asks for, whoever has edited it.
    ///
    /// The work stays the same.
    Restore(String, Gating),
    /// Delete the one with this UID: the Job is finished.
    Delete(String),
    /// Delete the one with this UID in the foreground: the Job is suspended.
    ///
    /// It is there until its pods are gone, so that no other takes its name before.
    Stop(String),
}

/// Whether the pods of a DaemonSet start by themselves.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) enum Gating {
    /// They do.
    #[default]
    None,
    /// Each waits for its node's turn: the operator removes its gate then.
    Turn,
}

impl Gating {
    /// That of a DaemonSet as it is.
    pub(crate) fn of(daemon_set: &DaemonSetView) -> Self {
        if daemon_set.gates.turn { Self::Turn } else { Self::None }
    }
}

/// The DaemonSet for `job` with the fields that we set, made for server-side apply.
///
/// Pods of `ExitCode` Jobs idle on `pause_image` when their work is done.
///
/// # Errors
/// When the template of the Job cannot be read; see [`api::job::validation`].
pub(crate) fn desired(
    job: &JobView<'_>,
    pause_image: &str,
    gating: Gating,
) -> Result<DaemonSet, Refusal> {
    let labels = BTreeMap::from([
        (labels::LABEL_DAEMON_SET.to_owned(), labels::label_value(&job.daemon_set)),
        (labels::LABEL_JOB.to_owned(), labels::label_value(job.name)),
        (labels::LABEL_DAEMON_SET_JOB.to_owned(), "true".to_owned()),
    ]);
    let work_hash = (labels::ANNOTATION_WORK_HASH.to_owned(), job.work_hash.clone());
    let uid = (labels::ANNOTATION_JOB_UID.to_owned(), job.uid.to_owned());
    let word = job.spec.termination_word.clone();
    let word = word.map(|word| (labels::ANNOTATION_TERMINATION_WORD.to_owned(), word));
    // The name alone: a selector cannot be changed later.
    let selector = labels.iter().filter(|(key, _)| *key == labels::LABEL_DAEMON_SET);
    let selector = selector.map(|(key, value)| (key.clone(), value.clone())).collect();

    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels.clone()),
            annotations: Some([work_hash.clone(), uid].into_iter().chain(word).collect()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec { scheduling_gates: gates(gating), ..pod(job.spec, pause_image) }),
    };
    if let Some(overlay) = &job.spec.template {
        merge(&mut template, template::parse(overlay)?, job.spec.completion_mode);
    }
    if let Some(spec) = &mut template.spec {
        limit_idle(spec);
    }
    Ok(DaemonSet {
        metadata: ObjectMeta {
            name: Some(job.daemon_set.clone()),
            namespace: job.metadata.namespace.clone(),
            labels: Some(inherited(job.labels(), labels)),
            annotations: Some(inherited(job.annotations(), [work_hash])),
            owner_references: job.owner_reference().map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(DaemonSetSpec {
            selector: LabelSelector { match_labels: Some(selector), ..LabelSelector::default() },
            // A completed pod is ready and others are not, which counts as unavailable: any smaller
            // number would leave the completed nodes to the end when the work changes.
            update_strategy: Some(DaemonSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDaemonSet {
                    max_unavailable: Some(IntOrString::String("100%".to_owned())),
                    ..RollingUpdateDaemonSet::default()
                }),
            }),
            template,
            ..DaemonSetSpec::default()
        }),
        status: None,
    })
}

/// What a DaemonSet has of its Job, and what is the operator's own.
fn inherited<'j>(
    of_job: impl Iterator<Item = (&'j String, &'j String)>,
    own: impl IntoIterator<Item = (String, String)>,
) -> BTreeMap<String, String> {
    of_job.map(|(key, value)| (key.clone(), value.clone())).chain(own).collect()
}

fn gates(gating: Gating) -> Option<Vec<PodSchedulingGate>> {
    match gating {
        Gating::None => None,
        Gating::Turn => Some(vec![PodSchedulingGate { name: labels::TURN_GATE.to_owned() }]),
    }
}

fn pod(spec: &JobSpec, pause_image: &str) -> PodSpec {
    let volume = |path: &String| Volume {
        name: labels::BASE_TARGET_VOLUME.to_owned(),
        host_path: Some(HostPathVolumeSource { path: path.clone(), type_: None }),
        ..Volume::default()
    };
    let mount = |_: &String| VolumeMount {
        name: labels::BASE_TARGET_VOLUME.to_owned(),
        mount_path: labels::BASE_TARGET_PATH.to_owned(),
        ..VolumeMount::default()
    };
    let worker = Container {
        name: labels::JOB_CONTAINER.to_owned(),
        image: Some(spec.image.clone()),
        command: non_empty(&spec.command),
        args: non_empty(&spec.args),
        volume_mounts: spec.mount_path.as_ref().map(mount).map(|mount| vec![mount]),
        // So that the last lines of a container that fails reach the status of the Job.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    };
    let pod = PodSpec {
        volumes: spec.mount_path.as_ref().map(volume).map(|volume| vec![volume]),
        node_selector: Some(BTreeMap::from([("kubernetes.io/os".to_owned(), "linux".to_owned())])),
        // Every node means every node: the control plane's taints are tolerated too.
        tolerations: Some(vec![Toleration {
            operator: Some("Exists".to_owned()),
            ..Toleration::default()
        }]),
        ..PodSpec::default()
    };
    match spec.completion_mode {
        CompletionMode::TerminationWord => PodSpec {
            containers: vec![worker],
            readiness_gates: Some(vec![PodReadinessGate {
                condition_type: labels::POD_COMPLETED.to_owned(),
            }]),
            ..pod
        },
        // The pod is ready when its init containers are done: it needs no gate.
        CompletionMode::ExitCode => PodSpec {
            init_containers: Some(vec![worker]),
            containers: vec![idle(pause_image)],
            ..pod
        },
    }
}

/// The container that idles, for the kubelet restarts whatever exits.
///
/// It keeps to the restricted Pod Security Standard, so that only the work decides whether a namespace takes the
/// pod.
fn idle(image: &str) -> Container {
    Container {
        name: IDLE_CONTAINER.to_owned(),
        image: Some(image.to_owned()),
        args: Some(vec!["pause".to_owned()]),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            run_as_user: Some(IDLE_USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

/// Merges `overlay` into `template` as kubectl merges a strategic merge patch.
///
/// Two things differ: the node selector is merged key by key, and the job container is found in either mode.
fn merge(template: &mut PodTemplateSpec, mut overlay: PodTemplateSpec, mode: CompletionMode) {
    if let Some(overlay) = &mut overlay.spec {
        let defaults = template.spec.as_ref().and_then(|spec| spec.node_selector.clone());
        if let Some(selector) = &mut overlay.node_selector {
            for (key, value) in defaults.into_iter().flatten() {
                selector.entry(key).or_insert(value);
            }
        }
        if mode == CompletionMode::ExitCode {
            let (workers, others) = std::mem::take(&mut overlay.containers)
                .into_iter()
                .partition(|container| container.name == labels::JOB_CONTAINER);
            overlay.containers = others;
            overlay.init_containers.get_or_insert_default().splice(0..0, workers);
        }
    }
    template.merge_from(overlay);
    // The other init containers prepare the work.
    let init_containers = template.spec.as_mut().and_then(|spec| spec.init_containers.as_mut());
    if let Some(containers) = init_containers {
        containers.sort_by_key(|container| container.name == labels::JOB_CONTAINER);
    }
}

/// Gives the idle container the CPU and memory of the job container, unless the template sets its own.
///
/// Then quotas and LimitRanges take or refuse the pod for the work's sake alone, its QoS class stays that of the
/// work, and it requests no more: init containers and containers never run at the same time, and Kubernetes
/// adds up the larger of the two.
/// <https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers>
fn limit_idle(spec: &mut PodSpec) {
    let worker = spec.init_containers.iter().flatten();
    let mut worker = worker.filter(|container| container.name == labels::JOB_CONTAINER);
    let Some(resources) = worker.next().and_then(|worker| worker.resources.as_ref()) else {
        return;
    };
    let own = |of: &Option<BTreeMap<String, Quantity>>| {
        let mut own = of.clone().unwrap_or_default();
        own.retain(|name, _| IDLE_RESOURCES.contains(&name.as_str()));
        Some(own).filter(|own| !own.is_empty())
    };
    let (limits, requests) = (own(&resources.limits), own(&resources.requests));
    let idle = spec.containers.iter_mut().find(|container| container.name == IDLE_CONTAINER);
    if let Some(idle) = idle.filter(|idle| idle.resources.is_none())
        && (limits.is_some() || requests.is_some())
    {
        idle.resources = Some(ResourceRequirements { limits, requests, claims: None });
    }
}

fn non_empty(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}

#[cfg(test)]
mod tests;
