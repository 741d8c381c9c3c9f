//! What operator and terminator use in memory and processor time.

use std::time::{Duration, Instant};

use anyhow::Result;
use api::job::Job;
use bytes::Bytes;
use testbed::program::Usage;
use testbed::simulated_work::{Distribution, End, Work};

use super::cluster::{Both, Testbed, within};
use super::jobs::{self, Mode, REST};
use super::report::MemoryRun;

/// Bytes of a line of what is logged in masses: the longest that container runtimes pass on as one.
/// <https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md>
const LINE: usize = 16 * 1024;

/// How many Jobs are run at once.
const JOBS: usize = 100;

/// Logs of so many bytes, on so many nodes.
const LOGS: [(usize, u32); 2] = [(1_000_000, 100), (100_000_000, 5)];

/// Takes a measure in a situation that begins now.
struct Situation {
    began: Instant,
    before: [Usage; 2],
}

impl Situation {
    fn begin(both: &Both) -> Result<Self> {
        Ok(Self { began: Instant::now(), before: both.usage()? })
    }

    fn end(self, both: &Both, situation: String, pods: usize) -> Result<MemoryRun> {
        let usage = both.usage()?;
        let cpu = |usage: &[Usage; 2]| usage[0].cpu + usage[1].cpu;
        Ok(MemoryRun {
            situation,
            pods: u32::try_from(pods)?,
            usage,
            cpu: cpu(&usage) - cpu(&self.before),
            seconds: self.began.elapsed().as_secs_f64(),
            detections: Vec::new(),
        })
    }
}

/// All situations, each with processes that have just been started.
pub(super) async fn measure(testbed: &Testbed, times: Distribution) -> Result<Vec<MemoryRun>> {
    let mut runs = Vec::new();
    let both = &mut testbed.start_both()?;
    both.ready().await?;
    let situation = Situation::begin(both)?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    runs.push(situation.end(both, "idle".to_owned(), 0)?);

    let nodes = testbed.nodes.len();
    let situation = Situation::begin(both)?;
    let (namespace, work) = jobs::held(testbed, times, |_| false).await?;
    tokio::time::sleep(REST).await;
    runs.push(situation.end(both, format!("one Job on {nodes} nodes"), nodes)?);
    work.finish();
    testbed.until_job_is_gone(&namespace, jobs::NAME).await?;
    testbed.clear(&namespace).await?;
    tokio::time::sleep(REST).await;

    let situation = Situation::begin(both)?;
    let count = JOBS.min(nodes);
    let detections = jobs::at_once(testbed, count, times).await?;
    let run = situation.end(both, format!("{count} Jobs at once"), nodes)?;
    runs.push(MemoryRun { detections, ..run });
    Ok(runs)
}

/// Pods that log much before they log the word.
pub(super) async fn measure_logs(testbed: &Testbed, times: Distribution) -> Result<Vec<MemoryRun>> {
    let mut runs = Vec::new();
    for (size, nodes) in LOGS {
        let mut both = testbed.start_both()?;
        both.ready().await?;
        let nodes = usize::try_from(nodes)?.min(testbed.nodes.len());
        let namespace = testbed.namespace("logs").await?;
        let mut line = vec![b'x'; LINE - 1];
        line.push(b'\n');
        let line = Bytes::from(line);
        let chatter = vec![line; size.div_ceil(LINE)];
        Work::chatty(times, |_| End::Word, chatter).assign(&testbed.sim, &namespace);
        let mut job = jobs::manifest(Mode::Word);
        job["spec"]["template"] = jobs::on_nodes(&testbed.nodes[..nodes]);
        let situation = Situation::begin(&both)?;
        testbed.create::<Job>(&namespace, job).await?;
        within(testbed.until_job_is_gone(&namespace, jobs::NAME), "the Job to be gone").await??;
        let megabytes = size / 1_000_000;
        runs.push(situation.end(&both, format!("{megabytes} MB of log a pod"), nodes)?);
        testbed.clear(&namespace).await?;
        both.end().await?;
    }
    Ok(runs)
}
