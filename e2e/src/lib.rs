//! The end-to-end harness as a library: child processes, clusters, waits, artifacts, scenarios.

pub mod afterwards;
pub mod artifacts;
pub mod bench;
pub mod cluster;
pub mod control_plane;
pub mod deploy;
pub mod fault;
pub mod images;
mod kubectl;
pub mod kustomize;
pub mod pages;
pub mod paths;
pub mod process;
pub mod progress;
pub mod report;
pub mod scenario;
pub mod sim;
pub mod statistics;
pub mod wait;
