//! The errors that end the terminator.

use runtime::controller::WatchEnded;

/// Why the terminator ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refuses the selector of the pods.
    #[error("POD_LABEL_SELECTOR: {0}")]
    Selector(String),
    /// A watch has ended for good.
    #[error(transparent)]
    WatchEnded(#[from] WatchEnded),
}
