//! What a client asks of the API server, written down as it asks.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::FutureExt as _;
use http::Method;
use kube::client::Body;

/// The requests that a client has made. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Mutex<Vec<Request>>>);

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its verb in HTTP.
    pub method: Method,
    /// Path and query.
    pub uri: String,
    /// Its body; empty for reads.
    pub body: Bytes,
}

impl Requests {
    /// The requests so far that satisfy `matches`.
    pub fn matching(&self, matches: impl Fn(&Request) -> bool) -> Vec<Request> {
        let requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().filter(|&r| matches(r)).cloned().collect()
    }

    /// Writes a request down and hands it on.
    pub(super) fn record(&self, request: http::Request<Body>) -> http::Request<Body> {
        let (parts, body) = request.into_parts();
        let copy = body.try_clone();
        // A body that can be cloned is there as a whole: nothing has to be waited for.
        let bytes = copy.and_then(|copy| copy.collect_bytes().now_or_never()?.ok());
        let record = Request {
            method: parts.method.clone(),
            uri: parts.uri.to_string(),
            body: bytes.unwrap_or_default(),
        };
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        requests.push(record);
        http::Request::from_parts(parts, body)
    }
}
