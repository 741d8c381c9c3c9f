//! What holds for any look, checked against simple words of it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    cases::{Node, Pods, Record, case, has},
    *,
};

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
        prop_assert_eq!(&first.status, &second.status);
        let pods = |actions: &Actions| -> Vec<String> {
            actions.releases.iter().map(|release| release.uid.clone()).collect()
        };
        prop_assert_eq!(pods(&first), pods(&second));
        prop_assert!(second.releases.iter().all(|release| release.is_repeated));
    }
}
