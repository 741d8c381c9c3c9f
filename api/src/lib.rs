//! The Job API of `daemonset.darkowlzz.space`: what users write, and what operator and terminator
//! agree on.
//!
//! - [`v1beta1`]: the custom resource.
//! - [`validation`]: what the operator refuses beyond the CRD schema.
//! - [`template`]: the pod template in a Job.
//! - [`node_set`]: the set of nodes in its status.
//! - [`names`]: labels, annotations, conditions and the names of generated objects.
//! - [`work`]: the part of a Job whose change starts a new run.
//! - [`views`]: the parts of Pods and DaemonSets that are read.
//! - `runtime` (feature): client, logging, health and shutdown, shared by both processes.

pub mod conditions;
pub mod names;
pub mod node_set;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod template;
pub mod v1beta1;
pub mod validation;
pub mod views;
pub mod work;
