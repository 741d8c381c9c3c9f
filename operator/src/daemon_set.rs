//! The DaemonSet that a Job asks for.

use std::collections::BTreeMap;

use api::{
    names,
    template::{self, Refusal},
    v1beta1::{CompletionMode, Job},
    work,
};
use k8s_openapi::{
    DeepMerge,
    api::{
        apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, RollingUpdateDaemonSet},
        core::v1::{
            Capabilities, Container, HostPathVolumeSource, PodReadinessGate, PodSpec,
            PodTemplateSpec, SeccompProfile, SecurityContext, Toleration, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use kube::{Resource, ResourceExt};

/// The container that keeps a pod of an `ExitCode` Job there when its work is done.
const IDLE_CONTAINER: &str = "idle";

/// The user that it runs as, whatever the template sets for the pod: the one of our images.
const IDLE_USER: i64 = 65532;

/// The DaemonSet for `job`, as far as we have an opinion of it: made for server-side apply. Pods of
/// `ExitCode` Jobs idle on `pause_image` when their work is done.
///
/// # Errors
/// When the template of the Job cannot be read; see [`api::validation`].
pub fn desired(job: &Job, pause_image: &str) -> Result<DaemonSet, Refusal> {
    let job_name = job.name_any();
    let name = names::daemon_set(&job_name);
    let labels = BTreeMap::from([
        (names::LABEL_DAEMON_SET.to_owned(), names::label_value(&name)),
        (names::LABEL_JOB.to_owned(), names::label_value(&job_name)),
        (names::LABEL_DAEMON_SET_JOB.to_owned(), "true".to_owned()),
    ]);
    let work_hash = (names::ANNOTATION_WORK_HASH.to_owned(), work::hash(&job.spec));
    let word = job.spec.termination_word.clone();
    let word = word.map(|word| (names::ANNOTATION_TERMINATION_WORD.to_owned(), word));
    // The name alone: a selector cannot be changed later.
    let selector = labels.iter().filter(|(key, _)| *key == names::LABEL_DAEMON_SET);
    let selector = selector.map(|(key, value)| (key.clone(), value.clone())).collect();

    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels.clone()),
            annotations: Some([work_hash.clone()].into_iter().chain(word).collect()),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(job, pause_image)),
    };
    if let Some(overlay) = &job.spec.template {
        merge(&mut template, template::parse(overlay)?, job.spec.completion_mode);
    }
    Ok(DaemonSet {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: job.namespace(),
            labels: Some(labels),
            annotations: Some(BTreeMap::from([work_hash])),
            owner_references: job.controller_owner_ref(&()).map(|owner| vec![owner]),
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

fn pod(job: &Job, pause_image: &str) -> PodSpec {
    let spec = &job.spec;
    let volume = |path: &String| Volume {
        name: names::BASE_TARGET_VOLUME.to_owned(),
        host_path: Some(HostPathVolumeSource { path: path.clone(), type_: None }),
        ..Volume::default()
    };
    let mount = |_: &String| VolumeMount {
        name: names::BASE_TARGET_VOLUME.to_owned(),
        mount_path: names::BASE_TARGET_PATH.to_owned(),
        ..VolumeMount::default()
    };
    let worker = Container {
        name: names::JOB_CONTAINER.to_owned(),
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
                condition_type: names::POD_COMPLETED.to_owned(),
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

/// The kubelet restarts what exits in a pod of a DaemonSet, so something has to stay. It keeps to the
/// restricted Pod Security Standard by itself, so that only the work decides whether a namespace takes the pod.
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

/// Merges `overlay` as kubectl would a strategic merge patch, apart from two things: the node
/// selector is merged key by key, and the working container is found wherever it is.
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
                .partition(|container| container.name == names::JOB_CONTAINER);
            overlay.containers = others;
            overlay.init_containers.get_or_insert_default().splice(0..0, workers);
        }
    }
    template.merge_from(overlay);
    // What else there is to initialize is a preparation of the work.
    let prepared = template.spec.as_mut().and_then(|spec| spec.init_containers.as_mut());
    if let Some(containers) = prepared {
        containers.sort_by_key(|container| container.name == names::JOB_CONTAINER);
    }
}

fn non_empty(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}

#[cfg(test)]
mod tests;
