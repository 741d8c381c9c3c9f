//! The errors of reading a log.

use std::time::Duration;

use runtime::client::ShortError;

use crate::follow::entry_times;

/// Limit for a log to be opened.
///
/// The API server may wait for a kubelet that does not answer.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The log was not opened in time.
    #[error("not opened within {} s", OPEN_TIMEOUT.as_secs())]
    Timeout,
    /// The log could not be opened.
    #[error("{}", ShortError(.0))]
    Open(#[from] kube::Error),
    /// The connection broke.
    #[error("the log broke off: {0}")]
    Broken(#[from] std::io::Error),
    /// The probe failed.
    #[error("{0}")]
    Probe(#[from] entry_times::Error),
}
