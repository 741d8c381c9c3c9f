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

#[macro_use]
extern crate macro_rules_attribute;

mod account;
mod cluster;
mod job;
mod kubectl;
mod processes;
mod program;
mod test;

mod admission;
mod alerts;
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
mod gitops;
mod gone_pods;
mod helm;
mod kustomize;
mod logs;
mod metrics;
mod migration;
mod monitoring;
mod names;
mod never;
mod nodes;
mod order;
mod outage;
mod pages;
mod plugin;
mod pod_policy;
mod policy;
mod restarts;
mod rotation;
mod schema;
mod simulation;
mod slices;
mod sticky;
mod strangers;
mod suspend;
mod table;
mod template;
mod termination_word;
mod ttl;
mod turns;
