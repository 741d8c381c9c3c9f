//! The operator's and the terminator's libraries against a real API server with simulated nodes.
//!
//! `cargo xtask test` runs these tests. They share one control plane and one set of nodes; each has
//! a namespace of its own.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stderr
)]

mod cluster;
mod simulation;
mod test;
mod wait;
