//! Follows one log until the word is in it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use api::{
    names,
    runtime::{Brief, Clients},
};
use futures::AsyncBufRead;
use k8s_openapi::{
    api::core::v1::Pod,
    jiff::{SignedDuration, Timestamp},
};
use kube::{Api, Client, api::LogParams};
use prometheus_client::metrics::counter::Counter;
use tracing::debug;

use crate::{
    entry,
    reopen::{File, Looking, MOST, is_read, is_spent},
    scan::Scanner,
    stamps::Stamps,
    target::Target,
};

/// A log that is silent for this long is opened again: the connection may be dead without a sign.
const SILENCE: Duration = Duration::from_secs(300);

/// A log that is not opened within this time is given up: the API server may be waiting for a
/// kubelet that does not answer.
const OPENING: Duration = Duration::from_secs(60);

/// How much of a large log is read again that is opened again: clocks that are corrected may go back a little.
const OVERLAP: SignedDuration = SignedDuration::from_secs(5);

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

/// What is told of a log while it is followed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    /// It is open.
    Opened,
    /// Its first line, of those that are left, has this time.
    Begins(Timestamp),
    /// There is much of it, and more on its way than has come.
    Behind,
    /// All has come that it held a moment ago.
    CaughtUp,
}

/// Reads the log of `target` as it grows. While it is large, it is made sure that the file that is written is
/// one that is read, see [`reopen`](crate::reopen).
///
/// `read` counts the bytes, without the time stamps that the kubelet puts before lines.
///
/// # Errors
/// When it cannot be opened, or the connection breaks.
pub async fn follow(
    clients: &Clients,
    target: &Target,
    read: &Counter,
    tell: impl Fn(Told),
) -> Result<Read, Error> {
    let open = |since| Reader::open(&clients.logs, target, read, since);
    // The oldest file first. Those before the last one may have more to tell that is in no file any more.
    let mut readers = vec![open(None).await?];
    tell(Told::Opened);
    let mut looking = Looking::new(now());
    // It goes on whatever is heard meanwhile.
    let mut look = None;
    let mut turn = 0;
    let (mut has_begun, mut was_behind) = (false, false);
    loop {
        if was_behind != looking.is_behind() {
            was_behind = !was_behind;
            tell(if was_behind { Told::Behind } else { Told::CaughtUp });
        }
        let due = looking.due().filter(|_| look.is_none());
        tokio::select! {
            (index, heard) = next(&mut readers, &mut turn) => match heard {
                Ok(Heard::Word) => return Ok(Read::Found),
                Ok(Heard::Bytes(bytes)) => {
                    if !has_begun && let Some(first) = readers[index].stamps.first() {
                        has_begun = true;
                        tell(Told::Begins(first));
                    }
                    // Old files may have more to tell, whatever has come of the new one.
                    let last = last_read(&readers).filter(|_| readers.len() == 1);
                    looking.heard(bytes, last, now());
                }
                ended => {
                    readers.remove(index);
                    match ended {
                        Err(error) if readers.is_empty() => return Err(error),
                        Err(error) => debug!("{error}"),
                        Ok(_) if readers.is_empty() => return Ok(Read::Ended),
                        Ok(_) => {}
                    }
                }
            },
            () = until(due) => {
                let files = files(&readers);
                let is_behind = looking.is_behind();
                look = Some(Box::pin(look_at(clients, target, read, files, is_behind)));
            }
            Some(found) = async { Some(look.as_mut()?.await) } => {
                look = None;
                match found {
                    Ok(Found::Known { end }) => {
                        let has_all = readers.len() == 1 && end <= last_read(&readers);
                        looking.is_known(end, has_all, now());
                    }
                    Ok(Found::New(reader)) => {
                        looking.is_opened(now());
                        readers.push(*reader);
                    }
                    Err(error) => {
                        debug!("it cannot be looked at the log: {error}");
                        looking.looked(now());
                        continue;
                    }
                }
                drop_spent(&mut readers);
            }
            () = until(Some(looking.last_heard() + SILENCE)) => {
                debug!("the log is silent");
                let (Some(last), true) = (last_read(&readers), looking.is_large()) else {
                    return Ok(Read::Silent);
                };
                // Not from its beginning, which would be much to read every five minutes.
                let mut reader = Box::pin(open(Some(last))).await?;
                reader.began = Began::At(files(&readers).last().and_then(|file| file.first));
                readers = vec![reader];
                looking.resumed(now());
            }
        }
    }
}

