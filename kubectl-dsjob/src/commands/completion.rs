//! `kubectl dsjob completion`: what shells propose while somebody types.

use std::time::Duration;

use clap_complete::Shell;
use kube::{Api, api::ListParams};

use super::context::{Context, Exit};
use crate::{
    args::connection::Connection,
    cluster::{connect::Cluster, find},
    error::Result,
};

mod words;

use self::words::{Proposal, propose};

/// Time for the cluster to answer somebody who has pressed a key.
const PATIENCE: Duration = Duration::from_secs(2);

/// The script by which kubectl asks for completions of a plugin.
/// <https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/>
const OF_KUBECTL: &str = "#!/bin/sh\nexec kubectl dsjob __complete \"$@\"\n";

/// Print a script that completes commands, flags and names of Jobs.
#[derive(clap::Args, Debug)]
#[command(after_help = "For `kubectl dsjob`, put the script of kubectl into a folder of $PATH:
  kubectl dsjob completion kubectl > ~/.local/bin/kubectl_complete-dsjob
  chmod +x ~/.local/bin/kubectl_complete-dsjob")]
pub(crate) struct Args {
    /// kubectl, for `kubectl dsjob`; a shell, for `kubectl-dsjob`.
    #[arg(value_enum)]
    shell: Caller,
}

/// Who asks for completions.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Caller {
    Kubectl,
    Bash,
    Zsh,
    Fish,
    Powershell,
}

pub(crate) fn run(args: &Args, mut command: clap::Command, cx: &Context) -> Result<Exit> {
    let shell = match args.shell {
        Caller::Kubectl => {
            cx.screen.print(OF_KUBECTL)?;
            return Ok(Exit::Good);
        }
        Caller::Bash => Shell::Bash,
        Caller::Zsh => Shell::Zsh,
        Caller::Fish => Shell::Fish,
        Caller::Powershell => Shell::PowerShell,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "kubectl-dsjob", &mut script);
    cx.screen.write(&script)?;
    Ok(Exit::Good)
}

/// The words that are typed behind `kubectl dsjob`, the last one unfinished.
#[derive(clap::Args, Debug)]
pub(crate) struct Typed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Prints proposals in kubectl's form: a line each, and what the shell shall do.
pub(crate) async fn complete(typed: &Typed, command: &clap::Command, cx: &Context) -> Result<Exit> {
    let (proposal, connection) = propose(command, &typed.words);
    let found = tokio::time::timeout(PATIENCE, resolve(proposal, &connection)).await;
    let last = typed.words.last().map_or("", String::as_str);
    let mut text = String::new();
    for word in found.unwrap_or_default().iter().filter(|word| word.starts_with(last)) {
        text += word;
        text.push('\n');
    }
    // 4: no names of files.
    cx.screen.print(&(text + ":4\n"))?;
    Ok(Exit::Good)
}

/// The proposed words, from the cluster if need be. An error is no proposal.
async fn resolve(proposal: Proposal, connection: &Connection) -> Vec<String> {
    match proposal {
        Proposal::Words(words) => words,
        Proposal::Nothing => Vec::new(),
        Proposal::Jobs => match Cluster::connect(connection).await {
            Ok(cluster) => find::job_names(&cluster).await.unwrap_or_default(),
            Err(_) => Vec::new(),
        },
        Proposal::Namespaces => names::<k8s_openapi::api::core::v1::Namespace>(connection).await,
        Proposal::Nodes => names::<k8s_openapi::api::core::v1::Node>(connection).await,
    }
}

async fn names<K>(connection: &Connection) -> Vec<String>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let Ok(cluster) = Cluster::connect(connection).await else { return Vec::new() };
    let listed = Api::<K>::all(cluster.client).list_metadata(&ListParams::default()).await;
    listed
        .map_or_else(|_| Vec::new(), |list| list.iter().map(kube::ResourceExt::name_any).collect())
}
