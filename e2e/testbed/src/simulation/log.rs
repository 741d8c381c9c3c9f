//! The log of one run of a container, read as a kubelet reads it for `/containerLogs`.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::sync::watch;

/// What one run of a container has logged so far, shared by its writer and its readers.
#[derive(Debug)]
pub(super) struct Log(watch::Sender<Content>);

#[derive(Debug, Default)]
struct Content {
    entries: Vec<Entry>,
    /// With which entry each file begins but the first one. Only the last file is served to those who come.
    rotated: Vec<usize>,
    /// How long those who follow wait for each entry.
    lag: Duration,
    /// The container runs no more: nothing can follow.
    ended: bool,
    /// How many times readers have been thrown out.
    cuts: u64,
}

/// A line, or a part of one, as container runtimes write long ones.
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

    /// Rotates the log: those who come from now on read only what is logged from now on. Those who follow
    /// it go on if they have come to its end, and lose their place otherwise.
    pub(super) fn rotate(&self) {
        self.0.send_modify(|content| content.rotated.push(content.entries.len()));
    }

    /// Lets those who follow the log wait so long for each entry.
    pub(super) fn slow_down(&self, lag: Duration) {
        self.0.send_modify(|content| content.lag = lag);
    }

    /// Ends the streams that follow the log now, though the log goes on.
    pub(super) fn cut(&self) {
        self.0.send_modify(|content| content.cuts += 1);
    }

    /// Reads the log: one item for each entry. With `follow` the stream ends when the log does.
    pub(super) fn read(&self, query: &Query) -> impl Stream<Item = Chunk> + Send + 'static {
        let content = self.0.subscribe();
        let reader = Reader::new(query, &content.borrow(), Timestamp::now());
        futures::stream::unfold((reader, content), async |(mut reader, mut content)| {
            loop {
                let (next, lag) = {
                    let content = content.borrow_and_update();
                    (reader.next(&content), content.lag)
                };
                match next {
                    Next::Chunk(chunk) => {
                        if reader.follow && !lag.is_zero() {
                            tokio::time::sleep(lag).await;
                        }
                        return Some((chunk, (reader, content)));
                    }
                    Next::End => return None,
                    // Fails when the pod is gone, which ends its log too.
                    Next::Wait => content.changed().await.ok()?,
                }
            }
        })
    }
}

/// What is served of an entry.
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// How many of the bytes the container has logged: the time stamp is none of them.
    pub(super) logged: usize,
}

/// A stream of log chunks whose type can be named.
pub(super) type Chunks = Pin<Box<dyn Stream<Item = Chunk> + Send>>;

/// The place that a reader has got to.
struct Reader {
    next: usize,
    /// Which of the files it reads.
    file: usize,
    /// How many had been made when it came to the end of the first one, and those of which it has noticed
    /// since that they were made: it watches for them only then, as kubelets do.
    noticed: Option<usize>,
    since: Option<Timestamp>,
    remaining: Option<usize>,
    timestamps: bool,
    follow: bool,
    cuts: u64,
}

enum Next {
    Chunk(Chunk),
    Wait,
    End,
}

impl Content {
    /// With which entry a file begins.
    fn begins(&self, file: usize) -> usize {
        file.checked_sub(1).and_then(|before| self.rotated.get(before)).copied().unwrap_or_default()
    }
}

