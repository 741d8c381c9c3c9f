//! Events of a cluster.

/// An event. An index picks one of the objects that are there at that time.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    NodeJoins,
    NodeLeaves(usize),
    /// A node is deleted and created again under its name.
    NodeRecreated(usize),
    /// A machine takes the name of another one, whose pods are gone with it.
    NodeReplaced(usize),
    /// The DaemonSet controller creates and deletes pods and writes its status.
    Sync,
    /// The work of a pod is done, and that is recorded on it.
    PodDone(usize),
    /// The container of a pod crashes, which is once more than this Job tolerates.
    PodFails(usize),
    /// The sandbox of a pod ends, and its container with it.
    SandboxEnds(usize),
    /// The kubelet creates another one, and starts the container again.
    SandboxStarts(usize),
    /// A pod begins to go away.
    PodDeleted(usize),
    /// Pods that were going away are gone.
    PodsGone,
    /// Garbage collection deletes pods whose node is gone.
    PodsCollected,
    /// The user changes the work.
    Edit(u8),
    /// The user changes how many failed nodes are tolerated.
    EditLimit(Option<i32>),
    /// The user changes the deadline, in seconds.
    EditDeadline(Option<i64>),
    /// Seconds pass.
    TimePasses(i64),
    /// The user deletes the Job and creates it anew.
    Recreate,
    /// Garbage collection deletes the DaemonSet of a Job that is gone.
    Collect,
    /// A stranger edits the pod template: another image, for example.
    StrangerEdits(u8),
    /// A stranger makes the DaemonSet select no node.
    StrangerSelectsNone,
    /// A stranger rolls back to one of the earlier templates.
    StrangerRollsBack(usize),
    /// A stranger deletes the DaemonSet, with or without its pods.
    StrangerDeletes {
        orphans: bool,
    },
    /// A node leaves our own selection, by a label or a taint, or is back.
    NodeSelected(usize),
    /// The operator starts anew, and remembers nothing.
    OperatorRestarts,
    /// The operator reconciles, whatever its caches showed before.
    Reconcile(Lags, Vec<Event>),
    /// The terminator looks at the Job as it was this many events ago.
    Terminate(usize),
    /// An event of a Job whose nodes take turns.
    Rollout(Rollout),
}

/// An event of a Job whose nodes take turns, or that is suspended.
#[derive(Clone, Debug)]
pub(crate) enum Rollout {
    /// One of two processes looks at the Job; each takes itself for the leader.
    Look(Look),
    /// Its caches catch up.
    CatchUp(usize, Kinds),
    /// Its watch of pods begins anew with a list.
    ///
    /// Nothing shows what has come and gone since.
    Gap(usize),
    /// It starts anew, and remembers nothing.
    Restart(usize),
    /// A release that was sent reaches the API server.
    Lands(usize),
    /// The scheduler binds a pod without a gate, and its container starts.
    Bind(usize),
    /// Somebody removes the gate of a pod by hand.
    ByHand(usize),
    /// A stranger takes the gate out of the DaemonSet, or puts it there.
    StrangerGates(bool),
    /// The control plane loses a node, or finds it again.
    NodeUnreachable(usize),
    /// The user changes how many nodes are at work at once: nodes, or per cent of the wanted ones.
    Parallelism(Option<Limit>),
    MinReady(Option<i32>),
    /// Whether canaries go first.
    Order(bool),
    /// Whether nodes start in the first third of each minute alone.
    Windows(bool),
    Suspend(bool),
    /// Whether the Job stays for nodes that join.
    Never(bool),
}

/// A value of `spec.parallelism`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Limit {
    Nodes(u8),
    PerCent(u8),
}

/// A look of a process at the Job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    pub(crate) process: usize,
    /// The caches that catch up before.
    pub(crate) fresh: Kinds,
    /// The process gets no further than this many writes.
    pub(crate) cut: Option<usize>,
    /// It does not end at the cut, but never gets the answer to its last write.
    pub(crate) lives_on: bool,
    /// Its releases are on their way for a while.
    pub(crate) are_late: bool,
    /// It has written this status a moment ago, and puts progress off.
    pub(crate) puts_off: bool,
    /// It has written the status too long ago to know the version.
    pub(crate) forgets: bool,
    /// Events between two reads of a live observation.
    pub(crate) between: Vec<Event>,
}

/// Kinds of objects.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Kinds {
    pub(crate) job: bool,
    pub(crate) daemon_set: bool,
    pub(crate) pods: bool,
    pub(crate) nodes: bool,
}

impl Kinds {
    pub(crate) const ALL: Self = Self { job: true, daemon_set: true, pods: true, nodes: true };
}

/// By how many events each cache lags at most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lags {
    pub(crate) job: usize,
    pub(crate) daemon_set: usize,
    pub(crate) pods: usize,
    pub(crate) nodes: usize,
}
