//! Reads the times of the first and the last entry of a log.

use std::time::Duration;

use api::labels;
use futures::AsyncReadExt;
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{Api, Client, api::LogParams};
use runtime::client::ShortError;

use super::{pod_log::PodLog, timestamps};

/// Limit for an answer: the API server may wait for a kubelet that does not answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Reads the time of the first entry; `None` if the file is empty.
///
/// Kubelets serve the file that is written, and no other. The time identifies the file, for the next one begins
/// with another entry.
pub(crate) async fn first(client: &Client, log: &PodLog) -> Result<Option<Timestamp>, Error> {
    time(client, log, None).await
}

/// Reads the time of the last entry; `None` if the file is empty.
pub(crate) async fn last(client: &Client, log: &PodLog) -> Result<Option<Timestamp>, Error> {
    time(client, log, Some(1)).await
}

async fn time(
    client: &Client,
    log: &PodLog,
    tail_lines: Option<i64>,
) -> Result<Option<Timestamp>, Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &log.namespace);
    let params = LogParams {
        container: Some(labels::JOB_CONTAINER.to_owned()),
        timestamps: true,
        tail_lines,
        limit_bytes: i64::try_from(timestamps::MAX_LENGTH).ok(),
        ..LogParams::default()
    };
    let read = async {
        let stream = pods.log_stream(&log.name, &params).await?;
        let mut entry = Vec::with_capacity(timestamps::MAX_LENGTH);
        stream.take(timestamps::MAX_LENGTH as u64).read_to_end(&mut entry).await?;
        if entry.is_empty() {
            return Ok(None);
        }
        timestamps::of_line(&entry).map(Some).ok_or(Error::NoTimestamp)
    };
    tokio::time::timeout(TIMEOUT, read).await.map_err(|_| Error::Timeout)?
}

/// Why the time is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The call failed.
    #[error("{}", ShortError(.0))]
    Kube(#[from] kube::Error),
    /// The connection broke.
    #[error("the log broke off: {0}")]
    Broken(#[from] std::io::Error),
    /// A line came without a time stamp.
    #[error("a line of the log has no time stamp")]
    NoTimestamp,
    /// No answer came in time.
    #[error("not answered within {} s", TIMEOUT.as_secs())]
    Timeout,
}
