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

/// What a reader tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// Whole lines of a node, each with its line break.
    Lines { node: String, lines: Vec<u8> },
    /// The log has ended, or cannot be read.
    Closed { opening: Opening, last: Option<Timestamp>, trouble: Option<kube::Error> },
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
    let mut last = opening.since;
    let result = stream(&api, &opening, &extent, &mut last, &told).await;
    let trouble = result.err();
    if trouble.is_some() {
        tokio::time::sleep(AFTER_TROUBLE).await;
    } else if !opening.has_ended {
        // The container ends, or a connection breaks; the watch of pods will say which.
        tokio::time::sleep(AGAIN).await;
    }
    // Nobody listens any more when the command ends.
    let _ = told.send(Told::Closed { opening, last, trouble }).await;
}

async fn stream(
    api: &Api<Pod>,
    opening: &Opening,
    extent: &Extent,
    last: &mut Option<Timestamp>,
    told: &Sender<Told>,
) -> kube::Result<()> {
    let is_continued = opening.since.is_some();
    let seconds = |since: Duration| i64::try_from(since.as_secs().max(1)).unwrap_or(i64::MAX);
    let params = LogParams {
        container: Some(labels::JOB_CONTAINER.to_owned()),
        follow: extent.follow && !opening.is_previous,
        previous: opening.is_previous,
        timestamps: true,
        tail_lines: extent.tail.filter(|_| !is_continued),
        since_time: opening.since,
        since_seconds: extent.since.filter(|_| !is_continued).map(seconds),
        ..LogParams::default()
    };
    let mut stream = std::pin::pin!(api.log_stream(&opening.pod, &params).await?);
    let mut lines = Lines::after(opening.since);
    loop {
        // A log that has an end comes at once, or the connection gives up.
        let quiet = if params.follow && !opening.has_ended { QUIET } else { Duration::MAX };
        let Ok(chunk) = timeout(quiet, stream.fill_buf()).await else { return Ok(()) };
        let chunk = chunk.map_err(kube::Error::ReadEvents)?;
        let length = chunk.len();
        let text = if length == 0 { lines.end() } else { lines.take_in(chunk) };
        *last = (*last).max(lines.last());
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
