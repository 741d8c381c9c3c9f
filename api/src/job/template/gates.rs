//! Scheduling gates in a template: those of others are merged, the operator's own are refused.

use kube::core::Rule;
use serde_json::{Value, json};

use crate::{
    job::refusal::{Refusal, belongs_to_operator, forbidden, must_not_be_set},
    labels,
};

/// The field of a pod's spec.
const FIELD: &str = "schedulingGates";

/// Most gates: the API server estimates the cost of the rule by that.
const MAX_GATES: usize = 64;

/// The schema of the gates, with the names that the rule reads.
pub(super) fn schema() -> (String, Value) {
    let name = json!({"description": "Name of the gate.", "type": "string", "nullable": true});
    let schema = json!({
        "description": "Scheduling gates of the pods, besides the operator's own.",
        "type": "array",
        "nullable": true,
        "maxItems": MAX_GATES,
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"name": name},
        },
    });
    (FIELD.to_owned(), schema)
}

/// The rule of the pod's spec about its gates.
pub(super) fn rule() -> Rule {
    let is_foreign = format!("!has(gate.name) || !gate.name.startsWith('{}')", labels::GROUP);
    let rule = format!("!has(self.{FIELD}) || self.{FIELD}.all(gate, {is_foreign})");
    forbidden(rule, &belongs_to_operator()).field_path(format!(".{FIELD}"))
}

/// Refuses the operator's own gates: it would take them for those that it has set.
pub(super) fn check(template: &Value) -> Result<(), Refusal> {
    let gates = template.get("spec").and_then(|spec| spec.get(FIELD)?.as_array());
    let names = gates.into_iter().flatten().filter_map(|gate| gate.get("name")?.as_str());
    match names.into_iter().any(|name| name.starts_with(labels::GROUP)) {
        true => Err(must_not_be_set(format!("spec.{FIELD}"), &belongs_to_operator())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_of_others_are_taken_and_our_own_is_refused() {
        let with = |names: &[&str]| {
            let gates: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
            json!({"spec": {"schedulingGates": gates}})
        };
        assert_eq!(check(&with(&[])), Ok(()));
        assert_eq!(check(&with(&["example.com/quota"])), Ok(()));
        assert_eq!(check(&json!({"spec": {"schedulingGates": null}})), Ok(()));
        let message =
            "must not be set: what begins with daemonset.darkowlzz.space belongs to the operator";
        let refusal =
            Refusal { path: "spec.schedulingGates".to_owned(), message: message.to_owned() };
        assert_eq!(check(&with(&["example.com/quota", labels::TURN_GATE])), Err(refusal));
    }
}
