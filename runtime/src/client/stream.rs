//! Clients for streams, whose cost here and at the API server is bounded.
//!
//! Hundreds of logs are followed at once. Over HTTP/2 they share connections, which spares the API server a
//! TLS handshake for each. One connection is not enough: a server limits its streams, and further ones would
//! wait for those before them to end, without a sign. Watches are few, and when thousands of pods change they
//! carry more than all the rest: each has a connection of its own, over HTTP/1.1.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, ConfigExt, RustlsTlsError},
};
use rustls::pki_types::ServerName;
use tower::{BoxError, Service, ServiceBuilder};

use super::connection_pool::{ConnectionPool, STREAMS};
use crate::metrics::Requests;

/// Bytes that a connection of HTTP/1.1 reads ahead. The default is 400 kB.
const READ_AHEAD: usize = 16 * 1024;

/// Bytes that a stream of HTTP/2 may hold unread. The default is 2 MB.
///
/// That limits the throughput: with answers after 20 ms, to 3 MB a second.
const WINDOW: u32 = 64 * 1024;

/// Bytes that all streams of a connection may hold unread: none stops another one.
#[expect(clippy::cast_possible_truncation, reason = "there are few streams")]
const WINDOW_OF_ALL: u32 = WINDOW * STREAMS as u32;

/// Silence of a connection after which it is probed.
///
/// That also keeps it known to load balancers, which forget it after some minutes, without a sign.
const SILENCE: Duration = Duration::from_secs(20);

/// Limit for the answer to a probe; then all streams of the connection break.
const ANSWER: Duration = Duration::from_secs(10);

/// Probes of TCP within that time.
const PROBES: u32 = 2;

/// Limit for a list or a watch to begin, from the connection on.
///
/// API servers themselves give up after a minute, and report that.
const BEGINNING: Duration = Duration::from_secs(75);

/// Time for which a connection without a stream is kept for the next one.
const IDLE: Duration = Duration::from_secs(30);

type Transport = legacy::Client<HttpsConnector<HttpConnector>, Body>;

/// Makes a client for watches: kube's, with other buffers, retries and timeouts.
///
/// A watch that has begun may be silent. Through a proxy the client is kube's own.
pub(super) fn for_watches(config: Config, requests: &Requests) -> kube::Result<Client> {
    if config.proxy_url.is_some() {
        return Ok(ClientBuilder::try_from(config)?.with_layer(requests).build());
    }
    let tls = config.rustls_https_connector_with_connector(tcp(&config))?;
    let transport: Transport =
        legacy::Builder::new(TokioExecutor::new()).http1_max_buf_size(READ_AHEAD).build(tls);
    let transport = tower::service_fn(move |request| {
        let answer = tokio::time::timeout(BEGINNING, transport.request(request));
        async move { Ok::<_, BoxError>(answer.await??) }
    });
    client(config, requests, transport)
}

/// Makes a client for logs, which share connections where the server speaks HTTP/2.
pub(super) fn for_logs(config: Config, requests: &Requests) -> kube::Result<Client> {
    if config.proxy_url.is_some() {
        return Ok(ClientBuilder::try_from(config)?.with_layer(requests).build());
    }
    let connector = connector(&config)?;
    let pool = ConnectionPool::new(move |is_http2| transport(connector.clone(), is_http2));
    let transport = tower::service_fn(move |request| {
        let pool = pool.clone();
        async move {
            let (slot, transport) = pool.slot();
            let pending = pool.request(slot);
            let response = match transport.request(request).await {
                Ok(response) => response,
                Err(error) => {
                    pending.failed();
                    return Err(error);
                }
            };
            // The stream keeps its slot until it is dropped.
            let slot = pending.answered(response.version());
            Ok::<_, legacy::Error>(response.map(|body| {
                body.map_frame(move |frame| {
                    let _ = &slot;
                    frame
                })
            }))
        }
    });
    client(config, requests, transport)
}

/// Makes a client of the cluster of `config` that sends requests by `transport`.
fn client<T, B>(config: Config, requests: &Requests, transport: T) -> kube::Result<Client>
where
    T: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + 'static,
    T::Error: Into<BoxError>,
    T::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let service = ServiceBuilder::new()
        .layer(requests.clone())
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(Into::<BoxError>::into)
        .service(transport);
    Ok(Client::new(service, config.default_namespace))
}

