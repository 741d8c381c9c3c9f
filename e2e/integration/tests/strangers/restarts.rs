//! An operator that starts anew, and knows nothing of the DaemonSets that it wrote.

use super::*;

#[apply(shared_test)]
async fn operator_that_starts_anew_adopts_an_unedited_daemon_set(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let (job, pods) = cx.running_with_one_done(&exit_code_manifest("adopted")).await?;
    operator.end().await?;
    let operator = cx.operator().await?;
    pods[1].exit(0)?;
    job.until_completed("2/3").await?;
    ensure!(daemon_set_writes(&operator) == 0, "{:?}", operator.writes());
    pods[2].exit(0)?;
    job.until_all_done().await
}

#[apply(shared_test)]
async fn pods_of_an_equal_template_count_for_an_operator_that_starts_anew(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let (job, pods) = cx.running(&exit_code_manifest("equal-again")).await?;
    operator.kill();
    // While the DaemonSet controller replaces nothing, for `OnDelete`.
    let strategy = json!({"type": "OnDelete", "rollingUpdate": null});
    patch(&job, "a-tool", json!({"updateStrategy": strategy})).await?;
    let label = |value: Value| json!({"template": {"metadata": {"labels": {"x": value}}}});
    patch(&job, "a-tool", label(json!("y"))).await?;
    patch(&job, "a-tool", label(Value::Null)).await?;
    let _operator = cx.operator().await?;
    exit_well(&pods)?;
    job.until_all_done().await
}
