//! What a benchmark has found, as it is kept in `report.json`.

use serde::{Deserialize, Serialize};
use testbed::program::Usage;

use super::cost::{Cost, Requests};
use super::states::States;

/// All that one run of the benchmark has measured. Times are in seconds, sizes in bytes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// When it began, UTC.
    pub started: String,
    /// How long it took.
    pub seconds: f64,
    /// What it ran on.
    pub machine: Machine,
    /// The seed of all draws.
    pub seed: u64,
    /// On simulated nodes, by their number.
    pub sizes: Vec<Size>,
    /// On a kind cluster.
    pub kind: Option<Kind>,
    /// The states that pods come to on simulated nodes.
    pub states: Option<States>,
}

impl Report {
    /// How the states of pods differ between real and simulated nodes; `None` if that was not compared.
    pub fn differences(&self) -> Option<Vec<String>> {
        Some(self.kind.as_ref()?.states.differences(self.states.as_ref()?))
    }
}

/// What a benchmark ran on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Processors.
    pub processors: usize,
    /// Memory.
    pub memory: u64,
    /// The model of the processors.
    pub model: String,
    /// What the API server says it is.
    pub kubernetes: String,
    /// The load average when the benchmark began: what else the machine did.
    pub load: f64,
}

/// What was measured on so many simulated nodes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Size {
    /// Nodes.
    pub nodes: u32,
    /// From the start of both processes until both are ready, before each Job by word.
    #[serde(default)]
    pub starts: Vec<f64>,
    /// Jobs that end by a word, one after the other.
    pub words: Vec<JobRun>,
    /// Jobs that end by exit codes.
    pub exit_codes: Vec<JobRun>,
    /// The same DaemonSets by hand, and the polling baseline on them.
    #[serde(rename = "floors")]
    pub baselines: Vec<Baseline>,
    /// Memory and processor time.
    pub memory: Vec<MemoryRun>,
    /// Processes started anew in the middle.
    pub recoveries: Vec<Recovery>,
    /// Jobs whose nodes take turns.
    #[serde(default)]
    pub rollouts: Vec<Rollout>,
    /// Commands of the kubectl plugin.
    #[serde(default)]
    pub plugin: Vec<PluginRun>,
}

/// A command of the kubectl plugin, some times.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PluginRun {
    /// The command.
    pub command: String,
    /// The time that it took, each time.
    pub seconds: Vec<f64>,
    /// The most memory that it had.
    pub peak: u64,
    /// The most connections that it had open.
    pub connections: usize,
    /// Bytes of logs that it collected.
    pub bytes: u64,
    /// The size of the program, once.
    pub size: u64,
}

/// One Job with a limit of nodes at work, and the naive way to the same.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Rollout {
    /// `spec.parallelism`.
    pub parallelism: String,
    /// Nodes that it lets work at once.
    pub places: u32,
    /// From the release of a node to the end of its work, when nodes work one after the other.
    pub single: f64,
    /// From the creation of the Job to the end of the last node's work.
    pub whole: f64,
    /// The largest number of nodes that were released and had not ended.
    pub most_at_once: u32,
    /// From the end of a node's work to the arrival of the request that releases the next, sorted.
    pub hand_overs: Vec<f64>,
    /// The part of each until the last status before that request, sorted.
    #[serde(default)]
    pub until_status: Vec<f64>,
    /// Requests of both processes.
    pub cost: Cost,
    /// What the operator and the terminator used at the end.
    pub usage: [Usage; 2],
    /// The same for the same Job without turns.
    #[serde(default)]
    pub without_turns: Option<[Usage; 2]>,
    /// The time that a rolling update of a DaemonSet takes, from the edit to the end of the last node's work.
    pub naive: f64,
}

/// One Job from its creation to its deletion.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct JobRun {
    /// From the creation to the arrival of the request that deletes it.
    pub whole: f64,
    /// From the end of the last pod's work to the arrival of the request that deletes the Job.
    pub detection: f64,
    /// The parts of that: until the last request that records a pod, from there until the last write of
    /// the status, and from there until the deletion. By exit codes nothing is recorded.
    pub detection_parts: [f64; 3],
    /// For each pod, from the end of its work to the arrival of the request that records it, sorted.
    pub recorded: Vec<f64>,
    /// Requests of both processes.
    pub cost: Cost,
    /// Bytes that kubelets were made to hand over for our requests.
    pub log_bytes_read: u64,
    /// Bytes of the logs up to the word.
    pub log_bytes: u64,
    /// What all clients asked of the API server meanwhile.
    pub all_requests: Requests,
    /// What all watches of all clients brought.
    pub watch_events: u64,
    /// What the operator and the terminator used at the end.
    pub usage: [Usage; 2],
}

/// What a bare client takes for the same.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Baseline {
    /// From the creation of the DaemonSet until its last pod has logged the word.
    pub whole: f64,
    /// From one pod's word to its arrival at a client that follows that one log.
    pub follow: f64,
    /// From the last word to its discovery by polling.
    pub polling: f64,
    /// How long each round of polling took.
    pub rounds: Vec<f64>,
}

/// What both processes used in some situation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemoryRun {
    /// The situation.
    pub situation: String,
    /// Pods in it.
    pub pods: u32,
    /// Operator and terminator, afterwards.
    pub usage: [Usage; 2],
    /// Processor time of both in it.
    pub cpu: f64,
    /// How long it lasted.
    pub seconds: f64,
    /// For each Job in it, as [`JobRun::detection`], where that was measured.
    pub detections: Vec<f64>,
}

/// Both processes killed and started again while a Job runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Recovery {
    /// From the start of the processes until both are ready.
    pub ready: f64,
    /// From the start of the processes until every log that matters is open again.
    pub known: f64,
    /// Pods whose work was recorded before, of all pods.
    pub recorded: u32,
    /// The requests that it took.
    pub cost: Cost,
}

/// What was measured on the nodes of a kind cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Kind {
    /// Nodes.
    pub nodes: u32,
    /// From the last word to the arrival of the watch event of the Job's deletion at this process.
    pub detections: Vec<f64>,
    /// From the word to its arrival at a client that follows that log.
    pub follows: Vec<f64>,
    /// From the creation to the deletion.
    pub wholes: Vec<f64>,
    /// The same for the DaemonSet by hand, until its last word.
    #[serde(rename = "floors")]
    pub baselines: Vec<f64>,
    /// Resident memory of both processes.
    pub memory: u64,
    /// The states that pods come to.
    #[serde(default)]
    pub states: States,
}
