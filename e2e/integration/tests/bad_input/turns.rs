//! Bad values of the fields that say which nodes start when, and when a Job completes.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::Refused;
use crate::test::{Test, shared_test};

pub(super) fn refused_at_apply() -> Vec<Refused> {
    let parallelism = "must be a number from 0, or per cent from 0% to 100%";
    let values = "must be given with In and NotIn, and only with these";
    let requirement = |operator: &str, values: Value| {
        let requirement = json!({"key": "pool", "operator": operator, "values": values});
        json!([{"matchExpressions": [requirement]}])
    };
    let group = |number: usize| json!({"matchLabels": {"pool": number.to_string()}});
    let groups = |numbers: Vec<usize>| json!(numbers.into_iter().map(group).collect::<Vec<_>>());
    let window =
        |schedule: &str, seconds: i64| json!({"schedule": schedule, "durationSeconds": seconds});
    let windows = |number: usize| json!(vec![window("@daily", 60); number]);
    vec![
        ("spec.parallelism", json!(-1), parallelism),
        ("spec.parallelism", json!(3_000_000_000_i64), parallelism),
        ("spec.parallelism", json!(""), parallelism),
        ("spec.parallelism", json!("10"), parallelism),
        ("spec.parallelism", json!("-10%"), parallelism),
        ("spec.parallelism", json!("101%"), parallelism),
        ("spec.parallelism", json!("1.5%"), parallelism),
        ("spec.parallelism", json!("ten"), parallelism),
        ("spec.parallelism", json!(1.5), "type integer,string"),
        ("spec.parallelism", json!([1]), "type integer,string"),
        ("spec.minReadySeconds", json!(-1), "equal to 0"),
        ("spec.minReadySeconds", json!("5m"), "type integer"),
        ("spec.order", json!("canary"), "type array"),
        ("spec.order[0]", json!(["canary"]), "type object"),
        ("spec.order", groups((0..17).collect()), "at most 16 items"),
        ("spec.order", groups(vec![1, 2, 1]), "must not have two equal groups"),
        ("spec.order", json!([{}, {}]), "must not have two equal groups"),
        ("spec.order[0].matchLabels.a", json!([{"matchLabels": {"a": true}}]), "type string"),
        ("spec.order[0].matchExpressions[0].operator", requirement("Is", json!(["a"])), "\"In\""),
        ("spec.order[0].matchExpressions[0].values", requirement("In", json!([])), values),
        ("spec.order[0].matchExpressions[0].values", requirement("NotIn", Value::Null), values),
        ("spec.order[0].matchExpressions[0].values", requirement("Exists", json!(["a"])), values),
        (
            "spec.order[0].matchExpressions[0].key",
            json!([{"matchExpressions": [{"operator": "Exists"}]}]),
            "Required value",
        ),
        ("spec.windows", windows(17), "at most 16 items"),
        ("spec.windows[0].schedule", json!([window("", 60)]), "at least 1 chars"),
        ("spec.windows[0].durationSeconds", json!([window("@daily", 0)]), "equal to 1"),
        ("spec.windows[0].durationSeconds", json!([{"schedule": "@daily"}]), "Required value"),
        (
            "spec.windows[0].timeZone",
            json!([{"schedule": "@daily", "durationSeconds": 60, "timeZone": ""}]),
            "at least 1 chars",
        ),
        ("spec.completionPolicy", json!("Sometimes"), "\"Never\""),
    ]
}

/// Windows that the schema lets in, the field that the condition names, and what it says of the value.
pub(super) fn refused_windows() -> Vec<(Value, &'static str, &'static str)> {
    let in_zone = |schedule: &str, zone: &str| {
        let good = json!({"schedule": "@daily", "durationSeconds": 1, "timeZone": "Asia/Tokyo"});
        let bad = json!({"schedule": schedule, "durationSeconds": 60, "timeZone": zone});
        json!({"windows": [good, bad]})
    };
    let at = |schedule: &str| in_zone(schedule, "UTC");
    let (schedule, zone) = ("spec.windows[1].schedule", "spec.windows[1].timeZone");
    let fields = "must have five fields, or be a name such as @daily: ";
    vec![
        (at("0 24 * * *"), schedule, "the hour must be 0 to 23: \"24\""),
        (at("61 0 * * *"), schedule, "the minute must be 0 to 59: \"61\""),
        (
            at("0 0 * * mond"),
            schedule,
            "the day of the week must be 0 to 7 or sun to sat: \"mond\"",
        ),
        (at("0 0 0 22 * *"), schedule, fields),
        (at("TZ=Europe/Berlin 0 22 * * *"), schedule, fields),
        (at("0 0 31 2 *"), schedule, "never fires: \"0 0 31 2 *\""),
        (in_zone("@daily", "Europe/Berln"), zone, "unknown time zone: \"Europe/Berln\""),
        (in_zone("@daily", "Local"), zone, "unknown time zone: \"Local\""),
    ]
}

/// Two fields that cannot be meant together, and what is said of the second.
#[apply(shared_test)]
async fn limits_of_time_are_refused_on_a_job_that_never_completes_or_stays(
    cx: &Test,
) -> Result<()> {
    for (policy, bad, good, field) in [
        ("completionPolicy", "Never", "Always", "activeDeadlineSeconds"),
        ("completionPolicy", "Never", "Always", "ttlSecondsAfterFinished"),
        ("deletionPolicy", "Retain", "Delete", "ttlSecondsAfterFinished"),
    ] {
        cx.dry_run(&json!({"image": "a", policy: bad})).await?;
        cx.dry_run(&json!({"image": "a", policy: good, field: 60})).await?;
        let refused = cx.dry_run(&json!({"image": "a", policy: bad, field: 60})).await;
        let Err(kube::Error::Api(refused)) = refused else { bail!("{field}: {refused:?}") };
        for said in [format!("spec.{field}"), format!("must not be set with {policy} {bad}")] {
            ensure!(refused.message.contains(&said), "{}", refused.message);
        }
    }
    let stays = json!({"image": "a", "deletionPolicy": "Retain", "suspend": true});
    cx.dry_run(&stays).await?;
    cx.dry_run(&json!({"image": "a", "deletionPolicy": "Retain", "completionPolicy": "Never"}))
        .await?;
    Ok(())
}
