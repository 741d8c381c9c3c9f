//! The parts of one run.

use anyhow::Result;
use harness::progress::{Phase, Progress};
use harness::report::Handle;
use testbed::kind::Cluster;

use super::cluster_lifecycle::ClusterLifecycle;
use super::folder::RunFolder;
use super::options::Options;
use super::report_writer::ReportWriter;

/// The parts of one run.
pub(super) struct Run {
    pub(super) options: Options,
    pub(super) folder: RunFolder,
    pub(super) progress: Progress,
    pub(super) report: ReportWriter,
    pub(super) cluster: ClusterLifecycle,
}

impl Run {
    pub(super) fn start(options: Options) -> Result<Self> {
        let folder = RunFolder::create(options.artifacts.as_deref())?;
        let progress = Progress::new();
        let cluster = ClusterLifecycle::claim(&options, &folder.path, &folder.logs, &progress)?;
        let report = ReportWriter::start(&folder, options.formats(), &progress);
        Ok(Self { options, folder, progress, report, cluster })
    }

    /// Reports what broke, and collects the state of the cluster.
    pub(super) async fn report_broken(&self, error: &anyhow::Error) {
        self.progress.say(format_args!("FAILED: {error:#}"));
        self.report.change(|report| report.error = Some(format!("{error:#}")));
        self.collect().await;
    }

    /// Collects the state of the cluster, or what there is of one.
    pub(super) async fn collect(&self) {
        let collect = async |phase: &Phase| {
            match self.cluster.recorded()? {
                Some(cluster) => {
                    phase.outcome(self.folder.collect_cluster(&cluster).await?.display());
                }
                None => phase.outcome("no cluster to collect from"),
            }
            anyhow::Ok(())
        };
        self.report_uncollected(self.progress.phase("artifacts", collect).await);
    }

    /// Collects what a scenario that has just failed concerns.
    pub(super) async fn collect_scenario(
        &self,
        handle: Handle,
        label: &str,
        concerned: (&str, &[&str]),
        error: &str,
        cluster: &Cluster,
    ) {
        let collect = self.folder.collect_scenario(label, concerned, error, cluster);
        let (folder, collected) = collect.await;
        self.report.change(|report| report.collected(handle, &folder));
        self.report_uncollected(collected);
    }

    fn report_uncollected(&self, collected: Result<()>) {
        if let Err(error) = collected {
            self.progress.say(format_args!("artifacts cannot be collected: {error:#}"));
        }
    }
}
