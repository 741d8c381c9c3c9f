//! Follows one log until the word is in it.

use std::{
    task::Poll,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use runtime::client::Clients;
use tracing::debug;

use super::{
    error::Error,
    stream::{LogStream, Received, now},
};
use crate::follow::{
    entry_times,
    pod_log::PodLog,
    reopen::{File, MOST, ProbeSchedule, is_read, is_spent},
};

/// Silence after which a log is opened again, for the connection may be dead.
const SILENCE: Duration = Duration::from_secs(300);

/// The outcome of following a log.
#[derive(Debug)]
pub(crate) enum ReadOutcome {
    /// The word is in the log.
    Found,
    /// The log has ended without the word.
    Ended,
    /// The log was silent for [`SILENCE`].
    Silent,
}

/// An event of a log that is followed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReadEvent {
    /// The log is open.
    Opened,
    /// The first line has come, with this time stamp.
    FirstLine(Timestamp),
    /// The last line of the newest file that has come has this time stamp.
    ReadTo(Timestamp),
    /// The log is large, and more is on its way than has come.
    Behind,
    /// All has come that the log held a moment ago.
    CaughtUp,
}

/// Reads a log as it grows.
///
/// A large log is also probed, so that the file that is written is always read, see
/// [`reopen`](crate::follow::reopen). `bytes_read` counts without the time stamps of the kubelet.
///
/// # Errors
/// When the log cannot be opened, or the connection breaks.
pub(crate) async fn follow(
    clients: &Clients,
    log: &PodLog,
    bytes_read: &Counter,
    emit: impl Fn(ReadEvent),
) -> Result<ReadOutcome, Error> {
    let open = |since| LogStream::open(&clients.logs, log, bytes_read, since);
    // The oldest file first. Older streams may have a rest that is in no file any more.
    let mut streams = vec![open(None).await?];
    emit(ReadEvent::Opened);
    let mut schedule = ProbeSchedule::new(now());
    // A probe goes on while streams are read.
    let mut running_probe = None;
    let mut turn = 0;
    let (mut has_begun, mut was_behind) = (false, false);
    loop {
        if was_behind != schedule.is_behind() {
            was_behind = !was_behind;
            emit(if was_behind { ReadEvent::Behind } else { ReadEvent::CaughtUp });
        }
        let due = schedule.next_probe().filter(|_| running_probe.is_none());
        tokio::select! {
            (index, received) = next(&mut streams, &mut turn) => match received {
                Ok(Received::Word) => return Ok(ReadOutcome::Found),
                Ok(Received::Bytes(bytes)) => {
                    if !has_begun && let Some(first) = streams[index].first_time() {
                        has_begun = true;
                        emit(ReadEvent::FirstLine(first));
                    }
                    if let Some(last) = last_read(&streams) {
                        emit(ReadEvent::ReadTo(last));
                    }
                    // Older streams may have more, whatever has come of the newest one.
                    let last = last_read(&streams).filter(|_| streams.len() == 1);
                    schedule.received(bytes, last, now());
                }
                ended => {
                    streams.remove(index);
                    match ended {
                        Err(error) if streams.is_empty() => return Err(error),
                        Err(error) => debug!("{error}"),
                        Ok(_) if streams.is_empty() => return Ok(ReadOutcome::Ended),
                        Ok(_) => {}
                    }
                }
            },
            () = until(due) => {
                let files = files(&streams);
                let is_behind = schedule.is_behind();
                running_probe = Some(Box::pin(probe(clients, log, bytes_read, files, is_behind)));
            }
            Some(probed) = async { Some(running_probe.as_mut()?.await) } => {
                running_probe = None;
                match probed {
                    Ok(Probed::Known { end }) => {
                        let has_all = streams.len() == 1 && end <= last_read(&streams);
                        schedule.probed_known(end, has_all, now());
                    }
                    Ok(Probed::New(stream)) => {
                        schedule.probed_new(now());
                        streams.push(*stream);
                    }
                    Err(error) => {
                        debug!("cannot probe the log: {error}");
                        schedule.probed(now());
                        continue;
                    }
                }
                drop_spent(&mut streams);
            }
            () = until(Some(schedule.last_received() + SILENCE)) => {
                debug!("the log is silent");
                let (Some(last), true) = (last_read(&streams), schedule.is_large()) else {
                    return Ok(ReadOutcome::Silent);
                };
                // Its beginning would be much to read every five minutes.
                let mut stream = Box::pin(open(Some(last))).await?;
                stream.resumes(files(&streams).last().and_then(|file| file.first));
                streams = vec![stream];
                schedule.resumed(now());
            }
        }
    }
}

/// The file that is written, as a probe found it.
enum Probed {
    /// A stream reads the file, whose last entry has this time, if that was asked for.
    Known { end: Option<Timestamp> },
    /// No stream read the file; this one does now.
    New(Box<LogStream>),
}

/// Finds out whether one of `files`, which are read, is the one that is written.
async fn probe(
    clients: &Clients,
    log: &PodLog,
    bytes_read: &Counter,
    files: Vec<File>,
    is_behind: bool,
) -> Result<Probed, Error> {
    let first = entry_times::first(&clients.call, log).await?;
    if is_read(first, &files) {
        let end = if is_behind { entry_times::last(&clients.call, log).await? } else { None };
        return Ok(Probed::Known { end });
    }
    debug!("the log was rotated");
    let mut stream = LogStream::open(&clients.logs, log, bytes_read, None).await?;
    stream.probably_begins(first);
    Ok(Probed::New(Box::new(stream)))
}

/// Closes streams that have nothing that newer ones do not have.
fn drop_spent(streams: &mut Vec<LogStream>) {
    let now = now();
    let files = files(streams);
    let newest = files.len().saturating_sub(1);
    let surplus = files.len().saturating_sub(MOST);
    let mut index = 0;
    streams.retain(|_| {
        let at = index;
        index += 1;
        at == newest || at >= surplus && !is_spent(&files[at], &files[at + 1], now)
    });
}

fn files(streams: &[LogStream]) -> Vec<File> {
    streams.iter().map(LogStream::file).collect()
}

/// Returns the time of the last line of the newest file that has come.
fn last_read(streams: &[LogStream]) -> Option<Timestamp> {
    streams.last()?.last_time()
}

/// Receives from the next stream that has something, in turn.
///
/// The future can be dropped without a loss.
async fn next(streams: &mut [LogStream], turn: &mut usize) -> (usize, Result<Received, Error>) {
    std::future::poll_fn(|context| {
        *turn = turn.wrapping_add(1);
        let count = streams.len();
        for index in (0..count).map(|index| (index + *turn) % count) {
            if let Poll::Ready(received) = streams[index].poll_read(context) {
                return Poll::Ready((index, received));
            }
        }
        Poll::Pending
    })
    .await
}

/// Waits until this time, or for ever if there is none.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
