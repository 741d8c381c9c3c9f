//! What every test and every tool of this repository is built on.
//!
//! It knows no cluster. [`process`] runs external commands, [`progress`] shows what a run does,
//! [`command`] gives all programs the same exit codes, and [`provide`] asks `cargo xtask` for images and
//! programs. The feature `cluster` adds waits, Job handles, artifacts and reports, some of which need a
//! Kubernetes client.

#[cfg(feature = "cluster")]
pub mod artifacts;
pub mod command;
pub mod command_line;
pub mod deadline;
pub mod file_lock;
pub mod images;
#[cfg(feature = "cluster")]
pub mod job_builder;
#[cfg(feature = "cluster")]
pub mod job_handle;
pub mod kubectl;
pub mod kustomize;
pub mod pages;
pub mod paths;
pub mod proc_file;
pub mod process;
pub mod progress;
pub mod provide;
#[cfg(feature = "cluster")]
pub mod report;
pub mod statistics;
#[cfg(feature = "cluster")]
pub mod wait;
