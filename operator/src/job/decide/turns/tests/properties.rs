//! What holds for any look, checked against simple words of it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// The pods of a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pods {
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

    fn may_work(self) -> bool {
        matches!(
            self,
            Self::Running | Self::Failed | Self::Leaving | Self::Earlier | Self::EarlierDaemonSet
        )
    }

    fn is_earlier(self) -> bool {
        matches!(self, Self::Leaving | Self::Earlier | Self::EarlierDaemonSet)
    }

    /// Whether it starts work when it is released.
    fn waits(self) -> bool {
        matches!(self, Self::Waiting | Self::EarlierDaemonSet)
    }
}

/// What the status says of a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Record {
    None,
    Started,
    Stopping,
    Completed,
    CompletedAndStarted,
    FailedAndStarted,
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
struct Node {
    name: String,
    pods: Pods,
    record: Record,
    group: usize,
    is_reachable: bool,
    exists: bool,
}

/// A look at some nodes, and the nodes.
#[derive(Clone, Debug)]
struct Case {
    nodes: Vec<Node>,
    scene: Scene,
}

fn node() -> impl Strategy<Value = Node> {
    let exists = prop::bool::weighted(0.9);
    let reachable = prop::bool::weighted(0.9);
    (prop::sample::select(&Pods::ALL[..]), prop::sample::select(&RECORDS[..]), 0..3_usize, reachable, exists)
        .prop_map(|(pods, record, group, is_reachable, exists)| Node {
            name: String::new(),
            pods,
            record,
            group,
            is_reachable,
            exists,
        })
}

