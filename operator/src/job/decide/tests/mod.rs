//! Decisions about one observation, by promise, and about histories of many.

mod bad_input;
mod completion;
mod deadline;
mod failures;
mod histories;
mod missing_pods;
mod ownership;
mod sandbox;

use std::sync::Arc;

use api::{
    job::{Job, JobStatus},
    views::{DaemonSetView, PodView},
};

use super::{
    actions::{Actions, Decision},
    decide,
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
    Observation { daemon_set, pods: pods.to_vec(), source, ..observation(job) }
}

fn act_on(job: &Job, daemon_set: Option<&DaemonSetView>, pods: &[Arc<PodView>]) -> Actions {
    match decide(&observed(job, daemon_set, pods, Source::Live)) {
        Decision::Act(act) => *act,
        other => panic!("{other:?}"),
    }
}

fn reasons(status: &JobStatus) -> Vec<&str> {
    status.conditions.iter().map(|condition| condition.reason.as_str()).collect()
}
