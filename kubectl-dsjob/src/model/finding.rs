//! What a check has found.

use serde::Serialize;

/// A cause with its cure.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    /// Name of the check.
    pub(crate) check: &'static str,
    pub(crate) severity: Severity,
    /// What is wrong, in one sentence.
    pub(crate) cause: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cure: Option<String>,
    /// What somebody else says of it, word for word.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) quotes: Vec<String>,
    /// The nodes that it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) nodes: Vec<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// The Job does not end well before somebody does something.
    Problem,
    /// It may end well, or later than it could.
    Warning,
    /// Nothing is wrong.
    #[default]
    Info,
}

impl Finding {
    pub(crate) fn problem(cause: impl Into<String>) -> Self {
        Self { severity: Severity::Problem, cause: cause.into(), ..Self::default() }
    }

    pub(crate) fn warning(cause: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, cause: cause.into(), ..Self::default() }
    }

    pub(crate) fn info(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), ..Self::default() }
    }

    pub(crate) fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }

    pub(crate) fn quote(mut self, quote: impl Into<String>) -> Self {
        self.quotes.push(quote.into());
        self
    }

    pub(crate) fn nodes(mut self, nodes: Vec<String>) -> Self {
        self.nodes = nodes;
        self
    }
}
