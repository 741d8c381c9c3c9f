//! `kubectl dsjob results`: what has become of each node.

use super::context::{Context, Exit};
use crate::{
    args::names,
    cluster::snapshot::Snapshot,
    error::Result,
    model::nodes::State,
    render::{results, text},
};

/// Print what has become of each node: state, exit code, times, output.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Name of the Job.
    #[arg(value_parser = names::job)]
    name: String,

    /// Only nodes that have failed.
    #[arg(long)]
    failed: bool,

    /// Format of the output.
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// Formats of results.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
enum Format {
    #[default]
    Table,
    Wide,
    Csv,
    Json,
    Yaml,
    Name,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Exit> {
    use crate::args::output::Format as Data;
    let cluster = cx.cluster().await?;
    let mut model = Snapshot::read(&cluster, &args.name).await?.model();
    if args.failed {
        model.nodes.retain(|node| node.state == State::Failed);
    }
    for gap in &model.gaps {
        cx.screen.note(&format!("({gap})"))?;
    }
    match args.output {
        Format::Json => cx.print_data(Data::Json, &model.nodes)?,
        Format::Yaml => cx.print_data(Data::Yaml, &model.nodes)?,
        Format::Csv => cx.screen.print(&results::csv(&model.nodes)?)?,
        Format::Name => {
            let names: String =
                model.nodes.iter().map(|it| format!("node/{}\n", it.name)).collect();
            cx.screen.print(&names)?;
        }
        Format::Table | Format::Wide if model.nodes.is_empty() => {
            cx.screen.note("No nodes found.")?
        }
        format => {
            let is_wide = format == Format::Wide;
            cx.screen.print(&results::table(&model, is_wide, cx.screen.canvas(), cx.now()))?;
            let missing =
                model.counts.done - i32::try_from(model.in_state(State::Done)).unwrap_or(0);
            if missing > 0 && !args.failed {
                let nodes = text::count(usize::try_from(missing).unwrap_or(0), "node");
                cx.screen.note(&format!("{nodes} that are done are not listed: they left the cluster, or cannot be listed"))?;
            }
        }
    }
    Ok(Exit::Good)
}
