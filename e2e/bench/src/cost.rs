//! What a Job costs at the API server.

use std::collections::BTreeMap;

use api::labels;
use serde::{Deserialize, Serialize};

use testbed::control_plane::Audited;

/// Requests by what they are, such as `get pods/log`.
pub type Requests = BTreeMap<String, u64>;

/// The requests of both processes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// All of them.
    pub requests: Requests,
    /// Those for single pods: opening a log, recording a completion.
    pub for_pods: u64,
    /// The others, watches and lists included.
    pub besides: u64,
}

impl Cost {
    /// Adds up requests.
    pub fn of<'a>(audited: impl IntoIterator<Item = &'a Audited>) -> Self {
        let mut this = Self::default();
        for request in audited {
            let key = format!("{} {}", request.verb, request.resource);
            *this.requests.entry(key).or_default() += 1;
            let for_pod = request.resource == "pods/log" || is_record(request);
            *(if for_pod { &mut this.for_pods } else { &mut this.besides }) += 1;
        }
        this
    }
}

/// Whether a request records that a pod is done. The operator writes to a pod as well, once a Job.
pub fn is_record(request: &Audited) -> bool {
    request.resource == "pods/status" && request.field_manager() == Some(labels::TERMINATOR)
}

/// Counters of the API server: what all its clients together ask of it.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    requests: Requests,
    watch_events: u64,
}

impl Counters {
    /// Reads them from Prometheus' text format.
    pub fn parse(metrics: &str) -> Self {
        let mut this = Self::default();
        for line in metrics.lines() {
            let Some((name, labels, value)) = sample(line) else {
                continue;
            };
            match name {
                "apiserver_request_total" => {
                    let label = |key| label(labels, key).unwrap_or_default();
                    let resource = match label("subresource") {
                        "" => label("resource").to_owned(),
                        subresource => format!("{}/{subresource}", label("resource")),
                    };
                    let key = format!("{} {resource}", label("verb").to_lowercase());
                    *this.requests.entry(key).or_default() += value;
                }
                "apiserver_watch_events_total" => this.watch_events += value,
                _ => {}
            }
        }
        this
    }

    /// What was added since `before`.
    pub fn since(&self, before: &Self) -> (Requests, u64) {
        let requests = self.requests.iter().map(|(key, count)| {
            (key.clone(), count - before.requests.get(key).copied().unwrap_or_default())
        });
        let requests = requests.filter(|(_, count)| *count > 0).collect();
        (requests, self.watch_events - before.watch_events)
    }
}

/// Name, labels and value of a line with a counter.
fn sample(line: &str) -> Option<(&str, &str, u64)> {
    let (name, rest) = line.split_once('{')?;
    let (labels, value) = rest.rsplit_once('}')?;
    // Counters are whole, though they may be written as 1.234e+06.
    let value: f64 = value.trim().parse().ok()?;
    Some((name, labels, value as u64))
}

/// A label's value. Those that are read here hold no quotes.
fn label<'a>(labels: &'a str, key: &str) -> Option<&'a str> {
    labels.split(',').find_map(|label| {
        let (name, value) = label.split_once('=')?;
        (name == key).then(|| value.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"# TYPE apiserver_request_total counter
apiserver_request_total{code="200",component="apiserver",resource="pods",subresource="log",verb="CONNECT"} 2
apiserver_request_total{code="200",resource="pods",subresource="",verb="LIST"} 5
apiserver_watch_events_total{kind="Pod",version="v1"} 7
"#;
    const AFTER: &str = r#"apiserver_request_total{code="200",component="apiserver",resource="pods",subresource="log",verb="CONNECT"} 3
apiserver_request_total{code="404",component="apiserver",resource="pods",subresource="log",verb="CONNECT"} 1
apiserver_request_total{code="200",resource="pods",subresource="",verb="LIST"} 5
apiserver_watch_events_total{kind="Pod",version="v1"} 1.007e+03
"#;

    #[test]
    fn requests_are_counted_by_verb_and_resource_whatever_their_code() {
        let (requests, events) = Counters::parse(AFTER).since(&Counters::parse(BEFORE));
        assert_eq!(requests, BTreeMap::from([("connect pods/log".to_owned(), 2)]));
        assert_eq!(events, 1000);
    }
}
