//! Reconciles the objects of a cache when something changes.
//!
//! kube's [`Controller`](kube::runtime::Controller) does the work: it queues requests, each object once, and
//! never reconciles an object twice at the same time. This module adds what all controllers of this project
//! share: a backoff for each object, metrics, one log line for each failure, and an end in order.

use std::{error::Error, fmt, future::Future, sync::Arc, time::Duration};

use futures::{
    FutureExt, Stream, StreamExt,
    stream::{self, BoxStream, SelectAll},
};
use kube::{
    Resource,
    runtime::{
        Controller as KubeController,
        controller::{self, Action},
        reflector::ObjectRef,
    },
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::{Instrument, Span, debug, warn};

use crate::{
    backoff::{ExponentialBackoff, KeyedBackoff},
    metrics::Reconciliations,
    watch::{Cache, index::Change},
};

/// Objects that are reconciled at the same time.
const CONCURRENCY: u16 = 16;

/// Waits after failures of one object.
const BACKOFF: ExponentialBackoff =
    ExponentialBackoff::new(Duration::from_millis(200), Duration::from_secs(60));

/// Reconciles objects of one kind.
pub trait Reconcile<K: Resource<DynamicType = ()>>: Send + Sync + 'static {
    /// Why a reconciliation is tried again.
    type Error: Error + Send + 'static;

    /// Waits until the caches are filled; returns `false` if one never will be.
    fn synced(&self) -> impl Future<Output = bool> + Send {
        std::future::ready(true)
    }

    /// Returns the action for an object that is not to be reconciled now.
    ///
    /// That is no success, so that the backoff stays, and no reconciliation to count.
    fn postpone(&self, _object: &K) -> Option<Action> {
        None
    }

    /// Brings the cluster closer to the object.
    ///
    /// # Errors
    /// When that failed: it is tried again after a backoff.
    fn reconcile(&self, object: &K) -> impl Future<Output = Result<Action, Self::Error>> + Send;

    /// Returns the kind of an error, for metrics.
    fn error_kind(error: &Self::Error) -> &'static str;

    /// Makes the span that the log lines of an object are in.
    fn span(object: &ObjectRef<K>) -> Span;

    /// Forgets an object that is gone.
    fn forget(&self, _object: &ObjectRef<K>) {}
}

/// The watches of a controller have ended for good.
#[derive(Debug, thiserror::Error)]
#[error("the watches have ended")]
pub struct WatchEnded;

/// A controller of the objects in a cache.
pub struct Controller<K: Resource<DynamicType = ()> + 'static> {
    cache: Cache<K>,
    requests: SelectAll<BoxStream<'static, ObjectRef<K>>>,
}

impl<K> Controller<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug + Send + Sync + 'static,
{
    /// Makes a controller that reconciles the objects of `cache` when they change.
    pub fn new(cache: Cache<K>, changes: impl Stream<Item = Change<K>> + Send + 'static) -> Self {
        Self { cache, requests: SelectAll::new() }
            .watches(changes, |object: &K| [ObjectRef::from_obj(object)])
    }

    /// Adds a watch of another kind, whose objects `map` to those to be reconciled.
    ///
    /// A complete list makes all be reconciled. No event reports what is gone by it, and events before its end
    /// came too early, for caches show a list when it is complete.
    #[must_use]
    pub fn watches<Other, Refs>(
        mut self,
        changes: impl Stream<Item = Change<Other>> + Send + 'static,
        map: impl Fn(&Other) -> Refs + Send + 'static,
    ) -> Self
    where
        Refs: IntoIterator<Item = ObjectRef<K>>,
    {
        let store = self.cache.store.clone();
        let requests = changes.flat_map(move |change| {
            let refs: Vec<_> = match change.object() {
                Some(object) => map(object).into_iter().collect(),
                None => store.state().iter().map(|object| ObjectRef::from_obj(&**object)).collect(),
            };
            stream::iter(refs)
        });
        self.requests.push(requests.boxed());
        self
    }

    /// Reconciles until `shutdown` resolves and the reconciliations under way are over.
    ///
    /// # Errors
    /// When the watches have ended before.
    pub async fn run<R: Reconcile<K>>(
        self,
        reconciler: Arc<R>,
        reconciliations: Reconciliations,
        shutdown: impl Future<Output = ()> + Clone + Send + Sync + 'static,
    ) -> Result<(), WatchEnded> {
        let Self { cache, requests } = self;
        let context =
            Arc::new(Context { reconciler, reconciliations, backoff: KeyedBackoff::new(BACKOFF) });
        let results = KubeController::for_stream(stream::empty(), cache.store.clone())
            .reconcile_on(requests)
            .with_config(controller::Config::default().concurrency(CONCURRENCY))
            .graceful_shutdown_on(shutdown.clone())
            .run(reconcile, error_policy, Arc::clone(&context))
            .for_each(|result| {
                report(&context, result);
                std::future::ready(())
            });
        // The watches have ended: reconciliations that wait for caches would wait for ever.
        let never_synced = async {
            shutdown.clone().await;
            let synced = async { cache.synced().await && context.reconciler.synced().await };
            if synced.now_or_never().is_some() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = results => shutdown.now_or_never().ok_or(WatchEnded),
            () = never_synced => Ok(()),
        }
    }
}

struct Context<K: Resource<DynamicType = ()>, R> {
    reconciler: Arc<R>,
    reconciliations: Reconciliations,
    backoff: KeyedBackoff<ObjectRef<K>>,
}

async fn reconcile<K, R>(object: Arc<K>, context: Arc<Context<K, R>>) -> Result<Action, R::Error>
where
    K: Resource<DynamicType = ()> + Send + Sync,
    R: Reconcile<K>,
{
    if !context.reconciler.synced().await {
        return Ok(Action::await_change());
    }
    if let Some(action) = context.reconciler.postpone(&object) {
        return Ok(action);
    }
    let (started, name) = (Instant::now(), ObjectRef::from_obj(&*object));
    let result = context.reconciler.reconcile(&object).instrument(R::span(&name)).await;
    let error = result.as_ref().err().map(R::error_kind);
    context.reconciliations.done(started.elapsed(), error);
    if result.is_ok() {
        context.backoff.reset(&name);
    }
    result
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that kube asks for")]
fn error_policy<K, R>(object: Arc<K>, _: &R::Error, context: Arc<Context<K, R>>) -> Action
where
    K: Resource<DynamicType = ()>,
    R: Reconcile<K>,
{
    Action::requeue(context.backoff.next_wait(ObjectRef::from_obj(&*object)))
}

type Outcome<K, E> =
    Result<(ObjectRef<K>, Action), controller::Error<E, kube::runtime::watcher::Error>>;

/// Logs one line for each failure, and forgets objects that are gone.
fn report<K, R>(context: &Context<K, R>, outcome: Outcome<K, R::Error>)
where
    K: Resource<DynamicType = ()>,
    R: Reconcile<K>,
{
    match outcome {
        Ok((object, _)) => R::span(&object).in_scope(|| debug!("reconciled")),
        Err(controller::Error::ObjectNotFound(object)) => {
            let object = object.into_kind_unchecked(());
            context.backoff.reset(&object);
            context.reconciler.forget(&object);
        }
        Err(controller::Error::ReconcilerFailed(error, object)) => {
            R::span(&object.into_kind_unchecked(()))
                .in_scope(|| warn!("tried again later: {error}"));
        }
        Err(error @ (controller::Error::QueueError(_) | controller::Error::RunnerError(_))) => {
            warn!("{error}");
        }
    }
}

#[cfg(test)]
mod tests;
