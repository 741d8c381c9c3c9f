//! What every command starts with, and how it ends.

use std::process::ExitCode;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::{
    args::{connection::Connection, output::Format},
    cluster::connect::Cluster,
    error::{Error, Result},
    screen::Screen,
};

/// The surroundings of a command.
pub(crate) struct Context {
    pub(crate) connection: Connection,
    pub(crate) screen: Screen,
}

/// How a command ends when it could do what was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// All is well.
    Good,
    /// It is not: a node, or the Job, has failed.
    Bad,
    /// It took too long.
    TimedOut,
    /// Ctrl-C.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Good => Self::SUCCESS,
            Exit::Bad => Self::FAILURE,
            Exit::TimedOut => Self::from(2),
            // 128 and the number of SIGINT, as shells have it.
            Exit::Interrupted => Self::from(130),
        }
    }
}

impl Context {
    /// Connects to the cluster.
    pub(crate) async fn cluster(&self) -> Result<Cluster> {
        Cluster::connect(&self.connection).await
    }

    /// The time by which everything of one command is measured.
    #[allow(clippy::unused_self, reason = "commands have one clock")]
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Prints a value as JSON or YAML; other formats are those of the caller.
    pub(crate) fn print_data(&self, format: Format, value: &impl Serialize) -> Result<()> {
        let text = match format {
            Format::Yaml => serde_saphyr::to_string(value)
                .map_err(|error| Error::new(format!("cannot write YAML: {error}")))?,
            _ => serde_json::to_string_pretty(value)? + "\n",
        };
        Ok(self.screen.print(&text)?)
    }
}

/// The name of a Job as `--output name` prints it.
pub(crate) fn object_name(job: &str) -> String {
    format!("job.daemonset.darkowlzz.space/{job}")
}
