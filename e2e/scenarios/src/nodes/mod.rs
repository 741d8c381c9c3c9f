//! Nodes: which of them run a Job, and what happens to those.

pub(crate) mod kept_free;
pub(crate) mod lost;
pub(crate) mod sandboxes;
