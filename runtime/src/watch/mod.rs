//! Watches, and the indices that they keep up to date.

mod cache;
mod errors;
pub mod index;
mod resilient;

pub use cache::{Cache, cache};
pub use errors::report_errors;
pub use resilient::{Watched, watch, watch_cluster};
