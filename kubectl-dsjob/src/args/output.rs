//! The flag `--output`.

use clap::ValueEnum;

/// Format of the output.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    Json,
    Yaml,
    Name,
    Wide,
}

/// The flag of commands that print objects.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub(crate) struct Output {
    /// Format of the output. Default: text for people.
    #[arg(long = "output", short = 'o', value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
}

impl Output {
    /// Whether there are more columns than fit on a narrow screen.
    pub(crate) fn is_wide(self) -> bool {
        self.format == Some(Format::Wide)
    }
}

/// Whether a change is made, or only shown.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub(crate) struct DryRun {
    /// Change nothing: client (ask nobody) or server (the API server checks).
    #[arg(
        long, value_name = "STRATEGY", num_args = 0..=1, require_equals = true,
        default_value = "none", default_missing_value = "client", hide_default_value = true,
        hide_possible_values = true,
    )]
    pub(crate) dry_run: Strategy,
}

/// How much of a change is made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Strategy {
    #[default]
    None,
    Client,
    Server,
}

impl Strategy {
    /// What kubectl appends to the line about a change that it has not made.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }

    /// Whether the API server is to check the change and not to make it.
    pub(crate) fn is_server(self) -> bool {
        self == Self::Server
    }
}
