use super::*;
use serde_json::json;
use std::collections::BTreeMap;

/// A pod as the DaemonSet controller creates it for the node `a`.
fn unbound() -> serde_json::Value {
    let field = json!({"key": "metadata.name", "operator": "In", "values": ["a"]});
    json!({
        "metadata": {},
        "spec": {"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchFields": [field]}],
            },
        }}},
    })
}

fn node(pod: serde_json::Value) -> Option<String> {
    serde_json::from_value::<PodView>(pod).unwrap().node().map(str::to_owned)
}

#[test]
fn a_pod_that_is_not_bound_belongs_to_the_node_that_it_is_meant_for() {
    assert_eq!(node(unbound()).as_deref(), Some("a"));
    let mut elsewhere = unbound();
    elsewhere["spec"]["nodeName"] = json!("b");
    assert_eq!(node(elsewhere).as_deref(), Some("b"));
}

#[test]
fn what_is_not_read_is_not_kept() {
    let pod: PodView = serde_json::from_value(json!({
        "metadata": {
            "name": "p", "labels": {"a": "b", "controller-revision-hash": "5d", "pod-template-generation": "2"},
            "managedFields": [{"fieldsV1": {"f:spec": {}}}],
            "annotations": {"other": "x", labels::ANNOTATION_WORK_HASH: "h"},
        },
        "status": {
            "conditions": [
                {"type": "Ready", "status": "True"},
                {"type": labels::POD_COMPLETED, "status": "True"},
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"},
            ],
            "containerStatuses": [
                {"name": "sidecar", "image": "", "imageID": "", "ready": true, "restartCount": 0},
                {"name": labels::JOB_CONTAINER, "image": "", "imageID": "", "ready": true,
                 "restartCount": 0},
            ],
        },
    }))
    .unwrap();
    assert_eq!((pod.metadata.labels.as_ref(), pod.metadata.managed_fields.as_ref()), (None, None));
    assert_eq!(pod.metadata.annotations.as_ref().map(BTreeMap::len), Some(1));
    assert_eq!(pod.work_hash(), Some("h"));
    let template = PodRevision { generation: Some(2), hash: Some("5d".into()) };
    assert_eq!(pod.template, template);
    assert_eq!(pod.status.conditions.len(), 1);
    assert_eq!(pod.status.scheduled_at, "2026-01-02T03:04:05Z".parse().ok());
    assert!(pod.has_logged_word());
    assert_eq!(pod.status.container_statuses.len(), 1);
    assert!(pod.job_container(CompletionMode::TerminationWord).is_some());
}

fn status(status: serde_json::Value) -> PodView {
    serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap()
}

#[test]
fn of_the_sandbox_the_kubelet_tells_whether_it_is_ready_and_since_when() {
    let pod = |status: &str| {
        self::status(json!({"conditions": [
            {"type": SANDBOX_READY, "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": labels::POD_SANDBOX_CHANGED, "status": "True", "message": "m"},
        ]}))
    };
    let since = "2026-01-01T00:00:00Z".parse().ok();
    assert_eq!(pod("True").sandbox(), Some(Sandbox { is_ready: true, since }));
    assert_eq!(pod("False").sandbox(), Some(Sandbox { is_ready: false, since }));
    assert_eq!(status(json!({})).sandbox(), None);
    let recorded = pod("True").condition(labels::POD_SANDBOX_CHANGED).cloned();
    assert_eq!(recorded.and_then(|it| it.message).as_deref(), Some("m"));
}

#[test]
fn of_other_containers_it_is_known_whether_one_has_begun() {
    let containers = |state, last| {
        let of = |name, state, last| {
            json!({
                "name": name, "image": "long", "imageID": "", "ready": false, "restartCount": 0,
                "state": state, "lastState": last,
            })
        };
        let waiting = json!({"waiting": {"reason": "PodInitializing"}});
        let all = [of("a", waiting, json!({})), of("b", state, last)];
        status(json!({"containerStatuses": all}))
    };
    let (ended, none) = (json!({"terminated": {"exitCode": 137}}), json!({}));
    let waiting = json!({"waiting": {}});
    for (state, last, has_begun) in [
        (json!({"running": {}}), none.clone(), true),
        (ended.clone(), none.clone(), true),
        (waiting.clone(), ended, true),
        (waiting, none, false),
    ] {
        let pod = containers(state, last);
        assert_eq!(pod.is_initialized(), has_begun, "{pod:?}");
        assert!(pod.status.container_statuses.iter().all(|it| it.image.is_empty()));
    }
}

/// As a kubelet 1.37 reports it.
#[test]
fn an_init_container_that_fails_is_kept_while_the_work_waits_for_it() {
    let of = |name: &str, state, last| {
        json!({
            "name": name, "image": "", "imageID": "", "ready": false, "restartCount": 1,
            "state": state, "lastState": last,
        })
    };
    let waiting = || json!({"waiting": {"reason": "PodInitializing"}});
    let failed = || json!({"terminated": {"exitCode": 7}});
    let succeeded = || json!({"terminated": {"exitCode": 0}});
    let running = || json!({"running": {}});
    let back_off = || json!({"waiting": {"reason": "CrashLoopBackOff"}});
    for (prepare, work, is_kept) in [
        (of("prepare", failed(), json!({})), waiting(), true),
        (of("prepare", back_off(), failed()), waiting(), true),
        (of("prepare", running(), failed()), waiting(), true),
        (of("prepare", json!({"waiting": {"reason": "ErrImagePull"}}), json!({})), waiting(), true),
        (of("prepare", waiting(), json!({})), waiting(), false),
        (of("prepare", running(), json!({})), waiting(), false),
        (of("prepare", succeeded(), failed()), waiting(), false),
        // A sidecar that crashed once: the work has begun all the same.
        (of("prepare", running(), failed()), running(), false),
    ] {
        let first = of("first", succeeded(), json!({}));
        let work = of(labels::JOB_CONTAINER, work, json!({}));
        let pods = [
            (CompletionMode::ExitCode, json!({"initContainerStatuses": [first, prepare, work]})),
            (
                CompletionMode::TerminationWord,
                json!({"initContainerStatuses": [first, prepare], "containerStatuses": [work]}),
            ),
        ];
        for (mode, statuses) in pods {
            let pod = status(statuses);
            let kept = pod.failing_preparation(mode).map(|status| status.name.as_str());
            assert_eq!(kept, is_kept.then_some("prepare"), "{prepare} {work}");
            assert!(pod.job_container(mode).is_some());
        }
    }
}

#[test]
fn the_phase_of_a_pod_is_kept_when_it_has_failed() {
    let pod = status(json!({"phase": "Failed", "reason": "Evicted"}));
    assert_eq!(pod.status.phase.as_deref(), Some("Failed"));
    assert_eq!(pod.status.reason.as_deref(), Some("Evicted"));
    assert_eq!(status(json!({"phase": "Running"})).status.phase, None);
}

#[test]
fn a_pod_that_names_no_node_belongs_to_none() {
    assert_eq!(node(json!({"metadata": {}})), None);
    assert_eq!(node(json!({"metadata": {}, "spec": {"nodeName": "", "affinity": {}}})), None);
}
