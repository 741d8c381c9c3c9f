//! Spreads streams over connections.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Streams that a connection carries. API servers allow 100 of them since they were mended against
/// CVE-2023-44487, and 250 before; <https://github.com/kubernetes/kubernetes/pull/121120>.
pub(super) const STREAMS: usize = 64;

/// How long an answer takes at most of a server that is well. Who asked and stops waiting before says nothing
/// about the connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Transports, each with a connection of its own, that are made as they are needed. Clones share them.
pub(super) struct Shards<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    make: Box<dyn Fn(bool) -> T + Send + Sync>,
    /// Whether the server was heard to speak HTTP/2.
    is_http2: AtomicBool,
    shards: Mutex<Vec<Shard<T>>>,
}

struct Shard<T> {
    transport: T,
    /// Each stream holds a clone.
    place: Place,
}

/// The place of a stream on a connection, which is free again when this is dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Place(Arc<()>);

impl<T> Clone for Shards<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Clone> Shards<T> {
    /// `make` is told whether the server is known to speak HTTP/2.
    pub(super) fn new(make: impl Fn(bool) -> T + Send + Sync + 'static) -> Self {
        let shared = Shared {
            make: Box::new(make),
            is_http2: AtomicBool::new(false),
            shards: Mutex::new(Vec::new()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A place on the first connection that has one, so that those that are not needed fall idle and close.
    pub(super) fn place(&self) -> (Place, T) {
        let mut shards = self.shards();
        let free = shards.iter().find(|shard| shard.streams() < STREAMS);
        let free = free.map(|shard| (shard.place.clone(), shard.transport.clone()));
        free.unwrap_or_else(|| {
            let transport = (self.shared.make)(self.shared.is_http2.load(Ordering::Relaxed));
            let shard = Shard { transport: transport.clone(), place: Place::default() };
            let place = shard.place.clone();
            shards.push(shard);
            (place, transport)
        })
    }

    /// A request is made at this place.
    pub(super) fn unanswered(&self, place: Place) -> Unanswered<T> {
        Unanswered { shards: self.clone(), place: Some(place), since: Instant::now() }
    }

    /// A request at this place was not answered. Its connection gets no further ones; whether the server
    /// that is there next speaks HTTP/2 is to be found out anew.
    fn failed(&self, place: &Place) {
        self.shared.is_http2.store(false, Ordering::Relaxed);
        self.shards().retain(|shard| !Arc::ptr_eq(&shard.place.0, &place.0));
    }

    fn shards(&self) -> std::sync::MutexGuard<'_, Vec<Shard<T>>> {
        self.shared.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that waits for its answer. That it is dropped after a while is as if it had failed: of a server
/// that lets a connection carry fewer streams, those beyond wait without a sign.
pub(super) struct Unanswered<T: Clone> {
    shards: Shards<T>,
    /// None when it is answered.
    place: Option<Place>,
    since: Instant,
}

impl<T: Clone> Unanswered<T> {
    /// The server has answered in this version.
    pub(super) fn answered(mut self, version: http::Version) -> Option<Place> {
        let is_http2 = version == http::Version::HTTP_2;
        self.shards.shared.is_http2.store(is_http2, Ordering::Relaxed);
        self.place.take()
    }

    /// The connection has failed.
    pub(super) fn failed(mut self) {
        if let Some(place) = self.place.take() {
            self.shards.failed(&place);
        }
    }
}

impl<T: Clone> Drop for Unanswered<T> {
    fn drop(&mut self) {
        if let Some(place) = &self.place
            && self.since.elapsed() >= PATIENCE
        {
            self.shards.failed(place);
        }
    }
}

impl<T> Shard<T> {
    fn streams(&self) -> usize {
        Arc::strong_count(&self.place.0).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// Transports that are numbers, counted up, and whether they were made for HTTP/2.
    fn shards() -> Shards<(usize, bool)> {
        let made = AtomicUsize::new(0);
        Shards::new(move |is_http2| (made.fetch_add(1, Ordering::Relaxed), is_http2))
    }

    #[test]
    fn a_connection_carries_only_so_many_streams_at_once() {
        let shards = shards();
        let mut streams: Vec<_> = (0..3 * STREAMS).map(|_| shards.place()).collect();
        for (number, (_, (transport, _))) in streams.iter().enumerate() {
            assert_eq!(*transport, number / STREAMS);
        }
        // One of the second connection ends.
        streams.remove(STREAMS + 1);
        assert_eq!(shards.place().1.0, 1, "its place is taken");
    }

    #[test]
    fn what_the_server_speaks_is_known_from_its_answers() {
        let shards = shards();
        let first: Vec<_> = (0..STREAMS).map(|_| shards.place()).collect();
        assert_eq!(first[0].1, (0, false));
        let _place = shards.unanswered(first[0].0.clone()).answered(http::Version::HTTP_2);
        let (place, transport) = shards.place();
        assert_eq!(transport, (1, true));
        // It is replaced by one that does not.
        shards.unanswered(place).failed();
        assert_eq!(shards.place().1, (2, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_does_not_answer_gets_no_more_streams() {
        let shards = shards();
        let (place, _) = shards.place();
        let unanswered = shards.unanswered(place);
        tokio::time::advance(PATIENCE).await;
        drop(unanswered);
        assert_eq!(shards.place().1.0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_taken_back_at_once_says_nothing_about_its_connection() {
        let shards = shards();
        let (place, _) = shards.place();
        let unanswered = shards.unanswered(place);
        tokio::time::advance(PATIENCE / 2).await;
        drop(unanswered);
        assert_eq!(shards.place().1.0, 0);
    }
}
