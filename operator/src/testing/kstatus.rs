//! What generic tools make of a Job, by the rules of kstatus for resources that it does not know.
//!
//! <https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/status/generic.go>. An integration test runs
//! that very library.

use api::job::{
    CompletionPolicy, Job,
    conditions::{self, COMPLETE, FAILED, READY, RECONCILING, STALLED},
};

/// The state of a resource, as Flux and `kpt` wait for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kstatus {
    InProgress,
    Failed,
    Current,
    Terminating,
}

/// The state of `job`.
pub(crate) fn kstatus(job: &Job) -> Kstatus {
    if job.metadata.deletion_timestamp.is_some() {
        return Kstatus::Terminating;
    }
    let Some(status) = &job.status else { return Kstatus::Current };
    if status.observed_generation.is_some_and(|it| Some(it) != job.metadata.generation) {
        return Kstatus::InProgress;
    }
    let mut known = status.conditions.iter().filter(|condition| condition.status == "True");
    known
        .find_map(|condition| match condition.type_.as_str() {
            RECONCILING => Some(Kstatus::InProgress),
            STALLED => Some(Kstatus::Failed),
            _ => None,
        })
        .unwrap_or(Kstatus::Current)
}

/// Checks that generic tools see `job` as it is.
pub(crate) fn check(job: &Job) {
    let Some(status) = &job.status else { return };
    let is_true = |type_| conditions::find_true(&status.conditions, type_).is_some();
    for type_ in [COMPLETE, FAILED] {
        assert!(conditions::find(&status.conditions, type_).is_some(), "{type_} is missing");
    }
    assert!(!(is_true(COMPLETE) && is_true(FAILED)), "{:?}", status.conditions);
    let never = job.spec.completion_policy == CompletionPolicy::Never;
    let expected = match () {
        () if status.observed_generation != job.metadata.generation => Kstatus::InProgress,
        () if is_true(FAILED) => Kstatus::Failed,
        () if is_true(COMPLETE) || never && is_true(READY) => Kstatus::Current,
        () => Kstatus::InProgress,
    };
    assert_eq!(kstatus(job), expected, "{status:?}");
}
