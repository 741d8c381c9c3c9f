//! Sets up the log: destination, format and filter.

use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::options::LogFormat;

/// Levels for modules of kube whose lines and spans would repeat ours.
///
/// kube logs errors that it also returns, connections that it makes again, and spans of reconciliations, for
/// which ours name the Job.
const REDUNDANT: [(&str, LevelFilter); 5] = [
    ("kube_client::client", LevelFilter::ERROR),
    ("kube_client::client::builder", LevelFilter::OFF),
    ("kube_client::client::tls", LevelFilter::WARN),
    ("kube_runtime::controller", LevelFilter::WARN),
    ("kube_runtime::watcher", LevelFilter::ERROR),
];

/// Logs to standard error from now on.
pub(super) fn init(format: LogFormat, filter: Targets) {
    let layer = tracing_subscriber::fmt::layer().with_target(false).with_writer(std::io::stderr);
    let layer = match format {
        LogFormat::Text => layer.with_ansi(false).boxed(),
        // The innermost span has all fields of the outer ones.
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(without_redundant(filter))).init();
}

/// Adds [`REDUNDANT`] to a filter, unless that names modules of kube.
fn without_redundant(filter: Targets) -> Targets {
    let is_asked_for = filter.iter().any(|(target, _)| target.starts_with("kube"));
    if is_asked_for { filter } else { filter.with_targets(REDUNDANT) }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn what_kube_logs_and_returns_is_logged_once() {
        let target = "kube_client::client::builder";
        let filter = without_redundant("debug".parse().unwrap());
        assert!(!filter.would_enable(target, &Level::ERROR));
        assert!(!filter.would_enable("kube_client::client", &Level::WARN));
        assert!(filter.would_enable("kube_client::client::tls", &Level::WARN));
        assert!(filter.would_enable("operator::reconcile", &Level::DEBUG));
        let asked_for = without_redundant("info,kube_client=debug".parse().unwrap());
        assert!(asked_for.would_enable(target, &Level::ERROR));
    }
}
