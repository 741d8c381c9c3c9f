//! What surrounds a Job, for an explanation: operator, DaemonSet, events, ends of logs.

use std::time::Duration;

use api::{job::Job, labels, views::DaemonSetView};
use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        core::v1::{Event, Pod},
    },
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, LogParams},
};
use tokio::time::timeout;

use super::{
    connect::Cluster,
    failure::{Doing, is_not_found},
};
use crate::{
    model::evidence::{EventFacts, Known, LogEnd, OperatorPod},
    model::{daemon_set::DaemonSetFacts, facts::PodFacts},
};

/// The namespace of the operator, unless somebody has chosen another one.
pub(crate) const OPERATOR_NAMESPACE: &str = "daemonset-job-system";
/// The label of the operator's pods.
const OPERATOR_LABEL: &str = "app.kubernetes.io/name=daemonset-job";
/// Lines of a log whose end is looked at.
const TAIL_LINES: i64 = 200;
/// Time for the end of a log.
const LOG_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of a log that are looked at.
const TAIL_BYTES: i64 = 64 * 1024;

/// The pods of the operator, in whichever namespace they are.
pub(crate) async fn operator(cluster: &Cluster) -> Known<Vec<OperatorPod>> {
    let params = ListParams::default().labels(OPERATOR_LABEL);
    let everywhere: Api<Pod> = Api::all(cluster.client.clone());
    let found = match everywhere.list(&params).await {
        Err(_) => {
            let usual: Api<Pod> = Api::namespaced(cluster.client.clone(), OPERATOR_NAMESPACE);
            usual.list(&params).await
        }
        found => found,
    };
    let doing = Doing::new("list", "pods", Some(OPERATOR_NAMESPACE));
    match found {
        Ok(pods) => Known::Yes(pods.iter().map(operator_pod).collect()),
        Err(error) => Known::No(doing.failed(&error).message().to_owned()),
    }
}

fn operator_pod(pod: &Pod) -> OperatorPod {
    let status = pod.status.clone().unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default();
    let waits = containers.iter().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let message = waiting.message.as_deref().unwrap_or_default();
        Some(format!(
            "{}: {} {message}",
            container.name,
            waiting.reason.as_deref().unwrap_or("waits")
        ))
    });
    let died = containers.iter().find_map(|container| {
        let last = container.last_state.as_ref()?.terminated.as_ref()?;
        let message = last.message.as_deref().unwrap_or_default();
        Some(format!("{} ended with exit code {} {message}", container.name, last.exit_code))
    });
    let spec = pod.spec.clone().unwrap_or_default();
    let operator = spec.containers.iter().find(|container| container.name == "operator");
    let env = operator.and_then(|container| container.env.as_ref());
    let namespace = env.and_then(|env| env.iter().find(|it| it.name == "NAMESPACE")?.value.clone());
    OperatorPod {
        name: pod.name_any(),
        namespace: pod.namespace().unwrap_or_default(),
        is_ready: status
            .conditions
            .iter()
            .flatten()
            .any(|it| it.type_ == "Ready" && it.status == "True"),
        restarts: containers.iter().map(|container| container.restart_count).max().unwrap_or(0),
        trouble: waits.or(died).map(|text| text.trim().to_owned()),
        watches: namespace.filter(|namespace| !namespace.is_empty()),
        image: operator.and_then(|container| container.image.clone()),
    }
}

/// The holder of the operator's Lease, and when it renewed it last.
pub(crate) async fn leader(
    cluster: &Cluster,
    namespace: &str,
) -> Known<Option<(String, Option<Timestamp>)>> {
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), namespace);
    let doing = Doing::new("list", "leases.coordination.k8s.io", Some(namespace));
    match leases.list(&ListParams::default()).await {
        Ok(leases) => Known::Yes(leases.items.into_iter().find_map(|lease| {
            lease.metadata.name.as_deref().filter(|name| name.contains("operator"))?;
            let spec = lease.spec?;
            let holder = spec.holder_identity.filter(|holder| !holder.is_empty())?;
            Some((holder, spec.renew_time.map(|time| time.0)))
        })),
        Err(error) => Known::No(doing.failed(&error).message().to_owned()),
    }
}

/// The DaemonSet that has the name of the Job's.
pub(crate) async fn daemon_set(cluster: &Cluster, job: &str) -> Known<Option<DaemonSetFacts>> {
    let doing = Doing::new("get", "daemonsets.apps", Some(&cluster.namespace));
    match cluster.api::<DaemonSetView>().get(&labels::daemon_set(job)).await {
        Ok(set) => Known::Yes(Some(DaemonSetFacts::new(&set))),
        Err(error) if is_not_found(&error) => Known::Yes(None),
        Err(error) => Known::No(doing.failed(&error).message().to_owned()),
    }
}

/// The events about Jobs of this name, the newest first.
pub(crate) async fn events(cluster: &Cluster, job: &str) -> Known<Vec<EventFacts>> {
    let fields = format!("involvedObject.kind=Job,involvedObject.name={job}");
    let params = ListParams::default().fields(&fields);
    let doing = Doing::new("list", "events", Some(&cluster.namespace));
    match cluster.api::<Event>().list(&params).await {
        Ok(events) => {
            let ours = events.items.into_iter().filter(|event| {
                let version = event.involved_object.api_version.as_deref().unwrap_or_default();
                version.starts_with(labels::GROUP)
            });
            let mut facts: Vec<_> = ours.map(event_facts).collect();
            facts.sort_by_key(|event| std::cmp::Reverse(event.last));
            Known::Yes(facts)
        }
        Err(error) => Known::No(doing.failed(&error).message().to_owned()),
    }
}

fn event_facts(event: Event) -> EventFacts {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let last = series.map(|time| time.0).or(last).or(event.event_time.as_ref().map(|time| time.0));
    EventFacts {
        job_uid: event.involved_object.uid.unwrap_or_default(),
        reason: event.reason.unwrap_or_default(),
        message: event.message.unwrap_or_default(),
        last: last.or(event.metadata.creation_timestamp.as_ref().map(|time| time.0)),
    }
}

/// The version of the API server: major and minor number.
pub(crate) async fn api_version(cluster: &Cluster) -> Option<(u32, u32)> {
    let info = cluster.client.apiserver_version().await.ok()?;
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok();
    Some((number(&info.major)?, number(&info.minor)?))
}

/// The ends of the logs of these pods.
pub(crate) async fn log_ends(cluster: &Cluster, job: &Job, pods: &[&PodFacts]) -> Vec<LogEnd> {
    let api: Api<Pod> = cluster.api();
    let params = LogParams {
        container: Some(labels::JOB_CONTAINER.to_owned()),
        tail_lines: Some(TAIL_LINES),
        limit_bytes: Some(TAIL_BYTES),
        ..LogParams::default()
    };
    let word = job.spec.termination_word.clone();
    let read = pods.iter().map(|pod| {
        let (api, params, word) = (&api, &params, word.clone());
        async move {
            // The API server waits long for a kubelet that is lost.
            let text = timeout(LOG_TIMEOUT, api.logs(&pod.name, params)).await.ok()?.ok()?;
            let node = pod.node.as_deref().unwrap_or(&pod.name).to_owned();
            Some(LogEnd { node, word, text })
        }
    });
    futures::future::join_all(read).await.into_iter().flatten().collect()
}
