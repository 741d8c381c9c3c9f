//! What people want to know of a Job, computed from the objects that were read.
//!
//! Everything here is pure: objects and a time go in, and values that commands print come out.

pub(crate) mod daemon_set;
pub(crate) mod evidence;
pub(crate) mod facts;
pub(crate) mod finding;
pub(crate) mod installation;
pub(crate) mod job;
pub(crate) mod nodes;
