//! Pods that the API server refuses.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::json;

use crate::job::manifest;
use crate::test::shared;

/// The event with which a Job reports refused pods.
async fn refusal(events: Api<Event>) -> Result<Event> {
    let is_it = |event: &Event| {
        event.reason.as_deref() == Some("FailedCreate")
            && event.regarding.as_ref().is_some_and(|job| job.kind.as_deref() == Some("Job"))
    };
    let watch = watcher(events, watcher::Config::default()).default_backoff().applied_objects();
    let mut found = std::pin::pin!(watch.try_filter(|event| std::future::ready(is_it(event))));
    let found = tokio::time::timeout(Duration::from_secs(60), found.try_next());
    found.await.context("no such event")??.context("the watch has ended")
}

#[test]
fn job_quotes_why_its_pods_are_refused_and_runs_once_they_no_longer_are() {
    shared(async |cx| {
        let _processes = cx.both().await?;
        let job = cx
            .apply(&manifest("refused").template(json!({"spec": {"serviceAccountName": "nobody"}})))
            .await?;
        let event = refusal(cx.api()).await?;
        ensure!(event.type_.as_deref() == Some("Warning"), "{event:?}");
        let note = event.note.unwrap_or_default();
        ensure!(note.contains("serviceaccount \"nobody\" not found"), "{note}");

        let account = serde_json::from_value(json!({"metadata": {"name": "nobody"}}))?;
        cx.api::<ServiceAccount>().create(&PostParams::default(), &account).await?;
        for pod in job.pods().await? {
            pod.log("done\n")?;
        }
        job.until_gone().await
    });
}
