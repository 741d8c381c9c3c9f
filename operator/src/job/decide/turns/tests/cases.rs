//! Random looks at a few nodes, and simple words for what may happen to these.

use proptest::prelude::*;

use super::*;

/// The pods of a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pods {
    None,
    Waiting,
    /// It waits for others as well.
    Foreign,
    Running,
    Done,
    Failed,
    Leaving,
    Earlier,
    EarlierDaemonSet,
}

impl Pods {
    const ALL: [Self; 9] = [
        Self::None,
        Self::Waiting,
        Self::Foreign,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Leaving,
        Self::Earlier,
        Self::EarlierDaemonSet,
    ];

    fn build(self, node: &str) -> Vec<Arc<PodView>> {
        let stray = || pod(node).owner("ds-0").of_job("job-1").identity("stray", "1").build();
        match self {
            Self::None => vec![],
            Self::Waiting => vec![pod(node).gated().build()],
            Self::Foreign => {
                let mut pod = (*pod(node).gated().build()).clone();
                pod.spec.gates.others = true;
                vec![Arc::new(pod)]
            }
            Self::Running => vec![pod(node).build()],
            Self::Done => vec![pod(node).done().build()],
            Self::Failed => vec![failed(node).build()],
            Self::Leaving => vec![pod(node).deleted().build()],
            Self::Earlier => vec![earlier(node).deleted().build()],
            Self::EarlierDaemonSet => vec![stray(), pod(node).gated().build()],
        }
    }

    pub(super) fn may_work(self) -> bool {
        matches!(
            self,
            Self::Running | Self::Failed | Self::Leaving | Self::Earlier | Self::EarlierDaemonSet
        )
    }

    pub(super) fn is_earlier(self) -> bool {
        matches!(self, Self::Leaving | Self::Earlier | Self::EarlierDaemonSet)
    }

    /// Whether it starts work when it is released.
    pub(super) fn waits(self) -> bool {
        matches!(self, Self::Waiting | Self::EarlierDaemonSet)
    }
}

/// What the status says of a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Record {
    None,
    Started,
    Stopping,
    Completed,
    CompletedAndStarted,
    FailedAndStarted,
}

impl Record {
    fn is_started(self) -> bool {
        matches!(self, Self::Started | Self::CompletedAndStarted | Self::FailedAndStarted)
    }

    fn is_completed(self) -> bool {
        matches!(self, Self::Completed | Self::CompletedAndStarted)
    }
}

const RECORDS: [Record; 6] = [
    Record::None,
    Record::Started,
    Record::Stopping,
    Record::Completed,
    Record::CompletedAndStarted,
    Record::FailedAndStarted,
];

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) pods: Pods,
    pub(super) record: Record,
    pub(super) group: usize,
    pub(super) is_reachable: bool,
    pub(super) exists: bool,
}

/// A look at some nodes, and the nodes.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) nodes: Vec<Node>,
    pub(super) scene: Scene,
}

