//! Applies decisions about a Job to the cluster.

mod daemon_set;
mod error;
pub(super) mod events;
mod fields;
pub(super) mod pod_conditions;
mod refusal;
mod releases;
mod restore;
mod status;
mod written;

pub(super) use self::{
    daemon_set::DaemonSetWriter,
    error::Error,
    releases::{ReleaseFailure, ReleaseWriter},
    status::{StatusWriter, Written},
};
