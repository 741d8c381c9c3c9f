//! The end of the terminator, whatever the API server does.

use std::time::Duration;

use http::{Request, Response};
use kube::{Client, client::Body};
use runtime::{client::Clients, http::Health};

async fn an_api_server_that_hangs(_: Request<Body>) -> Result<Response<Body>, std::io::Error> {
    std::future::pending().await
}

#[tokio::test(start_paused = true)]
async fn a_terminator_whose_caches_never_sync_ends_when_it_is_told_to() {
    let clients = Clients::from(Client::new(tower::service_fn(an_api_server_that_hangs), "n"));
    let shutdown = tokio::time::sleep(Duration::from_secs(5));
    let (config, metrics) = (terminator::Config::default(), terminator::Metrics::default());
    let work = terminator::run(clients, None, config, metrics, Health::default(), shutdown);
    let ended = tokio::time::timeout(Duration::from_secs(60), work).await;
    ended.expect("it ends").expect("in an orderly way");
}
