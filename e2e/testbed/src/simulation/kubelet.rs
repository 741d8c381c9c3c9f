//! The HTTPS server that is the kubelet of all simulated nodes to the API server.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum_server::tls_rustls::RustlsConfig;
use futures::StreamExt as _;

use super::log;
use super::pod::LogError;
use super::pods::Pods;

/// A socket for the server, with its port.
pub(super) fn listen() -> Result<(TcpListener, u16)> {
    // All addresses, for which of them the containers reach differs between Docker's ways to set up
    // networks. The certificates keep strangers out.
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))
        .context("cannot listen for the API server's requests")?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// Serves until the future is dropped.
pub(super) async fn serve(
    listener: TcpListener,
    tls: rustls::ServerConfig,
    pods: Arc<Pods>,
) -> Result<()> {
    let app = Router::new()
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs))
        .with_state(pods);
    axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(Arc::new(tls)))?
        .serve(app.into_make_service())
        .await
        .context("the simulated kubelets' server has ended")
}

async fn logs(
    State(pods): State<Arc<Pods>>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(query): Query<log::Query>,
) -> Result<Response, LogError> {
    pods.asked(&namespace);
    let pod = pods
        .find(&namespace, &pod)
        .ok_or_else(|| LogError::NotFound("pod does not exist".to_owned()))?;
    let chunks = pod.read_log(&container, &query)?;
    let body = Body::from_stream(chunks.map(move |chunk| {
        pods.serve(chunk.logged);
        Ok::<_, std::convert::Infallible>(chunk.bytes)
    }));
    Ok(([("content-type", "text/plain")], body).into_response())
}

impl IntoResponse for LogError {
    fn into_response(self) -> Response {
        match self {
            Self::BadRequest(message) => (StatusCode::BAD_REQUEST, message),
            Self::NotFound(message) => (StatusCode::NOT_FOUND, message),
        }
        .into_response()
    }
}
