//! The log of one run of a container, read as a kubelet reads it for `/containerLogs`.

use std::pin::Pin;

use bytes::Bytes;
use futures::Stream;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::sync::watch;

/// What one run of a container has logged so far. It is shared by the test that writes it and by all
/// who read it.
#[derive(Debug)]
pub(super) struct Log(watch::Sender<Content>);

#[derive(Debug, Default)]
struct Content {
    entries: Vec<Entry>,
    /// How many of the entries are in files that have been rotated away, and are served no more.
    rotated: usize,
    /// The container runs no more: nothing can follow.
    ended: bool,
    /// How many times readers have been thrown out.
    cuts: u64,
}

/// A line, or a part of one: container runtimes write what they have when a line gets long, and mark
/// it as partial.
#[derive(Clone, Debug)]
struct Entry {
    time: Timestamp,
    bytes: Bytes,
    starts_line: bool,
}

/// The parameters of `GET /containerLogs/…`, as the API server passes them on from a `PodLogOptions`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Query {
    pub(super) follow: bool,
    pub(super) previous: bool,
    timestamps: bool,
    since_time: Option<Timestamp>,
    since_seconds: Option<i64>,
    tail_lines: Option<usize>,
    limit_bytes: Option<usize>,
}

impl Log {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Content::default()))
    }

    /// Appends output of the container: whole lines, or parts that later output continues.
    pub(super) fn write(&self, output: Bytes) {
        let time = Timestamp::now();
        self.0.send_modify(|content| {
            let mut rest = output;
            while !rest.is_empty() {
                let end = rest.iter().position(|&byte| byte == b'\n');
                let bytes = rest.split_to(end.map_or(rest.len(), |end| end + 1));
                let last = content.entries.last();
                let starts_line = last.is_none_or(|last| last.bytes.ends_with(b"\n"));
                content.entries.push(Entry { time, bytes, starts_line });
            }
        });
    }

    /// Ends the log, and with it the streams that follow it.
    pub(super) fn end(&self) {
        self.0.send_modify(|content| content.ended = true);
    }

    /// Rotates the log: those who come from now on read only what is logged from now on.
    pub(super) fn rotate(&self) {
        self.0.send_modify(|content| content.rotated = content.entries.len());
    }

    /// Ends the streams that follow the log now, though the log goes on.
    pub(super) fn cut(&self) {
        self.0.send_modify(|content| content.cuts += 1);
    }

    /// Reads the log: one item for each entry. With `follow` the stream ends when the log does.
    pub(super) fn read(&self, query: &Query) -> impl Stream<Item = Bytes> + Send + 'static {
        let content = self.0.subscribe();
        let reader = Reader::new(query, &content.borrow(), Timestamp::now());
        futures::stream::unfold((reader, content), async |(mut reader, mut content)| {
            loop {
                let next = reader.next(&content.borrow_and_update());
                match next {
                    Next::Chunk(chunk) => return Some((chunk, (reader, content))),
                    Next::End => return None,
                    // Fails when the pod is gone, which ends its log too.
                    Next::Wait => content.changed().await.ok()?,
                }
            }
        })
    }
}

/// A stream of log chunks whose type can be named.
pub(super) type Chunks = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// The place that a reader has got to.
struct Reader {
    next: usize,
    since: Option<Timestamp>,
    remaining: Option<usize>,
    timestamps: bool,
    follow: bool,
    cuts: u64,
}

enum Next {
    Chunk(Bytes),
    Wait,
    End,
}

impl Reader {
    fn new(query: &Query, content: &Content, now: Timestamp) -> Self {
        // As the kubelet: the tail is counted in entries of the log file, parts of lines included,
        // and before the time is looked at.
        let skipped =
            query.tail_lines.map_or(0, |lines| content.entries.len().saturating_sub(lines));
        let skipped = skipped.max(content.rotated);
        let seconds = query.since_seconds.map(SignedDuration::from_secs);
        Self {
            next: skipped,
            since: query.since_time.or_else(|| seconds.map(|seconds| now - seconds)),
            remaining: query.limit_bytes,
            timestamps: query.timestamps,
            follow: query.follow,
            cuts: content.cuts,
        }
    }

    fn next(&mut self, content: &Content) -> Next {
        if self.follow && self.cuts != content.cuts {
            return Next::End;
        }
        while let Some(entry) = content.entries.get(self.next) {
            if self.remaining == Some(0) {
                return Next::End;
            }
            self.next += 1;
            if self.since.is_none_or(|since| entry.time >= since) {
                return Next::Chunk(self.render(entry));
            }
        }
        if self.follow && !content.ended && self.remaining != Some(0) {
            Next::Wait
        } else {
            Next::End
        }
    }

