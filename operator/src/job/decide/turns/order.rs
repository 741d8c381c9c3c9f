//! The order in which groups of nodes start.

use api::views::NodeView;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

/// The groups of nodes of a Job.
#[derive(Clone, Debug)]
pub(crate) struct Order(Vec<Option<Selector>>);

impl Order {
    /// Reads the groups of a spec.
    ///
    /// A selector that cannot be read matches no node: the spec is invalid then.
    pub(crate) fn new(order: &[LabelSelector]) -> Self {
        Self(order.iter().map(|selector| Selector::try_from(selector.clone()).ok()).collect())
    }

    /// Number of the groups; it is also the number of the group that comes last.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The number of the first group that `node` matches; others come last.
    pub(crate) fn group(&self, node: &NodeView) -> usize {
        let labels = node.labels();
        let matches = |selector: &Option<Selector>| {
            selector.as_ref().is_some_and(|selector| selector.matches(labels))
        };
        self.0.iter().position(matches).unwrap_or(self.len())
    }
}

#[cfg(test)]
mod tests {
    use api::views::NodeSpecView;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde_json::{Value, json};

    use super::*;

    fn node(labels: &[(&str, &str)]) -> NodeView {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let metadata = ObjectMeta { labels: Some(labels.collect()), ..ObjectMeta::default() };
        NodeView::new(metadata, NodeSpecView::default())
    }

    fn order(groups: Value) -> Order {
        Order::new(&serde_json::from_value::<Vec<LabelSelector>>(groups).unwrap())
    }

    #[test]
    fn a_node_is_in_the_first_group_that_it_matches() {
        let order = order(json!([
            {"matchLabels": {"canary": "true"}},
            {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["a", "b"]}]},
            {"matchExpressions": [{"key": "control-plane", "operator": "DoesNotExist"}]},
        ]));
        assert_eq!(order.len(), 3);
        for (labels, group) in [
            (&[("canary", "true"), ("pool", "a")][..], 0),
            (&[("canary", "false"), ("pool", "b")][..], 1),
            (&[("pool", "c")][..], 2),
            (&[][..], 2),
            (&[("control-plane", ""), ("pool", "c")][..], 3),
            (&[("control-plane", ""), ("pool", "a")][..], 1),
        ] {
            assert_eq!(order.group(&node(labels)), group, "{labels:?}");
        }
    }

    /// As everywhere in Kubernetes.
    #[test]
    fn an_empty_selector_matches_all_and_a_missing_label_is_not_in_any_set() {
        assert_eq!(order(json!([])).group(&node(&[])), 0);
        assert_eq!(order(json!([{}])).group(&node(&[])), 0);
        let not_in = order(json!([
            {"matchExpressions": [{"key": "pool", "operator": "NotIn", "values": ["a"]}]},
        ]));
        assert_eq!(not_in.group(&node(&[])), 0);
        assert_eq!(not_in.group(&node(&[("pool", "b")])), 0);
        assert_eq!(not_in.group(&node(&[("pool", "a")])), 1);
    }

    #[test]
    fn a_selector_that_cannot_be_read_matches_no_node() {
        let bad = order(json!([{"matchExpressions": [{"key": "pool", "operator": "Is"}]}]));
        assert_eq!(bad.group(&node(&[("pool", "a")])), 1);
    }
}
