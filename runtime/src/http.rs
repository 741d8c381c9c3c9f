//! `/livez`, `/readyz` and `/metrics` over HTTP.

use std::{
    borrow::Cow,
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, header::CONTENT_TYPE};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, task::AbortHandle};

use crate::metrics::Registry;

/// Limit for a client to send the header of its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Limit for a connection to last.
///
/// The answer stays in memory while a client does not read it.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// Limit of connections. A further one ends the oldest, so that probes get through.
const CONNECTIONS: usize = 32;

/// The text format of Prometheus.
/// <https://prometheus.io/docs/instrumenting/exposition_formats/>
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The health of the process, for the kubelet's probes. Clones share it.
///
/// Liveness does not depend on the API server: while that is away our pods must not be restarted. A
/// process whose tasks have ended exits by itself; one whose runtime hangs does not answer.
#[derive(Clone, Debug, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
}

impl Health {
    /// Makes `/readyz` succeed: the caches are synced.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Returns whether [`Health::set_ready`] was called.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}

/// Answers on `listener` until `shutdown` resolves.
///
/// # Errors
/// When the listener fails for good.
pub(crate) async fn serve(
    listener: TcpListener,
    health: Health,
    registry: Arc<Registry>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut shutdown = std::pin::pin!(shutdown);
    // Owned here, so that no connection outlives the server.
    let mut connections = tokio::task::JoinSet::new();
    let mut by_age = VecDeque::new();
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_transient(&error) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
                Err(error) => return Err(error),
            },
            Some(_) = connections.join_next() => {
                by_age.retain(|connection: &AbortHandle| !connection.is_finished());
                continue;
            }
            () = &mut shutdown => return Ok(()),
        };
        if by_age.len() >= CONNECTIONS
            && let Some(oldest) = by_age.pop_front()
        {
            oldest.abort();
        }
        let (health, registry) = (health.clone(), Arc::clone(&registry));
        by_age.push_back(connections.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let answer = answer(&health, &registry, request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(answer) }
            });
            // A client that hangs up early is of no interest.
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
        }));
    }
}

fn answer(health: &Health, registry: &Registry, method: &Method, path: &str) -> Response<String> {
    let (status, content_type, body): (_, _, Cow<'_, str>) = match (method, path) {
        (&Method::GET, "/livez") => (StatusCode::OK, TEXT, "ok\n".into()),
        (&Method::GET, "/readyz") if health.is_ready() => (StatusCode::OK, TEXT, "ok\n".into()),
        (&Method::GET, "/readyz") => {
            (StatusCode::SERVICE_UNAVAILABLE, TEXT, "caches are not synced\n".into())
        }
        (&Method::GET, "/metrics") => (StatusCode::OK, METRICS, registry.scrape().into()),
        _ => (StatusCode::NOT_FOUND, TEXT, "not found: try /livez, /readyz or /metrics\n".into()),
    };
    let mut response = Response::new(body.into_owned());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Returns whether an error is of one connection, or a lack of file descriptors.
fn is_transient(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    ) || matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    fn status(health: &Health, method: &Method, path: &str) -> StatusCode {
        answer(health, &Registry::new("operator"), method, path).status()
    }

    #[test]
    fn it_is_live_before_it_is_ready() {
        let health = Health::default();
        assert_eq!(status(&health, &Method::GET, "/livez"), StatusCode::OK);
        assert_eq!(status(&health, &Method::GET, "/readyz"), StatusCode::SERVICE_UNAVAILABLE);
        health.clone().set_ready();
        assert_eq!(status(&health, &Method::GET, "/readyz"), StatusCode::OK);
    }

    #[tokio::test]
    async fn probes_get_through_whoever_holds_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let registry = Arc::new(Registry::new("operator"));
        let server = serve(listener, Health::default(), registry, std::future::pending());
        let probe = async {
            let mut silent = Vec::new();
            for _ in 0..CONNECTIONS * 2 {
                silent.push(TcpStream::connect(address).await.unwrap());
            }
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /livez HTTP/1.0\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            // Those that came first had to go.
            assert_eq!(silent[0].read(&mut [0]).await.unwrap_or(0), 0);
            answer
        };
        let answer = tokio::select! {
            answer = tokio::time::timeout(HEADER_TIMEOUT / 2, probe) => answer.unwrap(),
            ended = server => panic!("{ended:?}"),
        };
        assert!(answer.ends_with("ok\n"), "{answer}");
    }

    #[test]
    fn metrics_are_there_before_it_is_ready() {
        let answer =
            answer(&Health::default(), &Registry::new("operator"), &Method::GET, "/metrics");
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[CONTENT_TYPE], METRICS);
        assert!(answer.body().contains("daemonset_job_build_info"), "{}", answer.body());
    }

    #[test]
    fn other_paths_are_not_found() {
        assert_eq!(status(&Health::default(), &Method::GET, "/"), StatusCode::NOT_FOUND);
        assert_eq!(status(&Health::default(), &Method::POST, "/livez"), StatusCode::NOT_FOUND);
    }
}
