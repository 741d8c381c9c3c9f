//! Settings of the operator.

use clap::Args;

use crate::job::{Features, HostPaths, Policy, Settings};

/// Settings of the operator; each is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Image that pods of ExitCode Jobs idle on when their work is done.
    /// It runs with the argument `pause`, which the operator's own image accepts.
    #[arg(long, env = "PAUSE_IMAGE", default_value = PAUSE_IMAGE, value_parser = image)]
    pub pause_image: String,

    /// Node directories that Jobs may mount, separated by commas; empty: none.
    /// /dir/** allows /dir and everything below it. The annotation
    /// daemonset.darkowlzz.space/allowed-host-paths of a namespace replaces this value for its Jobs,
    /// unless the operator serves only one namespace.
    #[arg(long, env = "ALLOWED_HOST_PATHS", default_value = "/**")]
    pub allowed_host_paths: HostPaths,

    /// Features that pods of Jobs may have, separated by commas; empty: none.
    /// The annotation daemonset.darkowlzz.space/allowed-pod-features of a namespace replaces this value
    /// for its Jobs, unless the operator serves only one namespace.
    #[arg(
        long,
        env = "ALLOWED_POD_FEATURES",
        default_value = "HostNamespaces,Privileged,Secrets,ServiceAccount"
    )]
    pub allowed_pod_features: Features,
}

/// The operator's own image.
const PAUSE_IMAGE: &str = concat!("darkowlzz/daemonset-job-operator:", env!("CARGO_PKG_VERSION"));

impl Default for Config {
    fn default() -> Self {
        Self {
            pause_image: PAUSE_IMAGE.to_owned(),
            allowed_host_paths: HostPaths::all(),
            allowed_pod_features: Features::all(),
        }
    }
}

impl From<Config> for Settings {
    fn from(config: Config) -> Self {
        let Config { pause_image, allowed_host_paths, allowed_pod_features } = config;
        let policy = Policy { host_paths: allowed_host_paths, features: allowed_pod_features };
        Self { pause_image, policy }
    }
}

fn image(value: &str) -> Result<String, String> {
    api::job::validation::image(value).map(|()| value.to_owned())
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
    fn an_image_that_is_none_is_refused_with_the_variables_name() {
        for image in ["", "a b"] {
            let flag = format!("--pause-image={image}");
            let error = Cli::try_parse_from(["operator", &flag]).err().unwrap().to_string();
            assert!(error.contains("PAUSE_IMAGE"), "{error}");
        }
        assert_eq!(Cli::parse_from(["operator"]).config.pause_image, PAUSE_IMAGE);
    }

    #[test]
    fn everything_is_allowed_by_default_and_nothing_by_an_empty_value() {
        let Config { allowed_host_paths, allowed_pod_features, .. } =
            Cli::parse_from(["operator"]).config;
        assert_eq!(allowed_host_paths, HostPaths::all());
        assert_eq!(allowed_pod_features, Features::all());
        let empty = ["operator", "--allowed-host-paths=", "--allowed-pod-features="];
        let config = Cli::parse_from(empty).config;
        assert_eq!(config.allowed_host_paths, HostPaths::default());
        assert_eq!(config.allowed_pod_features, Features::default());
    }

    #[test]
    fn what_cannot_be_allowed_is_refused_with_the_variables_name() {
        let table = [
            ("host-paths=tmp", "ALLOWED_HOST_PATHS"),
            ("pod-features=Root", "ALLOWED_POD_FEATURES"),
        ];
        for (flag, variable) in table {
            let flag = format!("--allowed-{flag}");
            let error = Cli::try_parse_from(["operator", &flag]).err().unwrap().to_string();
            assert!(error.contains(variable), "{error}");
        }
    }
}
