//! The loop that carries out the plan. All that is decided, the [`plan`](crate::plan) decides.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use api::{
    runtime::{Brief, Clients, Health, watch},
    views::PodView,
};
use futures::{FutureExt, Stream, StreamExt};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher::{self, Event};
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, Id, JoinError, JoinSet},
};
use tracing::{Instrument, debug, info, warn};

use crate::{
    config::Config,
    finish,
    follow::{Read, Told, follow},
    metrics::Metrics,
    plan::{Counts, Limits, Outcome, Plan, Step, Uid},
    record, rotation,
    target::{Target, target},
};

/// The wait before a completion that could not be recorded is recorded again; doubled each time.
const FIRST_RETRY: Duration = Duration::from_millis(200);

/// The longest such wait.
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// Follows logs, records completions and deletes completed Jobs of `namespace`, or of all
/// namespaces, until `shutdown` resolves.
///
/// # Errors
/// When the API server refuses the pod selector, or a watch has ended for good.
pub async fn run(
    clients: Clients,
    namespace: Option<String>,
    config: Config,
    metrics: Metrics,
    health: Health,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let shutdown = shutdown.boxed().shared();
    let namespace = namespace.as_deref();
    let (pods_synced, pods) = oneshot::channel();
    let (jobs_synced, jobs) = oneshot::channel();
    let selected = watcher::Config::default().labels(&config.pod_label_selector);
    let events = watch::<PodView>(&clients.stream, namespace, selected);
    let events = metrics.watch_errors.count("pods", events);
    metrics.begins(config.max_followers.get());
    let followers = Followers::new(clients.clone(), config, metrics.clone());
    let followers = followers.run(events, pods_synced);
    let finisher = finish::run(clients, namespace, metrics, jobs_synced, shutdown.clone());
    let ready = async {
        if futures::try_join!(pods, jobs).is_ok() {
            info!("caches are synced");
            health.set_ready();
        }
        std::future::pending::<()>().await
    };
    tokio::select! {
        () = finisher => if shutdown.peek().is_some() { Ok(()) } else { Err(Error::WatchEnded) },
        result = followers => result,
        () = ready => Ok(()),
        () = shutdown.clone() => Ok(()),
    }
}

/// The followers that are at work.
struct Followers {
    clients: Clients,
    metrics: Metrics,
    default_word: String,
    plan: Plan,
    /// Owned here, so that none outlives the loop.
    tasks: JoinSet<Outcome>,
    by_pod: HashMap<Uid, AbortHandle>,
    by_task: HashMap<Id, Uid>,
    tell: mpsc::UnboundedSender<(Id, News)>,
    news: mpsc::UnboundedReceiver<(Id, News)>,
}

/// What a follower has come to before its end. There are few: of a log that is large at most one in some
/// seconds.
#[derive(Clone, Copy, Debug)]
enum News {
    /// How far it has come.
    Told(Told),
    /// It is known whether it has its beginning.
    Begun,
    /// The word is in it.
    Found,
}

impl Followers {
    fn new(clients: Clients, config: Config, metrics: Metrics) -> Self {
        let limits =
            Limits { followers: config.max_followers.get(), retry: config.ticker_duration };
        let (tell, news) = mpsc::unbounded_channel();
        Self {
            tell,
            news,
            clients,
            metrics,
            default_word: config.termination_word,
            plan: Plan::new(limits),
            tasks: JoinSet::new(),
            by_pod: HashMap::new(),
            by_task: HashMap::new(),
        }
    }

