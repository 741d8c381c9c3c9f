//! The Job API of `daemonset.darkowlzz.space`: what users write, and what operator and terminator
//! agree on.
//!
//! - [`v1beta1`]: the custom resource.
//! - [`validation`]: what the operator refuses beyond the CRD schema.
//! - [`names`]: labels, annotations, conditions and the names of generated objects.
//! - [`work`]: the part of a Job whose change starts a new run.
//! - [`views`]: the parts of Pods and DaemonSets that are read.
//! - `runtime` (feature): client, logging, health and shutdown, shared by both processes.

pub mod conditions;
pub mod names;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod v1beta1;
pub mod validation;
pub mod views;
pub mod work;
