//! Follows one log until the word is in it.

use std::time::Duration;

use api::names;
use futures::AsyncBufReadExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::LogParams};
use tracing::debug;

use crate::{scan::Scanner, target::Target};

/// A log that is silent for this long is opened again: the connection may be dead without a sign.
const SILENCE: Duration = Duration::from_secs(300);

/// A log that is not opened within this time is given up: the API server may be waiting for a
/// kubelet that does not answer.
const OPENING: Duration = Duration::from_secs(60);

/// What following a log came to.
#[derive(Debug)]
pub enum Read {
    /// The word is in the log.
    Found,
    /// The log has ended without the word.
    Ended,
    /// The log was silent for five minutes.
    Silent,
}

/// Reads the log of `target` as it grows.
///
/// # Errors
/// When it cannot be opened, or the connection breaks.
pub async fn follow(client: &Client, target: &Target) -> Result<Read, Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &target.namespace);
    let params = LogParams {
        container: Some(names::JOB_CONTAINER.to_owned()),
        follow: true,
        ..LogParams::default()
    };
    let opened = tokio::time::timeout(OPENING, pods.log_stream(&target.name, &params));
    let log = opened.await.map_err(|_| Error::Unanswered)??;
    let mut log = std::pin::pin!(log);
    let mut scanner = Scanner::new(&target.word);
    loop {
        let Ok(chunk) = tokio::time::timeout(SILENCE, log.fill_buf()).await else {
            debug!(pod = target.name, "the log is silent");
            return Ok(Read::Silent);
        };
        let chunk = chunk?;
        if chunk.is_empty() {
            return Ok(Read::Ended);
        }
        if scanner.push(chunk) {
            return Ok(Read::Found);
        }
        let length = chunk.len();
        log.consume_unpin(length);
    }
}

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was not opened in time.
    #[error("not opened within {} s", OPENING.as_secs())]
    Unanswered,
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] kube::Error),
    /// The connection broke.
    #[error("the log broke off: {0}")]
    Broken(#[from] std::io::Error),
}
