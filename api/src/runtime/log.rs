//! The log: where lines go, how they look, which of them there are.

use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::LogFormat;

/// What kube logs of errors that it also returns, so that they would be in the log twice; of connections that
/// break off, which are made again; and the spans in which it puts reconciliations, for ours name the Job.
const DOUBLED: [(&str, LevelFilter); 5] = [
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
        // The innermost span tells all that the outer ones do.
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(each_once(filter))).init();
}

/// Without what is logged twice, unless it is asked for by name.
fn each_once(filter: Targets) -> Targets {
    let is_asked_for = filter.iter().any(|(target, _)| target.starts_with("kube"));
    if is_asked_for { filter } else { filter.with_targets(DOUBLED) }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn what_kube_logs_and_returns_is_logged_once() {
        let target = "kube_client::client::builder";
        let filter = each_once("debug".parse().unwrap());
        assert!(!filter.would_enable(target, &Level::ERROR));
        assert!(!filter.would_enable("kube_client::client", &Level::WARN));
        assert!(filter.would_enable("kube_client::client::tls", &Level::WARN));
        assert!(filter.would_enable("operator::reconcile", &Level::DEBUG));
        let asked_for = each_once("info,kube_client=debug".parse().unwrap());
        assert!(asked_for.would_enable(target, &Level::ERROR));
    }
}
