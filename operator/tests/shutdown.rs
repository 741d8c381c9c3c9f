//! The end of the operator, whatever the API server does.

use std::time::Duration;

use http::{Request, Response};
use kube::{Client, client::Body};
use runtime::{client::Clients, http::Health};
use serde_json::json;

/// Knows of one Job, and does not answer to anything else.
async fn half_an_api_server(request: Request<Body>) -> Result<Response<Body>, std::io::Error> {
    let asks_for_jobs = request.uri().path().ends_with("/jobs");
    let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
    if !asks_for_jobs || watches {
        std::future::pending::<()>().await;
    }
    let list = json!({
        "apiVersion": "daemonset.darkowlzz.space/v1beta1",
        "kind": "JobList",
        "metadata": {"resourceVersion": "1"},
        "items": [{
            "metadata": {"name": "job", "namespace": "default", "uid": "1", "resourceVersion": "1"},
            "spec": {"image": "busybox"},
        }],
    });
    Ok(Response::new(Body::from(list.to_string().into_bytes())))
}

#[tokio::test(start_paused = true)]
async fn an_operator_whose_caches_never_sync_ends_when_it_is_told_to() {
    let clients = Clients::from(Client::new(tower::service_fn(half_an_api_server), "default"));
    let shutdown = tokio::time::sleep(Duration::from_secs(5));
    let (config, metrics) = (operator::Config::default(), operator::Metrics::default());
    let work = operator::run(clients, None, config, metrics, Health::default(), shutdown);
    let ended = tokio::time::timeout(Duration::from_secs(60), work).await;
    ended.expect("it ends").expect("in an orderly way");
}
