//! The end-to-end harness as a library: child processes, clusters, waits, artifacts, scenarios.

pub mod paths;
pub mod process;
