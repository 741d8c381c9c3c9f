//! Follows one log until the word is in it.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use api::{names, runtime::Brief};
use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::LogParams};
use prometheus_client::metrics::counter::Counter;
use tracing::debug;

use crate::{reopen::Reopening, scan::Scanner, target::Target};

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

/// Reads the log of `target` as it grows. A large one is opened again when it pauses, see
/// [`reopen`](crate::reopen).
///
/// `opened` is called once that is done, and `read` counts the bytes.
///
/// # Errors
/// When it cannot be opened, or the connection breaks.
pub async fn follow(
    client: &Client,
    target: &Target,
    read: &Counter,
    opened: impl FnOnce(),
) -> Result<Read, Error> {
    let mut latest = Reader::open(client, target, read, None).await?;
    opened();
    // The one before goes on beside it: it may have more to tell that is not in the file any more.
    let mut earlier: Option<Reader> = None;
    let mut reopening = Reopening::new(now());
    // It goes on whatever is heard meanwhile.
    let mut next = None;
    loop {
        let due = reopening.due().filter(|_| next.is_none());
        let heard = tokio::select! {
            heard = latest.read() => heard?,
            Some(heard) = read_on(&mut earlier) => heard,
            () = until(due) => {
                let since = reopening.since(now());
                next = Some(Box::pin(Reader::open(client, target, read, Some(since))));
                continue;
            }
            Some(reopened) = async { Some(next.as_mut()?.await) } => {
                next = None;
                reopening.reopened(now());
                match reopened {
                    Ok(reader) => earlier = Some(std::mem::replace(&mut latest, reader)),
                    Err(error) => debug!("not opened again: {error}"),
                }
                continue;
            }
            () = tokio::time::sleep(SILENCE) => {
                debug!("the log is silent");
                return Ok(Read::Silent);
            }
        };
        match heard {
            Heard::Word => return Ok(Read::Found),
            Heard::Bytes(bytes) => reopening.heard(bytes, now()),
            Heard::End => match earlier.take() {
                Some(reader) => latest = reader,
                None => return Ok(Read::Ended),
            },
        }
    }
}

/// Reads from a stream that is of no more interest when it ends, however that is.
async fn read_on(reader: &mut Option<Reader>) -> Option<Heard> {
    match reader.as_mut()?.read().await {
        Ok(heard @ (Heard::Word | Heard::Bytes(_))) => Some(heard),
        Ok(Heard::End) | Err(_) => {
            *reader = None;
            None
        }
    }
}

/// Waits until this time; none: for ever.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// By the clock that tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A stream of a log.
struct Reader {
    log: Pin<Box<dyn AsyncBufRead + Send>>,
    scanner: Scanner,
    read: Counter,
}

/// What came of it.
enum Heard {
    /// The word, at last.
    Word,
    /// So many bytes.
    Bytes(usize),
    /// No more is to come.
    End,
}

