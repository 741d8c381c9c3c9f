//! The container of a control plane: its files, its ports, and how it is bound to our own life.

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fs_err::File;
use harness::paths;
use serde_json::Value;
use testcontainers::core::logs::LogFrame;
use testcontainers::core::{ExecCommand, Host, IntoContainerPort as _, Mount};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{
    ContainerAsync, ContainerRequest, CopyTargetOptions, GenericImage, ImageExt as _,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::audit;
use super::pki::{Identity, Pki};

/// The name under which the container reaches this machine.
pub(super) const HOST: &str = "host.docker.internal";

const API_PORT: u16 = 6443;
const LIFELINE_PORT: u16 = 7000;

/// Where the entrypoint, `images/control-plane/control-plane`, looks for its files.
const FILES: &str = "/etc/control-plane";
const DATA: &str = "/var/lib/control-plane";

/// Where the API server writes its audit log.
const AUDIT_LOG: &str = "/var/log/audit.jsonl";

/// How long this machine may take to answer itself.
const REACHED: Duration = Duration::from_secs(1);

/// The settings of a control plane.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Requests that each controller may make a second, and twice as many in a burst.
    pub controllers_qps: u32,
    /// Users whose requests are written down, see [`super::ControlPlane::audit_log`].
    pub audited_users: Vec<String>,
}

impl Default for Settings {
    /// Fast enough for many small DaemonSets; nobody is audited.
    fn default() -> Self {
        Self { controllers_qps: 200, audited_users: Vec::new() }
    }
}

pub(super) struct Container {
    container: ContainerAsync<GenericImage>,
    /// Where the API server is reached from here.
    pub(super) url: String,
    /// The file that collects the log of all three processes.
    pub(super) log: PathBuf,
    /// The file that collects what is audited, a JSON object a line.
    pub(super) audit: PathBuf,
    /// The container ends when this closes, and removes itself: values in statics are never dropped,
    /// and a killed process drops nothing at all.
    _lifeline: std::net::TcpStream,
}

impl Container {
    pub(super) async fn start(image: &str, pki: &Pki, settings: &Settings) -> Result<Self> {
        let (name, tag) = image
            .rsplit_once(':')
            .with_context(|| format!("control plane image {image:?} has no tag"))?;
        let log = log_file()?;
        let audit = log.with_extension("audit.jsonl");
        let file = std::sync::Mutex::new(File::create(&log)?);

        let mut request: ContainerRequest<GenericImage> = GenericImage::new(name, tag)
            .with_exposed_port(API_PORT.tcp())
            .with_exposed_port(LIFELINE_PORT.tcp())
            .with_env_var("LIFELINE", "1")
            // Docker's default by its name: testcontainers wants one to tell the address in.
            .with_network("bridge")
            .with_host(HOST, Host::HostGateway)
            .with_mount(Mount::tmpfs_mount(DATA).with_mode(0o1777))
            .with_host_config_modifier(|host| host.auto_remove = Some(true))
            .with_log_consumer(move |frame: &LogFrame| {
                if let Ok(mut file) = file.lock() {
                    // The log helps to understand a failure; that it is short of a line is none itself.
                    let _ = file.write_all(frame.bytes());
                }
            })
            .with_env_var("CONTROLLERS_QPS", settings.controllers_qps.to_string())
            .with_env_var("CONTROLLERS_BURST", (2 * settings.controllers_qps).to_string());
        if !settings.audited_users.is_empty() {
            // Not by the container's output: what Docker takes to pass that on is missing elsewhere.
            let file = File::create(&audit)?;
            // The API server runs as nobody in particular.
            file.set_permissions(std::fs::Permissions::from_mode(0o666))?;
            let mount = Mount::bind_mount(audit.display().to_string(), AUDIT_LOG);
            request = request.with_mount(mount);
        }
        for (file, content) in files(pki, settings) {
            let target = CopyTargetOptions::new(format!("{FILES}/{file}")).with_mode(0o644);
            request = request.with_copy_to(target, content.into_bytes());
        }
        let container = request.start().await.with_context(|| {
            format!("cannot start a container of {image}; `cargo xtask doctor` checks Docker")
        })?;

        let addresses = Addresses::of(&container).await;
        let lifeline = addresses.port(LIFELINE_PORT).await?;
        let lifeline = tokio::time::timeout(Duration::from_secs(20), hold_lifeline(&lifeline))
            .await
            .with_context(|| {
                format!("the control plane does not start; its log is {}", log.display())
            })??;
        let api_server = addresses.port(API_PORT).await?;
        Ok(Self {
            container,
            url: format!("https://{api_server}"),
            log,
            audit,
            _lifeline: lifeline,
        })
    }

    pub(super) async fn is_running(&self) -> Result<bool> {
        Ok(self.container.is_running().await?)
    }

    pub(super) async fn start_controllers(&self) -> Result<()> {
        let file = format!("{DATA}/start-controllers");
        self.run(&["touch", &file]).await.context("cannot start the controllers")?;
        Ok(())
    }

