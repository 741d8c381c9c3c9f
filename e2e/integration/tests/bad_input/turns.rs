//! Bad values of the fields that say which nodes start when, and when a Job completes.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::DaemonSet;
use serde_json::{Value, json};

use super::{Refused, failed_condition};
use crate::job::manifest;
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

/// Fields of the spec, and the message on the condition.
pub(super) fn refused_by_the_operator() -> Vec<(Value, &'static str)> {
    vec![
        (
            json!({"parallelism": "all"}),
            "spec.parallelism: must be a number from 0, or per cent from 0% to 100%: \"all\"",
        ),
        (json!({"minReadySeconds": -1}), "spec.minReadySeconds: must be at least 0: -1"),
        (json!({"order": [{}, {}]}), "spec.order: must not have two equal groups: 0 and 1"),
        (
            json!({"order": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]}),
            "spec.order[0].matchExpressions[0].operator: must be one of In, NotIn, Exists, \
             DoesNotExist: \"Is\"",
        ),
        (
            json!({"order": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}),
            "spec.order[0].matchExpressions[0].values: must be given with In and NotIn, and only \
             with these",
        ),
        (
            json!({"windows": [{"schedule": "@daily", "durationSeconds": 0}]}),
            "spec.windows[0].durationSeconds: must be at least 1: 0",
        ),
        (
            json!({"completionPolicy": "Never", "activeDeadlineSeconds": 60}),
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
    ensure!(cx.has_none::<DaemonSet>().await?);
    Ok(())
}
