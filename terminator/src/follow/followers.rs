//! Carries out the steps of the scheduler, with one task for each log.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use api::views::PodView;
use futures::{Stream, StreamExt};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher::{self, Event};
use runtime::{
    client::Clients,
    controller::WatchEnded,
    watch::index::{Index, Reflector, Synced},
};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, Id, JoinError, JoinSet},
};
use tracing::Instrument;

use super::{
    follower::{FollowerEvent, ReadTo, follow_and_record},
    pod_log::{PodLog, pod_log},
    reader::ReadEvent,
    scheduler::{FollowScheduler, Limits, Outcome, Step, Uid},
};
use crate::{
    config::Config,
    error::Error,
    metrics::{LogCounts, Metrics},
};

/// A follower at work.
struct Follower {
    task: AbortHandle,
    /// The run that it follows.
    run: String,
    read_to: Arc<ReadTo>,
}

/// The followers at work.
pub(crate) struct Followers {
    clients: Clients,
    metrics: Metrics,
    default_word: String,
    reflector: Reflector<HashSet<Uid>>,
    scheduler: FollowScheduler,
    /// The set aborts its tasks when the loop ends.
    tasks: JoinSet<Outcome>,
    by_pod: HashMap<Uid, Follower>,
    by_task: HashMap<Id, Uid>,
    sender: mpsc::UnboundedSender<(Id, FollowerEvent)>,
    /// Unbounded, for they are few: of a large log one in some seconds.
    events: mpsc::UnboundedReceiver<(Id, FollowerEvent)>,
}

impl Followers {
    pub(crate) fn new(clients: Clients, config: Config, metrics: Metrics) -> Self {
        let limits =
            Limits { followers: config.max_followers.get(), retry: config.ticker_duration };
        let (sender, events) = mpsc::unbounded_channel();
        Self {
            clients,
            metrics,
            default_word: config.termination_word,
            reflector: Reflector::default(),
            scheduler: FollowScheduler::new(limits),
            tasks: JoinSet::new(),
            by_pod: HashMap::new(),
            by_task: HashMap::new(),
            sender,
            events,
        }
    }

    /// Returns a handle that waits for the first list of pods.
    pub(crate) fn synced(&self) -> Synced {
        self.reflector.synced()
    }

    /// Follows the logs of the pods that `watch_events` report.
    ///
    /// # Errors
    /// When the API server refuses the pod selector, or the watch has ended.
    pub(crate) async fn run(
        mut self,
        watch_events: impl Stream<Item = watcher::Result<Event<PodView>>>,
    ) -> Result<(), Error> {
        let mut watch_events = std::pin::pin!(watch_events);
        let mut reflector = std::mem::take(&mut self.reflector);
        let synced = reflector.synced();
        loop {
            let wake_at = self.scheduler.wake_at();
            let woken = async {
                match wake_at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = watch_events.next() => match event {
                    Some(Ok(event)) => _ = reflector.observe(&mut self, event),
                    // After the first list it is a proxy, for example, that takes the request for bad.
                    Some(Err(watcher::Error::InitialListFailed(kube::Error::Api(refusal))))
                        if refusal.code == 400 && !synced.is_synced() =>
                    {
                        return Err(Error::Selector(refusal.message.clone()));
                    }
                    // It was reported on its way here.
                    Some(Err(_)) => {}
                    None => return Err(WatchEnded.into()),
                },
                Some(result) = self.tasks.join_next_with_id() => self.ended(result),
                Some((task, event)) = self.events.recv() => self.handle(task, event),
                () = woken => {}
            }
            for step in self.scheduler.next(Instant::now()) {
                self.carry_out(step);
            }
            let counts = self.scheduler.counts();
            self.metrics.set_logs(LogCounts {
                opening: counts.opening,
                open: counts.open,
                queued: counts.queued,
                resting: counts.resting,
            });
        }
    }

    fn remove(&mut self, pod: &PodView) {
        if let Some(step) = self.scheduler.remove(uid(pod)) {
            self.carry_out(step);
        }
    }

    fn carry_out(&mut self, step: Step) {
        match step {
            Step::Start { log, is_first, read_to } => self.start(*log, is_first, read_to),
            Step::Stop(uid) => {
                if let Some(follower) = self.by_pod.remove(&uid) {
                    self.by_task.remove(&follower.task.id());
                    follower.task.abort();
                    self.note(&uid, follower);
                }
            }
        }
    }

