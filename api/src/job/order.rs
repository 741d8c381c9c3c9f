//! Groups of nodes, by the label selectors in `spec.order`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::refusal::Refusal;

/// Operators of a requirement that has values.
const WITH_VALUES: [&str; 2] = ["In", "NotIn"];
/// Operators of a requirement that has none.
const WITHOUT_VALUES: [&str; 2] = ["Exists", "DoesNotExist"];

/// Error of two selectors.
const EQUAL: &str = "must not have two equal groups";
/// Error of the values of a requirement.
const VALUES: &str = "must be given with In and NotIn, and only with these";

/// Most groups.
const MAX_GROUPS: usize = 16;
/// Most requirements of a selector, and most labels.
const MAX_REQUIREMENTS: usize = 16;
/// Most values of a requirement.
const MAX_VALUES: usize = 64;
/// Longest key of a label: a prefix, a slash and a name.
const MAX_KEY: usize = 253 + 1 + 63;
/// Longest value of a label.
const MAX_VALUE: usize = 63;

/// The schema of the groups.
///
/// All is bounded, so that the API server takes the rules: it estimates their cost from the bounds.
pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    let distinct = "self.all(group, self.exists_one(other, other == group))";
    let rules = [Rule::new(distinct).message(EQUAL)];
    let values =
        "(has(self.values) && size(self.values) > 0) == (self.operator in ['In', 'NotIn'])";
    let value_rules = [Rule::new(values).message(VALUES).field_path(".values")];
    let operators = [WITH_VALUES, WITHOUT_VALUES].concat();
    json_schema!({
        "type": "array",
        "maxItems": MAX_GROUPS,
        "x-kubernetes-list-type": "atomic",
        "x-kubernetes-validations": rules,
        "items": {
            "description": "Label selector of the nodes of a group. All of it has to match; an empty one \
                            matches every node.",
            "type": "object",
            "x-kubernetes-map-type": "atomic",
            "properties": {
                "matchLabels": {
                    "description": "Labels that the nodes have, with these values.",
                    "type": "object",
                    "maxProperties": MAX_REQUIREMENTS,
                    "additionalProperties": {"type": "string", "maxLength": MAX_VALUE},
                },
                "matchExpressions": {
                    "description": "Requirements that the labels of the nodes meet.",
                    "type": "array",
                    "maxItems": MAX_REQUIREMENTS,
                    "x-kubernetes-list-type": "atomic",
                    "items": {
                        "description": "A requirement.",
                        "type": "object",
                        "required": ["key", "operator"],
                        "x-kubernetes-validations": value_rules,
                        "properties": {
                            "key": {
                                "description": "Key of the label.",
                                "type": "string",
                                "minLength": 1,
                                "maxLength": MAX_KEY,
                            },
                            "operator": {
                                "description": "How the label relates to the values.",
                                "type": "string",
                                "enum": operators,
                            },
                            "values": {
                                "description": "Values of the label, for In and NotIn.",
                                "type": "array",
                                "maxItems": MAX_VALUES,
                                "x-kubernetes-list-type": "atomic",
                                "items": {"type": "string", "maxLength": MAX_VALUE},
                            },
                        },
                    },
                },
            },
        },
    })
}

/// The keys of the labels that `order` names, some maybe twice.
pub fn keys(order: &[LabelSelector]) -> impl Iterator<Item = &str> {
    order.iter().flat_map(|selector| {
        let labels = selector.match_labels.iter().flatten().map(|(key, _)| key);
        let requirements = selector.match_expressions.iter().flatten();
        labels.chain(requirements.map(|requirement| &requirement.key)).map(String::as_str)
    })
}

