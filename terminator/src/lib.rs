//! Notices when the work of a pod is done, records that on the pod, and deletes finished Jobs.
//!
//! The way of the data: a change of a pod makes the [`plan`] (pure) ask for its log to be
//! [followed](follow); its bytes are [scanned](scan) (pure) for the termination word, and finding
//! it is [recorded](record) as a condition of the pod. The operator derives the Job's status from
//! these conditions, and [`finish`] deletes a Job whose status says that it is complete.

pub mod config;
mod entry;
pub mod finish;
pub mod follow;
pub mod metrics;
pub mod plan;
pub mod record;
mod reopen;
mod rotation;
pub mod scan;
mod stamps;
pub mod target;

mod run;

pub use config::Config;
pub use metrics::Metrics;
pub use run::{Error, run};
