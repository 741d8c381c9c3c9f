//! `/livez` and `/readyz` for the kubelet's probes.

use std::{
    convert::Infallible,
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

/// How long a client may take to send the header of its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the process does its work. Clones share one state.
///
/// Liveness is not about the API server: while that is away our pods must not be restarted. A
/// process whose tasks have ended exits by itself; one whose runtime hangs does not answer.
#[derive(Clone, Debug, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
}

impl Health {
    /// The caches are synced: the process has begun to work.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Whether [`Health::set_ready`] was called.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    fn answer(&self, method: &Method, path: &str) -> (StatusCode, &'static str) {
        match (method, path) {
            (&Method::GET, "/livez") => (StatusCode::OK, "ok\n"),
            (&Method::GET, "/readyz") if self.is_ready() => (StatusCode::OK, "ok\n"),
            (&Method::GET, "/readyz") => {
                (StatusCode::SERVICE_UNAVAILABLE, "caches are not synced\n")
            }
            _ => (StatusCode::NOT_FOUND, "not found: try /livez or /readyz\n"),
        }
    }

    /// Answers on `listener` until `shutdown` resolves.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub(super) async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let mut shutdown = std::pin::pin!(shutdown);
        // Owned here, so that no connection outlives the server.
        let mut connections = tokio::task::JoinSet::new();
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
                Some(_) = connections.join_next() => continue,
                () = &mut shutdown => return Ok(()),
            };
            let health = self.clone();
            connections.spawn(async move {
                let service = service_fn(|request: Request<Incoming>| {
                    let (status, body) = health.answer(request.method(), request.uri().path());
                    let mut response = Response::new(body.to_owned());
                    *response.status_mut() = status;
                    async move { Ok::<_, Infallible>(response) }
                });
                // A probe that hangs up early is of no interest.
                let _ = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }
}

/// Errors of one connection, or of a moment without file descriptors.
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

    #[test]
    fn it_is_live_before_it_is_ready() {
        let health = Health::default();
        assert_eq!(health.answer(&Method::GET, "/livez").0, StatusCode::OK);
        assert_eq!(health.answer(&Method::GET, "/readyz").0, StatusCode::SERVICE_UNAVAILABLE);
        health.clone().set_ready();
        assert_eq!(health.answer(&Method::GET, "/readyz").0, StatusCode::OK);
    }

    #[test]
    fn other_paths_are_not_found() {
        assert_eq!(Health::default().answer(&Method::GET, "/").0, StatusCode::NOT_FOUND);
        assert_eq!(Health::default().answer(&Method::POST, "/livez").0, StatusCode::NOT_FOUND);
    }
}