/// What there is of a log now.
enum Found {
    /// A file that is read. Its last entry has this time, if there is one and it was asked for.
    Known { end: Option<Timestamp> },
    /// A file that was not read so far, and is now.
    New(Box<Reader>),
}

/// Looks at the log, of which these `files` are read.
async fn look_at(
    clients: &Clients,
    target: &Target,
    read: &Counter,
    files: Vec<File>,
    is_behind: bool,
) -> Result<Found, Error> {
    let first = entry::first(&clients.call, target).await?;
    if is_read(first, &files) {
        let end = if is_behind { entry::last(&clients.call, target).await? } else { None };
        return Ok(Found::Known { end });
    }
    debug!("the log was rotated");
    let mut reader = Reader::open(&clients.logs, target, read, None).await?;
    // It may take a while to say so itself.
    reader.began = Began::Probably(first);
    Ok(Found::New(Box::new(reader)))
}

/// Closes streams that can say nothing which newer ones do not say.
fn drop_spent(readers: &mut Vec<Reader>) {
    let now = now();
    let files = files(readers);
    let newest = files.len().saturating_sub(1);
    let surplus = files.len().saturating_sub(MOST);
    let mut index = 0;
    readers.retain(|_| {
        let at = index;
        index += 1;
        at == newest || at >= surplus && !is_spent(&files[at], &files[at + 1], now)
    });
}

fn files(readers: &[Reader]) -> Vec<File> {
    readers.iter().map(Reader::file).collect()
}

/// The time of what came last of the newest file.
fn last_read(readers: &[Reader]) -> Option<Timestamp> {
    readers.last()?.stamps.last()
}

/// What comes next of whatever stream, each of which has its turn. Nothing is lost when this is dropped.
async fn next(readers: &mut [Reader], turn: &mut usize) -> (usize, Result<Heard, Error>) {
    std::future::poll_fn(|context| {
        *turn = turn.wrapping_add(1);
        let count = readers.len();
        for index in (0..count).map(|index| (index + *turn) % count) {
            if let Poll::Ready(heard) = readers[index].poll_read(context) {
                return Poll::Ready((index, heard));
            }
        }
        Poll::Pending
    })
    .await
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
    stamps: Stamps,
    scanner: Scanner,
    read: Counter,
    began: Began,
    heard: Instant,
}

/// The time of the first entry of a file.
#[derive(Clone, Copy)]
enum Began {
    /// That of the first line that comes. Until then this one.
    Probably(Option<Timestamp>),
    /// This one. The stream did not begin with it.
    At(Option<Timestamp>),
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
    /// Opens the log, to be read from its beginning, or from what it logged a little before `since` on.
    async fn open(
        client: &Client,
        target: &Target,
        read: &Counter,
        since: Option<Timestamp>,
    ) -> Result<Self, Error> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &target.namespace);
        let params = LogParams {
            container: Some(names::JOB_CONTAINER.to_owned()),
            follow: true,
            timestamps: true,
            since_time: since.map(|since| since - OVERLAP),
            ..LogParams::default()
        };
        let opened = tokio::time::timeout(OPENING, pods.log_stream(&target.name, &params));
        let log = opened.await.map_err(|_| Error::Unanswered)??;
        Ok(Self {
            log: Box::pin(log),
            stamps: Stamps::default(),
            scanner: Scanner::new(&target.word),
            read: read.clone(),
            began: Began::Probably(None),
            heard: now(),
        })
    }

    /// Reads what comes next.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<Heard, Error>> {
        let chunk = match ready!(self.log.as_mut().poll_fill_buf(context)) {
            Ok(chunk) => chunk,
            Err(error) => return Poll::Ready(Err(error.into())),
        };
        if chunk.is_empty() {
            return Poll::Ready(Ok(Heard::End));
        }
        let mut is_found = false;
        self.stamps.strip(chunk, |content| {
            self.read.inc_by(u64::try_from(content.len()).unwrap_or(u64::MAX));
            is_found = is_found || self.scanner.push(content);
        });
        let bytes = chunk.len();
        self.log.as_mut().consume(bytes);
        self.heard = now();
        Poll::Ready(Ok(if is_found { Heard::Word } else { Heard::Bytes(bytes) }))
    }

    /// The file that it reads.
    fn file(&self) -> File {
        let first = match self.began {
            Began::Probably(first) => self.stamps.first().or(first),
            Began::At(first) => first,
        };
        File { first, last: self.stamps.last(), heard: self.heard }
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
    /// The kubelet did not say where it is.
    #[error("{0}")]
    Entry(#[from] entry::Error),
}

#[cfg(test)]
mod tests;
