//! Spreads streams over connections.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Limit of streams of a connection.
///
/// API servers allow 100 since CVE-2023-44487 was fixed, and 250 before:
/// <https://github.com/kubernetes/kubernetes/pull/121120>.
pub(super) const STREAMS: usize = 64;

/// Limit for a healthy server to answer.
///
/// A request that is dropped before proves nothing about its connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Transports with a connection each, made as they are needed. Clones share them.
pub(super) struct ConnectionPool<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    make: Box<dyn Fn(bool) -> T + Send + Sync>,
    /// Whether the server has answered in HTTP/2.
    is_http2: AtomicBool,
    connections: Mutex<Vec<Connection<T>>>,
}

struct Connection<T> {
    transport: T,
    /// Each stream holds a clone.
    slot: Slot,
}

/// The slot of a stream on a connection, which is free again when this is dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot(Arc<()>);

impl<T> Clone for ConnectionPool<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Clone> ConnectionPool<T> {
    /// Makes an empty pool. `make` gets whether the server is known to speak HTTP/2.
    pub(super) fn new(make: impl Fn(bool) -> T + Send + Sync + 'static) -> Self {
        let shared = Shared {
            make: Box::new(make),
            is_http2: AtomicBool::new(false),
            connections: Mutex::new(Vec::new()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes a slot of the first connection that has one, and makes one if none has.
    ///
    /// Connections that are not needed fall idle and close.
    pub(super) fn slot(&self) -> (Slot, T) {
        let mut connections = self.connections();
        let free = connections.iter().find(|connection| connection.streams() < STREAMS);
        let free = free.map(|free| (free.slot.clone(), free.transport.clone()));
        free.unwrap_or_else(|| {
            let transport = (self.shared.make)(self.shared.is_http2.load(Ordering::Relaxed));
            let slot = Slot::default();
            connections.push(Connection { transport: transport.clone(), slot: slot.clone() });
            (slot, transport)
        })
    }

    /// Starts a request in this slot.
    pub(super) fn request(&self, slot: Slot) -> PendingRequest<T> {
        PendingRequest { pool: self.clone(), slot: Some(slot), since: Instant::now() }
    }

    /// Removes the connection of a slot, whose request was not answered.
    ///
    /// The next server may not speak HTTP/2.
    fn remove(&self, slot: &Slot) {
        self.shared.is_http2.store(false, Ordering::Relaxed);
        self.connections().retain(|connection| !Arc::ptr_eq(&connection.slot.0, &slot.0));
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<Connection<T>>> {
        self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that waits for its answer.
///
/// To drop it after [`ANSWER_TIMEOUT`] counts as a failure of the connection.
///
/// Some servers let a connection carry fewer streams, and further ones wait without a sign.
pub(super) struct PendingRequest<T: Clone> {
    pool: ConnectionPool<T>,
    /// The slot, until the request is answered.
    slot: Option<Slot>,
    since: Instant,
}

impl<T: Clone> PendingRequest<T> {
    /// Ends with an answer in this version of HTTP; the slot is for the stream.
    pub(super) fn answered(mut self, version: http::Version) -> Option<Slot> {
        let is_http2 = version == http::Version::HTTP_2;
        self.pool.shared.is_http2.store(is_http2, Ordering::Relaxed);
        self.slot.take()
    }

    /// Ends without an answer: the connection has failed.
    pub(super) fn failed(mut self) {
        if let Some(slot) = self.slot.take() {
            self.pool.remove(&slot);
        }
    }
}

impl<T: Clone> Drop for PendingRequest<T> {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot
            && self.since.elapsed() >= ANSWER_TIMEOUT
        {
            self.pool.remove(slot);
        }
    }
}

impl<T> Connection<T> {
    fn streams(&self) -> usize {
        Arc::strong_count(&self.slot.0).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// A pool of transports that are numbers, counted up, and whether HTTP/2 was known.
    fn pool() -> ConnectionPool<(usize, bool)> {
        let made = AtomicUsize::new(0);
        ConnectionPool::new(move |is_http2| (made.fetch_add(1, Ordering::Relaxed), is_http2))
    }

    #[test]
    fn a_connection_carries_only_so_many_streams_at_once() {
        let pool = pool();
        let mut streams: Vec<_> = (0..3 * STREAMS).map(|_| pool.slot()).collect();
        for (number, (_, (transport, _))) in streams.iter().enumerate() {
            assert_eq!(*transport, number / STREAMS);
        }
        // One of the second connection ends.
        streams.remove(STREAMS + 1);
        assert_eq!(pool.slot().1.0, 1, "its slot is taken");
    }

    #[test]
    fn what_the_server_speaks_is_known_from_its_answers() {
        let pool = pool();
        let first: Vec<_> = (0..STREAMS).map(|_| pool.slot()).collect();
        assert_eq!(first[0].1, (0, false));
        let _slot = pool.request(first[0].0.clone()).answered(http::Version::HTTP_2);
        let (slot, transport) = pool.slot();
        assert_eq!(transport, (1, true));
        // It is replaced by one that does not.
        pool.request(slot).failed();
        assert_eq!(pool.slot().1, (2, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_does_not_answer_gets_no_more_streams() {
        let pool = pool();
        let (slot, _) = pool.slot();
        let request = pool.request(slot);
        tokio::time::advance(ANSWER_TIMEOUT).await;
        drop(request);
        assert_eq!(pool.slot().1.0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_taken_back_at_once_says_nothing_about_its_connection() {
        let pool = pool();
        let (slot, _) = pool.slot();
        let request = pool.request(slot);
        tokio::time::advance(ANSWER_TIMEOUT / 2).await;
        drop(request);
        assert_eq!(pool.slot().1.0, 0);
    }
}
