//! Builders of objects, a simulated kubelet, and a world of histories.

pub(crate) mod fixtures;
pub(crate) mod kubelet;
pub(crate) mod world;
