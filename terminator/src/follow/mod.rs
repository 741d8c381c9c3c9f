//! Follows logs until the termination word is in them.
//!
//! - [`followers`]: the loop that carries out the steps of the scheduler.
//! - [`follower`]: follows one log, and records the word.
//! - [`scheduler`]: decides which logs are followed; pure.
//! - [`pod_log`]: the log of a pod to be read; pure.
//! - [`reader`]: reads one log, by one stream or more.
//! - [`reopen`]: decides when a log is probed and opened again; pure.
//! - [`rotation`]: reports logs without a beginning.
//! - [`entry_times`], [`timestamps`]: read the times of entries.

mod entry_times;
mod follower;
mod followers;
pub(crate) mod pod_log;
mod reader;
mod reopen;
mod rotation;
pub(crate) mod scheduler;
mod timestamps;

pub(crate) use followers::Followers;
