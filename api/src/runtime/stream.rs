//! A client for many streams: what each of them may hold in memory is bounded.

use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, ConfigExt},
};
use tower::{BoxError, ServiceBuilder};

use super::metrics::Requests;

/// What a connection reads ahead at most. By default that is 400 kB, and hundreds of busy logs would take
/// more memory than all the rest.
const READ_AHEAD: usize = 16 * 1024;

/// A client as kube makes it of `config`, but for its buffers, its retries, and its timeouts, of which only
/// that of connecting is kept. Through a proxy it is kube's own.
pub(super) fn client(config: Config, requests: &Requests) -> kube::Result<Client> {
    if config.proxy_url.is_some() {
        return Ok(ClientBuilder::try_from(config)?.with_layer(requests).build());
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(config.connect_timeout);
    let tls = config.rustls_https_connector_with_connector(tcp)?;
    let transport: legacy::Client<_, Body> =
        legacy::Builder::new(TokioExecutor::new()).http1_max_buf_size(READ_AHEAD).build(tls);
    let service = ServiceBuilder::new()
        .layer(requests.clone())
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(transport);
    Ok(Client::new(service, config.default_namespace))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// What a server is sent by a client that asks it for `/version`, and what the client gets.
    async fn exchange(answer: Vec<u8>) -> (String, kube::Result<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/prefix", listener.local_addr().unwrap());
        let mut config = Config::new(url.parse().unwrap());
        config.auth_info.token = Some("secret".to_owned().into());
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = client(config, &Requests::default()).unwrap();
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
        let (request, answer) =
            exchange(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".to_vec()).await;
        assert!(request.starts_with("GET /prefix/version HTTP/1.1\r\n"), "{request}");
        assert!(request.to_lowercase().contains("authorization: bearer secret\r\n"), "{request}");
        assert_eq!(answer.unwrap(), "hi");
    }

    #[tokio::test]
    async fn an_answer_may_be_much_larger_than_what_is_read_ahead() {
        let body = "x".repeat(READ_AHEAD * 20);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let (_, answer) = exchange(answer.into_bytes()).await;
        assert_eq!(answer.unwrap().len(), body.len());
    }
}
