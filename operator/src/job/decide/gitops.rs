//! Warns of Jobs that delete themselves, and that somebody creates again then: they would run for ever.

use api::job::{CompletionPolicy, DeletionPolicy, JobSpec, JobStatus, conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{events::JobEvent, observation::Observation};

/// Labels of what a tool has applied, and the tool.
///
/// <https://fluxcd.io/flux/components/kustomize/kustomizations/#garbage-collection>,
/// <https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/>
const LABELS: [(&str, &str); 3] = [
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
    ("argocd.argoproj.io/instance", "Argo CD"),
];
/// The annotation of what Argo CD has applied.
const ARGO_CD: &str = "argocd.argoproj.io/tracking-id";
/// The label of what is part of a Helm release: `Helm`.
///
/// <https://helm.sh/docs/chart_best_practices/labels/>
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Annotations of hooks, which are meant to run each time.
const HOOKS: [&str; 2] = ["helm.sh/hook", "argocd.argoproj.io/hook"];

/// The warning about such a Job: at the first look at a spec, and at the end, for it may be managed by then.
pub(super) fn warning(observation: &Observation<'_>, next: &JobStatus) -> Option<JobEvent> {
    let job = &observation.job;
    let is_complete = |status: &JobStatus| {
        conditions::find_true(&status.conditions, conditions::COMPLETE).is_some()
    };
    let is_known = |known: &&JobStatus| known.is_current(job.metadata);
    let was_complete = job.status.filter(is_known).map(is_complete);
    if was_complete.is_some_and(|was_complete| was_complete || !is_complete(next)) {
        return None;
    }
    let (when, cure) = deletion(job.spec)?;
    Some(JobEvent::deletes_itself(manager(job.metadata)?, &when, cure))
}

/// When a Job deletes itself, if it does, and how to keep it.
fn deletion(spec: &JobSpec) -> Option<(String, &'static str)> {
    let stays = spec.deletion_policy == DeletionPolicy::Retain
        || spec.completion_policy == CompletionPolicy::Never;
    if stays {
        return None;
    }
    Some(match spec.ttl_seconds_after_finished {
        None => ("when it is complete".to_owned(), "set deletionPolicy: Retain"),
        Some(ttl) => (
            format!("{ttl} s after its end"),
            "set deletionPolicy: Retain in place of ttlSecondsAfterFinished",
        ),
    })
}

/// The tool that creates the Job again.
fn manager(metadata: &ObjectMeta) -> Option<&'static str> {
    let label = |key: &str| metadata.labels.as_ref()?.get(key).map(String::as_str);
    let has_annotation =
        |key: &str| metadata.annotations.as_ref().is_some_and(|all| all.contains_key(key));
    if HOOKS.into_iter().any(has_annotation) {
        return None;
    }
    let by_label = LABELS.into_iter().find(|(key, _)| label(key).is_some());
    let by_annotation = has_annotation(ARGO_CD).then_some("Argo CD");
    let by_chart = || label(MANAGED_BY).filter(|by| *by == "Helm").map(|_| "Helm");
    by_label.map(|(_, tool)| tool).or(by_annotation).or_else(by_chart)
}

#[cfg(test)]
mod tests {
    use api::job::Job;

    use super::*;
    use crate::testing::fixtures::{job, observation};

    /// The message of the warning about a Job with this next status.
    fn message(job: &Job, next: &JobStatus) -> Option<String> {
        let event = warning(&observation(job), next)?;
        assert!(event.is_warning && event.reason == "DeletesItself", "{event:?}");
        Some(event.message)
    }

    fn managed(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> Job {
        let map = |all: &[(&str, &str)]| {
            all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let mut job = job();
        job.metadata.labels = Some(map(labels));
        job.metadata.annotations = Some(map(annotations));
        job
    }

    #[test]
    fn a_job_that_deletes_itself_and_is_created_again_gets_a_warning() {
        let (tracking, argo) = (ARGO_CD, "Argo CD manages");
        for (labels, annotations, said) in [
            (vec![("kustomize.toolkit.fluxcd.io/name", "jobs")], vec![], "Flux manages"),
            (vec![("helm.toolkit.fluxcd.io/name", "jobs"), (MANAGED_BY, "Helm")], vec![], "Flux"),
            (vec![("argocd.argoproj.io/instance", "jobs")], vec![], argo),
            (vec![], vec![(tracking, "jobs:daemonset.darkowlzz.space/Job:a/b")], argo),
            (vec![(MANAGED_BY, "Helm")], vec![("meta.helm.sh/release-name", "jobs")], "Helm"),
        ] {
            let mut job = managed(&labels, &annotations);
            let told = message(&job, &JobStatus::default()).unwrap();
            assert!(told.starts_with(said), "{told}");
            assert!(told.ends_with("set deletionPolicy: Retain"), "{told}");
            job.spec.ttl_seconds_after_finished = Some(60);
            let told = message(&job, &JobStatus::default()).unwrap();
            assert!(told.contains("60 s after its end"), "{told}");
        }
    }

    #[test]
    fn a_job_that_stays_or_that_nobody_creates_again_gets_none() {
        let flux = [("kustomize.toolkit.fluxcd.io/name", "jobs")];
        let none = JobStatus::default();
        let mut retained = managed(&flux, &[]);
        retained.spec.deletion_policy = DeletionPolicy::Retain;
        let mut never = managed(&flux, &[]);
        never.spec.completion_policy = CompletionPolicy::Never;
        let by_hand = managed(&[(MANAGED_BY, "kubectl"), ("app", "a")], &[("note", "a")]);
        let hook = managed(&[(MANAGED_BY, "Helm")], &[("helm.sh/hook", "post-install")]);
        let sync_hook = managed(&[], &[(ARGO_CD, "a"), ("argocd.argoproj.io/hook", "Sync")]);
        for job in [retained, never, by_hand, hook, sync_hook] {
            assert_eq!(message(&job, &none), None, "{:?}", job.metadata);
        }
    }

    #[test]
    fn the_warning_comes_at_the_first_look_and_at_the_end_and_not_between() {
        use conditions::Reason;
        let status = |reason: Option<Reason>| {
            let now = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
            let condition = |it| conditions::condition(it, String::new(), Some(1), now);
            let conditions = reason.map(condition).into_iter().collect();
            JobStatus { observed_generation: Some(1), conditions, ..JobStatus::default() }
        };
        let mut job = managed(&[("kustomize.toolkit.fluxcd.io/name", "jobs")], &[]);
        job.metadata.generation = Some(1);
        let (running, complete) = (status(None), status(Some(Reason::Completed)));
        job.status = Some(JobStatus { observed_generation: Some(-1), ..JobStatus::default() });
        assert!(message(&job, &running).is_some());
        job.status = Some(running.clone());
        assert_eq!(message(&job, &running), None);
        assert!(message(&job, &complete).is_some());
        job.status = Some(complete.clone());
        assert_eq!(message(&job, &complete), None);
        job.metadata.generation = Some(2);
        assert!(message(&job, &running).is_some());
    }
}
