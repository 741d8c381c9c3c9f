//! The DaemonSet that a Job asks for.

use std::collections::BTreeMap;

use api::{names, v1beta1::Job, work};
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, RollingUpdateDaemonSet},
        core::v1::{
            Container, HostPathVolumeSource, PodReadinessGate, PodSpec, PodTemplateSpec,
            Toleration, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use kube::{Resource, ResourceExt};

/// The DaemonSet for `job`, as far as we have an opinion of it: made for server-side apply.
#[must_use]
pub fn desired(job: &Job) -> DaemonSet {
    let job_name = job.name_any();
    let name = names::daemon_set(&job_name);
    let labels = BTreeMap::from([
        (
            names::LABEL_DAEMON_SET.to_owned(),
            names::label_value(&name),
        ),
        (names::LABEL_JOB.to_owned(), names::label_value(&job_name)),
        (names::LABEL_DAEMON_SET_JOB.to_owned(), "true".to_owned()),
    ]);
    let work_hash = (
        names::ANNOTATION_WORK_HASH.to_owned(),
        work::hash(&job.spec),
    );
    let word = job
        .spec
        .termination_word
        .clone()
        .map(|word| (names::ANNOTATION_TERMINATION_WORD.to_owned(), word));
    // The name alone: a selector cannot be changed later.
    let selector = labels
        .iter()
        .filter(|(key, _)| *key == names::LABEL_DAEMON_SET);
    let selector = selector
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();

    DaemonSet {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: job.namespace(),
            labels: Some(labels.clone()),
            annotations: Some(BTreeMap::from([work_hash.clone()])),
            owner_references: job.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(DaemonSetSpec {
            selector: LabelSelector {
                match_labels: Some(selector),
                ..LabelSelector::default()
            },
            // A completed pod is ready and others are not, which counts as unavailable: any smaller
            // number would leave the completed nodes to the end when the work changes.
            update_strategy: Some(DaemonSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDaemonSet {
                    max_unavailable: Some(IntOrString::String("100%".to_owned())),
                    ..RollingUpdateDaemonSet::default()
                }),
            }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    annotations: Some([work_hash].into_iter().chain(word).collect()),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(job)),
            },
            ..DaemonSetSpec::default()
        }),
        status: None,
    }
}

fn pod(job: &Job) -> PodSpec {
    let spec = &job.spec;
    let volume = |path: &String| Volume {
        name: names::BASE_TARGET_VOLUME.to_owned(),
        host_path: Some(HostPathVolumeSource {
            path: path.clone(),
            type_: None,
        }),
        ..Volume::default()
    };
    let mount = |_: &String| VolumeMount {
        name: names::BASE_TARGET_VOLUME.to_owned(),
        mount_path: names::BASE_TARGET_PATH.to_owned(),
        ..VolumeMount::default()
    };
    PodSpec {
        containers: vec![Container {
            name: names::JOB_CONTAINER.to_owned(),
            image: Some(spec.image.clone()),
            command: non_empty(&spec.command),
            args: non_empty(&spec.args),
            volume_mounts: spec.mount_path.as_ref().map(mount).map(|mount| vec![mount]),
            ..Container::default()
        }],
        volumes: spec
            .mount_path
            .as_ref()
            .map(volume)
            .map(|volume| vec![volume]),
        node_selector: Some(BTreeMap::from([(
            "kubernetes.io/os".to_owned(),
            "linux".to_owned(),
        )])),
        // Every node means every node: the control plane's taints are tolerated too.
        tolerations: Some(vec![Toleration {
            operator: Some("Exists".to_owned()),
            ..Toleration::default()
        }]),
        readiness_gates: Some(vec![PodReadinessGate {
            condition_type: names::POD_COMPLETED.to_owned(),
        }]),
        ..PodSpec::default()
    }
}

fn non_empty(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> Job {
        serde_json::from_value(json!({
            "apiVersion": "daemonset.darkowlzz.space/v1beta1",
            "kind": "Job",
            "metadata": {"name": "job-sample", "namespace": "default", "uid": "u-1"},
            "spec": {"image": "darkowlzz/cleanup:v0.0.2", "args": ["/basetarget/foo"], "mountPath": "/tmp"},
        }))
        .unwrap()
    }

    #[test]
    fn the_seeds_manifest_becomes_the_documented_daemon_set() {
        let labels = json!({
            "daemonset": "job-sample-daemonset-job",
            "job": "job-sample",
            "daemonset-job": "true",
        });
        let expected = json!({
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {
                "name": "job-sample-daemonset-job",
                "namespace": "default",
                "labels": labels,
                "annotations": {"daemonset.darkowlzz.space/work-hash": "f1796230ae9b7f4a"},
                "ownerReferences": [{
                    "apiVersion": "daemonset.darkowlzz.space/v1beta1",
                    "kind": "Job",
                    "name": "job-sample",
                    "uid": "u-1",
                    "controller": true,
                }],
            },
            "spec": {
                "selector": {"matchLabels": {"daemonset": "job-sample-daemonset-job"}},
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
                "template": {
                    "metadata": {
                        "labels": labels,
                        "annotations": {"daemonset.darkowlzz.space/work-hash": "f1796230ae9b7f4a"},
                    },
                    "spec": {
                        "containers": [{
                            "name": "job-container",
                            "image": "darkowlzz/cleanup:v0.0.2",
                            "args": ["/basetarget/foo"],
                            "volumeMounts": [{"name": "basetarget", "mountPath": "/basetarget"}],
                        }],
                        "volumes": [{"name": "basetarget", "hostPath": {"path": "/tmp"}}],
                        "nodeSelector": {"kubernetes.io/os": "linux"},
                        "tolerations": [{"operator": "Exists"}],
                        "readinessGates": [{"conditionType": "daemonset.darkowlzz.space/Completed"}],
                    },
                },
            },
        });
        assert_eq!(serde_json::to_value(desired(&sample())).unwrap(), expected);
    }

    #[test]
    fn without_a_mount_path_nothing_is_mounted() {
        let mut job = sample();
        job.spec.mount_path = None;
        let pod = pod(&job);
        assert_eq!(pod.volumes, None);
        assert_eq!(pod.containers[0].volume_mounts, None);
    }

    #[test]
    fn the_pods_of_a_job_carry_its_word() {
        let mut job = sample();
        job.spec.termination_word = Some("finished".into());
        let template = desired(&job).spec.unwrap().template.metadata.unwrap();
        assert_eq!(
            template.annotations.unwrap()[names::ANNOTATION_TERMINATION_WORD],
            "finished"
        );
    }
}
