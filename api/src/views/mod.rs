//! The parts of Pods, Nodes, DaemonSets and Namespaces that caches keep.
//!
//! A watch decodes into these types instead of the full ones, so that a cache does not grow with the pod
//! templates of users. Fields that nobody reads are not decoded at all: in a list of hundreds of pods, the
//! managed fields alone would take more memory than everything that is kept.

mod affinity;
mod daemon_set;
mod decode;
mod gates;
mod metadata;
mod namespace;
mod node;
mod pod;
mod revision;

pub use affinity::AffinityView;
pub use daemon_set::{DaemonSetView, TEMPLATE_GENERATION};
pub use decode::INITIALIZING;
pub use gates::Gates;
pub use metadata::{annotation, controller, is_of_kubectl, prune, prune_workload};
pub use namespace::NamespaceView;
pub use node::{NodeSpecView, NodeView};
pub use pod::{PodRevision, PodSpecView, PodStatusView, PodView, Sandbox};
pub use revision::RevisionView;
