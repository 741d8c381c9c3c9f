//! Provides what the harness needs and this machine lacks: Docker, kind, kubectl.
//!
//! What is there is used as it is. What is missing is installed only where that is safe to do
//! unasked (Debian, as root), and the terminal says so first; otherwise, and always with
//! `--no-provision`, the error is the list of what to install.

pub(crate) mod apt;
mod cache;
mod cargo_tool;
pub(crate) mod docker;
pub(crate) mod go;
pub(crate) mod host;
mod permission;
pub(crate) mod podman;
mod program;
pub(crate) mod shim;

pub(crate) use self::cache::cache_dir;
pub(crate) use self::cargo_tool::{CYCLONEDX as CARGO_CYCLONEDX, DENY as CARGO_DENY};
pub(crate) use self::permission::Provision;
pub(crate) use self::program::{CRANE, HELM, KIND, KUBECTL, PROMTOOL, Program};
