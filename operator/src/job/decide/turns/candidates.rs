//! The nodes whose turn it may be.

use api::job::JobSpec;

use super::{ledger::Ledger, look::Look, order::Order};
use crate::job::decide::nodes::{NodeWork, WorkState};

/// The nodes whose turn it may be.
#[derive(Debug)]
pub(super) struct Candidates<'l> {
    /// Those of the first group that is not through.
    pub(super) nodes: Vec<&'l NodeWork<'l>>,
    /// Why those of later groups have to wait, if there are any.
    pub(super) later: Option<EarlierGroup<'l>>,
}

/// A group that is not through.
#[derive(Debug)]
pub(super) struct EarlierGroup<'l> {
    /// Number of the group; none: some nodes that may be in an earlier group hold no pod yet.
    pub(super) number: Option<usize>,
    /// Nodes of the group that have failed.
    pub(super) failed: Vec<&'l str>,
    /// Nodes of the group that are unreachable.
    pub(super) unreachable: Vec<&'l str>,
}

impl<'l> Candidates<'l> {
    /// The candidates of this look.
    pub(super) fn new(look: &Look<'l>, ledger: &Ledger) -> Self {
        let candidates = look.nodes.iter().filter(|node| is_candidate(look, node, ledger));
        if look.spec().order.is_empty() {
            return Self { nodes: candidates.collect(), later: None };
        }
        let order = Order::new(&look.spec().order);
        // A node that is not known may be in any group.
        let group = |node: &NodeWork<'_>| node.node.map_or(0, |node| order.group(node));
        let open = look.staying().filter(|node| !is_through(look.spec(), node, ledger));
        let open: Vec<_> = open.map(|node| (group(node), node)).collect();
        let first = open.iter().map(|(group, _)| *group).min().unwrap_or(order.len());
        let is_known = first == 0 || look.is_complete();
        let of = |node: &&NodeWork<'_>| is_known && group(node) == first;
        let (nodes, later): (Vec<_>, Vec<_>) = candidates.partition(of);
        let names = |is: fn(&NodeWork<'_>) -> bool| {
            let of_group = open.iter().filter(|(group, node)| *group == first && is(node));
            let mut names: Vec<_> = of_group.map(|(_, node)| node.name).collect();
            names.sort_unstable();
            names
        };
        let later = (!later.is_empty()).then(|| EarlierGroup {
            number: is_known.then_some(first),
            failed: names(|node| node.state == WorkState::Failed),
            unreachable: names(|node| node.node.is_some_and(|node| node.is_unreachable())),
        });
        Self { nodes, later }
    }
}

/// The first `number` of `nodes` by name.
pub(super) fn first<'l>(mut nodes: Vec<&'l NodeWork<'l>>, number: usize) -> Vec<&'l NodeWork<'l>> {
    let by_name = |a: &&NodeWork<'_>, b: &&NodeWork<'_>| a.name.cmp(b.name);
    if number < nodes.len() {
        nodes.select_nth_unstable_by(number, by_name);
        nodes.truncate(number);
    }
    nodes.sort_unstable_by(by_name);
    nodes
}

/// Whether `node` could start now, if it were its turn.
fn is_candidate(look: &Look<'_>, node: &NodeWork<'_>, ledger: &Ledger) -> bool {
    node.state == WorkState::Waiting
        && !look.earlier.contains(node.name)
        && node.turn.waiting.is_some_and(|pod| !pod.spec.gates.others)
        && node.node.is_some_and(|node| !node.is_unreachable())
        && node.member.is_some_and(|member| !ledger.holds(member))
}

/// Whether later groups need not wait for `node`.
fn is_through(spec: &JobSpec, node: &NodeWork<'_>, ledger: &Ledger) -> bool {
    match node.state {
        WorkState::Completed => !node.member.is_some_and(|member| ledger.started.contains(member)),
        WorkState::Failed => spec.max_failed_nodes.is_some(),
        WorkState::Active(_) | WorkState::Waiting => false,
        WorkState::Gone => true,
    }
}
