//! `cargo xtask e2e up`: a cluster that stays.

use anyhow::{Result, anyhow};
use e2e::report::Ending;

use super::options::Options;
use super::prepare::{self, Needs};
use super::session::Session;
use crate::context::{Context, Verdict};
use crate::output;

/// Makes or completes the cluster that stays.
pub(super) async fn up(mut options: Options, cx: &Context) -> Result<Verdict> {
    options.reuse = true;
    let session = Session::start(options)?;
    let ready = tokio::select! {
        ready = prepare::prepare(&session, Needs::default(), cx) => ready,
        () = cx.interrupted.cancelled() => Err(anyhow!("interrupted")),
    };
    match ready {
        Ok(ready) => {
            session.report(|report| report.end(Ending::Passed));
            output::write(&format!(
                "export KUBECONFIG={}\n",
                ready.cluster.kubeconfig().display()
            ))?;
            Ok(Verdict::Passed)
        }
        Err(error) => {
            session.report_broken(&error).await;
            session.report(|report| report.end(Ending::Broken));
            session.clean_up(Ending::Broken).await;
            Ok(Verdict::Broken)
        }
    }
}
