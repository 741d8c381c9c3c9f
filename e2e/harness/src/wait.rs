//! Waiting for a state of the cluster: by watch, with a deadline, and with an error worth reading.
//!
//! `kube`'s own `await_condition` ends at the first watch error and knows no deadline. These waits
//! go on through errors (the API server may be restarting), and one that runs out says what was
//! expected, for how long, what was seen last, and the latest events of the namespace.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use futures::{Stream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, PartialObjectMeta};
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::deadline::Deadline;
use crate::progress::Phase;

/// How many of the latest events the error of a wait shows.
const EVENTS: usize = 10;

/// How long fetching these events may take.
const EVENTS_TIMEOUT: Duration = Duration::from_secs(5);

/// Watches the object of this name alone.
pub fn named(name: &str) -> watcher::Config {
    watcher::Config::default().fields(&format!("metadata.name={name}"))
}

/// What a check makes of what it sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State<T> {
    /// As expected.
    Reached(T),
    /// Not yet; the text describes what is seen instead.
    Waiting(String),
}

impl<T> State<T> {
    /// As expected if something was found; otherwise what is seen instead.
    pub fn of(found: Option<T>, seen: impl FnOnce() -> String) -> Self {
        found.map_or_else(|| Self::Waiting(seen()), Self::Reached)
    }
}

/// A kind of objects that are in namespaces and can be waited for.
pub trait Namespaced: Watched + Resource<DynamicType = (), Scope = NamespaceResourceScope> {}

impl<K: Watched + Resource<DynamicType = (), Scope = NamespaceResourceScope>> Namespaced for K {}

/// A kind of objects that can be waited for.
pub trait Watched: Resource + Clone + DeserializeOwned + Debug + Send + 'static {}

impl<K: Resource + Clone + DeserializeOwned + Debug + Send + 'static> Watched for K {}

/// The objects that a watch knows of, by namespace and name.
pub type Objects<K> = BTreeMap<(String, String), K>;

/// How soon a watch that failed tries again: kube's own interval grows too long.
pub struct EverySecond;

impl Iterator for EverySecond {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }
}

impl Backoff for EverySecond {
    fn reset(&mut self) {}
}

/// The end of waits.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// All of them end at this point in time.
    At(Deadline),
    /// Each may take so long.
    Each(Duration),
}

/// What all waits of one piece of work share.
#[derive(Clone)]
pub struct Waiter<'a> {
    client: Client,
    /// Shows what is waited for.
    phase: Option<&'a Phase>,
    /// The namespace whose events explain a wait that takes too long.
    namespace: String,
    limit: Limit,
}

impl<'a> Waiter<'a> {
    /// Waits until `deadline`, and quotes the events of `namespace` when that passes.
    pub fn new(client: &Client, phase: &'a Phase, namespace: &str, deadline: Deadline) -> Self {
        Self {
            client: client.clone(),
            phase: Some(phase),
            namespace: namespace.to_owned(),
            limit: Limit::At(deadline),
        }
    }

    /// Waits of which each may take `limit`, and which show nothing.
    pub fn each(client: &Client, namespace: &str, limit: Duration) -> Self {
        let limit = Limit::Each(limit);
        Self { client: client.clone(), phase: None, namespace: namespace.to_owned(), limit }
    }

    /// The client that it watches with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The point in time at which a wait ends that begins now.
    pub fn deadline(&self) -> Deadline {
        match self.limit {
            Limit::At(deadline) => deadline,
            Limit::Each(limit) => Deadline::after(limit),
        }
    }

    /// Waits until the watched objects satisfy `check`. It is called with a complete picture only:
    /// first when the initial list is there, then at every change.
    pub async fn watch<K: Watched, T>(
        &self,
        api: Api<K>,
        config: watcher::Config,
        expected: &str,
        mut check: impl FnMut(&Objects<K>) -> State<T>,
    ) -> Result<T> {
        let events = watcher(api, config).backoff(EverySecond);
        let check = |objects: &Objects<K>| {
            let state = check(objects);
            if let State::Waiting(seen) = &state {
                self.show(expected, seen);
            }
            state
        };
        let deadline = self.deadline();
        match follow(events, deadline, check).await {
            Ok(reached) => Ok(reached),
            Err(seen) => Err(self.timed_out(expected, deadline, seen).await.into()),
        }
    }

