//! Turns Jobs into DaemonSets and reports their status.
//!
//! The way of the data: a change of a Job, of its DaemonSet or of one of its pods makes the
//! [`controller`] observe all of them, [`decide`] what they mean (a pure function), and apply that.

pub mod config;
pub mod controller;
pub mod daemon_set;
pub mod decide;
pub mod events;
#[cfg(test)]
mod fixtures;
mod mark;
pub mod metrics;
mod nodes;
mod observe;
pub mod observed;
mod pace;
mod pods;
pub mod policy;
pub mod progress;
mod reachability;
mod recent;
pub mod reconcile;
mod run;
pub mod status;
pub mod tally;
mod turn;
mod write;

pub use config::Config;
pub use controller::run;
pub use metrics::Metrics;
