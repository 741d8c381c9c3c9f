//! What operator and terminator use in memory and processor time.

use std::time::{Duration, Instant};

use anyhow::Result;
use api::v1beta1::Job;
use bytes::Bytes;

use super::bed::{Bed, Both, within};
use super::jobs::{self, Mode, REST};
use super::process::Usage;
use super::report::MemoryRun;
use super::work::{Distribution, End, Work};

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
///
/// # Errors
/// When something takes too long, or a process ends.
pub(super) async fn measure(bed: &Bed, times: Distribution) -> Result<Vec<MemoryRun>> {
    let mut runs = Vec::new();
    let both = &mut bed.start_both()?;
    both.ready().await?;
    let situation = Situation::begin(both)?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    runs.push(situation.end(both, "idle".to_owned(), 0)?);

    let nodes = bed.nodes.len();
    let situation = Situation::begin(both)?;
    let (namespace, work) = jobs::held(bed, times, |_| false).await?;
    tokio::time::sleep(REST).await;
    runs.push(situation.end(both, format!("one Job on {nodes} nodes"), nodes)?);
    work.finish();
    bed.until_job_is_gone(&namespace, jobs::NAME).await?;
    bed.clear(&namespace).await?;
    tokio::time::sleep(REST).await;

    let situation = Situation::begin(both)?;
    let count = JOBS.min(nodes);
    let detections = jobs::at_once(bed, count, times).await?;
    let run = situation.end(both, format!("{count} Jobs at once"), nodes)?;
    runs.push(MemoryRun { detections, ..run });
    Ok(runs)
}

/// Pods that log much before they log the word.
///
/// # Errors
/// When something takes too long, or a process ends.
pub(super) async fn measure_logs(bed: &Bed, times: Distribution) -> Result<Vec<MemoryRun>> {
    let mut runs = Vec::new();
    for (size, nodes) in LOGS {
        let mut both = bed.start_both()?;
        both.ready().await?;
        let nodes = usize::try_from(nodes)?.min(bed.nodes.len());
        let namespace = bed.namespace("logs").await?;
        let mut line = vec![b'x'; LINE - 1];
        line.push(b'\n');
        let line = Bytes::from(line);
        let chatter = vec![line; size.div_ceil(LINE)];
        Work::chatty(times, |_| End::Word, chatter).assign(&bed.sim, &namespace);
        let mut job = jobs::manifest(Mode::Word);
        let expression = serde_json::json!({
            "key": "kubernetes.io/hostname", "operator": "In", "values": &bed.nodes[..nodes],
        });
        job["spec"]["template"] = serde_json::json!({"spec": {"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [expression]}],
            },
        }}}});
        let situation = Situation::begin(&both)?;
        bed.create::<Job>(&namespace, job).await?;
        within(bed.until_job_is_gone(&namespace, jobs::NAME), "the Job to be gone").await??;
        let megabytes = size / 1_000_000;
        runs.push(situation.end(&both, format!("{megabytes} MB of log a pod"), nodes)?);
        bed.clear(&namespace).await?;
        both.end().await?;
    }
    Ok(runs)
}
