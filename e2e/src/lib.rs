//! The end-to-end harness as a library: child processes, clusters, waits, artifacts, scenarios.

pub mod cluster;
pub mod control_plane;
pub mod images;
pub mod paths;
pub mod process;
pub mod progress;
pub mod sim;
pub mod wait;
