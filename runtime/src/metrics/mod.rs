//! The metrics of a process, for Prometheus.
//!
//! Every label's values are known beforehand: no Job, pod or node is named, so that the number of time
//! series does not grow with the cluster. `docs/metrics.md` lists all of them, and a test compares.

mod controller;
mod families;
mod leadership;
mod process;
mod registry;
mod requests;
mod text;

pub use controller::{Reconciliations, WatchErrors};
pub use families::{Computed, Counters, Histograms, Labels, histograms};
pub(crate) use leadership::Leadership;
pub use registry::{Description, Registry};
pub(crate) use requests::Requests;
