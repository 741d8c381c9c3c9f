//! Settings of the operator.

use clap::Args;

/// Settings of the operator; each is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Image that pods of ExitCode Jobs idle on when their work is done. It is run with the argument
    /// `pause`, as the operator's own image can be.
    #[arg(long, env = "PAUSE_IMAGE", default_value = PAUSE_IMAGE, value_parser = image)]
    pub pause_image: String,
}

/// The operator's own image.
const PAUSE_IMAGE: &str = concat!("darkowlzz/daemonset-job-operator:", env!("CARGO_PKG_VERSION"));

impl Default for Config {
    fn default() -> Self {
        Self { pause_image: PAUSE_IMAGE.to_owned() }
    }
}

fn image(value: &str) -> Result<String, String> {
    api::validation::image(value).map(|()| value.to_owned())
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
}
