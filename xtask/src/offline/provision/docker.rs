//! A Docker daemon that answers: the one that runs, or Debian's, started by us.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use harness::process::{Cmd, CommandError, LogDir};

use super::host::Host;
use super::permission::Provision;
use super::{apt, shim};

/// How long a daemon may take to answer a question, and how long a starting one may take to get so far.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the output of a daemon that we start goes; it outlives `cargo clean`, as the daemon does.
const DAEMON_LOG: &str = "/var/log/dockerd.log";

/// There where systemd runs, and so starts daemons.
const SYSTEMD: &str = "/run/systemd/system";

/// No daemon answers.
#[derive(Clone, Debug)]
pub(crate) struct Silence {
    /// What the client said.
    text: String,
    /// Whether the client was told to ask a daemon that is not this machine's usual one.
    elsewhere: bool,
}

impl Silence {
    pub(crate) fn new(text: impl Into<String>, elsewhere: bool) -> Self {
        Self { text: text.into(), elsewhere }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no Docker daemon answers: {}", self.text)
    }
}

/// Makes sure that a Docker daemon answers and can start privileged containers.
pub(crate) async fn ensure(provision: &Provision) -> Result<()> {
    if let Err(silence) = server(provision.logs()).await {
        if let Some(cure) = cure(&Host::detect(), &silence) {
            bail!("{silence}; {cure}");
        }
        start(provision).await?;
    }
    shim::ensure(provision).await
}

/// The version of the daemon that answers.
pub(crate) async fn server(logs: &LogDir) -> Result<String, Silence> {
    let version = Cmd::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .timeout(ANSWER_TIMEOUT)
        .run(logs)
        .await;
    let silence = |error: CommandError| Silence::new(error.reason(), elsewhere());
    version.map(|output| output.text()).map_err(silence)
}

/// What the user has to do where starting a daemon is not for us; nothing where it is.
pub(crate) fn cure(host: &Host, silence: &Silence) -> Option<&'static str> {
    if silence.text.contains("permission denied") {
        Some("one runs, but not for this user: sudo usermod -aG docker $USER, then log in again")
    } else if silence.elsewhere {
        Some("DOCKER_HOST or DOCKER_CONTEXT name another one: start it, or unset them")
    } else if !host.is_debian() {
        Some("install and start Docker Engine (https://docs.docker.com/engine/install)")
    } else if !host.root {
        Some("install and start it: sudo apt-get install docker.io && sudo systemctl start docker")
    } else {
        None
    }
}

async fn start(provision: &Provision) -> Result<()> {
    if daemon().is_none() {
        let cure = "install and start Docker yourself, and run this again";
        provision.confirm("install Docker on this machine", cure)?;
        apt::install(provision, &["docker.io"], "for Docker").await?;
    }
    if which::which("docker").is_err() {
        // A package of its own since Debian 13.
        apt::install(provision, &["docker-cli"], "for Docker").await?;
    }
    // Installing the package starts the daemon where there is an init system to start it.
    if server(provision.logs()).await.is_ok() {
        return Ok(());
    }
    let cure = "start Docker (systemctl start docker, or dockerd)";
    if Path::new(SYSTEMD).exists() {
        provision.announce("starting Docker (systemctl start docker)", cure)?;
        Cmd::new("systemctl").args(["start", "docker"]).run(provision.logs()).await?;
    } else {
        let daemon = daemon().context("Debian's docker.io is installed and holds no dockerd")?;
        let change =
            format!("starting {}, which goes on running; log: {DAEMON_LOG}", daemon.display());
        provision.announce(&change, cure)?;
        // A session of its own, for it must outlive this command and its terminal.
        Cmd::new("sh")
            .args(["-c", r#"exec setsid --fork "$1" >>"$2" 2>&1 </dev/null"#, "sh"])
            .arg(&daemon)
            .arg(DAEMON_LOG)
            .name("dockerd")
            .run(provision.logs())
            .await?;
    }
    wait(provision).await
}

/// Waits for a daemon that was just started. Nothing tells when it is up but an answer.
async fn wait(provision: &Provision) -> Result<()> {
    let started = Instant::now();
    loop {
        match server(provision.logs()).await {
            Ok(_) => return Ok(()),
            Err(silence) if started.elapsed() > START_TIMEOUT => {
                return Err(anyhow!("{silence}")).context(format!(
                    "Docker was started and does not come up; see {DAEMON_LOG} or journalctl -u docker"
                ));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(300)).await,
        }
    }
}

/// Whether the client talks to a daemon that is not this machine's usual one.
fn elsewhere() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    set("DOCKER_HOST") || set("DOCKER_CONTEXT")
}

fn daemon() -> Option<PathBuf> {
    // Not on everybody's PATH, root's included.
    which::which("dockerd")
        .ok()
        .or_else(|| Some(PathBuf::from("/usr/sbin/dockerd")).filter(|path| path.exists()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(id: &str, root: bool) -> Host {
        Host { root, id: id.to_owned(), codename: String::new(), name: String::new() }
    }

    fn silence(text: &str) -> Silence {
        Silence::new(text, false)
    }

    const DOWN: &str = "Cannot connect to the Docker daemon. Is the docker daemon running?";

    #[test]
    fn root_on_debian_gets_a_daemon_and_everybody_else_is_told_what_to_do() {
        let told = |id, root| cure(&host(id, root), &silence(DOWN));
        assert_eq!(told("debian", true), None);
        assert!(
            told("debian", false).is_some_and(|it| it.contains("sudo apt-get install docker.io"))
        );
        assert!(told("fedora", true).is_some_and(|it| it.contains("docs.docker.com")));
    }

    #[test]
    fn daemon_that_the_user_chose_or_may_not_use_is_not_replaced() {
        let root = host("debian", true);
        let chosen = cure(&root, &Silence::new(DOWN, true));
        assert!(chosen.is_some_and(|cure| cure.contains("DOCKER_HOST")));
        let denied = silence("permission denied while trying to connect to the Docker socket");
        assert!(cure(&root, &denied).is_some_and(|cure| cure.contains("docker $USER")));
    }
}
