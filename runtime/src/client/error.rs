//! Errors of calls to the API server, for metrics and for people.

use std::fmt;

use http::StatusCode;
use kube::Error;

use super::write_fence::WriteFenced;

/// The kinds of errors of a call, see [`kind`].
pub const KINDS: [&str; 9] = [
    "conflict",
    "connection",
    "forbidden",
    "invalid",
    "not_found",
    "not_leading",
    "other",
    "server",
    "throttled",
];

/// Returns the kind of an error, one of [`KINDS`].
#[must_use]
pub fn kind(error: &Error) -> &'static str {
    match error {
        Error::Api(status) => match status.code {
            401 | 403 => "forbidden",
            404 | 410 => "not_found",
            409 => "conflict",
            429 => "throttled",
            400..500 => "invalid",
            500..600 => "server",
            _ => "other",
        },
        Error::Service(cause) if cause.is::<WriteFenced>() => "not_leading",
        Error::Service(_) | Error::HyperError(_) | Error::ReadEvents(_) => "connection",
        _ => "other",
    }
}

/// Returns whether the object of a call is gone.
#[must_use]
pub fn is_gone(error: &Error) -> bool {
    has_code(error, StatusCode::NOT_FOUND)
}

/// Returns whether the object of a call exists already, or violates a precondition.
///
/// Preconditions are its UID and its version.
#[must_use]
pub fn is_conflict(error: &Error) -> bool {
    has_code(error, StatusCode::CONFLICT)
}

/// Returns whether the API server will never accept the object of a call as it is.
#[must_use]
pub fn is_invalid(error: &Error) -> bool {
    has_code(error, StatusCode::UNPROCESSABLE_ENTITY)
}

fn has_code(error: &Error, code: StatusCode) -> bool {
    matches!(error, Error::Api(status) if status.code == code)
}

/// Displays an error of a call in one line.
///
/// kube's own message contains the whole answer twice.
#[derive(Clone, Copy, Debug)]
pub struct ShortError<'e>(pub &'e Error);

impl fmt::Display for ShortError<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Error::Api(status) => {
                let message = match status.message.as_str() {
                    "" => status.reason.as_str(),
                    message => message,
                };
                write!(formatter, "{message} ({})", status.code)
            }
            // The cause at the very end is the most telling: "connection refused".
            Error::Service(cause) => chain(formatter, cause.as_ref()),
            Error::HyperError(cause) => chain(formatter, cause),
            other => other.fmt(formatter),
        }
    }
}

/// Writes an error and its causes, each text once.
fn chain(formatter: &mut fmt::Formatter<'_>, error: &dyn std::error::Error) -> fmt::Result {
    let mut said = error.to_string();
    formatter.write_str(&said)?;
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            write!(formatter, ": {text}")?;
        }
        said = text;
        cause = error.source();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16) -> Error {
        Error::Api(Status::failure("no room", "Reason").with_code(code).boxed())
    }

    #[test]
    fn the_kind_of_an_answer_is_its_code() {
        for (code, expected) in [
            (403, "forbidden"),
            (404, "not_found"),
            (409, "conflict"),
            (422, "invalid"),
            (429, "throttled"),
            (503, "server"),
            (302, "other"),
        ] {
            assert_eq!(kind(&refused(code)), expected, "{code}");
            assert!(KINDS.contains(&expected));
        }
    }

    #[test]
    fn a_write_that_was_held_back_is_no_broken_connection() {
        assert_eq!(kind(&Error::Service(Box::new(WriteFenced))), "not_leading");
        assert_eq!(kind(&Error::Service("reset".into())), "connection");
    }

    #[test]
    fn an_error_is_told_once() {
        assert_eq!(ShortError(&refused(422)).to_string(), "no room (422)");
        let io = std::io::Error::other(WriteFenced);
        let message = ShortError(&Error::Service(Box::new(io))).to_string();
        assert_eq!(message, WriteFenced.to_string());
    }
}
