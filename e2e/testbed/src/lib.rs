//! What tests run against.
//!
//! [`control_plane`] is a real API server with its controllers in a container, and [`simulation`] adds
//! simulated nodes to it; [`program`] starts operator and terminator beside it. [`kind`] makes clusters of
//! real nodes, [`deploy`] installs the operator there, and [`faults`] breaks what breaks on real clusters.

pub mod control_plane;
pub mod deploy;
pub mod faults;
pub mod kind;
pub mod manifests;
pub mod program;
pub mod simulation;
