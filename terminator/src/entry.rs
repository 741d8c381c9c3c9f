//! Asks for the times of single entries of a log.

use std::time::Duration;

use api::{names, runtime::Brief};
use futures::AsyncReadExt;
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{Api, Client, api::LogParams};

use crate::{stamps, target::Target};

/// The kubelet may not answer, and the API server wait for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The time of the first entry that is left of the log; `None` if it is empty.
///
/// That is the first one of the file that is written now, for kubelets serve no other one. A file is known
/// by it: the next one begins with another entry.
pub(crate) async fn first(client: &Client, target: &Target) -> Result<Option<Timestamp>, Error> {
    time(client, target, None).await
}

/// The time of the last entry of the log; `None` if it is empty.
pub(crate) async fn last(client: &Client, target: &Target) -> Result<Option<Timestamp>, Error> {
    time(client, target, Some(1)).await
}

async fn time(
    client: &Client,
    target: &Target,
    tail_lines: Option<i64>,
) -> Result<Option<Timestamp>, Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &target.namespace);
    let params = LogParams {
        container: Some(names::JOB_CONTAINER.to_owned()),
        timestamps: true,
        tail_lines,
        limit_bytes: i64::try_from(stamps::LONGEST).ok(),
        ..LogParams::default()
    };
    let ask = async {
        let log = pods.log_stream(&target.name, &params).await?;
        let mut entry = Vec::with_capacity(stamps::LONGEST);
        log.take(stamps::LONGEST as u64).read_to_end(&mut entry).await?;
        if entry.is_empty() {
            return Ok(None);
        }
        stamps::of_line(&entry).map(Some).ok_or(Error::TimeStamp)
    };
    tokio::time::timeout(PATIENCE, ask).await.map_err(|_| Error::Unanswered)?
}

/// Why the time is not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server could not take the call.
    #[error("{}", Brief(.0))]
    Kube(#[from] kube::Error),
    /// The connection broke.
    #[error("the log broke off: {0}")]
    Broken(#[from] std::io::Error),
    /// A line came without the time stamp that was asked for.
    #[error("a line of the log has no time stamp")]
    TimeStamp,
    /// No answer came in time.
    #[error("not answered within {} s", PATIENCE.as_secs())]
    Unanswered,
}
