//! Runs of a container.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// A run of the job container, as the container runtime remembers it.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) restarts: i32,
    pub(super) started: i64,
    pub(super) exit: Option<Exit>,
}

#[derive(Clone, Debug)]
pub(super) struct Exit {
    pub(super) code: i32,
    pub(super) reason: &'static str,
    pub(super) at: i64,
}

impl Container {
    /// Its state in the status of a pod.
    pub(super) fn state(&self) -> Value {
        match &self.exit {
            None => json!({"running": {"startedAt": time(self.started).to_string()}}),
            Some(Exit { code, reason, at }) => json!({"terminated": {
                "containerID": self.id, "exitCode": code, "reason": reason,
                "startedAt": time(self.started).to_string(), "finishedAt": time(*at).to_string(),
            }}),
        }
    }
}

/// The time so many seconds after the beginning of time.
pub(crate) fn time(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}