fn case() -> impl Strategy<Value = Case> {
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
            use Record::*;
            let scene = scene.status(|status| {
                status.started_nodes =
                    Some(of(|it| matches!(it, Started | CompletedAndStarted | FailedAndStarted)));
                status.stopping_nodes = Some(of(|it| it == Stopping)).filter(|it| !it.is_empty());
                status.completed_nodes =
                    Some(of(|it| matches!(it, Completed | CompletedAndStarted))).filter(|it| !it.is_empty());
                status.failed_nodes =
                    Some(of(|it| it == FailedAndStarted)).filter(|it| !it.is_empty());
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

fn has(set: Option<&NodeSet>, node: &Node) -> bool {
    set.is_some_and(|set| set.contains(&format!("uid-of-{}", node.name)))
}

impl Case {
    /// What is done in the end, and whether that was decided live.
    fn look(&self) -> (Actions, bool) {
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

    fn limit(&self) -> usize {
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
    fn places(&self, status: &JobStatus) -> usize {
        let holds = |node: &&Node| {
            has(status.started_nodes.as_ref(), node)
                || has(status.stopping_nodes.as_ref(), node)
                || node.pods.may_work()
        };
        self.nodes.iter().filter(holds).count()
    }

    /// Whether later groups wait for `node`.
    fn holds_later(&self, node: &Node, status: &JobStatus) -> bool {
        let is_done = node.pods == Pods::Done || has(status.completed_nodes.as_ref(), node);
        let has_failed = node.pods == Pods::Failed || has(status.failed_nodes.as_ref(), node);
        let tolerates = self.scene.job.spec.max_failed_nodes.is_some();
        let is_through =
            is_done && !has(status.started_nodes.as_ref(), node) || has_failed && tolerates;
        let stays = !matches!(node.pods, Pods::None | Pods::Leaving | Pods::Earlier);
        stays && node.exists && !is_through
    }

    fn may_start(&self, node: &Node, status: &JobStatus) -> bool {
        node.pods == Pods::Waiting
            && node.exists
            && node.is_reachable
            && !has(status.completed_nodes.as_ref(), node)
            && !has(status.failed_nodes.as_ref(), node)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn nodes_enter_and_leave_the_ledger_as_the_rules_say(case in case()) {
        let before = case.scene.job.status.clone().unwrap();
        let (act, is_live) = case.look();
        let after = &act.status;
        if conditions::finished(&after.conditions).is_some() {
            prop_assert_eq!(&after.started_nodes, &before.started_nodes);
            prop_assert_eq!(act.releases, vec![]);
            return Ok(());
        }
        let groups = case.scene.job.spec.order.len();
        let was = |node: &Node| has(before.started_nodes.as_ref(), node);
        let is = |node: &Node| has(after.started_nodes.as_ref(), node);
        let grown: Vec<_> = case.nodes.iter().filter(|node| !was(node) && is(node)).collect();
        if !grown.is_empty() {
            prop_assert!(case.places(after) <= case.limit(), "{grown:?}");
            let failed = case.nodes.iter().filter(|node| {
                node.pods == Pods::Failed && !has(before.completed_nodes.as_ref(), node)
                    || node.pods != Pods::None && has(before.failed_nodes.as_ref(), node)
            });
            let failed = failed.filter(|node| node.exists);
            let failed = i32::try_from(failed.count()).unwrap();
            let max = case.scene.job.spec.max_failed_nodes;
            prop_assert!(max.is_none_or(|max| failed <= max) , "too many failed");
        }
        for node in &grown {
            prop_assert!(case.may_start(node, &before), "{node:?}");
            prop_assert!(!has(after.stopping_nodes.as_ref(), node), "{node:?}");
            let group = node.group.min(groups);
            for earlier in case.nodes.iter().filter(|other| other.group.min(groups) < group) {
                prop_assert!(!case.holds_later(earlier, after), "{earlier:?} before {node:?}");
            }
        }
        for node in case.nodes.iter().filter(|node| was(node) && !is(node)) {
            let is_done = has(after.completed_nodes.as_ref(), node);
            let is_gone = is_live && (node.pods == Pods::None || !node.exists);
            prop_assert!(is_done || is_gone, "{node:?}");
        }
        for node in &case.nodes {
            let has_left = has(before.stopping_nodes.as_ref(), node)
                && !has(after.stopping_nodes.as_ref(), node);
            let has_stopped = !node.pods.is_earlier() || !node.exists && is_live;
            prop_assert!(!has_left || has_stopped, "{node:?}");
        }
    }

    #[test]
    fn exactly_the_pods_of_started_nodes_that_wait_are_released(case in case()) {
        let (act, is_live) = case.look();
        if conditions::finished(&act.status.conditions).is_some() {
            return Ok(());
        }
        let released: BTreeSet<_> = act.releases.iter().map(|it| it.node.as_str()).collect();
        for node in &case.nodes {
            let expected = node.pods.waits()
                && node.exists
                && has(act.status.started_nodes.as_ref(), node)
                && !has(act.status.completed_nodes.as_ref(), node)
                && !has(act.status.failed_nodes.as_ref(), node);
            prop_assert_eq!(released.contains(node.name.as_str()), expected, "{:?} {}", node, is_live);
        }
    }

    #[test]
    fn no_place_stays_free_while_a_node_could_start(case in case()) {
        let before = case.scene.job.status.clone().unwrap();
        let (act, _) = case.look();
        let spec = &case.scene.job.spec;
        let waits = conditions::find(&act.status.conditions, WAITING).and_then(Reason::of);
        let may_start = !matches!(waits, Some(Reason::Paused | Reason::TooManyFailed));
        let is_over = conditions::finished(&act.status.conditions).is_some();
        // The pods of a node that is gone cannot be told from those of others: it may hold two places.
        let is_gone = |node: &Node| !node.exists && node.record != Record::None;
        let is_vague = !spec.order.is_empty() || case.nodes.iter().any(is_gone);
        if is_over || !may_start || is_vague {
            return Ok(());
        }
        let free = case.limit().saturating_sub(case.places(&act.status));
        let left = case.nodes.iter().filter(|node| {
            case.may_start(node, &before)
                && !has(act.status.started_nodes.as_ref(), node)
                && !has(act.status.stopping_nodes.as_ref(), node)
        });
        prop_assert!(free == 0 || left.count() == 0);
    }

    #[test]
    fn a_second_look_at_the_same_changes_nothing(case in case()) {
        let (first, is_live) = case.look();
        let mut again = case;
        again.scene.job.status = Some(first.status.clone());
        if conditions::finished(&first.status.conditions).is_some() {
            return Ok(());
        }
        let source = if is_live { Source::Live } else { Source::Caches };
        again.scene.source = source;
        let (second, is_second_live) = again.look();
        if is_second_live != is_live {
            return Ok(());
        }
        prop_assert_eq!(first.status, second.status);
        prop_assert_eq!(first.releases, second.releases);
    }
}