    /// Ends only if `events` do, or never begin.
    async fn run(
        mut self,
        events: impl Stream<Item = watcher::Result<Event<PodView>>>,
        synced: oneshot::Sender<()>,
    ) -> Result<(), Error> {
        let mut events = std::pin::pin!(events);
        let mut synced = Some(synced);
        loop {
            let wake = self.plan.wake_at();
            let rested = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        if matches!(event, Event::InitDone) && let Some(synced) = synced.take() {
                            // Nobody listens when the process is about to end.
                            let _ = synced.send(());
                        }
                        self.observe(event);
                    }
                    // Later it is something in between that does not know what it is asked for.
                    Some(Err(watcher::Error::InitialListFailed(kube::Error::Api(refusal))))
                        if refusal.code == 400 && synced.is_some() =>
                    {
                        return Err(Error::Selector(refusal.message.clone()));
                    }
                    // Counted and logged on its way here.
                    Some(Err(_)) => {}
                    None => return Err(Error::WatchEnded),
                },
                Some(result) = self.tasks.join_next_with_id() => self.ended(result),
                Some((task, news)) = self.news.recv() => self.heard(task, news),
                () = rested => {}
            }
            for step in self.plan.next(Instant::now()) {
                self.carry_out(step);
            }
            self.metrics.follows(self.plan.counts());
        }
    }

    fn observe(&mut self, event: Event<PodView>) {
        match event {
            Event::Init => self.plan.list_begins(),
            Event::Apply(pod) | Event::InitApply(pod) => match target(&pod, &self.default_word) {
                Some(target) => self.plan.wants(target),
                None if pod.has_logged_word() => {
                    if let Some(step) = self.plan.done(uid(&pod)) {
                        self.carry_out(step);
                    }
                }
                None => self.remove(&pod),
            },
            Event::Delete(pod) => self.remove(&pod),
            Event::InitDone => {
                for step in self.plan.list_ends() {
                    self.carry_out(step);
                }
            }
        }
    }

    fn remove(&mut self, pod: &PodView) {
        if let Some(step) = self.plan.remove(uid(pod)) {
            self.carry_out(step);
        }
    }

    fn carry_out(&mut self, step: Step) {
        match step {
            Step::Start { target, is_first } => {
                let uid = Arc::clone(&target.uid);
                let tell = self.tell.clone();
                let tell = move |news| {
                    // Nobody listens when the process is about to end.
                    let _ = tokio::task::try_id().map(|task| tell.send((task, news)));
                };
                let span = target.span();
                let (clients, metrics) = (self.clients.clone(), self.metrics.clone());
                let work = settle(clients, metrics, target, is_first, tell);
                let task = self.tasks.spawn(work.instrument(span));
                self.by_task.insert(task.id(), Arc::clone(&uid));
                self.by_pod.insert(uid, task);
            }
            Step::Stop(uid) => {
                if let Some(task) = self.by_pod.remove(&uid) {
                    self.by_task.remove(&task.id());
                    task.abort();
                }
            }
        }
    }

    fn heard(&mut self, task: Id, news: News) {
        // None: it was stopped meanwhile.
        if let Some(uid) = self.by_task.get(&task) {
            match news {
                News::Told(Told::Opened) => self.plan.opened(uid, Instant::now()),
                News::Told(Told::Behind) => self.plan.behind(uid),
                News::Told(Told::CaughtUp) => self.plan.caught_up(uid),
                News::Told(Told::Begins(_)) => {}
                News::Begun => self.plan.begun(uid),
                News::Found => self.plan.found(uid),
            }
        }
    }

    fn ended(&mut self, result: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match result {
            Ok(ended) => ended,
            Err(error) => (error.id(), Outcome::Broken),
        };
        // None: it was stopped, and may be at work again.
        if let Some(uid) = self.by_task.remove(&id) {
            self.by_pod.remove(&uid);
            self.metrics.ended(outcome);
            self.plan.ended(&uid, outcome, Instant::now());
        }
    }
}

impl Drop for Followers {
    /// Another replica works now, or none.
    fn drop(&mut self) {
        self.metrics.follows(Counts::default());
    }
}

fn uid(pod: &PodView) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// Follows the log of `target` and records when the word is in it.
async fn settle(
    clients: Clients,
    metrics: Metrics,
    target: Target,
    is_first: bool,
    tell: impl Fn(News),
) -> Outcome {
    let first_line = OnceLock::new();
    let told = |told| match told {
        // It is told once.
        Told::Begins(first) => drop(first_line.set(first)),
        told => tell(News::Told(told)),
    };
    let watched = rotation::Watched { target: &target, is_first, first_line: &first_line };
    let read = tokio::select! {
        read = follow(&clients, &target, &metrics.read, told) => read,
        never = rotation::watch(&clients, watched, &metrics.rotated, || tell(News::Begun)) => {
            match never {}
        }
    };
    match read {
        Ok(Read::Found) => {
            tell(News::Found);
            metrics.found(&target);
            debug!("node is done");
            record(&clients, &metrics, &target).await
        }
        Ok(Read::Ended) => Outcome::Ended,
        Ok(Read::Silent) => Outcome::Silent,
        Err(error) => {
            warn!("the log cannot be followed now: {error}");
            Outcome::Broken
        }
    }
}

/// Tries until it is recorded, or the pod is gone. A pod that was replaced ends this too: its
/// follower is stopped.
async fn record(clients: &Clients, metrics: &Metrics, target: &Target) -> Outcome {
    let now = Timestamp::now();
    let _recording = metrics.recording();
    let mut wait = FIRST_RETRY;
    loop {
        match record::completed(&clients.call, target, now).await {
            Ok(()) => return Outcome::Settled,
            Err(kube::Error::Api(refusal)) if refusal.code == 404 => return Outcome::Settled,
            Err(error) => warn!("cannot record that the node is done: {}", Brief(&error)),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_RETRY);
    }
}

/// Why the terminator ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server does not accept the selector of the pods.
    #[error("POD_LABEL_SELECTOR: {0}")]
    Selector(String),
    /// A watch has ended for good.
    #[error("the watches have ended")]
    WatchEnded,
}

#[cfg(test)]
mod tests {
    use futures::{future, stream};
    use kube::{Client, core::Status};

    use super::*;

    /// What the loop makes of these events, of which there are no more then.
    async fn ends(events: Vec<watcher::Result<Event<PodView>>>) -> Error {
        let service = tower::service_fn(|_: http::Request<kube::client::Body>| {
            future::pending::<Result<http::Response<String>, std::io::Error>>()
        });
        let clients = Clients::from(Client::new(service, "n"));
        let followers = Followers::new(clients, Config::default(), Metrics::default());
        let (synced, _) = oneshot::channel();
        followers.run(stream::iter(events), synced).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_selector_that_is_refused_ends_the_process_and_a_bad_request_later_does_not() {
        let refused = || {
            let status = Status::failure("unable to parse", "BadRequest").with_code(400);
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status.boxed())))
        };
        let listed = || [Ok(Event::Init), Ok(Event::InitDone)];
        let error = ends([Ok(Event::Init), refused()].into()).await;
        assert!(matches!(error, Error::Selector(_)), "{error}");
        let error = ends(listed().into_iter().chain([refused()]).collect()).await;
        assert!(matches!(error, Error::WatchEnded), "{error}");
    }
}