/// The errors in `order`, with their paths below it.
pub(super) fn check(order: &[LabelSelector]) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut refuse = |path: String, message: String| refusals.push(Refusal { path, message });
    if order.len() > MAX_GROUPS {
        refuse(String::new(), format!("must have at most {MAX_GROUPS} items: {}", order.len()));
    }
    for (index, group) in order.iter().enumerate() {
        if let Some(other) = order[..index].iter().position(|other| other == group) {
            refuse(String::new(), format!("{EQUAL}: {other} and {index}"));
        }
        let requirements = group.match_expressions.iter().flatten().enumerate();
        for (number, requirement) in requirements {
            if let Err((field, message)) = check_requirement(requirement) {
                refuse(format!("[{index}].matchExpressions[{number}].{field}"), message);
            }
        }
    }
    refusals
}

/// Checks a requirement; the error has the name of the field.
fn check_requirement(requirement: &LabelSelectorRequirement) -> Result<(), (&'static str, String)> {
    let LabelSelectorRequirement { key, operator, values } = requirement;
    let with_values = WITH_VALUES.contains(&operator.as_str());
    if key.is_empty() {
        return Err(("key", "must not be empty".to_owned()));
    }
    if !with_values && !WITHOUT_VALUES.contains(&operator.as_str()) {
        let operators = [WITH_VALUES, WITHOUT_VALUES].concat().join(", ");
        return Err(("operator", format!("must be one of {operators}: {operator:?}")));
    }
    if values.as_ref().is_some_and(|values| !values.is_empty()) != with_values {
        return Err(("values", VALUES.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn order(groups: Value) -> Vec<LabelSelector> {
        serde_json::from_value(groups).unwrap()
    }

    fn refusals(groups: Value) -> Vec<String> {
        let refusals = check(&order(groups));
        refusals.into_iter().map(|Refusal { path, message }| format!("{path}: {message}")).collect()
    }

    fn requirement(operator: &str, values: &[&str]) -> Value {
        json!({"matchExpressions": [{"key": "a", "operator": operator, "values": values}]})
    }

    #[test]
    fn every_kind_of_selector_is_taken() {
        let groups = json!([
            {"matchLabels": {"canary": "true"}},
            {"matchLabels": {"canary": ""}, "matchExpressions": []},
            requirement("In", &["x", ""]),
            requirement("NotIn", &["x"]),
            requirement("Exists", &[]),
            {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]},
            {},
        ]);
        assert_eq!(refusals(groups), [""; 0]);
    }

    #[test]
    fn a_bad_requirement_is_named() {
        let groups = json!([
            {},
            {"matchExpressions": [
                {"key": "a", "operator": "Exists"},
                {"key": "a", "operator": "in", "values": ["x"]},
                {"key": "a", "operator": "In"},
                {"key": "a", "operator": "Exists", "values": ["x"]},
                {"key": "", "operator": "Exists"},
            ]},
        ]);
        let expected = [
            "[1].matchExpressions[1].operator: must be one of In, NotIn, Exists, DoesNotExist: \"in\"",
            "[1].matchExpressions[2].values: must be given with In and NotIn, and only with these",
            "[1].matchExpressions[3].values: must be given with In and NotIn, and only with these",
            "[1].matchExpressions[4].key: must not be empty",
        ];
        assert_eq!(refusals(groups), expected);
    }

    #[test]
    fn groups_that_are_equal_or_too_many_are_refused() {
        let [a, b] = ["a", "b"].map(|key| json!({"matchLabels": {key: "1"}}));
        let message = ": must not have two equal groups: 0 and 2";
        assert_eq!(refusals(json!([a, b, a])), [message]);
        let many: Vec<_> =
            (0..17).map(|number| json!({"matchLabels": {"a": number.to_string()}})).collect();
        assert_eq!(refusals(json!(many)), [": must have at most 16 items: 17"]);
    }

    #[test]
    fn keys_are_those_of_labels_and_requirements() {
        let groups = order(json!([
            {"matchLabels": {"a": "1", "b": "1"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]},
            {},
            {"matchLabels": {"a": "2"}},
        ]));
        assert_eq!(keys(&groups).collect::<Vec<_>>(), ["a", "b", "c", "a"]);
    }
}
