//! What tests run against.
//!
//! [`control_plane`] is a real API server with its controllers in a container. [`simulation`] adds
//! simulated nodes to it, [`simulated_work`] lets their pods work by themselves, and [`program`] starts
//! operator and terminator beside it. [`kind`] makes clusters of real nodes, [`deploy`] installs the
//! operator there, and [`faults`] breaks what breaks on real clusters.

pub mod control_plane;
pub mod deploy;
pub mod faults;
pub mod kind;
pub mod manifests;
pub mod program;
pub mod simulated_work;
pub mod simulation;