fn node() -> impl Strategy<Value = Node> {
    let exists = prop::bool::weighted(0.9);
    let reachable = prop::bool::weighted(0.9);
    (
        prop::sample::select(&Pods::ALL[..]),
        prop::sample::select(&RECORDS[..]),
        0..3_usize,
        reachable,
        exists,
    )
        .prop_map(|(pods, record, group, is_reachable, exists)| Node {
            name: String::new(),
            pods,
            record,
            group,
            is_reachable,
            exists,
        })
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let parallelism = prop_oneof![
        Just(None),
        (0..4).prop_map(|nodes| Some(IntOrString::Int(nodes))),
        (0..101).prop_map(|per_cent| Some(IntOrString::String(format!("{per_cent}%")))),
    ];
    let nodes = prop::collection::vec(node(), 0..7);
    (nodes, parallelism, 0..3_usize, prop::option::of(0..3), any::<bool>(), any::<bool>()).prop_map(
        |(mut nodes, parallelism, groups, max_failed, is_live, has_all)| {
            for (number, node) in nodes.iter_mut().enumerate() {
                node.name = format!("n{number}");
            }
            let mut scene = Scene::new(&[]);
            scene.job.spec.parallelism = parallelism;
            scene.job.spec.max_failed_nodes = max_failed;
            scene.source = if is_live { Source::Live } else { Source::Caches };
            let group = |number| json!({"matchLabels": {"group": format!("{number}")}});
            let mut scene = scene.order((0..groups).map(group).collect());
            for node in &nodes {
                scene.pods.extend(node.pods.build(&node.name));
                if node.exists {
                    scene.nodes.push(view(node));
                }
            }
            let staying = nodes.iter().filter(|node| node.pods != Pods::None).count();
            let wanted = if has_all { staying } else { nodes.len() };
            scene.wanted = i32::try_from(wanted).unwrap();
            let of = |is: fn(Record) -> bool| {
                let nodes = nodes.iter().filter(|node| is(node.record));
                set(&nodes.map(|node| node.name.as_str()).collect::<Vec<_>>())
            };
            let some = |nodes: NodeSet| Some(nodes).filter(|nodes| !nodes.is_empty());
            let scene = scene.status(|status| {
                status.started_nodes = Some(of(Record::is_started));
                status.stopping_nodes = some(of(|it| it == Record::Stopping));
                status.completed_nodes = some(of(Record::is_completed));
                status.failed_nodes = some(of(|it| it == Record::FailedAndStarted));
            });
            Case { nodes, scene }
        },
    )
}

fn view(node: &Node) -> Arc<NodeView> {
    let mut view = match node.is_reachable {
        true => (*fixtures::node(&node.name)).clone(),
        false => (*fixtures::unreachable_node(&node.name)).clone(),
    };
    view.metadata.labels = Some([("group".to_owned(), node.group.to_string())].into());
    Arc::new(view)
}

pub(super) fn has(set: Option<&NodeSet>, node: &Node) -> bool {
    set.is_some_and(|set| set.contains(&format!("uid-of-{}", node.name)))
}

impl Case {
    /// What is done in the end, and whether that was decided live.
    pub(super) fn look(&self) -> (Actions, bool) {
        match self.scene.decide() {
            Decision::Act(actions) => (*actions, self.scene.source == Source::Live),
            Decision::ObserveLive => {
                assert_eq!(self.scene.source, Source::Caches, "there is nothing newer");
                let live = Scene { source: Source::Live, ..self.scene.clone() };
                (live.look(), true)
            }
            Decision::Nothing => panic!("nobody deletes the Job"),
        }
    }

    pub(super) fn limit(&self) -> usize {
        let wanted = usize::try_from(self.scene.wanted).unwrap();
        match &self.scene.job.spec.parallelism {
            None => usize::MAX,
            Some(IntOrString::Int(nodes)) => usize::try_from(*nodes).unwrap(),
            Some(IntOrString::String(text)) => {
                let per_cent: usize = text.trim_end_matches('%').parse().unwrap();
                (wanted * per_cent).div_ceil(100)
            }
        }
    }

    /// Number of nodes that hold a place by this status.
    pub(super) fn places(&self, status: &JobStatus) -> usize {
        let holds = |node: &&Node| {
            has(status.started_nodes.as_ref(), node)
                || has(status.stopping_nodes.as_ref(), node)
                || node.pods.may_work()
        };
        self.nodes.iter().filter(holds).count()
    }

    /// Whether later groups wait for `node`.
    pub(super) fn holds_later(&self, node: &Node, status: &JobStatus) -> bool {
        let is_done = node.pods == Pods::Done || has(status.completed_nodes.as_ref(), node);
        let has_failed = node.pods == Pods::Failed || has(status.failed_nodes.as_ref(), node);
        let tolerates = self.scene.job.spec.max_failed_nodes.is_some();
        let is_through =
            is_done && !has(status.started_nodes.as_ref(), node) || has_failed && tolerates;
        let stays = !matches!(node.pods, Pods::None | Pods::Leaving | Pods::Earlier);
        stays && node.exists && !is_through
    }

    pub(super) fn may_start(&self, node: &Node, status: &JobStatus) -> bool {
        node.pods == Pods::Waiting
            && node.exists
            && node.is_reachable
            && !has(status.completed_nodes.as_ref(), node)
            && !has(status.failed_nodes.as_ref(), node)
    }
}
