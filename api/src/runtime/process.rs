//! The life of a process: start, signals, end.

use std::{future::Future, process::ExitCode, sync::Arc, time::Duration};

use futures::future::{FutureExt, Shared};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tracing::{error, info};

use super::{
    Candidate, Clients, Election, Health, Options, Registry, client, log, metrics, server, version,
};

/// How long work that is under way may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// What a process works with.
#[derive(Clone)]
pub struct Context {
    /// Clients of the API server.
    pub clients: Clients,
    /// To be told when the caches are synced.
    pub health: Health,
    /// Resolves when the process is to end.
    pub shutdown: Shared<futures::future::BoxFuture<'static, ()>>,
}

/// Runs `work` as a process: sets up logs, clients, the server of health and metrics, and signals, and
/// turns its result into an exit code.
///
/// `work` is expected to return soon after `shutdown` resolves; it is dropped after five seconds. Of
/// several replicas only one works; one that lost that to another begins anew when it comes to it again.
pub fn run<Work, Fut, E>(name: &str, options: &Options, registry: Registry, work: Work) -> ExitCode
where
    Work: Fn(Context) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    log::init(options.log_format, options.log_filter.clone());
    // One thread: two spend a quarter of the processor time on waking each other, see docs/performance.md.
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

/// Does nothing until SIGTERM or SIGINT, at the least cost: one thread, and some 400 KB of memory of its own.
#[must_use]
pub fn pause() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let paused = runtime.map_err(Error::Runtime).and_then(|runtime| {
        runtime.block_on(async {
            terminated()?.await;
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
    // The process has one TLS implementation, chosen here and not by which features are compiled in.
    // It fails only when there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let shutdown = terminated()?.boxed().shared();
    let (health, registry) = (Health::default(), Arc::new(registry));
    let server = match options.health_address {
        Some(address) => {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|source| Error::Bind { address: address.to_string(), source })?;
            server::serve(listener, health.clone(), Arc::clone(&registry), shutdown.clone())
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
        // A server that ended for the shutdown leaves the time to the work.
        Err(error) = server => Err(Error::Serve(error)),
        result = in_time => result,
    }
}

/// Does `work` while this replica leads; at once and all the time if there is but one.
async fn elected<Work, Fut, E>(
    candidate: Option<Candidate>,
    leadership: &metrics::Leadership,
    mut context: Context,
    work: Work,
) -> Result<(), E>
where
    Work: Fn(Context) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    let Some(candidate) = candidate else {
        leadership.follow(None);
        return work(context).await;
    };
    let election = Election::new(context.clients.call.clone(), candidate);
    leadership.follow(Some(election.standing()));
    context.clients = context.clients.guarded(election.standing());
    let work = || work(context.clone());
    let result = tokio::select! {
        result = election.while_leading(&context.health, context.shutdown.clone(), work) => result,
        never = election.take_part() => match never {},
    };
    election.release().await;
    result
}

/// Resolves at SIGTERM or SIGINT.
fn terminated() -> Result<impl Future<Output = ()> + Send + 'static, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signal)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
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