    /// Waits until there is an object of this name that is as expected, and returns it.
    pub async fn object<K: Watched + Serialize>(
        &self,
        api: Api<K>,
        name: &str,
        expected: &str,
        mut is_reached: impl FnMut(&K) -> bool,
    ) -> Result<K> {
        let expected = format!("{name}: {expected}");
        self.watch(api, named(name), &expected, |found| match found.values().next() {
            Some(object) if is_reached(object) => State::Reached(object.clone()),
            Some(object) => State::Waiting(serde_json::to_string(object).unwrap_or_default()),
            None => State::Waiting("no such object".to_owned()),
        })
        .await
    }

    /// Waits until there is no object of this name.
    pub async fn gone<K: Watched + Resource<DynamicType = ()>>(
        &self,
        api: Api<K>,
        name: &str,
    ) -> Result<()> {
        let expected = format!("{} {name} gone", K::kind(&()));
        let check = |found: &Objects<K>| {
            State::of(found.is_empty().then_some(()), || "it is still there".to_owned())
        };
        self.watch(api, named(name), &expected, check).await
    }

    /// Waits until no object with these labels is left that `is_meant`.
    ///
    /// Only metadata is read, so that an object which is no `K` is waited for as well.
    pub async fn none_left<K: Namespaced>(
        &self,
        namespace: &str,
        labels: &str,
        is_meant: impl Fn(&ObjectMeta) -> bool,
    ) -> Result<()> {
        let expected = format!("no {} left in {namespace}", K::plural(&()));
        let config = watcher::Config::default().labels(labels);
        let api: Api<PartialObjectMeta<K>> = Api::namespaced(self.client.clone(), namespace);
        self.watch(api, config, &expected, |objects| {
            let meant = objects.values().map(Resource::meta).filter(|meta| is_meant(meta));
            let left: Vec<_> = meant.filter_map(|meta| meta.name.as_deref()).collect();
            State::of(left.is_empty().then_some(()), || left.join(" "))
        })
        .await
    }

    /// Waits for what cannot be watched: calls `check` at an interval. Its errors count as not yet.
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
                        self.show(expected, &state);
                        seen.state = Some(state);
                    }
                    Err(error) => seen.error = Some(format!("{error:#}")),
                }
                tokio::time::sleep(interval).await;
            }
        };
        let deadline = self.deadline();
        match tokio::time::timeout_at(deadline.instant(), work).await {
            Ok(reached) => Ok(reached),
            Err(_) => Err(self.timed_out(expected, deadline, seen).await.into()),
        }
    }

    fn show(&self, expected: &str, seen: &str) {
        if let Some(phase) = self.phase {
            phase.detail(format_args!("{expected}: {seen}"));
        }
    }

    async fn timed_out(&self, expected: &str, deadline: Deadline, seen: Seen) -> TimedOut {
        TimedOut {
            expected: expected.to_owned(),
            waited: deadline.elapsed(),
            seen,
            events: recent_events(&self.client, &self.namespace).await,
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
#[derive(Debug, Error)]
#[error("expected within {waited:.0?}: {expected}{}", self.seen_last())]
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

impl TimedOut {
    fn seen_last(&self) -> String {
        let state = self.seen.state.as_deref().unwrap_or("nothing");
        let error = self.seen.error.iter().map(|error| format!("\n  last error: {error}"));
        let events = self.events.iter().map(|event| format!("\n  event: {event}"));
        format!("\n  seen last: {state}") + &error.chain(events).collect::<String>()
    }
}

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
            let names: Vec<_> = objects.keys().map(|(_, name)| name.as_str()).collect();
            State::of(names.is_empty().then_some(()), || names.join(" "))
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
}
