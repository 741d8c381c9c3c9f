//! The API server is out of reach for a while.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::job::exit_code_manifest;
use crate::metrics::scrape;
use crate::program::Program;
use crate::test::{Test, settle, shared_test};

/// Longer than the five seconds after which a process gives up its work at SIGTERM.
const ENDED: Duration = Duration::from_secs(8);

/// The way to the API server, which can be cut.
pub(crate) struct Way {
    pub(crate) open: watch::Sender<bool>,
    pub(crate) address: SocketAddr,
    /// Number of connections that were taken.
    taken: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Way {
    pub(crate) async fn to(server: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let open = watch::Sender::new(true);
        let (is_open, (count, taken)) = (open.subscribe(), watch::channel(0));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // One that comes while the way is cut is hung up on.
                if *is_open.borrow() {
                    count.send_modify(|count| *count += 1);
                    tokio::spawn(pass(client, server.clone(), is_open.clone()));
                }
            }
        });
        Ok(Self { open, address, taken, task })
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

async fn pass(mut client: TcpStream, server: String, mut is_open: watch::Receiver<bool>) {
    let passed = async {
        let mut server = TcpStream::connect(server).await?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await
    };
    tokio::select! {
        // How a connection ends is the matter of its ends.
        _ = passed => {}
        _ = is_open.wait_for(|open| !open) => {}
    }
}

/// Errors of a watch within [`AGAIN`], if it rests for half a second first and doubles that up to five.
const ATTEMPTS: f64 = 4.0;

/// How long so many take, and as much again for a busy machine.
const AGAIN: Duration = Duration::from_secs(16);

/// Waits until each of these watches has been tried again and again.
async fn until_tried_again(program: &Program, resources: &[&str]) -> Result<()> {
    let start = Instant::now();
    loop {
        let (_, reported) = scrape(program).await?;
        let attempts = |resource: &&str| {
            reported.value("daemonset_job_watch_errors_total", &[("resource", resource)])
        };
        let attempts = resources.iter().map(attempts).collect::<Result<Vec<_>>>()?;
        if attempts.iter().all(|attempts| *attempts >= ATTEMPTS) {
            return Ok(());
        }
        let late = start.elapsed() > AGAIN;
        ensure!(!late, "attempts of the watches of {resources:?} in {AGAIN:?}: {attempts:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[apply(shared_test)]
async fn both_stay_live_and_ready_in_an_outage_and_then_work_goes_on(cx: &Test) -> Result<()> {
    let mut kubeconfig: Value = serde_json::from_str(&cx.kubeconfig().await?)?;
    let server = &mut kubeconfig["clusters"][0]["cluster"]["server"];
    let host = server.as_str().and_then(|url| url.strip_prefix("https://"));
    let way = Way::to(host.context("a server")?.trim_end_matches('/').to_owned()).await?;
    *server = json!(format!("https://{}", way.address));
    let operator = cx.program("operator", &kubeconfig.to_string(), &[])?;
    let terminator = cx.program("terminator", &kubeconfig.to_string(), &[])?;
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
    let signalled = Instant::now();
    tokio::try_join!(operator.end(), terminator.end())?;
    ensure!(signalled.elapsed() < ENDED, "they end {:?} after SIGTERM", signalled.elapsed());
    Ok(())
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
        while program.code("/livez").await != Some(200) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        settle().await;
        let code = program.code("/readyz").await;
        ensure!(code == Some(503), "{name}: {code:?}");
        let signalled = Instant::now();
        program.end().await?;
        ensure!(signalled.elapsed() < ENDED, "{name} ends {:?} after SIGTERM", signalled.elapsed());
    }
    Ok(())
}
