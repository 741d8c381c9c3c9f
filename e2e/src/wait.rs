//! Waiting for a state of the cluster: by watch, with a deadline, and with an error worth reading.
//!
//! `kube`'s own `await_condition` ends at the first watch error and knows no deadline. These waits
//! go on through errors (the API server may be restarting), and one that runs out says what was
//! expected, for how long, what was seen last, and the latest events of the namespace.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::progress::Phase;

/// How many of the latest events the error of a wait shows.
const EVENTS: usize = 10;

/// How long fetching these events may take.
const EVENTS_TIMEOUT: Duration = Duration::from_secs(5);

/// A point in time that waits share.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    started: Instant,
    limit: Duration,
}

impl Deadline {
    /// `limit` from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        let started = Instant::now();
        Self { started, limit }
    }

    /// How long since it was set.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// What is left of it; zero when it is over.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.limit.saturating_sub(self.elapsed())
    }

    fn instant(&self) -> Instant {
        self.started + self.limit
    }
}

/// What a check makes of what it sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State<T> {
    /// As expected.
    Reached(T),
    /// Not yet; the text describes what is seen instead.
    Waiting(String),
}

/// The objects that a watch knows of, by namespace and name.
pub type Objects<K> = BTreeMap<(String, String), K>;

/// How long a watch that failed rests before it tries again: by default half a minute, when the API
/// server has been out for a while.
pub(crate) struct Rest;

impl Iterator for Rest {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }
}

impl Backoff for Rest {
    fn reset(&mut self) {}
}

/// What all waits of one piece of work share.
#[derive(Clone, Copy)]
pub struct Waiter<'a> {
    client: &'a Client,
    phase: &'a Phase,
    namespace: &'a str,
    deadline: Deadline,
}

impl<'a> Waiter<'a> {
    /// Waits until `deadline`, shows in `phase` what it waits for, and quotes the events of
    /// `namespace` when that takes too long.
    #[must_use]
    pub fn new(
        client: &'a Client,
        phase: &'a Phase,
        namespace: &'a str,
        deadline: Deadline,
    ) -> Self {
        Self { client, phase, namespace, deadline }
    }

    /// The point in time at which these waits end.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Waits until the watched objects satisfy `check`. It is called with a complete picture only:
    /// first when the initial list is there, then at every change.
    ///
    /// # Errors
    /// A [`TimedOut`] when the deadline passes.
    pub async fn watch<K, T>(
        &self,
        api: Api<K>,
        config: watcher::Config,
        expected: &str,
        mut check: impl FnMut(&Objects<K>) -> State<T>,
    ) -> Result<T>
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let events = watcher(api, config).backoff(Rest);
        let check = |objects: &Objects<K>| {
            let state = check(objects);
            if let State::Waiting(seen) = &state {
                self.phase.detail(format_args!("{expected}: {seen}"));
            }
            state
        };
        match follow(events, self.deadline, check).await {
            Ok(reached) => Ok(reached),
            Err(seen) => Err(self.timed_out(expected, seen).await.into()),
        }
    }

    /// Waits for what cannot be watched: calls `check` again and again.
    ///
    /// # Errors
    /// A [`TimedOut`] when the deadline passes. An error of a check counts as not yet.
    pub async fn poll<T, F>(
        &self,
        expected: &str,
        interval: Duration,
        mut check: impl FnMut() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<State<T>>>,
    {
        let mut seen = Seen::default();
        let work = async {
            loop {
                match check().await {
                    Ok(State::Reached(reached)) => return reached,
                    Ok(State::Waiting(state)) => {
                        self.phase.detail(format_args!("{expected}: {state}"));
                        seen.state = Some(state);
                    }
                    Err(error) => seen.error = Some(format!("{error:#}")),
                }
                tokio::time::sleep(interval).await;
            }
        };
        match tokio::time::timeout_at(self.deadline.instant(), work).await {
            Ok(reached) => Ok(reached),
            Err(_) => Err(self.timed_out(expected, seen).await.into()),
        }
    }

    async fn timed_out(&self, expected: &str, seen: Seen) -> TimedOut {
        TimedOut {
            expected: expected.to_owned(),
            waited: self.deadline.elapsed(),
            seen,
            events: recent_events(self.client, self.namespace).await,
        }
    }
}

/// What a wait saw last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The state of the objects, as the check put it.
    pub state: Option<String>,
    /// The latest error of the watch or the check.
    pub error: Option<String>,
}

/// A wait that ran into its deadline.
#[derive(Debug)]
pub struct TimedOut {
    /// What was waited for.
    pub expected: String,
    /// For how long.
    pub waited: Duration,
    /// What was seen last.
    pub seen: Seen,
    /// The latest events of the namespace, oldest first.
    pub events: Vec<String>,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (expected, waited) = (&self.expected, self.waited);
        write!(f, "expected within {waited:.0?}: {expected}")?;
        let state = self.seen.state.as_deref().unwrap_or("nothing");
        write!(f, "\n  seen last: {state}")?;
        if let Some(error) = &self.seen.error {
            write!(f, "\n  last error: {error}")?;
        }
        for event in &self.events {
            write!(f, "\n  event: {event}")?;
        }
        Ok(())
    }
}

impl std::error::Error for TimedOut {}

