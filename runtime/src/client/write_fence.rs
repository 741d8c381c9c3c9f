//! Holds back writes while this replica does not lead.

use std::sync::Arc;

use http::{Method, Request};
use kube::{Client, client::ClientBuilder};
use tower::filter::FilterLayer;

/// The error of a write that was held back.
#[derive(Debug, thiserror::Error)]
#[error("not written: this replica does not lead, or its claim could not be renewed in time")]
pub struct WriteFenced;

/// Makes a client that sends writes only while `may_write` returns true.
pub(super) fn fenced(
    client: Client,
    may_write: impl Fn() -> bool + Send + Sync + 'static,
) -> Client {
    let may_write = Arc::new(may_write);
    let fence = FilterLayer::new(move |request| check(&*may_write, request));
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request| {
        let client = client.clone();
        async move { client.send(request).await }
    });
    ClientBuilder::new(service, namespace).with_layer(&fence).build()
}

fn check<B>(may_write: impl Fn() -> bool, request: Request<B>) -> Result<Request<B>, WriteFenced> {
    match request.method() == Method::GET || may_write() {
        true => Ok(request),
        false => Err(WriteFenced),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reads_pass_while_the_replica_may_not_write() {
        let passes = |method: &Method, may_write| {
            let request = Request::builder().method(method).body(()).unwrap();
            check(|| may_write, request).is_ok()
        };
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(passes(&method, true), "{method}");
            assert!(!passes(&method, false), "{method}");
        }
        assert!(passes(&Method::GET, false));
    }
}
