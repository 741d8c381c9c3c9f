use api::job::Job;
use serde_json::{Value, json};

use super::*;

const PAUSE: &str = "example.org/operator:1";

fn job(spec: Value) -> Job {
    serde_json::from_value(json!({
        "apiVersion": "daemonset.darkowlzz.space/v1beta1",
        "kind": "Job",
        "metadata": {"name": "job-sample", "namespace": "default", "uid": "u-1"},
        "spec": spec,
    }))
    .unwrap()
}

fn desired(job: &Job) -> DaemonSet {
    super::desired(&JobView::new(job), PAUSE, Gating::None).unwrap()
}

fn sample() -> Value {
    json!({"image": "darkowlzz/cleanup:v0.0.2", "args": ["/basetarget/foo"], "mountPath": "/tmp"})
}

/// The pod spec for the sample with these further fields.
fn pod_spec(fields: Value) -> Value {
    let mut spec = sample();
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let daemon_set = serde_json::to_value(desired(&job(spec))).unwrap();
    daemon_set["spec"]["template"]["spec"].clone()
}

fn worker() -> Value {
    json!({
        "name": "job-container",
        "image": "darkowlzz/cleanup:v0.0.2",
        "args": ["/basetarget/foo"],
        "volumeMounts": [{"name": "basetarget", "mountPath": "/basetarget"}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    })
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
                "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "selector": {"matchLabels": {"daemonset": "job-sample-daemonset-job"}},
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "100%"},
            },
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {
                        "daemonset.darkowlzz.space/work-hash": "f1796230ae9b7f4a",
                        "daemonset.darkowlzz.space/job-uid": "u-1",
                    },
                },
                "spec": {
                    "containers": [worker()],
                    "volumes": [{"name": "basetarget", "hostPath": {"path": "/tmp"}}],
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "tolerations": [{"operator": "Exists"}],
                    "readinessGates": [{"conditionType": "daemonset.darkowlzz.space/Completed"}],
                },
            },
        },
    });
    assert_eq!(serde_json::to_value(desired(&job(sample()))).unwrap(), expected);
}

#[test]
fn fields_of_rollouts_change_no_byte_of_a_daemon_set_without_turns() {
    let text = |spec: Value| serde_json::to_string(&desired(&job(spec))).unwrap();
    let mut spec = sample();
    let before = text(spec.clone());
    let fields = json!({
        "parallelism": "10%",
        "minReadySeconds": 60,
        "order": [{"matchLabels": {"canary": "true"}}],
        "windows": [{"schedule": "0 22 * * *", "durationSeconds": 3600}],
        "suspend": false,
        "completionPolicy": "Never",
    });
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    assert_eq!(text(spec), before);
}

#[test]
fn turns_add_one_gate_beside_those_of_the_template_and_nothing_else() {
    let gated = |spec: Value| {
        let daemon_set = super::desired(&JobView::new(&job(spec)), PAUSE, Gating::Turn).unwrap();
        serde_json::to_value(daemon_set).unwrap()
    };
    let mut expected = serde_json::to_value(desired(&job(sample()))).unwrap();
    let turn = json!({"name": "daemonset.darkowlzz.space/turn"});
    expected["spec"]["template"]["spec"]["schedulingGates"] = json!([turn]);
    assert_eq!(gated(sample()), expected);
    let mut spec = sample();
    let own = json!({"name": "example.org/quota"});
    spec["template"] = json!({"spec": {"schedulingGates": [own]}});
    assert_eq!(
        gated(spec.clone())["spec"]["template"]["spec"]["schedulingGates"],
        json!([turn, own])
    );
    let pod = desired(&job(spec)).spec.unwrap().template.spec.unwrap();
    assert_eq!(serde_json::to_value(pod.scheduling_gates).unwrap(), json!([own]));
}

#[test]
fn without_a_mount_path_nothing_is_mounted() {
    let pod = pod_spec(json!({"mountPath": null}));
    assert_eq!(pod["volumes"], Value::Null);
    assert_eq!(pod["containers"][0]["volumeMounts"], Value::Null);
}

#[test]
fn the_pods_of_a_job_carry_its_word() {
    let mut spec = sample();
    spec["terminationWord"] = json!("finished");
    let template = desired(&job(spec)).spec.unwrap().template.metadata.unwrap();
    assert_eq!(template.annotations.unwrap()[labels::ANNOTATION_TERMINATION_WORD], "finished");
}

#[test]
fn in_exit_code_mode_the_work_comes_first_and_the_pod_idles_afterwards() {
    let pod = pod_spec(json!({"completionMode": "ExitCode"}));
    assert_eq!(pod["initContainers"], json!([worker()]));
    let restricted = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    let idle = json!([{
        "name": "idle", "image": PAUSE, "args": ["pause"], "securityContext": restricted,
    }]);
    assert_eq!(pod["containers"], idle);
    assert_eq!(pod["readinessGates"], Value::Null);
}

