//! What a process of ours has around its work: options, logs, metrics, client, health server, shutdown;
//! and how both watch and retry.

mod backoff;
mod cache;
mod client;
mod error;
mod health;
mod lease;
mod log;
pub mod metrics;
mod options;
mod pod_condition;
mod process;
mod server;
mod stream;
mod version;
mod watch;

pub use backoff::Backoff;
pub use cache::{Cache, Lists, cache};
pub use client::Clients;
pub use error::{Brief, kind as error_kind};
pub use health::Health;
pub use lease::{Candidate, Election, NotLeading, Standing};
pub use metrics::Registry;
pub use options::{LogFormat, Options};
pub use pod_condition::{PodId, set_condition};
pub use process::{Context, pause, run};
pub use watch::{NoRest, watch, watch_cluster};
