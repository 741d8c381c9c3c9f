//! A kubelet that serves one log slowly, and loses its place at rotations.
//!
//! As `ReadLogs` in `k8s.io/cri-client` and the kubelet's `containerLogManager` of 1.33 and 1.37 do it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures::{Stream, StreamExt, stream};
use http_body_util::StreamBody;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use runtime::client::Clients;
use tokio::{sync::watch, time::Instant};

/// Minimal size of a file that is rotated, in lines of a kilobyte.
const LARGE: usize = 150;

/// Minimal age of a file that is rotated.
const AGE: Duration = Duration::from_secs(10);

pub(super) struct Kubelet {
    log: Arc<Mutex<Log>>,
    changed: watch::Sender<()>,
    /// Time of a stream for one line.
    lag: Duration,
}

struct Log {
    files: Vec<File>,
    /// The same time by the clock that tests can stop, and by the clock of the node.
    clock: (Instant, Timestamp),
    queries: Vec<String>,
    open: usize,
    most_open: usize,
    served: usize,
}

struct File {
    lines: Vec<(Timestamp, String)>,
    bytes: usize,
    made: Instant,
}

impl File {
    fn new() -> Self {
        Self { lines: Vec::new(), bytes: 0, made: Instant::now() }
    }
}

impl Log {
    fn time(&mut self) -> Timestamp {
        // No two entries have the same time.
        self.clock.1 += SignedDuration::from_nanos(1);
        let passed = SignedDuration::try_from(self.clock.0.elapsed()).unwrap();
        self.clock.1 + passed
    }
}

impl Kubelet {
    /// The clock of its node is far from ours.
    pub(super) fn new(lag: Duration) -> Self {
        let log = Log {
            files: vec![File::new()],
            clock: (Instant::now(), "2001-02-03T04:05:06.7Z".parse().unwrap()),
            queries: Vec::new(),
            open: 0,
            most_open: 0,
            served: 0,
        };
        Self { log: Arc::new(Mutex::new(log)), changed: watch::Sender::new(()), lag }
    }

    fn log_file(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    fn write(&self, lines: usize, line: &str) {
        let mut log = self.log_file();
        for _ in 0..lines {
            let time = log.time();
            let file = log.files.last_mut().unwrap();
            file.lines.push((time, format!("{line}\n")));
            file.bytes += line.len();
        }
        drop(log);
        self.changed.send_replace(());
    }

    pub(super) fn log(&self, line: &str) {
        self.write(1, line);
    }

    /// Logs lines of a kilobyte.
    pub(super) fn flood(&self, lines: usize) {
        self.write(lines, &"x".repeat(999));
    }

    pub(super) fn rotate(&self) {
        self.log_file().files.push(File::new());
        self.changed.send_replace(());
    }

    pub(super) fn rotate_if_large(&self) {
        let log = self.log_file();
        let file = log.files.last().unwrap();
        if file.bytes >= LARGE * 1000 && file.made.elapsed() >= AGE {
            drop(log);
            self.rotate();
        }
    }

    pub(super) fn correct(&self, seconds: i64) {
        self.log_file().clock.1 += SignedDuration::from_secs(seconds);
    }

    pub(super) fn queries(&self) -> Vec<String> {
        self.log_file().queries.clone()
    }

    /// Returns the number of streams that were opened.
    pub(super) fn followed(&self) -> usize {
        self.queries().iter().filter(|query| query.contains("follow=true")).count()
    }

    /// Streams that are open now.
    pub(super) fn open(&self) -> usize {
        self.log_file().open
    }

    pub(super) fn most_open(&self) -> usize {
        self.log_file().most_open
    }

    /// Lines that went through streams.
    pub(super) fn served(&self) -> usize {
        self.log_file().served
    }

    pub(super) fn files(&self) -> usize {
        self.log_file().files.len()
    }

    /// Clients of an API server that passes all on to this kubelet.
    pub(super) fn clients(&self) -> Clients {
        let (log, changed, lag) = (Arc::clone(&self.log), self.changed.clone(), self.lag);
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            log.lock().unwrap().queries.push(query.clone());
            let query = Query::new(&query);
            let lines = if query.follows {
                follow(Arc::clone(&log), changed.subscribe(), query, lag).left_stream()
            } else {
                stream::iter(query.once(&log.lock().unwrap())).right_stream()
            };
            let frame = |line| Ok::<_, std::io::Error>(http_body::Frame::data(line));
            let body =
                StreamBody::new(lines.map(move |line: String| frame(line.into_bytes().into())));
            async move {
                tokio::time::sleep(Duration::from_millis(3)).await;
                Ok::<_, std::io::Error>(http::Response::new(body))
            }
        });
        Clients::from(Client::new(service, "n"))
    }
}

