//! `kubectl dsjob version`: versions of the plugin, the operator and the API server.

use serde::Serialize;

use super::context::{Context, Exit};
use crate::{
    args::output::{Format, Output},
    cluster::surroundings,
    error::Result,
};

/// Print the versions of the plugin, the operator and the API server.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Ask no cluster.
    #[arg(long)]
    client: bool,

    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    client: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes: Option<String>,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Exit> {
    let mut versions =
        Versions { client: env!("CARGO_PKG_VERSION"), operator: None, kubernetes: None };
    if !args.client {
        let cluster = cx.cluster().await?;
        let (operator, info) =
            futures::join!(surroundings::operator(&cluster), cluster.client.apiserver_version());
        let pods = operator.yes().into_iter().flatten();
        versions.operator = pods.filter_map(|pod| pod.image.clone()).next();
        let doing = crate::cluster::failure::Doing::new("get", "/version", None);
        versions.kubernetes = Some(info.map_err(|error| doing.failed(&error))?.git_version);
    }
    match args.output.format {
        Some(format @ (Format::Json | Format::Yaml)) => cx.print_data(format, &versions)?,
        _ => {
            let mut text = format!("Client: {}\n", versions.client);
            if !args.client {
                let operator = versions.operator.as_deref().unwrap_or("not seen");
                let kubernetes = versions.kubernetes.as_deref().unwrap_or("unknown");
                text += &format!("Operator: {operator}\nKubernetes: {kubernetes}\n");
            }
            cx.screen.print(&text)?;
        }
    }
    Ok(Exit::Good)
}
