//! One stream of a log, scanned for the word as it comes.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use api::labels;
use futures::AsyncBufRead;
use k8s_openapi::{
    api::core::v1::Pod,
    jiff::{SignedDuration, Timestamp},
};
use kube::{Api, Client, api::LogParams};
use prometheus_client::metrics::counter::Counter;

use super::error::{Error, OPEN_TIMEOUT};
use crate::{
    follow::{pod_log::PodLog, reopen::File, timestamps::TimestampStripper},
    scan::Scanner,
};

/// Part of a large log that is read again when it is resumed.
///
/// Clocks may be set back a little.
const OVERLAP: SignedDuration = SignedDuration::from_secs(5);

/// A stream of a log.
pub(super) struct LogStream {
    log: Pin<Box<dyn AsyncBufRead + Send>>,
    timestamps: TimestampStripper,
    scanner: Scanner,
    bytes_read: Counter,
    beginning: Beginning,
    received: Instant,
}

/// The time of the first entry of the file that a stream reads.
#[derive(Clone, Copy)]
enum Beginning {
    /// The time of the first line that comes. Until then this one.
    Probably(Option<Timestamp>),
    /// This one, with which the stream did not begin.
    At(Option<Timestamp>),
}

/// A piece of a stream.
pub(super) enum Received {
    /// The word is in it.
    Word,
    /// Bytes without the word.
    Bytes(usize),
    /// The end of the stream.
    End,
}

impl LogStream {
    /// Opens the log at its beginning, or a little before `since`.
    pub(super) async fn open(
        client: &Client,
        log: &PodLog,
        bytes_read: &Counter,
        since: Option<Timestamp>,
    ) -> Result<Self, Error> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &log.namespace);
        let params = LogParams {
            container: Some(labels::JOB_CONTAINER.to_owned()),
            follow: true,
            timestamps: true,
            since_time: since.map(|since| since - OVERLAP),
            ..LogParams::default()
        };
        let opened = tokio::time::timeout(OPEN_TIMEOUT, pods.log_stream(&log.name, &params));
        let stream = opened.await.map_err(|_| Error::Timeout)??;
        Ok(Self {
            log: Box::pin(stream),
            timestamps: TimestampStripper::default(),
            scanner: Scanner::new(&log.word),
            bytes_read: bytes_read.clone(),
            beginning: Beginning::Probably(None),
            received: now(),
        })
    }

    /// Notes the probable time of the first entry, which may take a while to come.
    pub(super) fn probably_begins(&mut self, first: Option<Timestamp>) {
        self.beginning = Beginning::Probably(first);
    }

    /// Notes that the stream resumes a file whose first entry has this time.
    pub(super) fn resumes(&mut self, first: Option<Timestamp>) {
        self.beginning = Beginning::At(first);
    }

    /// Receives the next piece.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<Received, Error>> {
        let chunk = match ready!(self.log.as_mut().poll_fill_buf(context)) {
            Ok(chunk) => chunk,
            Err(error) => return Poll::Ready(Err(error.into())),
        };
        if chunk.is_empty() {
            return Poll::Ready(Ok(Received::End));
        }
        let mut is_found = false;
        self.timestamps.strip(chunk, |content| {
            self.bytes_read.inc_by(u64::try_from(content.len()).unwrap_or(u64::MAX));
            is_found = is_found || self.scanner.push(content);
        });
        let bytes = chunk.len();
        self.log.as_mut().consume(bytes);
        self.received = now();
        Poll::Ready(Ok(if is_found { Received::Word } else { Received::Bytes(bytes) }))
    }

    /// Returns the time of the first line that has come.
    pub(super) fn first_time(&self) -> Option<Timestamp> {
        self.timestamps.first()
    }

    /// Returns the time of the last line that has come.
    pub(super) fn last_time(&self) -> Option<Timestamp> {
        self.timestamps.last()
    }

    /// Describes the file that the stream reads.
    pub(super) fn file(&self) -> File {
        let first = match self.beginning {
            Beginning::Probably(first) => self.first_time().or(first),
            Beginning::At(first) => first,
        };
        File { first, last: self.last_time(), received: self.received }
    }
}

/// Returns the time by the clock that tests can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
