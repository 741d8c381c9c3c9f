//! Watches of a Job and of its pods, which go on after interruptions.

use std::{collections::HashSet, time::Duration};

use api::{job::Job, views::PodView};
use backon::ExponentialBuilder;
use futures::{Stream, StreamExt as _};
use kube::runtime::{
    WatchStreamExt as _,
    utils::{Backoff, ResetTimerBackoff},
    watcher::{self, Event, ExponentialBackoff},
};

use super::{
    connect::Cluster,
    failure::{Doing, JOBS},
};
use crate::{error::Error, model::job::pod_selector};

/// Times between attempts to take up a watch again: somebody waits for it.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));
/// Time for which a watch has to go on before its retries begin anew.
const STEADY: Duration = Duration::from_secs(10);
/// Seconds after which a watch is begun anew: a connection that says nothing may be dead.
const ANEW: u32 = 30;

/// How an interruption is reported.
pub(crate) fn goes_on(why: &str) -> String {
    format!("the watch is interrupted and goes on: {why}")
}

fn backoff() -> impl Backoff {
    let (first, longest) = RETRY;
    let delays = ExponentialBuilder::default().with_min_delay(first).with_max_delay(longest);
    let delays = delays.without_max_times().with_jitter();
    ResetTimerBackoff::new(ExponentialBackoff::from(delays), STEADY)
}

/// What a watch of a Job has shown.
#[derive(Debug)]
pub(crate) enum Seen {
    Is(Box<Job>),
    /// It is gone; its last state, if the watch has it.
    Gone(Option<Box<Job>>),
    /// The watch was interrupted, and goes on.
    Interrupted(String),
    /// The watch will never go on.
    Refused(Error),
}

/// Watches the Job of this name.
pub(crate) fn job(cluster: &Cluster, name: &str) -> impl Stream<Item = Seen> + Send + use<> {
    let config = watcher::Config::default().timeout(ANEW);
    let config = config.fields(&format!("metadata.name={name}"));
    let namespace = cluster.namespace.clone();
    let events = kube::runtime::watcher(cluster.api::<Job>(), config).backoff(backoff());
    let mut is_found = false;
    events.filter_map(move |event| {
        let seen = match event {
            Ok(Event::Init) => {
                is_found = false;
                None
            }
            Ok(Event::InitApply(job) | Event::Apply(job)) => {
                is_found = true;
                Some(Seen::Is(Box::new(job)))
            }
            Ok(Event::InitDone) => (!is_found).then_some(Seen::Gone(None)),
            Ok(Event::Delete(job)) => Some(Seen::Gone(Some(Box::new(job)))),
            Err(error) => Some(interruption(&error, JOBS, &namespace)),
        };
        futures::future::ready(seen)
    })
}

/// What a watch of pods has shown.
#[derive(Debug)]
pub(crate) enum SeenPod {
    Is(Box<PodView>),
    Gone(String),
    Interrupted(String),
    Refused(Error),
}

/// Watches the pods of a Job.
pub(crate) fn pods(cluster: &Cluster, job: &str) -> impl Stream<Item = SeenPod> + Send + use<> {
    let config = watcher::Config::default().timeout(ANEW).labels(&pod_selector(job));
    let namespace = cluster.namespace.clone();
    let events = kube::runtime::watcher(cluster.api::<PodView>(), config).backoff(backoff());
    let (mut known, mut listed) = (HashSet::<String>::new(), HashSet::<String>::new());
    let name = |pod: &PodView| pod.metadata.name.clone().unwrap_or_default();
    events.flat_map(move |event| {
        let seen = match event {
            Ok(Event::Init) => {
                listed.clear();
                Vec::new()
            }
            Ok(Event::InitApply(pod)) => {
                listed.insert(name(&pod));
                vec![SeenPod::Is(Box::new(pod))]
            }
            Ok(Event::InitDone) => {
                let gone: Vec<_> = known.difference(&listed).cloned().map(SeenPod::Gone).collect();
                known.clone_from(&listed);
                gone
            }
            Ok(Event::Apply(pod)) => {
                known.insert(name(&pod));
                vec![SeenPod::Is(Box::new(pod))]
            }
            Ok(Event::Delete(pod)) => {
                known.remove(&name(&pod));
                vec![SeenPod::Gone(name(&pod))]
            }
            Err(error) => vec![match interruption(&error, "pods", &namespace) {
                Seen::Refused(error) => SeenPod::Refused(error),
                Seen::Interrupted(why) => SeenPod::Interrupted(why),
                Seen::Is(_) | Seen::Gone(_) => return futures::stream::iter(Vec::new()),
            }],
        };
        futures::stream::iter(seen)
    })
}

/// Tells an error that passes from one that stays.
fn interruption(error: &watcher::Error, resource: &'static str, namespace: &str) -> Seen {
    let (verb, cause) = match error {
        watcher::Error::InitialListFailed(cause) => ("list", Some(cause)),
        watcher::Error::WatchStartFailed(cause) | watcher::Error::WatchFailed(cause) => {
            ("watch", Some(cause))
        }
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => ("watch", None),
    };
    let doing = Doing::new(verb, resource, Some(namespace));
    match cause {
        Some(cause @ kube::Error::Api(status)) if matches!(status.code, 401 | 403 | 404) => {
            Seen::Refused(doing.failed(cause))
        }
        Some(cause) => Seen::Interrupted(doing.failed(cause).message().to_owned()),
        None => Seen::Interrupted(error.to_string()),
    }
}
