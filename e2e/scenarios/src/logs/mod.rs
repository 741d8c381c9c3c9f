//! Logs: their content, their size, their rotation.

pub(crate) mod content;
pub(crate) mod memory;
pub(crate) mod rotation;
pub(crate) mod volume;
