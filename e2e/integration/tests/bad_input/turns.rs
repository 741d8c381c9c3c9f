//! Bad values of the fields that say which nodes start when, and when a Job completes.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::{Refused, failed_condition};
use crate::job::manifest;
use crate::test::{Test, shared_test};

/// A field, a bad value for it, the path that `kubectl apply` names, and what it says of the value.
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
        ("parallelism", json!(-1), "spec.parallelism", parallelism),
        ("parallelism", json!(3_000_000_000_i64), "spec.parallelism", parallelism),
        ("parallelism", json!(""), "spec.parallelism", parallelism),
        ("parallelism", json!("10"), "spec.parallelism", parallelism),
        ("parallelism", json!("-10%"), "spec.parallelism", parallelism),
        ("parallelism", json!("101%"), "spec.parallelism", parallelism),
        ("parallelism", json!("1.5%"), "spec.parallelism", parallelism),
        ("parallelism", json!("ten"), "spec.parallelism", parallelism),
        ("parallelism", json!(1.5), "spec.parallelism", "type integer,string"),
        ("parallelism", json!([1]), "spec.parallelism", "type integer,string"),
        ("minReadySeconds", json!(-1), "spec.minReadySeconds", "equal to 0"),
        ("minReadySeconds", json!("5m"), "spec.minReadySeconds", "type integer"),
        ("order", json!("canary"), "spec.order", "type array"),
        ("order", json!(["canary"]), "spec.order[0]", "type object"),
        ("order", groups((0..17).collect()), "spec.order", "at most 16 items"),
        ("order", groups(vec![1, 2, 1]), "spec.order", "must not have two equal groups"),
        ("order", json!([{}, {}]), "spec.order", "must not have two equal groups"),
        (
            "order",
            json!([{"matchLabels": {"a": true}}]),
            "spec.order[0].matchLabels.a",
            "type string",
        ),
        ("order", requirement("Is", json!(["a"])), "matchExpressions[0].operator", "\"In\""),
        ("order", requirement("In", json!([])), "matchExpressions[0].values", values),
        ("order", requirement("NotIn", Value::Null), "matchExpressions[0].values", values),
        ("order", requirement("Exists", json!(["a"])), "matchExpressions[0].values", values),
        (
            "order",
            json!([{"matchExpressions": [{"operator": "Exists"}]}]),
            "spec.order[0].matchExpressions[0].key",
            "Required value",
        ),
        ("windows", windows(17), "spec.windows", "at most 16 items"),
        ("windows", json!([window("", 60)]), "spec.windows[0].schedule", "at least 1 chars"),
        ("windows", json!([window("@daily", 0)]), "spec.windows[0].durationSeconds", "equal to 1"),
        (
            "windows",
            json!([{"schedule": "@daily"}]),
            "spec.windows[0].durationSeconds",
            "Required value",
        ),
        (
            "windows",
            json!([{"schedule": "@daily", "durationSeconds": 60, "timeZone": ""}]),
            "spec.windows[0].timeZone",
            "at least 1 chars",
        ),
        ("completionPolicy", json!("Sometimes"), "spec.completionPolicy", "\"Never\""),
    ]
}

/// Two fields that cannot be meant together, and the path that `kubectl apply` names.
#[apply(shared_test)]
async fn limits_of_time_are_refused_on_a_job_that_never_completes(cx: &Test) -> Result<()> {
    for field in ["activeDeadlineSeconds", "ttlSecondsAfterFinished"] {
        let mut spec = manifest("never").json()["spec"].clone();
        spec["completionPolicy"] = json!("Never");
        cx.dry_run(&spec).await?;
        spec[field] = json!(60);
        let refused = cx.dry_run(&spec).await;
        let Err(kube::Error::Api(status)) = refused else {
            anyhow::bail!("{field}: {refused:?}");
        };
        let message = "must not be set with completionPolicy Never";
        ensure!(status.message.contains(&format!("spec.{field}")), "{}", status.message);
        ensure!(status.message.contains(message), "{}", status.message);
        spec["completionPolicy"] = json!("Always");
        cx.dry_run(&spec).await?;
    }
    Ok(())
}

