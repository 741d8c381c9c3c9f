//! The time until the end of a Job's work is detected.

use std::sync::Arc;

use api::{
    job::{CompletionMode, JobSpec},
    views::PodView,
};
use k8s_openapi::jiff::Timestamp;
use prometheus_client::metrics::histogram::Histogram;

/// Makes a histogram from ten milliseconds to five minutes, as the terminator does.
pub(super) fn buckets() -> Histogram {
    Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0])
}

/// Returns when the last of these pods ended its work, for Jobs in `ExitCode` mode.
///
/// It is exact to a second, by the clocks of the nodes. For termination words, the terminator knows better.
pub(crate) fn last_end(spec: &JobSpec, pods: &[Arc<PodView>]) -> Option<Timestamp> {
    let mode = CompletionMode::ExitCode;
    if spec.completion_mode != mode {
        return None;
    }
    let ends = pods.iter().filter_map(|pod| {
        let ended = pod.job_container(mode)?.state.as_ref()?.terminated.as_ref()?;
        ended.finished_at.as_ref().filter(|_| ended.exit_code == 0)
    });
    ends.map(|end| end.0).max()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::fixtures::pod;

    fn ended(node: &str, code: i32, at: &str) -> Arc<PodView> {
        pod(node)
            .init_container(json!({
                "name": "job-container", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "state": {"terminated": {"exitCode": code, "finishedAt": at}},
            }))
            .build()
    }

    #[test]
    fn the_last_success_counts() {
        let pods = [
            ended("a", 0, "2026-01-01T00:00:01Z"),
            ended("b", 0, "2026-01-01T00:00:03Z"),
            ended("c", 1, "2026-01-01T00:00:09Z"),
        ];
        let by_code = JobSpec { completion_mode: CompletionMode::ExitCode, ..JobSpec::default() };
        let expected = "2026-01-01T00:00:03Z".parse().ok();
        assert_eq!(last_end(&by_code, &pods), expected);
        assert_eq!(last_end(&JobSpec::default(), &pods), None);
    }
}
