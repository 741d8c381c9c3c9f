//! The custom resource `daemonset.darkowlzz.space/v1beta1` `Job`.
//!
//! The API server refuses bad fields by the schema where it can; [`validation`] has the same rules for
//! Jobs that were stored under an older schema.

pub mod conditions;
mod crd;
pub mod node_set;
mod spec;
mod status;
pub mod template;
pub mod validation;
pub mod work_hash;

use kube::core::DeserializeGuard;

pub use spec::{CompletionMode, Job, JobSpec};
pub use status::{JobStatus, NodeState, NodeStatus, Phase};

/// A Job that may be undecodable, so that it does not stop the watch of the others.
pub type MaybeJob = DeserializeGuard<Job>;
