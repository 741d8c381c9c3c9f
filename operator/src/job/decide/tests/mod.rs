//! Decisions about one observation, by promise, and about histories of many.

mod bad_input;
mod completion;
mod deadline;
mod exhaustive;
mod failures;
mod found_faults;
mod gone;
mod histories;
mod missing_pods;
mod never;
mod ownership;
mod rejections;
mod rollouts;
mod sandbox;
mod strangers;
mod suspension;

use std::sync::Arc;

use api::{
    job::{
        Job, JobStatus,
        conditions::{Reason, STALLED},
    },
    views::{DaemonSetView, PodView},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{
    actions::{Actions, Decision},
    decide,
    job_view::JobView,
    observation::{Observation, Source},
};
use crate::testing::fixtures::observation;

fn observed<'j>(
    job: &'j Job,
    daemon_set: Option<&DaemonSetView>,
    pods: &[Arc<PodView>],
    source: Source,
) -> Observation<'j> {
    let daemon_set = daemon_set.cloned().map(Arc::new);
    let observation = observation(job);
    let is_owned = |it: &Arc<DaemonSetView>| it.metadata.owner_references.is_some();
    let is_ours = daemon_set.as_ref().is_some_and(is_owned);
    let applied = observation.applied.clone().filter(|_| is_ours);
    Observation { daemon_set, pods: pods.to_vec(), source, applied, ..observation }
}

fn act_on(job: &Job, daemon_set: Option<&DaemonSetView>, pods: &[Arc<PodView>]) -> Actions {
    match decide(&observed(job, daemon_set, pods, Source::Live)) {
        Decision::Act(act) => *act,
        other => panic!("{other:?}"),
    }
}

/// The reasons of the conditions, but of those that follow from others.
fn reasons(status: &JobStatus) -> Vec<&str> {
    let follows = [Reason::NotComplete, Reason::NotFailed, Reason::Progressing];
    let is_own = |condition: &&Condition| {
        condition.type_ != STALLED && !follows.map(Reason::as_str).contains(&&*condition.reason)
    };
    status.conditions.iter().filter(is_own).map(|condition| condition.reason.as_str()).collect()
}
