//! What a process of ours has around its work: options, logs, client, health server, shutdown.

mod client;
mod health;
mod options;
mod process;

pub use client::Clients;
pub use health::Health;
pub use options::{LogFormat, Options};
pub use process::{Context, run};