    /// Asks etcd: `range` or `put`.
    /// <https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/>
    pub(super) async fn etcd(&self, call: &str, body: &Value) -> Result<Value> {
        let url = format!("http://127.0.0.1:2379/v3/kv/{call}");
        let header = "Content-Type: application/json";
        let body = body.to_string();
        let ask = ["wget", "-q", "-O", "-", "--header", header, "--post-data", &body, &url];
        let answer = self.run(&ask).await.with_context(|| format!("etcd: {call}"))?;
        serde_json::from_slice(&answer).context("etcd's answer is no JSON")
    }

    /// What a command in the container says.
    async fn run(&self, command: &[&str]) -> Result<Vec<u8>> {
        let mut result = self.container.exec(ExecCommand::new(command.iter().copied())).await?;
        // The exit code is there once the output has ended.
        let output = result.stdout_to_vec().await?;
        let errors = result.stderr_to_vec().await?;
        ensure!(result.exit_code().await? == Some(0), "{}", String::from_utf8_lossy(&errors));
        Ok(output)
    }
}

/// Where ports of the container are reached from here.
struct Addresses<'c> {
    container: &'c ContainerAsync<GenericImage>,
    /// Its own address. None where Docker's network is not that of this machine, as on a Mac.
    ip: Option<IpAddr>,
}

impl<'c> Addresses<'c> {
    async fn of(container: &'c ContainerAsync<GenericImage>) -> Self {
        let ip = container.get_bridge_ip_address().await.ok();
        let is_reached = match ip {
            Some(ip) => is_reached((ip, API_PORT).into()).await,
            None => false,
        };
        Self { container, ip: ip.filter(|_| is_reached) }
    }

    /// There itself if that is possible, for Docker's proxy takes processor time for every byte.
    async fn port(&self, port: u16) -> Result<String> {
        if let Some(ip) = self.ip {
            return Ok(SocketAddr::new(ip, port).to_string());
        }
        let host = self.container.get_host().await?;
        let port = self.container.get_host_port_ipv4(port.tcp()).await?;
        Ok(format!("{host}:{port}"))
    }
}

/// Whether there is a machine at this address, which may refuse a connection to what does not listen yet.
async fn is_reached(address: SocketAddr) -> bool {
    let connected = tokio::time::timeout(REACHED, TcpStream::connect(address)).await;
    connected.is_ok_and(|connected| {
        connected.err().is_none_or(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    })
}

/// Connects until the entrypoint says "up", and answers; without an answer it ends after two minutes.
///
/// A connection alone means nothing: Docker's proxy accepts before the container listens.
async fn hold_lifeline(address: &str) -> Result<std::net::TcpStream> {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        tick.tick().await;
        let Ok(mut stream) = TcpStream::connect(address).await else {
            continue;
        };
        let mut greeting = [0; 2];
        if stream.read_exact(&mut greeting).await.is_ok() && &greeting == b"up" {
            stream.write_all(&greeting).await?;
            // Without a runtime: it outlives the one that it was made in.
            return Ok(stream.into_std()?);
        }
    }
}

/// The files that the entrypoint expects.
fn files(pki: &Pki, settings: &Settings) -> Vec<(String, String)> {
    let mut files = vec![
        ("ca.crt".to_owned(), pki.ca_pem.clone()),
        ("service-account.key".to_owned(), pki.service_account.serialize_pem()),
        ("service-account.pub".to_owned(), pki.service_account.public_key_pem()),
        ("controller-manager.kubeconfig".to_owned(), kubeconfig("controller-manager")),
    ];
    let identities: [(&str, &Identity); 3] = [
        ("apiserver", &pki.api_server),
        ("kubelet-client", &pki.kubelet_client),
        ("controller-manager", &pki.controller_manager),
    ];
    if !settings.audited_users.is_empty() {
        files.push(("audit-policy.yaml".to_owned(), audit::policy(&settings.audited_users)));
    }
    for (name, identity) in identities {
        files.push((format!("{name}.crt"), identity.certificate.clone()));
        files.push((format!("{name}.key"), identity.key.clone()));
    }
    files
}

/// A kubeconfig for a process in the container.
fn kubeconfig(user: &str) -> String {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "default",
        "clusters": [{"name": "default", "cluster": {
            "server": format!("https://localhost:{API_PORT}"),
            "certificate-authority": format!("{FILES}/ca.crt"),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate": format!("{FILES}/{user}.crt"),
            "client-key": format!("{FILES}/{user}.key"),
        }}],
        "contexts": [{"name": "default", "context": {"cluster": "default", "user": user}}],
    })
    .to_string()
}

fn log_file() -> Result<PathBuf> {
    let folder = paths::target().join("control-plane");
    fs_err::create_dir_all(&folder)?;
    Ok(folder.join(format!("{}.log", paths::run_name())))
}
