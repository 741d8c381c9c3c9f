//! Settings of the terminator.

use std::{num::NonZeroUsize, time::Duration};

use api::labels;
use clap::Args;

/// Settings of the terminator; each is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Label selector of the pods whose logs the terminator follows.
    #[arg(long, env = "POD_LABEL_SELECTOR", default_value = labels::POD_SELECTOR, value_parser = selector)]
    pub pod_label_selector: String,

    /// Termination word of Jobs that name none.
    #[arg(long, env = "TERMINATION_WORD", default_value = "done", value_parser = word)]
    pub termination_word: String,

    /// Longest wait, in seconds, before the terminator reopens a log that broke off.
    /// It is no polling interval: the terminator notices a word at once.
    #[arg(long, env = "TICKER_DURATION", default_value = "10", value_parser = seconds)]
    pub ticker_duration: Duration,

    /// Number of logs that the terminator follows at the same time.
    /// More pods take turns. Each log is a stream from the API server; streams share connections
    /// where the API server supports HTTP/2.
    #[arg(long, env = "MAX_FOLLOWERS", default_value = "500")]
    pub max_followers: NonZeroUsize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pod_label_selector: labels::POD_SELECTOR.to_owned(),
            termination_word: "done".to_owned(),
            ticker_duration: Duration::from_secs(10),
            max_followers: NonZeroUsize::MIN.saturating_add(499),
        }
    }
}

fn word(value: &str) -> Result<String, String> {
    api::job::validation::termination_word(value).map(|()| value.to_owned())
}

fn seconds(value: &str) -> Result<Duration, String> {
    match value.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => Err("must be a whole number of seconds".to_owned()),
    }
}

/// Refuses an empty selector, which would select the pods of the whole cluster.
///
/// The API server checks the rest, see [`Error::Selector`](crate::Error::Selector).
fn selector(value: &str) -> Result<String, String> {
    if value.trim().is_empty() {
        return Err("must not be empty: that would select the pods of the whole cluster".to_owned());
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let config = Cli::parse_from(["terminator"]).config;
        assert_eq!(config.pod_label_selector, "daemonset-job=true");
        assert_eq!(config.termination_word, "done");
        assert_eq!(config.ticker_duration, Duration::from_secs(10));
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn a_bad_value_is_refused_with_the_variables_name() {
        let bad = [
            ("--ticker-duration=0", "TICKER_DURATION"),
            ("--ticker-duration=soon", "TICKER_DURATION"),
            ("--termination-word=", "TERMINATION_WORD"),
            ("--pod-label-selector=", "POD_LABEL_SELECTOR"),
            ("--max-followers=0", "MAX_FOLLOWERS"),
        ];
        for (flag, variable) in bad {
            let error =
                Cli::try_parse_from(["terminator", flag]).err().map(|error| error.to_string());
            assert!(
                error.as_deref().is_some_and(|error| error.contains(variable)),
                "{flag}: {error:?}"
            );
        }
    }
}
