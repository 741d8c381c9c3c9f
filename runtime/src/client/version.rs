//! Refuses API servers that are too old.

use std::{fmt, time::Duration};

use k8s_openapi::apimachinery::pkg::version::Info;
use kube::{Client, Error};
use tracing::warn;

use super::error::ShortError;

/// The oldest Kubernetes with all features that the CRD and the operator use.
const OLDEST: Version = Version { major: 1, minor: 31 };

/// Wait before an API server that did not answer is asked again.
const RETRY: Duration = Duration::from_secs(2);

/// A version of Kubernetes, without its patch number.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// Parses the answer of an API server: `1` and `31`, or `31+` of a vendor.
    fn parse(major: &str, minor: &str) -> Option<Self> {
        let number = |text: &str| {
            let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
            digits.parse().ok()
        };
        Some(Self { major: number(major)?, minor: number(minor)? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// The API server is older than [`OLDEST`].
#[derive(Debug, thiserror::Error)]
#[error("the API server is of Kubernetes {found}, which is too old: {OLDEST} or later is needed")]
pub(crate) struct TooOld {
    found: String,
}

/// Asks the API server for its version, until it answers.
///
/// A version that it keeps to itself, or that cannot be parsed, is logged and tolerated.
///
/// # Errors
/// When the API server is too old.
pub(crate) async fn check(client: &Client) -> Result<(), TooOld> {
    loop {
        match client.apiserver_version().await {
            Ok(info) => return verify(&info),
            Err(error) if is_final(&error) => {
                warn!("the version of the API server is not known: {}", ShortError(&error));
                return Ok(());
            }
            Err(error) => {
                warn!("cannot ask the API server for its version: {}", ShortError(&error))
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn verify(info: &Info) -> Result<(), TooOld> {
    match Version::parse(&info.major, &info.minor) {
        Some(version) if version < OLDEST => {
            Err(TooOld { found: format!("{version} ({})", info.git_version) })
        }
        Some(_) => Ok(()),
        None => {
            let Info { major, minor, git_version, .. } = info;
            warn!(
                "the version of the API server cannot be parsed: {major:?}, {minor:?}, {git_version:?}"
            );
            Ok(())
        }
    }
}

/// Returns whether a further attempt would have the same answer.
fn is_final(error: &Error) -> bool {
    match error {
        Error::Api(status) => (400..500).contains(&status.code) && status.code != 429,
        Error::SerdeError(_) | Error::FromUtf8(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn versions_are_read_as_api_servers_write_them() {
        let parse = |major, minor| Version::parse(major, minor).map(|version| version.to_string());
        assert_eq!(parse("1", "31").as_deref(), Some("1.31"));
        assert_eq!(parse("1", "31+").as_deref(), Some("1.31"));
        assert_eq!(parse("1+", "33-gke").as_deref(), Some("1.33"));
        for (major, minor) in
            [("", ""), ("1", ""), ("", "31"), ("1", "+"), ("v1", "31"), ("1", "x")]
        {
            assert_eq!(parse(major, minor), None, "{major:?}, {minor:?}");
        }
    }

    #[test]
    fn older_ones_are_refused_by_number_and_not_by_text() {
        let verify = |major: &str, minor: &str| {
            let (major, minor, git_version) = (major.into(), minor.into(), "v1.9.9-eks".into());
            super::verify(&Info { major, minor, git_version, ..Info::default() })
        };
        for (major, minor) in
            [("1", "31"), ("1", "31+"), ("1", "37"), ("1", "100"), ("2", "0"), ("", "")]
        {
            assert!(verify(major, minor).is_ok(), "{major}.{minor}");
        }
        for (major, minor) in [("1", "30"), ("1", "30+"), ("1", "9"), ("0", "99")] {
            assert!(verify(major, minor).is_err(), "{major}.{minor}");
        }
        assert_eq!(
            verify("1", "9").unwrap_err().to_string(),
            "the API server is of Kubernetes 1.9 (v1.9.9-eks), which is too old: 1.31 or later is needed"
        );
    }

    /// Makes an API server that gives these answers in turn, and then the last one.
    fn server(answers: Vec<(u16, Value)>) -> (Client, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let service = tower::service_fn(move |request: Request<Body>| {
            assert_eq!(request.uri().path(), "/version");
            let next = count.fetch_add(1, Relaxed).min(answers.len() - 1);
            let (code, answer) = &answers[next];
            let body = Body::from(answer.to_string().into_bytes());
            std::future::ready(Response::builder().status(*code).body(body))
        });
        (Client::new(service, "default"), asked)
    }

    fn version(minor: &str) -> Value {
        json!({
            "major": "1", "minor": minor, "gitVersion": format!("v1.{minor}.0"), "gitCommit": "",
            "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": "",
        })
    }

    fn refusal(code: u16) -> (u16, Value) {
        (
            code,
            json!({"kind": "Status", "status": "Failure", "code": code, "message": "", "reason": ""}),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn api_server_that_is_too_old_is_refused_once_it_answers() {
        let (client, asked) = server(vec![refusal(503), refusal(429), (200, version("30"))]);
        assert!(check(&client).await.is_err());
        assert_eq!(asked.load(Relaxed), 3);
        let (client, _) = server(vec![(200, version("31"))]);
        assert!(check(&client).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn version_that_is_not_told_is_no_obstacle() {
        for answer in [refusal(403), (200, json!("none of your business")), (200, version(""))] {
            let (client, asked) = server(vec![answer]);
            assert!(check(&client).await.is_ok());
            assert_eq!(asked.load(Relaxed), 1);
        }
    }
}
