//! The API server's audit log: which requests some users have made, and when they arrived.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use anyhow::Result;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

/// A policy by which the requests of these users are written down, without their bodies, and those of
/// nobody else.
///
/// <https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/>
pub(super) fn policy(users: &[String]) -> String {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "rules": [{"level": "Metadata", "users": users}, {"level": "None"}],
        // Their arrival is what counts.
        "omitStages": ["ResponseStarted", "ResponseComplete", "Panic"],
    })
    .to_string()
}

/// The audit log of a control plane, read from where the last read ended.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    offset: u64,
}

/// One request, as the API server has received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// The verb in Kubernetes' terms: `list`, `watch`, `patch` …
    pub verb: String,
    /// The resource with its subresource: `pods/log`.
    pub resource: String,
    /// The namespace; empty for requests that span all.
    pub namespace: String,
    /// The object; empty for collections.
    pub name: String,
    /// Path and query.
    pub uri: String,
    /// When the API server had received its head: microseconds, by the clock of this machine.
    pub received: Timestamp,
}

impl Audited {
    /// Who says to write, as in the managed fields of what is written.
    pub fn field_manager(&self) -> Option<&str> {
        let (_, query) = self.uri.split_once('?')?;
        query.split('&').find_map(|parameter| parameter.strip_prefix("fieldManager="))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    #[serde(rename = "requestURI")]
    uri: String,
    #[serde(rename = "requestReceivedTimestamp")]
    received: Timestamp,
    #[serde(default)]
    object_ref: ObjectRef,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

impl AuditLog {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, offset: 0 }
    }

    /// The requests that have come since the last call.
    pub fn read(&mut self) -> Result<Vec<Audited>> {
        let mut text = Vec::new();
        let mut file = fs_err::File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        file.read_to_end(&mut text)?;
        // The rest of the last line is still on its way.
        let end = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        self.offset += u64::try_from(end).unwrap_or_default();
        parse(&text[..end])
    }
}

fn parse(text: &[u8]) -> Result<Vec<Audited>> {
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let request = |line| {
        let Event { verb, uri, received, object_ref } = serde_json::from_slice(line)?;
        let ObjectRef { resource, subresource, namespace, name } = object_ref;
        let resource = match subresource.as_str() {
            "" => resource,
            subresource => format!("{resource}/{subresource}"),
        };
        Ok(Audited { verb, resource, namespace, name, uri, received })
    };
    lines.map(request).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const LOG: &str = r#"{"kind":"Event","auditID":"a","stage":"RequestReceived","requestURI":"/api/v1/namespaces/n/pods/p/log?follow=true","verb":"get","user":{"username":"u"},"objectRef":{"resource":"pods","namespace":"n","name":"p","apiVersion":"v1","subresource":"log"},"requestReceivedTimestamp":"2026-01-31T14:25:36.123456Z","stageTimestamp":"2026-01-31T14:25:36.123456Z"}
"#;

    #[test]
    fn a_request_is_told_with_its_subresource_and_to_the_microsecond() {
        let requests = parse(LOG.as_bytes()).expect("a log");
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].resource, "pods/log");
        assert_eq!(requests[0].received.subsec_microsecond(), 123_456);
    }

    #[test]
    fn field_manager_is_told_of_those_that_write() {
        let mut request = parse(LOG.as_bytes()).expect("a log").remove(0);
        assert_eq!(request.field_manager(), None);
        request.uri = "/api/v1/namespaces/n/pods/p/status?&fieldManager=me&force=true".to_owned();
        assert_eq!(request.field_manager(), Some("me"));
    }

    #[test]
    fn a_line_is_read_when_it_is_whole() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let mut log = AuditLog::new(file.path().to_owned());
        let (start, end) = LOG.split_at(100);
        file.write_all(start.as_bytes()).expect("written");
        assert_eq!(log.read().expect("read"), []);
        file.write_all(end.as_bytes()).expect("written");
        assert_eq!(log.read().expect("read").len(), 1);
        assert_eq!(log.read().expect("read"), []);
    }
}