impl Reader {
    /// Opens the log, to be read from its beginning or from so many seconds ago on.
    async fn open(
        client: &Client,
        target: &Target,
        read: &Counter,
        since: Option<i64>,
    ) -> Result<Self, Error> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &target.namespace);
        let params = LogParams {
            container: Some(names::JOB_CONTAINER.to_owned()),
            follow: true,
            since_seconds: since,
            ..LogParams::default()
        };
        let opened = tokio::time::timeout(OPENING, pods.log_stream(&target.name, &params));
        let log = opened.await.map_err(|_| Error::Unanswered)??;
        Ok(Self { log: Box::pin(log), scanner: Scanner::new(&target.word), read: read.clone() })
    }

    /// Reads what comes next. Nothing is lost when this is dropped.
    async fn read(&mut self) -> Result<Heard, Error> {
        let chunk = self.log.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(Heard::End);
        }
        let bytes = chunk.len();
        self.read.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.scanner.push(chunk) {
            return Ok(Heard::Word);
        }
        self.log.consume_unpin(bytes);
        Ok(Heard::Bytes(bytes))
    }
}

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was not opened in time.
    #[error("not opened within {} s", OPENING.as_secs())]
    Unanswered,
    /// It could not be opened.
    #[error("{}", Brief(.0))]
    Open(#[from] kube::Error),
    /// The connection broke.
    #[error("the log broke off: {0}")]
    Broken(#[from] std::io::Error),
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::{StreamExt, future, stream};
    use http_body_util::StreamBody;

    use super::*;

    fn target() -> Target {
        Target {
            uid: "uid".into(),
            namespace: "n".to_owned(),
            name: "p".to_owned(),
            daemon_set: "d".to_owned(),
            node: "node".to_owned(),
            word: "done".to_owned(),
            run: "run".to_owned(),
            started: None,
            is_over: false,
        }
    }

    /// An API server with these streams of one log, each of which stays open when it has said all, and
    /// the queries with which they were asked for.
    fn server(streams: Vec<Vec<u8>>) -> (Client, Arc<Mutex<Vec<String>>>) {
        let queries: Arc<Mutex<Vec<String>>> = Arc::default();
        let streams = Arc::new(streams);
        let asked = Arc::clone(&queries);
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let mut asked = asked.lock().unwrap();
            let said = streams[asked.len()].clone();
            asked.push(request.uri().query().unwrap_or_default().to_owned());
            let frame = Ok::<_, std::io::Error>(http_body::Frame::data(said.into()));
            let body = stream::once(future::ready(frame)).chain(stream::pending());
            future::ready(Ok::<_, std::io::Error>(http::Response::new(StreamBody::new(body))))
        });
        (Client::new(service, "n"), queries)
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_log_that_the_kubelet_has_lost_is_found_again() {
        let much = b"working\n".repeat(20_000);
        let (client, queries) = server(vec![much.clone(), much, b"done\n".to_vec()]);
        let started = now();
        let bytes = Counter::default();
        let read = follow(&client, &target(), &bytes, || {}).await.unwrap();
        assert!(matches!(read, Read::Found), "{read:?}");
        assert_eq!(bytes.get(), 2 * 8 * 20_000 + 5);
        let queries = queries.lock().unwrap();
        assert!(!queries[0].contains("sinceSeconds"), "{queries:?}");
        assert!(queries[1].contains("sinceSeconds=7"), "{queries:?}");
        assert!(now() - started < Duration::from_secs(10), "before it can be rotated again");
    }

    /// It says something just when it is being opened again.
    #[tokio::test(start_paused = true)]
    async fn a_log_that_goes_on_meanwhile_is_opened_again_all_the_same() {
        let asked = Arc::new(Mutex::new(0));
        let count = Arc::clone(&asked);
        let service = tower::service_fn(move |_: http::Request<kube::client::Body>| {
            let mut asked = count.lock().unwrap();
            *asked += 1;
            let is_first = *asked == 1;
            async move {
                let (before, said) = if is_first {
                    (Duration::ZERO, b"working\n".repeat(20_000))
                } else {
                    (Duration::from_millis(50), b"done\n".to_vec())
                };
                tokio::time::sleep(before).await;
                let frame = |said| Ok::<_, std::io::Error>(http_body::Frame::data(said));
                let further = stream::repeat(()).then(move |()| async move {
                    tokio::time::sleep(Duration::from_millis(2010)).await;
                    frame("working\n".into())
                });
                let body = stream::once(future::ready(frame(said.into()))).chain(further);
                Ok::<_, std::io::Error>(http::Response::new(StreamBody::new(body)))
            }
        });
        let client = Client::new(service, "n");
        let (target, bytes) = (target(), Counter::default());
        let read = follow(&client, &target, &bytes, || {});
        let read = tokio::time::timeout(Duration::from_secs(10), read).await;
        assert!(matches!(read, Ok(Ok(Read::Found))), "{read:?}");
        assert_eq!(*asked.lock().unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_log_is_opened_once() {
        let (client, queries) = server(vec![b"working\n".to_vec()]);
        let read = follow(&client, &target(), &Counter::default(), || {}).await.unwrap();
        assert!(matches!(read, Read::Silent), "{read:?}");
        assert_eq!(queries.lock().unwrap().len(), 1);
    }
}
