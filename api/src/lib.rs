//! The Job API of `daemonset.darkowlzz.space`.
//!
//! It has the types that users write and the names that the processes share, and does no I/O.
//!
//! - [`job`]: the custom resource, its validation and its status.
//! - [`labels`]: labels, annotations, pod conditions, field managers and derived names.
//! - [`views`]: the parts of Pods, Nodes, DaemonSets and Namespaces that caches keep.

pub mod job;
pub mod labels;
pub mod views;
