//! Why actions could not be applied.

use api::job::{Refusal, conditions::Reason};
use runtime::client::ShortError;

/// Why actions could not be applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server did not accept a call.
    #[error("{}", ShortError(.0))]
    Api(#[from] kube::Error),
    /// The API server refuses the DaemonSet, or the policy does.
    #[error("{1}")]
    Refused(Reason, String),
    /// The watch of namespaces has not shown that of the Job yet.
    #[error("its namespace is not known yet")]
    UnknownNamespace,
}

impl From<Refusal> for Error {
    fn from(Refusal { path, message }: Refusal) -> Self {
        Self::Refused(Reason::InvalidSpec, format!("spec.template.{path}: {message}"))
    }
}