    fn render(&mut self, entry: &Entry) -> Bytes {
        let mut chunk = entry.bytes.clone();
        if self.timestamps && entry.starts_line {
            let mut line = format!("{:.9} ", entry.time).into_bytes();
            line.extend_from_slice(&chunk);
            chunk = line.into();
        }
        if let Some(remaining) = &mut self.remaining {
            chunk.truncate(*remaining);
            *remaining -= chunk.len();
        }
        chunk
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    fn query(json: serde_json::Value) -> Query {
        serde_json::from_value(json).expect("a query")
    }

    fn all(log: &Log, json: serde_json::Value) -> String {
        let chunks: Vec<Bytes> =
            log.read(&query(json)).collect().now_or_never().expect("a stream that ends");
        String::from_utf8(chunks.concat()).expect("text")
    }

    fn log(output: &[&'static str]) -> Log {
        let log = Log::new();
        for output in output {
            log.write(Bytes::from_static(output.as_bytes()));
        }
        log
    }

    #[test]
    fn everything_is_read_when_nothing_is_asked_for() {
        let log = log(&["one\ntwo\n", "thr", "ee\n"]);
        assert_eq!(all(&log, serde_json::json!({})), "one\ntwo\nthree\n");
    }

    #[test]
    fn tail_counts_lines_from_the_end() {
        let log = log(&["one\ntwo\nthree\n"]);
        assert_eq!(all(&log, serde_json::json!({"tailLines": 2})), "two\nthree\n");
        assert_eq!(all(&log, serde_json::json!({"tailLines": 0})), "");
        assert_eq!(all(&log, serde_json::json!({"tailLines": 9})), "one\ntwo\nthree\n");
    }

    #[test]
    fn limit_cuts_within_a_line() {
        let log = log(&["one\ntwo\n"]);
        assert_eq!(all(&log, serde_json::json!({"limitBytes": 6})), "one\ntw");
    }

    #[test]
    fn entries_at_the_time_itself_are_read_and_older_ones_are_not() {
        let log = log(&["old\n"]);
        std::thread::sleep(std::time::Duration::from_millis(2));
        log.write("new\n".into());
        let since = log.0.borrow().entries[1].time;
        assert_eq!(all(&log, serde_json::json!({"sinceTime": since})), "new\n");
        let later = since + SignedDuration::from_secs(1);
        assert_eq!(all(&log, serde_json::json!({"sinceTime": later})), "");
        assert_eq!(all(&log, serde_json::json!({"sinceSeconds": 60})), "old\nnew\n");
    }

    #[test]
    fn timestamps_stand_before_lines_and_not_within_them() {
        let log = log(&["a", "b\n"]);
        let time = format!("{:.9}", log.0.borrow().entries[0].time);
        assert_eq!(time.len(), "2026-01-31T10:00:00.123456789Z".len());
        assert_eq!(all(&log, serde_json::json!({"timestamps": true})), format!("{time} ab\n"));
    }

    #[tokio::test]
    async fn follower_gets_what_comes_and_ends_with_the_log() {
        let log = log(&["one\n"]);
        let mut stream = Box::pin(log.read(&query(serde_json::json!({"follow": true}))));
        assert_eq!(stream.next().await.expect("a chunk"), "one\n");
        assert!(stream.next().now_or_never().is_none(), "nothing yet");
        log.write("tw".into());
        assert_eq!(stream.next().await.expect("a chunk"), "tw");
        log.write("o\n".into());
        log.end();
        assert_eq!(stream.next().await.expect("a chunk"), "o\n");
        assert!(stream.next().await.is_none(), "ended");
    }

    #[tokio::test]
    async fn cut_ends_followers_but_not_the_log() {
        let log = log(&["one\n"]);
        let follow = query(serde_json::json!({"follow": true}));
        let mut stream = Box::pin(log.read(&follow));
        assert_eq!(stream.next().await.expect("a chunk"), "one\n");
        log.cut();
        assert!(stream.next().await.is_none(), "cut");
        log.write("two\n".into());
        let mut stream = Box::pin(log.read(&follow));
        assert_eq!(stream.next().await.expect("a chunk"), "one\n");
        assert_eq!(stream.next().await.expect("a chunk"), "two\n");
    }
}
