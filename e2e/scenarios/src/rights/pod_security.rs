//! The profile `restricted` of Pod Security, as the API server enforces it.
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>

use anyhow::{Context as _, Result, bail, ensure};
use harness::job_builder::JobBuilder;
use harness::wait::{Objects, State};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::PostParams;
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::support::env::ScenarioEnv;

/// The label of a namespace whose pods have to keep to a profile.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// The profile.
const RESTRICTED: &str = "restricted";

/// How the API server begins to say that it refuses a pod.
const REFUSAL: &str = "violates PodSecurity \"restricted:latest\"";

/// A Job that is done by the word. Its pods have one container, its own.
const WORD: &str = "by-word";
/// A Job that is done by its exit code. Its pods have a container of ours beside its own.
const EXIT: &str = "by-exit-code";
/// A Job whose template sets nothing.
const LAX: &str = "lax";

/// The API server holds our own pods to the profile, and takes them.
pub(crate) async fn keeps_our_pods_restricted(env: &ScenarioEnv<'_>) -> Result<()> {
    let (client, deployed) = (env.cx.client, env.cx.deployed);
    let namespace = Api::<Namespace>::all(client.clone()).get(&deployed.namespace).await?;
    let enforced = namespace.labels().get(ENFORCE).map(String::as_str);
    ensure!(enforced == Some(RESTRICTED), "{} enforces {enforced:?}", deployed.namespace);
    let pods = deployed.pods(client).await?;
    ensure!(!pods.is_empty(), "the operator has no pod");
    for pod in pods {
        let mut copy = Pod { spec: pod.spec.clone(), ..Pod::default() };
        copy.metadata.name = Some("copy".to_owned());
        is_taken(env, &copy).await?.with_context(|| format!("pod {}", pod.name_any()))?;
        let spec = copy.spec.get_or_insert_default();
        spec.host_network = Some(true);
        match is_taken(env, &copy).await? {
            Ok(()) => bail!("{} is to be restricted, and takes any pod", deployed.namespace),
            Err(refusal) => ensure!(refusal.to_string().contains(REFUSAL), "{refusal}"),
        }
    }
    Ok(())
}

/// Whether our own namespace would take a pod.
async fn is_taken(env: &ScenarioEnv<'_>, pod: &Pod) -> Result<Result<(), Box<kube::core::Status>>> {
    let pods: Api<Pod> = Api::namespaced(env.cx.client.clone(), &env.cx.deployed.namespace);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    match pods.create(&dry_run, pod).await {
        Err(kube::Error::Api(refusal)) => Ok(Err(refusal)),
        taken => Ok(Ok(taken.map(drop)?)),
    }
}

/// Jobs that keep to the profile run where it is enforced, in both modes: what we add to their pods keeps to
/// it by itself. One that does not says what the API server refuses, and completes when it does.
pub(crate) async fn allows_jobs_that_comply(env: &ScenarioEnv<'_>) -> Result<()> {
    let label = format!("{ENFORCE}={RESTRICTED}");
    env.kubectl(&["label", "namespace", env.namespace(), &label], "").await?;
    env.apply(&job(LAX)).await?;
    let refused = refusal(env, LAX).await?;
    ensure!(refused.contains(REFUSAL), "the Job says {refused}");

    let complies = [(WORD, of_the_pod()), (EXIT, of_the_container()), (LAX, of_the_container())];
    for (name, template) in complies {
        let manifest = job(name).template(template);
        let (life, ()) = env.job(name).until_deleted(env.apply(&manifest)).await?;
        let wanted = usize::try_from(life.status.desired)?;
        ensure!(wanted == env.nodes.len(), "{name} ran on {wanted} nodes");
    }
    Ok(())
}

/// Waits until the Job reports refused pods, and returns why.
async fn refusal(env: &ScenarioEnv<'_>, job: &str) -> Result<String> {
    let config = watcher::Config::default().fields("reason=FailedCreate");
    let expected = format!("Job {job} reports that its pods are refused");
    env.wait
        .watch(env.api::<Event>(), config, &expected, |events: &Objects<Event>| {
            let is_told = |event: &&Event| {
                event.regarding.as_ref().is_some_and(|object| {
                    object.kind.as_deref() == Some("Job") && object.name.as_deref() == Some(job)
                })
            };
            let told = events.values().find(is_told).and_then(|event| event.note.clone());
            State::of(told, || format!("{} other events", events.len()))
        })
        .await
}

/// A Job that needs nothing of the node. The profile forbids `mountPath`.
fn job(name: &str) -> JobBuilder {
    match name {
        EXIT => JobBuilder::shell(name, "true").exit_code(),
        _ => JobBuilder::shell(name, "trap 'exit 0' TERM; echo done; while :; do sleep 1; done"),
    }
}

/// A template that sets what it can for the pod.
fn of_the_pod() -> Value {
    json!({"spec": {
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [{
            "name": api::labels::JOB_CONTAINER,
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
            },
        }],
    }})
}

/// A template that sets all of it for the container of the work, and nothing for any other.
fn of_the_container() -> Value {
    json!({"spec": {"containers": [{
        "name": api::labels::JOB_CONTAINER,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
        },
    }]}})
}