    /// Notes up to where a follower has read.
    fn note(&mut self, uid: &Uid, follower: Follower) {
        if let Some(time) = follower.read_to.time() {
            self.scheduler.read_to(uid, follower.run, time);
        }
    }

    fn start(&mut self, log: PodLog, is_first: bool, read_to: Option<Timestamp>) {
        let (run, read_to) = (log.run.clone(), Arc::new(ReadTo::new(read_to)));
        let (uid, span) = (Arc::clone(&log.uid), log.span());
        let sender = self.sender.clone();
        let emit = move |event| {
            // Nobody receives when the process is about to end.
            let _ = tokio::task::try_id().map(|task| sender.send((task, event)));
        };
        let (clients, metrics) = (self.clients.clone(), self.metrics.clone());
        let work = follow_and_record(clients, metrics, log, is_first, Arc::clone(&read_to), emit);
        let task = self.tasks.spawn(work.instrument(span));
        self.by_task.insert(task.id(), Arc::clone(&uid));
        self.by_pod.insert(uid, Follower { task, run, read_to });
    }

    fn handle(&mut self, task: Id, event: FollowerEvent) {
        // A task that was stopped meanwhile is not known any more.
        let Some(uid) = self.by_task.get(&task) else {
            return;
        };
        match event {
            FollowerEvent::Read(ReadEvent::Opened) => self.scheduler.opened(uid, Instant::now()),
            FollowerEvent::Read(ReadEvent::Behind) => self.scheduler.behind(uid),
            FollowerEvent::Read(ReadEvent::CaughtUp) => self.scheduler.caught_up(uid),
            FollowerEvent::Read(ReadEvent::FirstLine(_) | ReadEvent::ReadTo(_)) => {}
            FollowerEvent::BeginningChecked => self.scheduler.beginning_checked(uid),
            FollowerEvent::WordFound => self.scheduler.word_found(uid),
        }
    }

    fn ended(&mut self, result: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match result {
            Ok(ended) => ended,
            Err(error) => (error.id(), Outcome::Broken),
        };
        // A task that was stopped is not known any more, and another one may follow its log.
        if let Some(uid) = self.by_task.remove(&id) {
            if let Some(follower) = self.by_pod.remove(&uid) {
                self.note(&uid, follower);
            }
            if let Some(name) = outcome.name() {
                self.metrics.count_end(name);
            }
            self.scheduler.ended(&uid, outcome, Instant::now());
        }
    }
}

impl Index<PodView> for Followers {
    type List = HashSet<Uid>;

    fn collect(&mut self, list: &mut HashSet<Uid>, pod: PodView) {
        list.insert(uid(&pod).into());
        self.apply(&pod);
    }

    fn reset(&mut self, list: HashSet<Uid>) {
        for step in self.scheduler.retain(&list) {
            self.carry_out(step);
        }
    }

    fn apply(&mut self, pod: &PodView) -> bool {
        match pod_log(pod, &self.default_word) {
            Some(log) => self.scheduler.upsert(log),
            None if pod.has_logged_word() => {
                if let Some(step) = self.scheduler.recorded(uid(pod)) {
                    self.carry_out(step);
                }
            }
            None => self.remove(pod),
        }
        true
    }

    fn delete(&mut self, pod: &PodView) -> bool {
        self.remove(pod);
        true
    }
}

impl Drop for Followers {
    /// Another replica works now, or none.
    fn drop(&mut self) {
        self.metrics.set_logs(LogCounts::default());
    }
}

fn uid(pod: &PodView) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use futures::{future, stream};
    use kube::{Client, core::Status};

    use super::*;

    /// Returns the end of the loop after these events.
    async fn end(events: Vec<watcher::Result<Event<PodView>>>) -> Error {
        let service = tower::service_fn(|_: http::Request<kube::client::Body>| {
            future::pending::<Result<http::Response<String>, std::io::Error>>()
        });
        let clients = Clients::from(Client::new(service, "n"));
        let followers = Followers::new(clients, Config::default(), Metrics::default());
        followers.run(stream::iter(events)).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_selector_that_is_refused_ends_the_process_and_a_bad_request_later_does_not() {
        let refused = || {
            let status = Status::failure("unable to parse", "BadRequest").with_code(400);
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status.boxed())))
        };
        let listed = || [Ok(Event::Init), Ok(Event::InitDone)];
        let error = end([Ok(Event::Init), refused()].into()).await;
        assert!(matches!(error, Error::Selector(_)), "{error}");
        let error = end(listed().into_iter().chain([refused()]).collect()).await;
        assert!(matches!(error, Error::WatchEnded(_)), "{error}");
    }
}
