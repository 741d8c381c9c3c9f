//! Builders of objects, the rules of kstatus, a simulated kubelet, a world of histories, and an exhaustive search in it.

pub(crate) mod fixtures;
pub(crate) mod kstatus;
pub(crate) mod kubelet;
pub(crate) mod search;
pub(crate) mod world;