/// A change of the spec, and the message on the condition.
pub(super) fn refused_by_the_operator() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        (
            "no-number",
            json!({"image": "x", "parallelism": "all"}),
            "spec.parallelism: must be a number from 0, or per cent from 0% to 100%: \"all\"",
        ),
        (
            "negative-wait",
            json!({"image": "x", "minReadySeconds": -1}),
            "spec.minReadySeconds: must be at least 0: -1",
        ),
        (
            "equal-groups",
            json!({"image": "x", "order": [{}, {}]}),
            "spec.order: must not have two equal groups: 0 and 1",
        ),
        (
            "no-operator",
            json!({"image": "x", "order": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]}),
            "spec.order[0].matchExpressions[0].operator: must be one of In, NotIn, Exists, \
             DoesNotExist: \"Is\"",
        ),
        (
            "no-values",
            json!({"image": "x", "order": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}),
            "spec.order[0].matchExpressions[0].values: must be given with In and NotIn, and only \
             with these",
        ),
        (
            "no-window",
            json!({"image": "x", "windows": [{"schedule": "@daily", "durationSeconds": 0}]}),
            "spec.windows[0].durationSeconds: must be at least 1: 0",
        ),
        (
            "never-and-late",
            json!({"image": "x", "completionPolicy": "Never", "activeDeadlineSeconds": 60}),
            "spec.activeDeadlineSeconds: must not be set with completionPolicy Never: 60",
        ),
    ]
}

/// A window that the schema lets in, and the message on the condition.
fn refused_windows() -> Vec<(Value, &'static str)> {
    let window = |schedule: &str| json!({"schedule": schedule, "durationSeconds": 60});
    let in_zone =
        |zone: &str| json!({"schedule": "@daily", "durationSeconds": 60, "timeZone": zone});
    vec![
        (window("0 24 * * *"), "schedule: the hour must be 0 to 23: \"24\""),
        (window("61 0 * * *"), "schedule: the minute must be 0 to 59: \"61\""),
        (
            window("0 0 * * mond"),
            "schedule: the day of the week must be 0 to 7 or sun to sat: \"mond\"",
        ),
        (
            window("0 0 0 22 * *"),
            "schedule: must have five fields, or be a name such as @daily: \"0 0 0 22 * *\"",
        ),
        (
            window("TZ=Europe/Berlin 0 22 * * *"),
            "schedule: must have five fields, or be a name such as @daily: \
             \"TZ=Europe/Berlin 0 22 * * *\"",
        ),
        (window("0 0 31 2 *"), "schedule: never fires: \"0 0 31 2 *\""),
        (in_zone("Europe/Berln"), "timeZone: unknown time zone: \"Europe/Berln\""),
        (in_zone("Local"), "timeZone: unknown time zone: \"Local\""),
    ]
}

#[apply(shared_test)]
async fn each_bad_window_is_named_on_its_job(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let rows = refused_windows();
    for (number, (window, _)) in rows.iter().enumerate() {
        let mut manifest = manifest(&format!("window-{number}")).json();
        let good = json!({"schedule": "@daily", "durationSeconds": 1, "timeZone": "Asia/Tokyo"});
        manifest["spec"]["windows"] = json!([good, window]);
        cx.apply(&manifest).await.with_context(|| window.to_string())?;
    }
    for (number, (window, message)) in rows.iter().enumerate() {
        let failed = failed_condition(cx, &format!("window-{number}")).await?;
        let expected = format!("spec.windows[1].{message}");
        ensure!(failed["reason"] == "InvalidSpec", "{window}: {failed}");
        ensure!(failed["message"] == json!(expected), "{window}: {failed}");
    }
    let daemon_sets = cx.api::<DaemonSet>().list(&ListParams::default()).await?;
    ensure!(daemon_sets.items.is_empty());
    Ok(())
}
