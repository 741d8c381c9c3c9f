//! The open logs of a Job's pods, and the tasks that read them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use api::job::CompletionMode;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use super::{
    plan::{Closing, Opening, Plan, Wanted},
    reader::{self, Extent, Told},
};
use crate::{
    cluster::{connect::Cluster, failure::Doing, watch::SeenPod},
    error::Error,
    model::facts::PodFacts,
};

/// Batches of lines that wait for the screen.
const WAITING_BATCHES: usize = 64;
/// Time for which the log of a node goes on that is done by a word.
const AFTER_WORD: Duration = Duration::from_secs(1);

/// The logs of a Job.
pub(crate) struct Tails {
    api: Api<Pod>,
    namespace: String,
    mode: CompletionMode,
    extent: Extent,
    plan: Plan,
    pods: HashMap<String, PodFacts>,
    readers: HashMap<String, Reader>,
    /// Pods whose logs there was no room for.
    waiting: BTreeSet<String>,
    told: mpsc::Sender<Told>,
    lines: mpsc::Receiver<Told>,
    /// What keeps the log of a node from being read, by node.
    troubles: BTreeMap<String, String>,
}

/// What a log tells.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Whole lines of a node, each with its line break.
    Lines { node: String, lines: Vec<u8> },
    /// The log of a node is closed: for good, and with all that is in it, or not.
    Closed { node: String, is_final: bool, is_whole: bool },
}

/// Why a log is not read any more.
fn closing(trouble: Option<&kube::Error>) -> Closing {
    match trouble {
        None => Closing::Ended,
        Some(kube::Error::Api(status)) if matches!(status.code, 400 | 401 | 403 | 404) => {
            Closing::Missing
        }
        Some(_) => Closing::Broken,
    }
}

/// Whether the caller may not read logs.
fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403))
}

struct Reader {
    task: JoinHandle<()>,
    opening: Opening,
    /// When the log is closed, though it goes on.
    until: Option<Instant>,
}

impl Tails {
    pub(crate) fn new(
        cluster: &Cluster,
        mode: CompletionMode,
        wanted: Wanted,
        extent: Extent,
    ) -> Self {
        let (told, lines) = mpsc::channel(WAITING_BATCHES);
        Self {
            api: cluster.api(),
            namespace: cluster.namespace.clone(),
            mode,
            extent,
            plan: Plan::new(wanted),
            pods: HashMap::new(),
            readers: HashMap::new(),
            waiting: BTreeSet::new(),
            told,
            lines,
            troubles: BTreeMap::new(),
        }
    }

    /// Takes in what the watch of pods shows.
    ///
    /// # Errors
    /// When the caller may not watch pods.
    pub(crate) fn take_in(&mut self, seen: SeenPod) -> Result<(), Error> {
        match seen {
            SeenPod::Is(pod) => self.insert(PodFacts::new(&pod, self.mode)),
            SeenPod::Gone(name) => drop(self.pods.remove(&name)),
            SeenPod::Interrupted(_) => {}
            SeenPod::Refused(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes in a pod, and opens its log if it is time.
    pub(crate) fn insert(&mut self, pod: PodFacts) {
        if pod.has_logged_word
            && let Some(reader) = self.readers.get_mut(&*pod.name)
        {
            reader.until.get_or_insert_with(|| Instant::now() + AFTER_WORD);
            reader.opening.has_ended = true;
        }
        self.open(&pod);
        self.pods.insert(pod.name.to_string(), pod);
    }

    fn open(&mut self, pod: &PodFacts) {
        if self.plan.is_full() && !self.readers.contains_key(&*pod.name) {
            self.waiting.insert(pod.name.to_string());
            return;
        }
        let Some(opening) = self.plan.next(pod) else { return };
        let (api, told) = (self.api.clone(), self.told.clone());
        let is_word = pod.has_logged_word && self.mode == CompletionMode::TerminationWord;
        // The container sleeps, and its log has no end.
        let follow = self.extent.follow && !is_word;
        let extent = Extent { follow, ..self.extent.clone() };
        let task = tokio::spawn(reader::read(api, opening.clone(), extent, told));
        self.readers.insert(opening.pod.clone(), Reader { task, opening, until: None });
    }

    /// Opens logs for which there was no room, and closes those of done nodes.
    pub(crate) fn tick(&mut self) {
        let now = Instant::now();
        let is_over = |reader: &Reader| reader.until.is_some_and(|until| until <= now);
        let over: Vec<_> =
            self.readers.iter().filter(|(_, it)| is_over(it)).map(|(pod, _)| pod.clone()).collect();
        for pod in over {
            if let Some(reader) = self.readers.remove(&pod) {
                reader.task.abort();
                self.plan.closed(&reader.opening, None, Closing::Ended);
            }
        }
        while !self.plan.is_full()
            && let Some(name) = self.waiting.pop_first()
        {
            if let Some(pod) = self.pods.get(&name).cloned() {
                self.open(&pod);
            }
        }
    }

    /// The next thing that a log tells.
    pub(crate) async fn next(&mut self) -> Heard {
        match self.lines.recv().await {
            Some(told) => self.heard(told),
            // This holds a sender itself.
            None => std::future::pending().await,
        }
    }

    /// What a log has told already.
    pub(crate) fn try_next(&mut self) -> Option<Heard> {
        self.lines.try_recv().ok().map(|told| self.heard(told))
    }

    fn heard(&mut self, told: Told) -> Heard {
        match told {
            Told::Lines { node, lines } => {
                // It goes on where it was interrupted.
                self.troubles.remove(&node);
                Heard::Lines { node, lines }
            }
            Told::Closed { opening, read, trouble } => {
                self.readers.remove(&opening.pod);
                let closing_ = closing(trouble.as_ref());
                self.plan.has_read(&opening, read.first);
                let is_final = self.plan.closed(&opening, read.last, closing_);
                if closing_ == Closing::Ended {
                    self.troubles.remove(&opening.node);
                }
                let trouble =
                    trouble.filter(|error| closing_ == Closing::Broken || is_refused(error));
                let is_whole = trouble.is_none();
                if let Some(error) = trouble {
                    let doing = Doing::new("get", "pods/log", Some(&self.namespace));
                    let error = doing.failed(&error);
                    self.troubles.insert(opening.node.clone(), error.message().to_owned());
                }
                if let Some(pod) = self.pods.get(&opening.pod).cloned() {
                    self.open(&pod);
                }
                Heard::Closed { node: opening.node, is_final, is_whole }
            }
        }
    }

    /// Whether no log is open, and none is to be opened.
    pub(crate) fn is_idle(&self) -> bool {
        self.plan.open() == 0 && self.waiting.is_empty()
    }

    /// What has kept logs from being read to their ends, each once.
    pub(crate) fn troubles(&self) -> BTreeSet<&str> {
        self.troubles.values().map(String::as_str).collect()
    }
}

impl Drop for Tails {
    fn drop(&mut self) {
        self.readers.values().for_each(|reader| reader.task.abort());
    }
}
