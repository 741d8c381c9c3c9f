//! Jobs for the tests of this folder.

use api::job::Job;
use serde_json::json;

/// Makes a Job that was finished 1000 s after the epoch.
pub(super) fn job(condition: &str, reason: &str, ttl: Option<i64>) -> Job {
    serde_json::from_value(json!({
        "apiVersion": "daemonset.darkowlzz.space/v1beta1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "n", "generation": 2},
        "spec": {"image": "busybox", "ttlSecondsAfterFinished": ttl},
        "status": {
            "observedGeneration": 2,
            "conditions": [{
                "type": condition, "status": "True", "reason": reason, "message": "",
                "lastTransitionTime": "1970-01-01T00:16:40Z",
            }],
        },
    }))
    .unwrap()
}