#[test]
fn the_job_container_of_a_template_overlays_the_working_container_in_both_modes() {
    let env = json!([{"name": "A", "value": "b"}]);
    let template = json!({"spec": {"containers": [
        {"name": "job-container", "env": env},
        {"name": "sidecar", "image": "s"},
    ]}});
    let mut expected = worker();
    expected["env"] = env;
    let sidecar = json!({"name": "sidecar", "image": "s"});

    let pod = pod_spec(json!({"template": template}));
    assert_eq!(pod["containers"], json!([expected, sidecar]));
    let pod = pod_spec(json!({"template": template, "completionMode": "ExitCode"}));
    assert_eq!(pod["initContainers"], json!([expected]));
    assert_eq!(pod["containers"][0]["name"], "idle");
    assert_eq!(pod["containers"][1], sidecar);
}

#[test]
fn init_containers_of_a_template_prepare_the_work() {
    let template = json!({"spec": {"initContainers": [{"name": "prepare", "image": "p"}]}});
    let pod = pod_spec(json!({"template": template, "completionMode": "ExitCode"}));
    assert_eq!(pod["initContainers"][0]["name"], "prepare");
    assert_eq!(pod["initContainers"][1], worker());
}

#[test]
fn a_node_selector_is_added_to_the_default_and_can_replace_it() {
    let with = |selector: Value| {
        pod_spec(json!({"template": {"spec": {"nodeSelector": selector}}}))["nodeSelector"].clone()
    };
    let both = json!({"kubernetes.io/os": "linux", "disk": "ssd"});
    assert_eq!(with(json!({"disk": "ssd"})), both);
    let windows = json!({"kubernetes.io/os": "windows"});
    assert_eq!(with(windows.clone()), windows);
}

#[test]
fn tolerations_of_a_template_replace_the_default() {
    let with = |tolerations: Value| {
        pod_spec(json!({"template": {"spec": {"tolerations": tolerations}}}))["tolerations"].clone()
    };
    assert_eq!(with(json!([])), json!([]));
    assert_eq!(with(json!([{"key": "a"}])), json!([{"key": "a"}]));
}

#[test]
fn labels_and_volumes_of_a_template_are_added_to_ours() {
    let mut spec = sample();
    spec["template"] = json!({
        "metadata": {"labels": {"team": "a"}},
        "spec": {"volumes": [{"name": "v", "emptyDir": {}}]},
    });
    let template = desired(&job(spec)).spec.unwrap().template;
    let labels = template.metadata.unwrap().labels.unwrap();
    assert_eq!(labels["team"], "a");
    assert_eq!(labels["job"], "job-sample");
    let volumes = template.spec.unwrap().volumes.unwrap();
    let names: Vec<_> = volumes.iter().map(|volume| volume.name.as_str()).collect();
    assert_eq!(names, ["basetarget", "v"]);
}

#[test]
fn the_idle_container_has_the_cpu_and_memory_of_the_work_and_no_other_resource() {
    let spec = |fields: Value| {
        let mut container = json!({"name": "job-container"});
        container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"completionMode": "ExitCode", "template": {"spec": {"containers": [container]}}})
    };
    let idle = |fields: Value| pod_spec(fields)["containers"][0]["resources"].clone();
    let limits = json!({"cpu": "100m", "memory": "32Mi", "nvidia.com/gpu": "1"});
    let requests = json!({"cpu": "50m"});
    let resources = json!({"limits": limits, "requests": requests});
    let own = json!({"limits": {"cpu": "100m", "memory": "32Mi"}, "requests": requests});
    assert_eq!(idle(spec(json!({"resources": resources}))), own);
    for none in [json!({}), json!({"resources": {"limits": {"nvidia.com/gpu": "1"}}})] {
        assert_eq!(idle(spec(none)), Value::Null);
    }
    let mut set = spec(json!({"resources": resources}));
    let of_user = json!({"limits": {"cpu": "1m"}});
    let containers = set["template"]["spec"]["containers"].as_array_mut().unwrap();
    containers.push(json!({"name": "idle", "resources": of_user}));
    assert_eq!(idle(set), of_user);
}

#[test]
fn labels_and_annotations_of_a_job_reach_its_daemon_set() {
    let mut job = job(sample());
    let map = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Some(pairs.collect::<BTreeMap<_, _>>())
    };
    job.metadata.labels = map(&[("team", "a"), ("job", "of-somebody-else")]);
    job.metadata.annotations = map(&[
        ("downscaler/exclude", "true"),
        ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
        ("daemonset.darkowlzz.space/work-hash", "forged"),
    ]);
    let before = JobView::new(&job).desired;
    let made = desired(&job);
    let labels = made.metadata.labels.unwrap();
    assert_eq!((labels["team"].as_str(), labels["job"].as_str()), ("a", "job-sample"));
    let annotations = made.metadata.annotations.unwrap();
    assert_eq!(
        annotations.keys().collect::<Vec<_>>(),
        ["daemonset.darkowlzz.space/work-hash", "downscaler/exclude",]
    );
    assert_ne!(annotations["daemonset.darkowlzz.space/work-hash"], "forged");
    let template = made.spec.unwrap().template.metadata.unwrap();
    assert!(!template.labels.unwrap().contains_key("team"), "pods have those of the template");
    job.metadata.labels = map(&[("team", "b")]);
    assert_ne!(JobView::new(&job).desired, before, "a change follows");
}
