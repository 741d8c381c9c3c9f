//! Values of the command line that several commands share.

pub(crate) mod connection;
pub(crate) mod duration;
pub(crate) mod names;
pub(crate) mod output;
