//! The custom resource `daemonset.darkowlzz.space/v1beta1` `Job`.
//!
//! The API server refuses bad fields by the schema where it can; [`validation`] has the same rules for
//! Jobs that were stored under an older schema.

mod canonical;
pub mod conditions;
mod crd;
pub mod failed_runs;
pub mod node_set;
pub mod order;
mod parallelism;
mod quantity;
mod refusal;
pub mod schedule;
mod spec;
mod status;
pub mod template;
pub mod validation;
mod values;
pub mod work_hash;

use kube::core::DeserializeGuard;

pub use parallelism::Parallelism;
pub use refusal::Refusal;
pub use spec::{CompletionMode, CompletionPolicy, DeletionPolicy, Job, JobSpec, Window};
pub use status::{JobStatus, NodeState, NodeStatus, Phase};

/// A Job that may be undecodable, so that it does not stop the watch of the others.
pub type MaybeJob = DeserializeGuard<Job>;
