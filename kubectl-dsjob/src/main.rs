//! `kubectl dsjob`: runs, shows, explains and reports Jobs that run once on every node.
//!
//! - [`args`]: flags that commands share.
//! - [`commands`]: a module a command; they are the edge, where clocks and screens are.
//! - [`cluster`]: everything that is read from a cluster and written to it.
//! - [`follow`]: the logs of many pods at once.
//! - [`model`], [`explain`], [`render`]: pure, from objects to what is known, what is wrong, and to text.

mod args;
mod cluster;
mod commands;
mod error;
mod explain;
mod follow;
mod model;
mod render;
mod screen;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::main()
}