/// Keeps the picture that a watch paints, until the check is satisfied or time is up.
async fn follow<K, T>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>>,
    deadline: Deadline,
    mut check: impl FnMut(&Objects<K>) -> State<T>,
) -> Result<T, Seen>
where
    K: Resource,
{
    let mut events = pin!(events);
    let mut seen = Seen::default();
    let mut objects = Objects::new();
    let mut listed = Objects::new();
    let work = async {
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => {
                    listed.clear();
                    continue;
                }
                Ok(watcher::Event::InitApply(object)) => {
                    listed.insert(key(&object), object);
                    continue;
                }
                Ok(watcher::Event::InitDone) => objects = std::mem::take(&mut listed),
                Ok(watcher::Event::Apply(object)) => {
                    objects.insert(key(&object), object);
                }
                Ok(watcher::Event::Delete(object)) => {
                    objects.remove(&key(&object));
                }
                Err(error) => {
                    seen.error = Some(error.to_string());
                    continue;
                }
            }
            match check(&objects) {
                State::Reached(reached) => return Some(reached),
                State::Waiting(state) => seen.state = Some(state),
            }
        }
        None
    };
    match tokio::time::timeout_at(deadline.instant(), work).await {
        Ok(Some(reached)) => Ok(reached),
        Ok(None) | Err(_) => Err(seen),
    }
}

fn key<K: Resource>(object: &K) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// The latest events of a namespace, oldest first, one line each.
pub async fn recent_events(client: &Client, namespace: &str) -> Vec<String> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let parameters = ListParams::default();
    let list = tokio::time::timeout(EVENTS_TIMEOUT, api.list(&parameters)).await;
    let mut events = match list {
        Ok(Ok(list)) => list.items,
        Ok(Err(error)) => return vec![format!("cannot be listed: {error}")],
        Err(_) => return vec![format!("not listed within {EVENTS_TIMEOUT:?}")],
    };
    events.sort_by_key(event_time);
    let skip = events.len().saturating_sub(EVENTS);
    events.iter().skip(skip).map(event_line).collect()
}

fn event_time(event: &Event) -> Option<Timestamp> {
    let series = event.last_timestamp.as_ref().map(|time| time.0);
    let single = event.event_time.as_ref().map(|time| time.0);
    series.max(single).max(event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

fn event_line(event: &Event) -> String {
    let object = &event.involved_object;
    format!(
        "{} {} {}/{}: {}",
        event_time(event).map_or_else(String::new, |time| time.to_string()),
        event.reason.as_deref().unwrap_or("-"),
        object.kind.as_deref().unwrap_or("-"),
        object.name.as_deref().unwrap_or("-"),
        event.message.as_deref().unwrap_or("").trim(),
    )
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::watcher::Event::{Apply, Delete, Init, InitApply, InitDone};

    use super::*;

    type Script = Vec<watcher::Result<watcher::Event<ConfigMap>>>;

    fn object(name: &str) -> ConfigMap {
        let mut map = ConfigMap::default();
        map.metadata.name = Some(name.to_owned());
        map
    }

    /// Follows a script that never ends by itself until nothing is left of the objects.
    async fn until_empty(script: Script) -> Result<(), Seen> {
        let events = stream::iter(script).chain(stream::pending());
        let deadline = Deadline::after(Duration::from_millis(50));
        follow(events, deadline, |objects| {
            if objects.is_empty() {
                State::Reached(())
            } else {
                let names: Vec<_> = objects.keys().map(|(_, name)| name.as_str()).collect();
                State::Waiting(names.join(" "))
            }
        })
        .await
    }

    #[tokio::test]
    async fn half_a_list_is_never_judged() {
        let seen = until_empty(vec![Ok(Init)]).await;
        assert_eq!(seen, Err(Seen::default()));
    }

    #[tokio::test]
    async fn errors_do_not_end_a_wait() {
        let script = vec![
            Ok(Init),
            Ok(InitApply(object("a"))),
            Ok(InitDone),
            Err(watcher::Error::NoResourceVersion),
            Ok(Delete(object("a"))),
        ];
        assert_eq!(until_empty(script).await, Ok(()));
    }

    #[tokio::test]
    async fn objects_that_vanished_while_the_watch_was_broken_are_forgotten() {
        let script =
            vec![Ok(Init), Ok(InitApply(object("a"))), Ok(InitDone), Ok(Init), Ok(InitDone)];
        assert_eq!(until_empty(script).await, Ok(()));
    }

    #[tokio::test]
    async fn timeout_tells_the_last_state_and_the_last_error() {
        let script = vec![
            Ok(Init),
            Ok(InitApply(object("a"))),
            Ok(InitDone),
            Ok(Apply(object("b"))),
            Err(watcher::Error::NoResourceVersion),
        ];
        let seen = until_empty(script).await.expect_err("timed out");
        assert_eq!(seen.state.as_deref(), Some("a b"));
        let error = TimedOut {
            expected: "no objects".to_owned(),
            waited: Duration::from_secs(2),
            seen,
            events: vec!["Killing Pod/a: bye".to_owned()],
        };
        let text = error.to_string();
        for part in [
            "within 2s: no objects",
            "seen last: a b",
            "no metadata.resourceVersion",
            "event: Killing",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn spent_deadline_has_nothing_left() {
        let deadline = Deadline::after(Duration::ZERO);
        assert_eq!(deadline.remaining(), Duration::ZERO);
    }
}
