//! Observes Jobs, in the caches of the watches or at the API server.

mod gone_pods;
mod node_index;
mod observer;
mod pod_events;
mod pod_index;
mod refused_pods;
mod throttle;

pub(super) use node_index::node_index;
pub(super) use observer::Observer;
pub(super) use pod_events::PodEvents;
pub(super) use pod_index::{PodIndex, pod_index};
pub(super) use refused_pods::RefusedPods;
pub(super) use throttle::Throttle;
