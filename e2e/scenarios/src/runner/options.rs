//! How a run goes about it, as the command line says.

use std::path::PathBuf;

use clap::ValueEnum;
use harness::images;
use harness::provide::Profile;
use harness::report::Format;
use testbed::kind::Provider;

/// Options of the commands that run scenarios.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Run")]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) cluster: ClusterOptions,

    /// When to keep the cluster after the run.
    #[arg(long, help_heading = "Cluster", value_enum, default_value_t = Keep::Never, value_name = "WHEN")]
    pub(super) keep: Keep,

    /// Use the cluster that `up` or an earlier --reuse left, or leave one.
    #[arg(long, help_heading = "Cluster")]
    pub(super) reuse: bool,

    /// Run each scenario this often, and report figures over all runs.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) repeat: u32,

    /// Folder for the reports and for what is collected at failures, instead of target/e2e/<run>. What
    /// an earlier run left there goes.
    #[arg(long, value_name = "DIR")]
    pub(super) artifacts: Option<PathBuf>,

    /// Reports to write: run.json, junit.xml.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "json,junit",
        value_name = "FORMS"
    )]
    pub(super) report: Vec<Form>,
}

/// Options of the commands that make a cluster with the operator on it.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Cluster")]
pub(super) struct ClusterOptions {
    /// Number of nodes: one control plane, the rest workers.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = parse_nodes)]
    pub(super) nodes: usize,

    /// Minor version of Kubernetes, for example 1.33. Default: the newest that kind has an image of, or (offline)
    /// the newest that is built here.
    #[arg(long, value_name = "MINOR", value_parser = images::parse_minor)]
    pub(super) kubernetes: Option<String>,

    /// Node image to use, instead of kind's or (offline) one built here.
    #[arg(long, value_name = "REF", conflicts_with = "kubernetes")]
    pub(super) node_image: Option<String>,

    /// What runs the nodes: docker or podman. Images are built by Docker either way.
    #[arg(long, default_value_t, value_name = "NAME")]
    pub(super) provider: Provider,

    /// How to build the images: release, as users get them, or quick, for a short wait. Default: release for
    /// `run` on a new cluster, otherwise quick.
    #[arg(long, value_enum, value_name = "PROFILE")]
    pub(super) profile: Option<Build>,

    #[command(flatten)]
    pub(super) stays: Staying,
}

/// The option that names a cluster that stays.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Cluster")]
pub(super) struct Staying {
    /// Which of the clusters that stay is meant: several can stand side by side. Without it, the one without a
    /// name, and for `down` all of them.
    #[arg(long = "cluster", value_name = "NAME", value_parser = parse_cluster)]
    pub(super) name: Option<String>,
}

/// The defaults of the command line.
impl Default for Options {
    fn default() -> Self {
        Self {
            cluster: ClusterOptions::default(),
            keep: Keep::Never,
            reuse: false,
            repeat: 1,
            artifacts: None,
            report: Form::value_variants().to_vec(),
        }
    }
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            nodes: 3,
            kubernetes: None,
            node_image: None,
            provider: Provider::Docker,
            profile: None,
            stays: Staying::default(),
        }
    }
}

impl Options {
    /// How the images are to be built.
    pub(super) fn build(&self) -> Profile {
        match self.cluster.profile {
            Some(Build::Release) => Profile::Release,
            Some(Build::Quick) => Profile::Quick,
            None if self.reuse => Profile::Quick,
            None => Profile::Release,
        }
    }

    /// The forms of the reports to write.
    pub(super) fn formats(&self) -> Vec<Format> {
        let format = |form: &Form| match form {
            Form::Json => Format::Json,
            Form::Junit => Format::Junit,
        };
        self.report.iter().map(format).collect()
    }
}

/// How the binaries in the images are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Build {
    Release,
    Quick,
}

/// When a cluster outlives its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Keep {
    Never,
    Failure,
    Always,
}

/// A form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    Json,
    Junit,
}

/// Nodes need names and addresses, and a machine has only so much memory.
fn parse_nodes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(nodes @ 1..=50) => Ok(nodes),
        _ => Err("a number from 1 to 50 is expected".to_owned()),
    }
}

/// A name that is fit to be a folder's.
fn parse_cluster(text: &str) -> Result<String, String> {
    let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match !text.is_empty() && text.bytes().all(is_fit) {
        true => Ok(text.to_owned()),
        false => Err("lower case letters, digits and `-` are expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn clusters_without_nodes_are_refused() {
        assert_eq!(parse_nodes("3"), Ok(3));
        for bad in ["0", "51", "-1", "many"] {
            assert!(parse_nodes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn name_of_a_cluster_that_leaves_the_folder_is_refused() {
        assert_eq!(parse_cluster("faults-2"), Ok("faults-2".to_owned()));
        for bad in ["", "..", "a/b", "A", "a b"] {
            assert!(parse_cluster(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_report_is_written_unless_some_are_named() {
        let parsed = Cli::try_parse_from(["e2e"]).expect("valid").options;
        assert_eq!(parsed.formats(), Options::default().formats());
        let named = Cli::try_parse_from(["e2e", "--report", "junit"]).expect("valid").options;
        assert_eq!(named.formats(), [Format::Junit]);
        assert!(Cli::try_parse_from(["e2e", "--report", "html"]).is_err());
    }
}