fn tcp(config: &Config) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(config.connect_timeout);
    tcp.set_keepalive(Some(SILENCE));
    tcp.set_keepalive_interval(Some(ANSWER / PROBES));
    tcp.set_keepalive_retries(Some(PROBES));
    tcp
}

/// Makes the same connector as kube, for HTTP/2 as well.
fn connector(config: &Config) -> kube::Result<HttpsConnector<HttpConnector>> {
    let mut builder = HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config()?)
        .https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = ServerName::try_from(name.clone()).map_err(RustlsTlsError::InvalidServerName);
        let name = name.map_err(kube::Error::RustlsTls)?;
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    Ok(builder.enable_all_versions().wrap_connector(tcp(config)))
}

/// Makes a transport with connections of its own.
///
/// Without the knowledge that the server speaks HTTP/2, the first requests would open connections side by
/// side until one of them has found that out.
fn transport(connector: HttpsConnector<HttpConnector>, is_http2: bool) -> Transport {
    legacy::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .http1_max_buf_size(READ_AHEAD)
        .http2_only(is_http2)
        .http2_initial_stream_window_size(WINDOW)
        .http2_initial_connection_window_size(WINDOW_OF_ALL)
        .http2_keep_alive_interval(SILENCE)
        .http2_keep_alive_timeout(ANSWER)
        .build(connector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    type Make = fn(Config, &Requests) -> kube::Result<Client>;

    /// Returns a request for `/version` as the server gets it, and the client's result.
    async fn exchange(make: Make, answer: Vec<u8>) -> (String, kube::Result<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/prefix", listener.local_addr().unwrap());
        let mut config = Config::new(url.parse().unwrap());
        config.auth_info.token = Some("secret".to_owned().into());
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = make(config, &Requests::default()).unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(&answer).await.unwrap();
            stream.shutdown().await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        let request = http::Request::get("/version").body(Vec::new()).unwrap();
        tokio::join!(server, client.request_text(request))
    }

    #[tokio::test]
    async fn it_goes_to_the_cluster_of_the_config_with_its_token() {
        for make in [for_watches, for_logs] {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".to_vec();
            let (request, answer) = exchange(make, answer).await;
            assert!(request.starts_with("GET /prefix/version HTTP/1.1\r\n"), "{request}");
            let token = "authorization: bearer secret\r\n";
            assert!(request.to_lowercase().contains(token), "{request}");
            assert_eq!(answer.unwrap(), "hi");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_stream_is_closed_in_the_end() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = for_logs(Config::new(url.parse().unwrap()), &Requests::default()).unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
            let answered = tokio::time::Instant::now();
            let closed = tokio::time::timeout(10 * IDLE, stream.read(&mut request)).await;
            assert_eq!(closed.unwrap().unwrap(), 0, "no request comes any more");
            answered.elapsed()
        };
        let request = http::Request::get("/version").body(Vec::new()).unwrap();
        let (open, answer) = tokio::join!(server, client.request_text(request));
        assert_eq!(answer.unwrap(), "hi");
        assert!((IDLE..3 * IDLE).contains(&open), "{open:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_does_not_begin_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = for_watches(Config::new(url.parse().unwrap()), &Requests::default()).unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            while stream.read(&mut [0; 4096]).await.unwrap() > 0 {}
        };
        let request = http::Request::get("/api/v1/pods?watch=true").body(Vec::new()).unwrap();
        let asked = tokio::time::Instant::now();
        let both = async { tokio::join!(server, client.request_text(request)) };
        let (_, answer) = tokio::time::timeout(10 * BEGINNING, both).await.unwrap();
        assert!(answer.is_err(), "{answer:?}");
        assert!(asked.elapsed() < 2 * BEGINNING);
    }

    #[tokio::test]
    async fn an_answer_may_be_much_larger_than_what_is_read_ahead() {
        let body = "x".repeat(READ_AHEAD * 20);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        for make in [for_watches, for_logs] {
            let (_, answer) = exchange(make, answer.clone().into_bytes()).await;
            assert_eq!(answer.unwrap().len(), body.len());
        }
    }
}