struct Query {
    follows: bool,
    is_stamped: bool,
    since: Option<Timestamp>,
    tail: Option<usize>,
    limit: Option<usize>,
}

impl Query {
    fn new(query: &str) -> Self {
        let query = query.replace("%3A", ":");
        let values: HashMap<&str, &str> =
            query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let number = |name| values.get(name).map(|value| value.parse().unwrap());
        Self {
            follows: values.get("follow") == Some(&"true"),
            is_stamped: values.get("timestamps") == Some(&"true"),
            since: values.get("sinceTime").map(|time| time.parse().unwrap()),
            tail: number("tailLines"),
            limit: number("limitBytes"),
        }
    }

    fn render(&self, (time, line): &(Timestamp, String)) -> Option<String> {
        let is_wanted = self.since.is_none_or(|since| *time >= since);
        let stamp = if self.is_stamped { format!("{time:.9} ") } else { String::new() };
        is_wanted.then(|| stamp + line)
    }

    fn once(&self, log: &Log) -> Option<String> {
        let lines = &log.files.last().unwrap().lines;
        let skipped = self.tail.map_or(0, |tail| lines.len().saturating_sub(tail));
        let said: String =
            lines[skipped..].iter().take(2).filter_map(|line| self.render(line)).collect();
        let limit = self.limit.unwrap().min(said.len());
        (limit > 0).then(|| said[..limit].to_owned())
    }
}

/// Counts a stream for as long as it is open.
struct Open(Arc<Mutex<Log>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().unwrap().open -= 1;
    }
}

fn follow(
    log: Arc<Mutex<Log>>,
    changed: watch::Receiver<()>,
    query: Query,
    lag: Duration,
) -> impl Stream<Item = String> {
    let mut files = log.lock().unwrap();
    files.open += 1;
    files.most_open = files.most_open.max(files.open);
    let file = files.files.len() - 1;
    drop(files);
    let place = Place { file, line: 0, noticed: None };
    stream::unfold((place, Open(log), changed), move |(mut place, open, mut changed)| {
        let query = Query { ..query };
        async move {
            loop {
                changed.mark_unchanged();
                let line = place.advance(&open.0.lock().unwrap());
                let Some(line) = line else {
                    changed.changed().await.ok()?;
                    continue;
                };
                if let Some(line) = query.render(&line) {
                    tokio::time::sleep(lag).await;
                    open.0.lock().unwrap().served += 1;
                    return Some((line, (place, open, changed)));
                }
            }
        }
    })
}

/// The place of a stream.
struct Place {
    file: usize,
    line: usize,
    /// Number of files that it knows of, once it watches the folder.
    ///
    /// It begins with that at the end of the first file.
    noticed: Option<usize>,
}

impl Place {
    fn advance(&mut self, log: &Log) -> Option<(Timestamp, String)> {
        loop {
            if let Some(line) = log.files[self.file].lines.get(self.line) {
                self.line += 1;
                return Some(line.clone());
            }
            let made = log.files.len();
            let noticed = self.noticed.get_or_insert(made);
            if *noticed == made {
                return None;
            }
            // It opens what has the name by now, which need not be what was made.
            *noticed += 1;
            self.file = made - 1;
            self.line = 0;
        }
    }
}
