//! Reports errors of watches.

use std::fmt;

use futures::{Stream, StreamExt};
use kube::runtime::watcher;
use tracing::warn;

use crate::{client::ShortError, metrics::WatchErrors};

/// Counts and logs the errors of a watch of `resource`, and passes all events on.
pub fn report_errors<T, S>(
    counters: &WatchErrors,
    resource: &'static str,
    events: S,
) -> impl Stream<Item = watcher::Result<T>> + Send + use<T, S>
where
    T: Send,
    S: Stream<Item = watcher::Result<T>> + Send,
{
    let errors = counters.of(resource);
    events.inspect(move |event| {
        if let Err(error) = event {
            errors.inc();
            warn!("the watch of {resource} is resumed later: {}", ShortWatchError(error));
        }
    })
}

/// An error of a watch in one line.
struct ShortWatchError<'e>(&'e watcher::Error);

impl fmt::Display for ShortWatchError<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => ShortError(error).fmt(formatter),
            watcher::Error::WatchError(status) => {
                write!(formatter, "{} ({})", status.message, status.code)
            }
            watcher::Error::NoResourceVersion => self.0.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Registry;

    #[tokio::test]
    async fn errors_of_watches_are_counted_from_zero_and_passed_on() {
        let mut registry = Registry::new("operator");
        let errors = WatchErrors::new(&mut registry);
        let line = |errors| {
            let labels = "process=\"operator\",resource=\"pods\"";
            format!("daemonset_job_watch_errors_total{{{labels}}} {errors}\n")
        };
        let events = [Ok(1), Err(watcher::Error::NoResourceVersion), Ok(2)];
        let events = report_errors(&errors, "pods", futures::stream::iter(events));
        assert!(registry.scrape().contains(&line(0)), "{}", registry.scrape());
        assert_eq!(events.collect::<Vec<_>>().await.len(), 3);
        assert!(registry.scrape().contains(&line(1)), "{}", registry.scrape());
    }
}