impl Reader {
    fn new(query: &Query, content: &Content, now: Timestamp) -> Self {
        // As the kubelet: the tail is counted in entries of the log file, parts of lines included,
        // and before the time is looked at.
        let skipped =
            query.tail_lines.map_or(0, |lines| content.entries.len().saturating_sub(lines));
        let skipped = skipped.max(content.begins(content.rotated.len()));
        let seconds = query.since_seconds.map(SignedDuration::from_secs);
        Self {
            next: skipped,
            file: content.rotated.len(),
            noticed: None,
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
        while let Some(entry) = self.advance(content) {
            if self.remaining == Some(0) {
                return Next::End;
            }
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

    /// The entry that comes next, if it has been written.
    fn advance<'c>(&mut self, content: &'c Content) -> Option<&'c Entry> {
        loop {
            let made = content.rotated.len();
            let end = content.rotated.get(self.file).copied();
            if self.next < end.unwrap_or(content.entries.len()) {
                self.next += 1;
                return content.entries.get(self.next - 1);
            }
            let noticed = self.noticed.get_or_insert(made);
            if !self.follow || *noticed == made {
                return None;
            }
            // It opens what has the name by now, which need not be the one that was made then.
            *noticed += 1;
            self.file = made;
            self.next = content.begins(made);
        }
    }

    fn render(&mut self, entry: &Entry) -> Chunk {
        let mut bytes = entry.bytes.clone();
        let mut stamp = 0;
        if self.timestamps && entry.starts_line {
            let mut line = format!("{:.9} ", entry.time).into_bytes();
            stamp = line.len();
            line.extend_from_slice(&bytes);
            bytes = line.into();
        }
        if let Some(remaining) = &mut self.remaining {
            bytes.truncate(*remaining);
            *remaining -= bytes.len();
        }
        let logged = bytes.len().saturating_sub(stamp);
        Chunk { bytes, logged }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};
    use serde_json::json;

    use super::*;

    fn query(json: serde_json::Value) -> Query {
        serde_json::from_value(json).expect("a query")
    }

    fn all(log: &Log, json: serde_json::Value) -> String {
        let chunks = log.read(&query(json)).map(|chunk| chunk.bytes);
        let chunks: Vec<Bytes> = chunks.collect().now_or_never().expect("a stream that ends");
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
    fn as_much_is_read_as_is_asked_for() {
        let log = log(&["one\ntwo\n", "thr", "ee\n"]);
        for (query, expected) in [
            (json!({}), "one\ntwo\nthree\n"),
            // Parts of lines count, as in the kubelet's own files.
            (json!({"tailLines": 3}), "two\nthree\n"),
            (json!({"tailLines": 0}), ""),
            (json!({"tailLines": 9}), "one\ntwo\nthree\n"),
            (json!({"limitBytes": 6}), "one\ntw"),
        ] {
            assert_eq!(all(&log, query.clone()), expected, "{query}");
        }
    }

    #[test]
    fn entries_at_the_time_itself_are_read_and_older_ones_are_not() {
        let log = log(&["old\n"]);
        std::thread::sleep(Duration::from_millis(2));
        log.write("new\n".into());
        let since = log.0.borrow().entries[1].time;
        assert_eq!(all(&log, json!({"sinceTime": since})), "new\n");
        let later = since + SignedDuration::from_secs(1);
        assert_eq!(all(&log, json!({"sinceTime": later})), "");
        assert_eq!(all(&log, json!({"sinceSeconds": 60})), "old\nnew\n");
    }

    #[test]
    fn timestamps_stand_before_lines_and_not_within_them() {
        let log = log(&["a", "b\n"]);
        let time = format!("{:.9}", log.0.borrow().entries[0].time);
        assert_eq!(time.len(), "2026-01-31T10:00:00.123456789Z".len());
        assert_eq!(all(&log, json!({"timestamps": true})), format!("{time} ab\n"));
    }

    #[tokio::test]
    async fn cut_ends_followers_but_not_the_log() {
        let log = log(&["one\n"]);
        let follow = query(json!({"follow": true}));
        let mut stream = Box::pin(log.read(&follow));
        assert_eq!(stream.next().await.expect("a chunk").bytes, "one\n");
        log.cut();
        assert!(stream.next().await.is_none(), "cut");
        log.write("two\n".into());
        let mut stream = Box::pin(log.read(&follow));
        assert_eq!(stream.next().await.expect("a chunk").bytes, "one\n");
        assert_eq!(stream.next().await.expect("a chunk").bytes, "two\n");
    }

    /// What a stream says without waiting.
    async fn said(stream: &mut (impl Stream<Item = Chunk> + Unpin)) -> String {
        let mut said = Vec::new();
        while let Some(Some(chunk)) = stream.next().now_or_never() {
            said.extend_from_slice(&chunk.bytes);
        }
        String::from_utf8(said).expect("text")
    }

    #[tokio::test]
    async fn follower_goes_on_in_the_next_file_only_if_it_has_come_to_the_end() {
        let log = log(&["one\n", "two\n"]);
        let follow = query(json!({"follow": true}));
        let mut prompt = Box::pin(log.read(&follow));
        assert_eq!(said(&mut prompt).await, "one\ntwo\n");
        let mut slow = Box::pin(log.read(&follow));
        assert_eq!(slow.next().await.expect("a chunk").bytes, "one\n");
        log.rotate();
        log.write("three\n".into());
        assert_eq!(said(&mut prompt).await, "three\n");
        assert_eq!(said(&mut slow).await, "two\n", "it waits for the old file");
        assert_eq!(all(&log, json!({})), "three\n");
        log.rotate();
        log.write("four\n".into());
        assert_eq!(said(&mut prompt).await, "four\n");
        assert_eq!(said(&mut slow).await, "four\n", "the third one was lost");
    }

    #[tokio::test]
    async fn follower_that_is_slow_passes_over_files() {
        let log = log(&["one\n"]);
        let mut stream = Box::pin(log.read(&query(json!({"follow": true}))));
        assert_eq!(said(&mut stream).await, "one\n");
        for line in ["two\n", "three\n"] {
            log.rotate();
            log.write(line.into());
        }
        // The second of the two files that it notices is the one that it has opened for the first.
        assert_eq!(said(&mut stream).await, "three\nthree\n");
    }

    #[tokio::test]
    async fn followers_of_a_slow_log_wait_for_each_entry() {
        let log = log(&["one\ntwo\n"]);
        log.slow_down(Duration::from_millis(20));
        let began = std::time::Instant::now();
        let mut stream = Box::pin(log.read(&query(json!({"follow": true}))));
        assert_eq!(stream.next().await.expect("a chunk").bytes, "one\n");
        assert_eq!(stream.next().await.expect("a chunk").bytes, "two\n");
        assert!(began.elapsed() >= Duration::from_millis(40));
        assert_eq!(all(&log, json!({})), "one\ntwo\n", "at once");
    }
}
