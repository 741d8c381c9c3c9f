//! The operator's and the terminator's libraries against a real API server with simulated nodes.
//!
//! `cargo xtask test` runs these tests. They share one control plane and one set of nodes; each has
//! a namespace of its own. Operator and terminator run as tasks of the test, with the service
//! account and the rights of `deploy/`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests end this way when they fail"
)]

mod cluster;
mod job;
mod processes;
mod program;
mod test;

mod admission;
mod bad_input;
mod changes;
mod completion;
mod daemon_set;
mod deadline;
mod deletion;
mod election;
mod exit_code;
mod failures;
mod field;
mod helm;
mod kustomize;
mod logs;
mod metrics;
mod migration;
mod monitoring;
mod names;
mod nodes;
mod outage;
mod pages;
mod peers;
mod policy;
mod refused_pods;
mod restarts;
mod rights;
mod rotation;
mod schema;
mod simulation;
mod sticky;
mod strangers;
mod table;
mod template;
mod termination_word;
mod ttl;
