//! Checks the fields that say which nodes start when, and when the Job completes.

use super::field::{InvalidField, at_least, optional};
use crate::job::{
    order,
    parallelism::Parallelism,
    refusal::Refusal,
    schedule::{Schedule, time_zone},
    spec::{CompletionPolicy, JobSpec, MAX_WINDOWS, NOT_WITH_NEVER, Window},
};

/// Adds the invalid ones of these fields.
pub(super) fn check(spec: &JobSpec, invalid: &mut Vec<InvalidField>) {
    let mut check = |field: String, result: Result<(), String>| {
        invalid.extend(result.err().map(|message| InvalidField { field, message }));
    };
    let parallelism =
        spec.parallelism.as_ref().map_or(Ok(()), |it| Parallelism::parse(it).map(drop));
    check("spec.parallelism".to_owned(), parallelism);
    let seconds = optional(spec.min_ready_seconds, |seconds| at_least(0, seconds.into()));
    check("spec.minReadySeconds".to_owned(), seconds);
    for Refusal { path, message } in order::check(&spec.order) {
        check(format!("spec.order{path}"), Err(message));
    }
    check("spec.windows".to_owned(), at_most(spec.windows.len()));
    for (index, window) in spec.windows.iter().enumerate() {
        let Window { schedule, duration_seconds, time_zone: zone } = window;
        let field = |name: &str| format!("spec.windows[{index}].{name}");
        check(field("schedule"), Schedule::parse(schedule).map(drop));
        check(field("durationSeconds"), at_least(1, *duration_seconds));
        check(field("timeZone"), time_zone(zone.as_deref()).map(drop));
    }
    if spec.completion_policy == CompletionPolicy::Never {
        let unset = |value: Option<i64>| match value {
            Some(seconds) => Err(format!("{NOT_WITH_NEVER}: {seconds}")),
            None => Ok(()),
        };
        check("spec.activeDeadlineSeconds".to_owned(), unset(spec.active_deadline_seconds));
        check("spec.ttlSecondsAfterFinished".to_owned(), unset(spec.ttl_seconds_after_finished));
    }
}

fn at_most(items: usize) -> Result<(), String> {
    if items > MAX_WINDOWS {
        return Err(format!("must have at most {MAX_WINDOWS} items: {items}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::job::validation::validate;

    /// The message about a spec with these fields.
    fn message(fields: Value) -> String {
        let mut spec = json!({"image": "busybox"});
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let spec = serde_json::from_value(spec).unwrap();
        validate(&spec).map_or_else(|error| error.to_string(), |()| String::new())
    }

    fn window(schedule: &str, duration: i64, zone: Option<&str>) -> Value {
        json!({"schedule": schedule, "durationSeconds": duration, "timeZone": zone})
    }

    #[test]
    fn what_can_be_meant_is_taken() {
        let specs = [
            json!({"parallelism": 0}),
            json!({"parallelism": "10%", "minReadySeconds": 0, "suspend": true}),
            json!({"order": [{"matchLabels": {"canary": "true"}}, {}]}),
            json!({"windows": [window("0 22 * * 1-5", 14400, Some("Europe/Berlin")), window("@daily", 1, None)]}),
            json!({"completionPolicy": "Never"}),
            json!({"completionPolicy": "Always", "activeDeadlineSeconds": 1}),
        ];
        for spec in specs {
            assert_eq!(message(spec.clone()), "", "{spec}");
        }
    }

    #[test]
    fn each_bad_field_is_named() {
        let windows = |bad: Value| json!({"windows": [window("@daily", 1, None), bad]});
        let many: Vec<_> = (0..17).map(|_| window("@daily", 1, None)).collect();
        let never = json!({
            "completionPolicy": "Never", "activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 0,
        });
        let table = [
            (
                json!({"parallelism": -1}),
                "spec.parallelism: must be a number from 0, or per cent from 0% to 100%: -1",
            ),
            (
                json!({"parallelism": "10"}),
                "spec.parallelism: must be a number from 0, or per cent from 0% to 100%: \"10\"",
            ),
            (json!({"minReadySeconds": -1}), "spec.minReadySeconds: must be at least 0: -1"),
            (json!({"order": [{}, {}]}), "spec.order: must not have two equal groups: 0 and 1"),
            (
                json!({"order": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]}),
                "spec.order[0].matchExpressions[0].operator: must be one of In, NotIn, Exists, \
                 DoesNotExist: \"Is\"",
            ),
            (json!({"windows": many}), "spec.windows: must have at most 16 items: 17"),
            (
                windows(window("0 22 * *", 1, None)),
                "spec.windows[1].schedule: must have five fields, or be a name such as @daily: \
                 \"0 22 * *\"",
            ),
            (
                windows(window("0 24 * * *", 1, None)),
                "spec.windows[1].schedule: the hour must be 0 to 23: \"24\"",
            ),
            (
                windows(window("@daily", 0, None)),
                "spec.windows[1].durationSeconds: must be at least 1: 0",
            ),
            (
                windows(window("@daily", 1, Some("Europe/Berln"))),
                "spec.windows[1].timeZone: unknown time zone: \"Europe/Berln\"",
            ),
            (
                never,
                "spec.activeDeadlineSeconds: must not be set with completionPolicy Never: 60; \
                 spec.ttlSecondsAfterFinished: must not be set with completionPolicy Never: 0",
            ),
        ];
        for (spec, expected) in table {
            assert_eq!(message(spec.clone()), expected, "{spec}");
        }
    }
}
