//! Counts the requests to the API server, as a layer of the clients.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use futures::future::BoxFuture;
use http::{Method, StatusCode};
use prometheus_client::metrics::histogram::Histogram;
use tower::{Layer, Service};

use super::families::{Counters, Histograms, histograms};

/// The resources that both processes use. A subresource follows its resource.
const RESOURCES: [&str; 10] = [
    "daemonsets",
    "events",
    "jobs",
    "jobs/status",
    "leases",
    "namespaces",
    "nodes",
    "pods",
    "pods/log",
    "pods/status",
];
/// The value of a label for everything that is not on a list.
const OTHER: &str = "other";
/// The code of a request without an answer: no connection, a timeout, or dropped.
const NO_ANSWER: &str = "none";

/// Counts the requests to the API server. Clones count together.
///
/// No client of ours repeats a request by itself, so that each attempt is counted.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    pub(super) total: Counters<3>,
    pub(super) durations: Histograms,
}

impl Default for Requests {
    fn default() -> Self {
        Self { total: Counters::default(), durations: histograms(buckets) }
    }
}

fn buckets() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0])
}

impl<S> Layer<S> for Requests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, requests: self.clone() }
    }
}

/// A service whose requests are counted.
#[derive(Clone, Debug)]
pub(crate) struct Counted<S> {
    inner: S,
    requests: Requests,
}

impl<S, B, R> Service<http::Request<B>> for Counted<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let (verb, resource) = kind(request.method(), request.uri());
        let requests = self.requests.clone();
        let mut asked = Asked { requests, verb, resource, code: NO_ANSWER, since: Instant::now() };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            if let Ok(answer) = &answer {
                asked.answered(answer.status());
            }
            answer
        })
    }
}

/// A request under way, which is counted when it is dropped.
struct Asked {
    requests: Requests,
    verb: &'static str,
    resource: &'static str,
    code: &'static str,
    since: Instant,
}

impl Asked {
    fn answered(&mut self, status: StatusCode) {
        self.code = code(status);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Self { requests, verb, resource, code, since } = self;
        let labels = [("verb", *verb), ("resource", *resource), ("code", *code)];
        requests.total.get_or_create(&labels).inc();
        let duration = since.elapsed().as_secs_f64();
        requests.durations.get_or_create(&[("verb", *verb)]).observe(duration);
    }
}

/// Returns the Kubernetes verb and the resource of a request.
fn kind(method: &Method, uri: &http::Uri) -> (&'static str, &'static str) {
    let mut path = uri.path().split('/').filter(|segment| !segment.is_empty());
    // The group, which may be empty, and the version.
    let group = match path.next() {
        Some("api") => path.next(),
        Some("apis") => path.nth(1),
        _ => None,
    };
    let rest: [Option<&str>; 5] = std::array::from_fn(|_| path.next());
    let (resource, name, subresource) = match (group, rest) {
        (None, _) | (_, [None, ..]) => return (OTHER, OTHER),
        (_, [Some("namespaces"), Some(_), Some(resource), name, subresource]) => {
            (resource, name, subresource)
        }
        (_, [Some(resource), name, subresource, ..]) => (resource, name, subresource),
    };
    let watches = uri.query().is_some_and(|query| query.contains("watch=true"));
    let verb = match *method {
        Method::GET if watches => "watch",
        Method::GET if name.is_none() => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => OTHER,
    };
    let is_it = |known: &&&str| match (known.split_once('/'), subresource) {
        (Some((a, b)), Some(subresource)) => a == resource && b == subresource,
        (None, None) => **known == resource,
        _ => false,
    };
    (verb, RESOURCES.iter().find(is_it).copied().unwrap_or(OTHER))
}

/// The codes that the API server answers with.
const CODES: [(u16, &str); 17] = [
    (200, "200"),
    (201, "201"),
    (202, "202"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (409, "409"),
    (410, "410"),
    (413, "413"),
    (415, "415"),
    (422, "422"),
    (429, "429"),
    (500, "500"),
    (502, "502"),
    (503, "503"),
    (504, "504"),
];

/// Returns the code as the value of a label, or its class if it is not listed.
fn code(status: StatusCode) -> &'static str {
    let listed = CODES.iter().find(|(code, _)| *code == status.as_u16());
    listed.map_or_else(|| class(status), |(_, label)| label)
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_as_kubernetes_does() {
        let jobs = "/apis/daemonset.darkowlzz.space/v1beta1";
        for (method, uri, expected) in [
            (Method::GET, "/api/v1/pods?labelSelector=a", ("list", "pods")),
            (Method::GET, "/api/v1/nodes?watch=true&a=b", ("watch", "nodes")),
            (Method::GET, "/api/v1/namespaces?watch=true", ("watch", "namespaces")),
            (Method::GET, "/api/v1/namespaces/n", ("get", "namespaces")),
            (Method::GET, "/api/v1/namespaces/n/pods/p/log?follow=true", ("get", "pods/log")),
            (Method::PATCH, "/api/v1/namespaces/n/pods/p/status", ("patch", "pods/status")),
            (Method::PATCH, "/apis/apps/v1/namespaces/n/daemonsets/d", ("patch", "daemonsets")),
            (Method::GET, &format!("{jobs}/jobs?watch=true"), ("watch", "jobs")),
            (Method::DELETE, &format!("{jobs}/namespaces/n/jobs/j"), ("delete", "jobs")),
            (
                Method::PATCH,
                &format!("{jobs}/namespaces/n/jobs/j/status"),
                ("patch", "jobs/status"),
            ),
            (Method::POST, "/apis/events.k8s.io/v1/namespaces/n/events", ("create", "events")),
            (
                Method::PUT,
                "/apis/coordination.k8s.io/v1/namespaces/n/leases/l",
                ("update", "leases"),
            ),
            (Method::GET, "/api/v1/namespaces/n/secrets/jobs", ("get", OTHER)),
            (Method::GET, "/version", (OTHER, OTHER)),
            (Method::GET, "/", (OTHER, OTHER)),
        ] {
            assert_eq!(kind(&method, &uri.parse().unwrap()), expected, "{method} {uri}");
        }
    }

    #[tokio::test]
    async fn requests_are_counted_by_their_answer_and_also_without_one() {
        let requests = Requests::default();
        let mut service = requests.layer(tower::service_fn(async |request: http::Request<()>| {
            match request.uri().path() {
                "/api/v1/nodes" => Ok(http::Response::new(())),
                "/api/v1/pods" => std::future::pending().await,
                _ => Err("no connection"),
            }
        }));
        let mut ask = |path: &str| service.call(http::Request::get(path).body(()).unwrap());
        ask("/api/v1/nodes").await.unwrap();
        ask("/api/v1/events").await.unwrap_err();
        drop(ask("/api/v1/pods"));
        for (resource, code) in [("nodes", "200"), ("events", NO_ANSWER), ("pods", NO_ANSWER)] {
            let labels = [("verb", "list"), ("resource", resource), ("code", code)];
            assert_eq!(requests.total.get_or_create(&labels).get(), 1, "{resource}");
        }
    }
}
