//! The parts of Pods, Nodes, DaemonSets and Namespaces that caches keep.
//!
//! A watch decodes into these types instead of the full ones, so that a cache does not grow with the pod
//! templates of users. Fields that nobody reads are not decoded at all: in a list of hundreds of pods, the
//! managed fields alone would take more memory than everything that is kept.

mod affinity;
mod daemon_set;
mod decode;
mod metadata;
mod namespace;
mod node;
mod pod;

pub use affinity::AffinityView;
pub use daemon_set::DaemonSetView;
pub use metadata::{annotation, controller, prune};
pub use namespace::NamespaceView;
pub use node::{NodeSpecView, NodeView};
pub use pod::{PodSpecView, PodStatusView, PodView, Sandbox};
