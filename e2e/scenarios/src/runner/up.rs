//! `cargo xtask e2e up`: a cluster that stays.

use anyhow::Result;
use harness::command::{self, Verdict};
use harness::report::Ending;

use super::context::Context;
use super::options::{ClusterOptions, Options};
use super::prepare::{self, Needs};
use super::run::Run;

/// Makes or completes the cluster that stays.
pub(super) async fn up(cluster: ClusterOptions, cx: &Context) -> Result<Verdict> {
    let options = Options { cluster, reuse: true, ..Options::default() };
    let run = Run::start(options)?;
    let prepare = prepare::prepare(&run, Needs::default(), cx);
    match command::until_interrupted(&cx.interrupted, prepare).await {
        Ok(ready) => {
            run.report.change(|report| report.end(Ending::Passed));
            let kubeconfig = ready.cluster.kubeconfig();
            command::print(&format!("export KUBECONFIG={}\n", kubeconfig.display()))?;
            Ok(Verdict::Passed)
        }
        Err(error) => {
            run.report_broken(&error).await;
            run.report.change(|report| report.end(Ending::Broken));
            run.cluster.end(Ending::Broken).await;
            Ok(Verdict::Broken)
        }
    }
}
