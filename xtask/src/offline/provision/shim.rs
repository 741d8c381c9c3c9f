//! The OCI runtime shim, for hosts that withhold capabilities from root; see `oci_shim.rs`.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use fs_err::tokio as fs;
use harness::paths::{self, if_there};
use harness::process::{Cmd, LogDir};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};

use super::permission::Provision;
use crate::cargo::cargo;
use crate::offline::capabilities;

/// Where the shim is installed: outside the target folder, for Docker goes on using it.
pub(super) const INSTALLED: &str = "/usr/local/libexec/daemonset-job/oci-shim";

/// Docker's configuration, and the name of our runtime in it.
const DAEMON_CONFIG: &str = "/etc/docker/daemon.json";
const RUNTIME: &str = "daemonset-job-shim";

/// The process id of this machine's daemon.
const DAEMON_PID: &str = "/var/run/docker.pid";

/// How long the daemon may take to take over a changed configuration.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) const CURE: &str =
    "use a machine whose root has every capability: `docker run --privileged` fails here";

/// Makes the shim Docker's default runtime where it takes one to run privileged.
pub(crate) async fn ensure(provision: &Provision) -> Result<()> {
    let unavailable = unavailable().await?;
    if unavailable.is_empty() {
        return Ok(());
    }
    let current = if_there(fs::read_to_string(DAEMON_CONFIG).await)?.unwrap_or_default();
    if let Some(config) = register(&current)? {
        let change = format!(
            "this machine withholds {}: a runtime that does without becomes Docker's default \
             ({INSTALLED}, {DAEMON_CONFIG})",
            unavailable.join(", ")
        );
        provision.announce(&change, CURE)?;
        install(provision).await?;
        write_config(&config).await?;
        reload(provision).await
    } else {
        if !fs::try_exists(INSTALLED).await? {
            let change = format!("restoring {INSTALLED}, which {DAEMON_CONFIG} names");
            provision.announce(&change, CURE)?;
            install(provision).await?;
        }
        if is_default(provision.logs()).await? {
            return Ok(());
        }
        reload(provision).await
    }
}

/// The capabilities that a daemon on this machine can never have.
pub(crate) async fn unavailable() -> Result<Vec<String>> {
    match local_daemon().await {
        None => Ok(Vec::new()),
        Some(daemon) => capabilities::unavailable_to(&daemon.to_string())
            .context("cannot tell which capabilities Docker has"),
    }
}

/// Whether containers are started by the shim. The daemon's own word counts, not its file.
pub(crate) async fn is_default(logs: &LogDir) -> Result<bool> {
    let info = Cmd::new("docker")
        .args(["info", "--format", "{{(index .Runtimes .DefaultRuntime).Path}}"])
        .run(logs)
        .await?;
    Ok(info.text() == INSTALLED)
}

/// The daemon's process, when it runs on this machine.
async fn local_daemon() -> Option<i32> {
    let pid = fs::read_to_string(DAEMON_PID).await.ok()?;
    let pid = pid.trim().parse().ok()?;
    Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
}

/// Adds the shim to Docker's configuration, keeping all else. `None` when it is there already.
fn register(config: &str) -> Result<Option<String>> {
    let mut document: Map<String, Value> = match config.trim() {
        "" => Map::new(),
        text => serde_json::from_str(text)
            .with_context(|| format!("{DAEMON_CONFIG} is not a JSON object"))?,
    };
    match document.get("default-runtime").and_then(Value::as_str) {
        None | Some("runc" | RUNTIME) => {}
        Some(other) => bail!(
            "{DAEMON_CONFIG} makes {other} the default runtime, which cannot start privileged \
             containers on this machine; take the setting out"
        ),
    }
    let before = document.clone();
    document.insert("default-runtime".to_owned(), json!(RUNTIME));
    let runtimes = document.entry("runtimes").or_insert_with(|| json!({}));
    let runtimes = runtimes
        .as_object_mut()
        .with_context(|| format!("`runtimes` in {DAEMON_CONFIG} is not an object"))?;
    runtimes.insert(RUNTIME.to_owned(), json!({"path": INSTALLED}));
    if document == before {
        return Ok(None);
    }
    Ok(Some(serde_json::to_string_pretty(&document)? + "\n"))
}

/// Builds the shim and puts it where Docker will look for it.
pub(super) async fn install(provision: &Provision) -> Result<()> {
    // In the profile of this program: all that it takes has been compiled for that already.
    cargo()
        .args(["build", "--package", "xtask", "--bin", "oci-shim"])
        .timeout(Duration::from_secs(15 * 60))
        .run(provision.logs())
        .await?;
    let built = paths::target().join("debug").join("oci-shim");
    let folder = Path::new(INSTALLED).parent().context("not a path with a folder")?;
    fs::create_dir_all(folder).await?;
    // Docker may be executing the old one: replace the name, not the content.
    let fresh = Path::new(INSTALLED).with_extension("new");
    fs::copy(&built, &fresh).await?;
    Ok(fs::rename(&fresh, INSTALLED).await?)
}

async fn write_config(config: &str) -> Result<()> {
    let path = Path::new(DAEMON_CONFIG);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).await?;
    }
    let fresh = path.with_extension("json.new");
    fs::write(&fresh, config).await?;
    Ok(fs::rename(&fresh, path).await?)
}

/// Lets the daemon read its configuration again, and waits until it has.
async fn reload(provision: &Provision) -> Result<()> {
    let daemon = local_daemon().await.and_then(Pid::from_raw);
    let daemon = daemon.context("Docker has just ended")?;
    kill_process(daemon, Signal::HUP).context("cannot make Docker read its configuration again")?;
    let started = Instant::now();
    while !is_default(provision.logs()).await? {
        ensure!(
            started.elapsed() < RELOAD_TIMEOUT,
            "Docker does not take over {DAEMON_CONFIG}: restart it, and see its log"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registered(config: &str) -> Value {
        let text = register(config).expect("accepted").expect("changed");
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn missing_file_gets_just_the_runtime_and_that_once() {
        let expected = json!({
            "default-runtime": RUNTIME,
            "runtimes": {RUNTIME: {"path": INSTALLED}},
        });
        assert_eq!(registered(""), expected);
        assert_eq!(register(&expected.to_string()).expect("accepted"), None);
    }

    #[test]
    fn what_was_in_the_file_is_kept() {
        let config = registered(r#"{"data-root": "/d", "runtimes": {"crun": {"path": "/c"}}}"#);
        assert_eq!(config["data-root"], "/d");
        assert_eq!(config["runtimes"]["crun"]["path"], "/c");
        assert_eq!(config["runtimes"][RUNTIME]["path"], INSTALLED);
    }

    #[test]
    fn other_default_runtime_is_not_overruled() {
        let error = register(r#"{"default-runtime": "nvidia"}"#).expect_err("refused");
        assert!(error.to_string().contains("nvidia"), "{error}");
    }

    #[test]
    fn broken_file_is_not_overwritten() {
        assert!(register("{").is_err());
        assert!(register("[]").is_err());
        assert!(register(r#"{"runtimes": []}"#).is_err());
    }
}
