//! The API server is out of reach for a while.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::job::exit_code_manifest;
use crate::metrics::until_at_least;
use crate::program::Program;
use crate::test::{Test, settle, shared_test};

/// The way to the API server, which can be cut.
pub(crate) struct Way {
    pub(crate) open: watch::Sender<bool>,
    address: SocketAddr,
    /// Wakes those connections that are to be forgotten.
    forgotten: Arc<Notify>,
    /// Number of connections that were taken.
    taken: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Way {
    /// A way to the server of a kubeconfig, and that with the way in the place of the server.
    pub(crate) async fn into(kubeconfig: &str) -> Result<(Self, String)> {
        let mut config: Value = serde_json::from_str(kubeconfig)?;
        let server = &mut config["clusters"][0]["cluster"]["server"];
        let host = server.as_str().and_then(|url| url.strip_prefix("https://"));
        let way = Self::to(host.context("a server")?.trim_end_matches('/').to_owned()).await?;
        *server = json!(format!("https://{}", way.address));
        Ok((way, config.to_string()))
    }

    async fn to(server: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let open = watch::Sender::new(true);
        let (is_open, (count, taken)) = (open.subscribe(), watch::channel(0));
        let forgotten = Arc::new(Notify::new());
        let forget = forgotten.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // One that comes while the way is cut is hung up on.
                if *is_open.borrow() {
                    count.send_modify(|count| *count += 1);
                    let (is_open, forget) = (is_open.clone(), forget.clone());
                    tokio::spawn(pass(client, server.clone(), is_open, forget));
                }
            }
        });
        Ok(Self { open, address, forgotten, taken, task })
    }

    /// Passes nothing more by the connections of now, as a firewall that has forgotten them; new ones work.
    pub(crate) fn forget(&self) {
        self.forgotten.notify_waiters();
    }

    /// Waits for the first connection, and until it is made use of.
    pub(crate) async fn until_taken(&self) -> Result<()> {
        self.taken.clone().wait_for(|count| *count > 0).await?;
        settle().await;
        Ok(())
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    mut client: TcpStream,
    server: String,
    mut is_open: watch::Receiver<bool>,
    forget: Arc<Notify>,
) {
    let passed = async {
        let mut server = TcpStream::connect(server).await?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await
    };
    let is_forgotten = tokio::select! {
        // How a connection ends is the matter of its ends.
        _ = passed => false,
        _ = is_open.wait_for(|open| !open) => false,
        () = forget.notified() => true,
    };
    if is_forgotten {
        // The client is not told.
        std::future::pending().await
    }
}

/// Waits until each of these watches has been tried again and again: rests go up to five seconds.
async fn until_tried_again(program: &Program, resources: &[&str]) -> Result<()> {
    for resource in resources {
        let errors = "daemonset_job_watch_errors_total";
        until_at_least(program, errors, &[("resource", resource)], 4.0).await?;
    }
    Ok(())
}

#[apply(shared_test)]
async fn both_stay_live_and_ready_in_an_outage_and_then_work_goes_on(cx: &Test) -> Result<()> {
    let (way, kubeconfig) = Way::into(&cx.kubeconfig().await?).await?;
    let operator = cx.program("operator", &kubeconfig, &[])?;
    let terminator = cx.program("terminator", &kubeconfig, &[])?;
    let programs = [&operator, &terminator];
    for program in programs {
        program.until_log(|log| log.contains("caches are synced")).await?;
    }
    let job = cx.apply(&exit_code_manifest("cut-off").deadline(10)).await?;
    job.pods().await?;

    way.open.send_replace(false);
    tokio::try_join!(
        until_tried_again(&operator, &["daemonsets", "jobs", "nodes", "pods"]),
        until_tried_again(&terminator, &["jobs", "pods"]),
    )?;
    // Its deadline passes, of which it tries to write.
    operator.until_log(|log| log.contains("tried again later")).await?;
    settle().await;
    for program in programs {
        for path in ["/livez", "/readyz", "/metrics"] {
            let code = program.code(path).await;
            ensure!(code == Some(200), "{path}: {code:?}");
        }
    }
    let log = operator.log()?;
    for words in ["failed with", "eof in poll"] {
        ensure!(!log.contains(words), "kube says what it returns as well:\n{log}");
    }
    let tried = log.lines().filter(|line| line.contains("tried again later"));
    for line in tried {
        ensure!(line.contains("job=\"cut-off\""), "of which Job? {line}");
    }

    way.open.send_replace(true);
    let message = "not done within the 10 s of spec.activeDeadlineSeconds; not done: \
                   control-plane, worker-1, worker-2";
    job.until_ended("DeadlineExceeded", message).await?;

    way.open.send_replace(false);
    tokio::try_join!(operator.end(), terminator.end()).map(drop)
}

#[apply(shared_test)]
async fn process_that_never_reaches_the_api_server_is_live_but_not_ready(cx: &Test) -> Result<()> {
    let mut kubeconfig: Value = serde_json::from_str(&cx.kubeconfig().await?)?;
    let hangs = TcpListener::bind("127.0.0.1:0").await?;
    let address = hangs.local_addr()?;
    kubeconfig["clusters"][0]["cluster"]["server"] = json!(format!("https://{address}"));
    for name in ["operator", "terminator"] {
        let program = cx.program(name, &kubeconfig.to_string(), &[])?;
        program.until_log(|log| log.contains("starts")).await?;
        cx.until("it is live", async || Ok(program.code("/livez").await == Some(200))).await?;
        settle().await;
        let code = program.code("/readyz").await;
        ensure!(code == Some(503), "{name}: {code:?}");
        program.end().await?;
    }
    Ok(())
}
