//! Applies decisions about a Job to the cluster.

mod daemon_set;
pub(super) mod events;
pub(super) mod pod_conditions;
mod status;

pub(super) use self::{
    daemon_set::{DaemonSetWriter, Error},
    status::{StatusWriter, Written},
};
