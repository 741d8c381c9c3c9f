//! What `kubectl get dsjob` shows.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::job::{TestJob, exit_code_manifest};
use crate::test::{Test, shared_test};

/// The columns of a Job of this priority in kubectl's table; 1 is `--output wide`.
async fn row(cx: &Test, job: &TestJob<'_>, priority: i64) -> Result<Vec<(String, Value)>> {
    let path = format!(
        "/apis/daemonset.darkowlzz.space/v1beta1/namespaces/{}/jobs/{}",
        cx.namespace, job.name
    );
    let request = http::Request::get(path)
        .header("Accept", "application/json;as=Table;g=meta.k8s.io;v=v1")
        .body(Vec::new())?;
    let table: Value = cx.client.request(request).await?;
    let columns = table["columnDefinitions"].as_array().context("columns")?;
    let cells = table["rows"][0]["cells"].as_array().context("a row")?;
    let shown = columns.iter().zip(cells).filter(|(column, _)| column["priority"] == priority);
    let named = |column: &Value| column["name"].as_str().unwrap_or_default().to_owned();
    Ok(shown.map(|(column, cell)| (named(column), cell.clone())).collect())
}

#[apply(shared_test)]
async fn table_shows_phase_completed_failed_duration_and_age(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, [_, failing, third]) =
        cx.running_with_one_done(&exit_code_manifest("shown").backoff_limit(0)).await?;
    let shown = row(cx, &job, 0).await?;
    let names: Vec<_> = shown.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(names == ["Name", "Phase", "Completed", "Failed", "Duration", "Age"], "{names:?}");
    let wide = row(cx, &job, 1).await?;
    let active = ("Active".to_owned(), Value::from(2));
    ensure!(wide == [active, ("Waiting".to_owned(), Value::Null)], "{wide:?}");
    let cells: Vec<_> = shown.iter().map(|(_, cell)| cell.clone()).collect();
    ensure!(cells[..4] == ["shown".into(), "Running".into(), "1/3".into(), Value::from(0)]);

    failing.exit(1)?;
    third.exit(0)?;
    let ended = job.until_finished().await?;
    let shown = row(cx, &job, 0).await?;
    let cells: Vec<_> = shown.iter().map(|(_, cell)| cell.clone()).collect();
    ensure!(
        cells[..4] == ["shown".into(), "Failed".into(), "2/3".into(), Value::from(1)],
        "{cells:?}"
    );
    let duration = ended.status.and_then(|status| status.duration).context("a duration")?;
    ensure!(cells[4] == duration.as_str(), "{cells:?}");
    let age = cells[5].as_str().context("an age")?;
    ensure!(age.ends_with('s'), "{age}");
    Ok(())
}
