//! A real Kubernetes control plane for tests, without nodes and without a scheduler.
//!
//! etcd, kube-apiserver and kube-controller-manager run in one unprivileged container.
//! [`crate::simulation`] adds the nodes. The image is `images/control-plane`.

mod audit;
mod container;
mod manifests;
mod pki;
mod requests;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{DynamicObject, PostParams};
use kube::client::ClientBuilder;
use kube::config::AuthInfo;
use kube::{Api, Client, Config};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tower::util::MapRequestLayer;

pub use self::audit::{AuditLog, Audited};
pub use self::container::Settings;
pub use self::requests::{Request, Requests};

use self::container::Container;
use self::pki::Pki;

/// How long the API server may take until it is ready: a busy machine takes 30 s.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A running control plane. It ends with this value, or with this process.
pub struct ControlPlane {
    pki: Pki,
    container: Container,
}

impl ControlPlane {
    /// The name under which the container reaches this machine.
    pub const HOST: &'static str = container::HOST;

    /// As [`Self::start_with`] the default settings.
    pub async fn start(image: &str) -> Result<Self> {
        Self::start_with(image, &Settings::default()).await
    }

    /// Starts a control plane from an image of `images/control-plane`, and waits until it is ready.
    ///
    /// Its controllers do not run before [`Self::start_controllers`].
    pub async fn start_with(image: &str, settings: &Settings) -> Result<Self> {
        let pki = Pki::generate(&["localhost", "127.0.0.1"], &[Self::HOST])?;
        let container = Container::start(image, &pki, settings).await?;
        let this = Self { pki, container };
        let ready = tokio::time::timeout(START_TIMEOUT, this.ready());
        match ready.await {
            Ok(result) => result?,
            Err(_) => anyhow::bail!(
                "the API server is not ready after {START_TIMEOUT:?}; its log is {}",
                this.container.log.display()
            ),
        }
        Ok(this)
    }

    /// Polls: an API server that does not serve yet offers nothing to watch.
    async fn ready(&self) -> Result<()> {
        let client = self.client()?;
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            let request = http::Request::get("/readyz").body(Vec::new())?;
            if client.request_text(request).await.is_ok() {
                return Ok(());
            }
            ensure!(
                self.container.is_running().await?,
                "the control plane has ended; its log is {}",
                self.container.log.display()
            );
        }
    }

    /// Starts the controllers; the collector looks for new kinds only every 30 s.
    pub async fn start_controllers(&self) -> Result<()> {
        self.container.start_controllers().await
    }

    /// Applies manifests as `kubectl apply -f PATH` does: a file, or all YAML files of a folder, in
    /// the order of their names. Waits until custom resources among them are served.
    pub async fn apply(&self, path: &std::path::Path) -> Result<()> {
        manifests::apply(&self.client()?, path).await
    }

    /// Returns the kinds of objects that the API server would not take, with why.
    pub async fn dry_run(
        &self,
        objects: Vec<DynamicObject>,
    ) -> Result<Vec<(String, anyhow::Error)>> {
        Ok(manifests::dry_run(&self.client()?, objects).await)
    }

    /// A client with all rights, for the runtime that it is made in.
    pub fn client(&self) -> Result<Client> {
        Client::try_from(self.config(self.pki.admin.auth_info())?).context("cannot make a client")
    }

    /// A client with a service account's rights; `requests` records what it asks.
    pub async fn service_account_client(
        &self,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Client> {
        let config = self.config(self.service_account(namespace, name).await?)?;
        let requests = requests.clone();
        let record = MapRequestLayer::new(move |request| requests.record(request));
        let builder = ClientBuilder::try_from(config).context("cannot make a client")?;
        Ok(builder.with_layer(&record).build())
    }

    async fn service_account(&self, namespace: &str, name: &str) -> Result<AuthInfo> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client()?, namespace);
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 24 * 60 * 60},
        });
        let answer: Value = accounts
            .create_subresource("token", name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("no token for service account {namespace}/{name}"))?;
        let token =
            answer["status"]["token"].as_str().context("a token request without a token")?;
        Ok(AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() })
    }

    /// A kubeconfig for a day, with the rights of a service account.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<String> {
        Ok(self.kubeconfig(&self.service_account(namespace, name).await?))
    }

    /// A kubeconfig for a process on this machine, with all rights.
    pub fn admin_kubeconfig(&self) -> String {
        self.kubeconfig(&self.pki.admin.auth_info())
    }

    fn kubeconfig(&self, user: &AuthInfo) -> String {
        let authority = base64::engine::general_purpose::STANDARD.encode(&self.pki.ca_pem);
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "default",
            "clusters": [{"name": "default", "cluster": {
                "server": self.container.url,
                "certificate-authority-data": authority,
                "tls-server-name": "localhost",
            }}],
            "users": [{"name": "default", "user": user}],
            "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
        });
        kubeconfig.to_string()
    }

    /// What [`Settings::audited_users`] have asked so far, and will ask.
    pub fn audit_log(&self) -> AuditLog {
        AuditLog::new(self.container.audit.clone())
    }

    /// Changes the text of an object where it is stored, into one that no API would let anybody write.
    pub async fn rewrite(&self, key: &str, change: impl FnOnce(&str) -> String) -> Result<()> {
        let base64 = base64::engine::general_purpose::STANDARD;
        let encoded = base64.encode(key);
        let found = self.container.etcd("range", &json!({"key": encoded})).await?;
        let stored = found["kvs"][0]["value"].as_str().with_context(|| format!("no {key}"))?;
        let stored = String::from_utf8(base64.decode(stored)?)?;
        let changed = change(&stored);
        ensure!(changed != stored, "nothing to change in {stored}");
        let value = base64.encode(changed);
        self.container.etcd("put", &json!({"key": encoded, "value": value})).await?;
        Ok(())
    }

    /// The API server's own metrics, in Prometheus' text format.
    pub async fn metrics(&self) -> Result<String> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        self.client()?.request_text(request).await.context("no metrics from the API server")
    }

    fn config(&self, auth_info: AuthInfo) -> Result<Config> {
        let mut config = Config::new(self.container.url.parse()?);
        config.root_cert = Some(vec![self.pki.ca_der.clone()]);
        config.tls_server_name = Some("localhost".to_owned());
        config.auth_info = auth_info;
        // Watches and log streams may be silent for long.
        config.read_timeout = None;
        // A test wants to know what the API server says, and not what it says the third time.
        config.default_retry = false;
        Ok(config)
    }

    /// What a server needs to be a kubelet: the API server trusts it, and it nobody else.
    pub fn kubelet_tls(&self) -> Result<rustls::ServerConfig> {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(self.pki.ca_der.clone()))?;
        let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
            roots.into(),
            provider.clone(),
        )
        .build()?;
        let identity = &self.pki.kubelet_server;
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes())?],
                PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?,
            )?;
        Ok(config)
    }
}
