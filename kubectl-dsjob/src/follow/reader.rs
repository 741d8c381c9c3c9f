//! Reads one log, line by line, in constant memory.

use std::time::Duration;

use api::labels;
use futures::AsyncBufReadExt as _;
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{Api, api::LogParams};
use tokio::{sync::mpsc::Sender, time::timeout};

use super::{line::Lines, plan::Opening};

/// Wait before a log is opened again that has ended.
const AGAIN: Duration = Duration::from_millis(200);
/// Wait before a log is opened again that could not be read.
const AFTER_TROUBLE: Duration = Duration::from_secs(1);
/// Time for which a log that is followed may say nothing.
///
/// Then it is opened anew where it was, for a connection that says nothing may be dead.
const QUIET: Duration = Duration::from_secs(30);
/// Time within which a log goes on that has said something.
///
/// Its last line comes again at once, unless the request went by a connection that is dead.
const GOES_ON: Duration = Duration::from_secs(10);

/// What a reader tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// Whole lines of a node, each with its line break.
    Lines { node: String, lines: Vec<u8> },
    /// The log has ended, or cannot be read.
    Closed { opening: Opening, read: Span, trouble: Option<kube::Error> },
}

/// The times of the lines that were read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    /// Time of the first one that is not known from an earlier reading.
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
}

/// What to read of a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extent {
    /// Go on until the log ends.
    pub(crate) follow: bool,
    /// Only so many lines from the end.
    pub(crate) tail: Option<i64>,
    /// Only what is younger.
    pub(crate) since: Option<Duration>,
}

/// Reads a log to its end, and tells of it.
pub(crate) async fn read(api: Api<Pod>, opening: Opening, extent: Extent, told: Sender<Told>) {
    let mut read = Span { first: None, last: opening.since };
    let result = stream(&api, &opening, &extent, &mut read, &told).await;
    let trouble = result.err();
    if trouble.is_some() {
        tokio::time::sleep(AFTER_TROUBLE).await;
    } else if !opening.has_ended {
        // The container ends, or a connection breaks; the watch of pods will say which.
        tokio::time::sleep(AGAIN).await;
    }
    // Nobody listens any more when the command ends.
    let _ = told.send(Told::Closed { opening, read, trouble }).await;
}

async fn stream(
    api: &Api<Pod>,
    opening: &Opening,
    extent: &Extent,
    read: &mut Span,
    told: &Sender<Told>,
) -> kube::Result<()> {
    let params = params(opening, extent);
    // A log that has an end comes at once, or the connection gives up.
    let is_open_ended = params.follow && !opening.has_ended;
    let limit = |limit| if is_open_ended { limit } else { Duration::MAX };
    let begins = limit(if opening.since.is_some() { GOES_ON } else { QUIET });
    let Ok(stream) = timeout(begins, api.log_stream(&opening.pod, &params)).await else {
        return Ok(());
    };
    let mut stream = std::pin::pin!(stream?);
    let mut lines = Lines::after(opening.since);
    loop {
        let Ok(chunk) = timeout(limit(QUIET), stream.fill_buf()).await else { return Ok(()) };
        let chunk = chunk.map_err(kube::Error::ReadEvents)?;
        let length = chunk.len();
        let text = if length == 0 { lines.end() } else { lines.take_in(chunk) };
        *read = Span { first: lines.first(), last: read.last.max(lines.last()) };
        let has_listener = match text.is_empty() {
            true => true,
            false => {
                let node = opening.node.clone();
                told.send(Told::Lines { node, lines: text }).await.is_ok()
            }
        };
        if length == 0 || !has_listener {
            return Ok(());
        }
        stream.consume_unpin(length);
    }
}

fn params(opening: &Opening, extent: &Extent) -> LogParams {
    let is_continued = opening.since.is_some();
    let seconds = |since: Duration| i64::try_from(since.as_secs().max(1)).unwrap_or(i64::MAX);
    // kube rounds to the nearest second, and would leave out the lines before that.
    let second = |since: Timestamp| Timestamp::from_second(since.as_second()).unwrap_or(since);
    LogParams {
        container: Some(labels::JOB_CONTAINER.to_owned()),
        follow: extent.follow && !opening.is_previous,
        previous: opening.is_previous,
        timestamps: true,
        tail_lines: extent.tail.filter(|_| !is_continued),
        since_time: opening.since.map(second),
        since_seconds: extent.since.filter(|_| !is_continued).map(seconds),
        ..LogParams::default()
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Request;

    use super::*;

    #[test]
    fn log_goes_on_from_the_second_of_its_last_line_and_not_from_the_next() {
        let since = Some("2026-01-02T03:04:05.870371499Z".parse().unwrap());
        let opening = Opening {
            pod: "a-1".to_owned(),
            node: "a".to_owned(),
            run: "1".into(),
            is_previous: false,
            since,
            has_ended: false,
        };
        let extent = Extent { follow: true, tail: Some(5), since: None };
        let request = Request::new("/api/v1/namespaces/a/pods");
        let request = request.logs("a-1", &params(&opening, &extent)).unwrap();
        let query = request.uri().query().unwrap();
        assert!(query.contains("sinceTime=2026-01-02T03%3A04%3A05Z"), "{query}");
        assert!(!query.contains("tailLines"), "{query}");
    }
}
