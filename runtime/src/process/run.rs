//! Runs the work of a process from its start to its end.

use std::{future::Future, process::ExitCode, sync::Arc, time::Duration};

use futures::future::{FutureExt, Shared};
use tokio::net::TcpListener;
use tracing::{error, info};

use super::{logging, options::Options, signals};
use crate::{
    client::{self, Clients, version},
    http::{self, Health},
    leader::{Candidate, Election},
    metrics::Registry,
};

/// Limit for the work to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// The surroundings of a process's work.
#[derive(Clone)]
pub struct Context {
    /// Clients of the API server.
    pub clients: Clients,
    /// Reports that the caches are synced.
    pub health: Health,
    /// Resolves when the process is to end.
    pub shutdown: Shared<futures::future::BoxFuture<'static, ()>>,
}

/// Runs `work` as a process, and turns its result into an exit code.
///
/// It sets up logging, clients, signals, and the server of health and metrics. `work` must return soon after
/// `shutdown` resolves: five seconds later it is dropped. Of several replicas only the leader works; a replica
/// that leads again starts `work` anew.
pub fn run<Work, Fut, E>(name: &str, options: &Options, registry: Registry, work: Work) -> ExitCode
where
    Work: Fn(Context) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    logging::init(options.log_format, options.log_filter.clone());
    // Two threads would spend a quarter of the processor time on waking each other: docs/performance.md.
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)
        .and_then(|runtime| runtime.block_on(serve(name, options, registry, work)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for SIGTERM or SIGINT, with one thread and some 400 KB of memory.
#[must_use]
pub fn pause() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let paused = runtime.map_err(Error::Runtime).and_then(|runtime| {
        runtime.block_on(async {
            signals::termination().map_err(Error::Signal)?.await;
            Ok(())
        })
    });
    match paused {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

async fn serve<Work, Fut, E>(
    name: &str,
    options: &Options,
    registry: Registry,
    work: Work,
) -> Result<(), Error>
where
    Work: Fn(Context) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    info!(
        namespace = options.namespace().unwrap_or("(all)"),
        "{name} {} starts",
        env!("CARGO_PKG_VERSION")
    );
    // The process's TLS implementation is chosen here, and not by compiled features. This fails only
    // when there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let shutdown = signals::termination().map_err(Error::Signal)?.boxed().shared();
    let (health, registry) = (Health::default(), Arc::new(registry));
    let server = match options.health_address {
        Some(address) => {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|source| Error::Bind { address: address.to_string(), source })?;
            http::serve(listener, health.clone(), Arc::clone(&registry), shutdown.clone())
                .left_future()
        }
        None => shutdown.clone().map(Ok).right_future(),
    };
    let clients = Clients::infer(&registry.requests).await?;
    let context = Context { clients, health, shutdown: shutdown.clone() };
    let work = async {
        tokio::select! {
            checked = version::check(&context.clients.call) => checked?,
            () = context.shutdown.clone() => return Ok(()),
        }
        let result = elected(options.candidate(name), &registry.leadership, context, work).await;
        result.map_err(|error| Error::Work(Box::new(error)))
    };
    let in_time = async {
        shutdown.await;
        info!("shutting down");
        tokio::time::sleep(GRACE).await;
        Err(Error::Grace)
    };
    tokio::select! {
        result = work => result,
        // A server that has ended for the shutdown leaves the work its time.
        Err(error) = server => Err(Error::Serve(error)),
        result = in_time => result,
    }
}

/// Does `work` while this replica leads, or always if it is the only one.
async fn elected<Work, Fut, E>(
    candidate: Option<Candidate>,
    leadership: &crate::metrics::Leadership,
    mut context: Context,
    work: Work,
) -> Result<(), E>
where
    Work: Fn(Context) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    let Some(candidate) = candidate else {
        leadership.follow(|| true);
        return work(context).await;
    };
    let election = Election::new(context.clients.call.clone(), candidate);
    let may_write = || {
        let state = election.state();
        move || state.borrow().may_write()
    };
    leadership.follow(may_write());
    context.clients = context.clients.fenced(may_write());
    let work = || work(context.clone());
    let result = tokio::select! {
        result = election.while_leading(&context.health, context.shutdown.clone(), work) => result,
        never = election.campaign() => match never {},
    };
    election.release().await;
    result
}

/// Why a process ended.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot start threads: {0}")]
    Runtime(std::io::Error),
    #[error("cannot listen for signals: {0}")]
    Signal(std::io::Error),
    #[error("HEALTH_ADDRESS: cannot listen on {address}: {source}")]
    Bind { address: String, source: std::io::Error },
    #[error("the health server failed: {0}")]
    Serve(std::io::Error),
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error(transparent)]
    Version(#[from] version::TooOld),
    #[error("{0}")]
    Work(Box<dyn std::error::Error + Send + Sync>),
    #[error("work did not end within {} s of the signal", GRACE.as_secs())]
    Grace,
}
