//! Finds termination words in logs, records them, and deletes finished Jobs.
//!
//! ```text
//!  watch of pods ──▶ follow::scheduler (pure) ──▶ follow::reader ──▶ scan (pure) ──▶ record
//!  watch of Jobs ──▶ finish::ttl (pure) ──▶ finish::delete
//! ```
//!
//! The operator derives the status of a Job from the recorded conditions, and that status makes `finish`
//! delete the Job.

mod config;
mod error;
mod finish;
mod follow;
mod metrics;
mod record;
mod run;
pub mod scan;

pub use config::Config;
pub use error::Error;
pub use metrics::Metrics;
pub use run::run;
