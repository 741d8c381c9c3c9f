//! What came of a call to the API server, for metrics and for people.

use std::fmt;

use kube::{Error, runtime::watcher};

use super::NotLeading;

/// The kinds of errors of a call, see [`kind`].
pub(super) const KINDS: [&str; 9] = [
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

/// The kind of `error`, in a word: one of few.
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
        Error::Service(cause) if cause.is::<NotLeading>() => "not_leading",
        Error::Service(_) | Error::HyperError(_) | Error::ReadEvents(_) => "connection",
        _ => "other",
    }
}

/// An error of a call in one line: kube's own words repeat the whole answer in two ways.
#[derive(Clone, Copy, Debug)]
pub struct Brief<'e>(pub &'e Error);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Error::Api(status) => {
                let message = match status.message.as_str() {
                    "" => status.reason.as_str(),
                    message => message,
                };
                write!(formatter, "{message} ({})", status.code)
            }
            // Below it there is what happened: "connection refused" at the very end.
            Error::Service(cause) => chain(formatter, cause.as_ref()),
            Error::HyperError(cause) => chain(formatter, cause),
            other => other.fmt(formatter),
        }
    }
}

/// An error of a watch in one line.
#[derive(Clone, Copy, Debug)]
pub(super) struct WatchError<'e>(pub(super) &'e watcher::Error);

impl fmt::Display for WatchError<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => Brief(error).fmt(formatter),
            watcher::Error::WatchError(status) => {
                write!(formatter, "{} ({})", status.message, status.code)
            }
            watcher::Error::NoResourceVersion => self.0.fmt(formatter),
        }
    }
}

/// An error and what caused it, each said once.
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
        assert_eq!(kind(&Error::Service(Box::new(NotLeading))), "not_leading");
        assert_eq!(kind(&Error::Service("reset".into())), "connection");
    }

    #[test]
    fn an_error_is_told_once() {
        assert_eq!(Brief(&refused(422)).to_string(), "no room (422)");
        let io = std::io::Error::other(NotLeading);
        let told = Brief(&Error::Service(Box::new(io))).to_string();
        assert_eq!(told, NotLeading.to_string());
    }
}
