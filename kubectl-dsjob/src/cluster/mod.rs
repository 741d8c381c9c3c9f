//! The cluster: everything that is read from it and written to it.

pub(crate) mod connect;
pub(crate) mod failure;
pub(crate) mod find;
pub(crate) mod pages;
pub(crate) mod reviews;
pub(crate) mod snapshot;
pub(crate) mod surroundings;
pub(crate) mod watch;
pub(crate) mod write;
