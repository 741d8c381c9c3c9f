//! Labels, annotations, conditions, field managers and derived names of objects.

use sha2::{Digest, Sha256};

/// The API group, and the prefix of our annotations and conditions.
pub const GROUP: &str = "daemonset.darkowlzz.space";

/// Label on the DaemonSet and its pods: the DaemonSet's name, see [`label_value`].
pub const LABEL_DAEMON_SET: &str = "daemonset";
/// Label on the DaemonSet and its pods: the Job's name, see [`label_value`].
pub const LABEL_JOB: &str = "job";
/// Label on the DaemonSet and the pods of every Job, with the value `true`.
pub const LABEL_DAEMON_SET_JOB: &str = "daemonset-job";
/// The labels that belong to the operator.
pub const LABELS: [&str; 3] = [LABEL_DAEMON_SET, LABEL_JOB, LABEL_DAEMON_SET_JOB];
/// Label selector of the pods of all Jobs.
pub const POD_SELECTOR: &str = "daemonset-job=true";

/// Annotation on the DaemonSet and its pods: hash of the work that they run.
///
/// See [`work_hash`](crate::job::work_hash::hash).
pub const ANNOTATION_WORK_HASH: &str = "daemonset.darkowlzz.space/work-hash";
/// Annotation on pods: their termination word. Absent: the terminator's default.
pub const ANNOTATION_TERMINATION_WORD: &str = "daemonset.darkowlzz.space/termination-word";
/// Annotation of a namespace: node directories that its Jobs may mount.
///
/// Commas separate them.
pub const ANNOTATION_ALLOWED_HOST_PATHS: &str = "daemonset.darkowlzz.space/allowed-host-paths";
/// Annotation of a namespace: features that pods of its Jobs may have.
///
/// Commas separate them.
pub const ANNOTATION_ALLOWED_POD_FEATURES: &str = "daemonset.darkowlzz.space/allowed-pod-features";

/// UID of the Job, in the pod template.
///
/// A DaemonSet adopts pods of an earlier one whose template was equal. No two Jobs have equal templates.
pub const ANNOTATION_JOB_UID: &str = "daemonset.darkowlzz.space/job-uid";

/// Condition, and readiness gate, of a pod whose work is done.
pub const POD_COMPLETED: &str = "daemonset.darkowlzz.space/Completed";

/// Condition of a pod that the operator touched to confirm its cache of pods.
///
/// The operator writes it to one pod of a Job before it ends the Job.
pub const POD_OBSERVED: &str = "daemonset.darkowlzz.space/Observed";

/// Condition of a pod that has lost a sandbox.
///
/// Its message holds the number of failed runs of the job container until then.
pub const POD_SANDBOX_CHANGED: &str = "daemonset.darkowlzz.space/SandboxChanged";

/// Reason for a log without its beginning.
///
/// It stands on the condition [`POD_COMPLETED`] of the pod, and on the event that reports it.
pub const LOG_ROTATED: &str = "LogRotated";

/// Scheduling gate of a pod that waits for its node's turn.
///
/// The scheduler leaves such a pod alone, and the API server binds it to no node.
/// <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/>
pub const TURN_GATE: &str = "daemonset.darkowlzz.space/turn";

/// Name of the container that does the work.
pub const JOB_CONTAINER: &str = "job-container";
/// Name of the volume for the node's `mountPath`.
pub const BASE_TARGET_VOLUME: &str = "basetarget";
/// Directory in [`JOB_CONTAINER`] at which the node's `mountPath` is mounted.
pub const BASE_TARGET_PATH: &str = "/basetarget";

/// Field manager of the operator.
pub const OPERATOR: &str = "daemonset-job-operator";
/// Field manager of the terminator.
pub const TERMINATOR: &str = "daemonset-job-terminator";

/// Longest object name, a DNS subdomain.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>
const MAX_NAME: usize = 253;
/// Longest name of a DaemonSet.
///
/// Its controller appends a dash and a hash of up to ten characters for the names of its
/// ControllerRevisions.
const MAX_DAEMON_SET_NAME: usize = MAX_NAME - 11;
/// Longest label value.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>
const MAX_LABEL_VALUE: usize = 63;
/// Hexadecimal digits of the hash that keeps a shortened name unique.
const HASH_DIGITS: usize = 10;

/// Hexadecimal digits in the name of an event, as many as client-go uses.
const EVENT_HASH_DIGITS: usize = 16;

const DAEMON_SET_SUFFIX: &str = "-daemonset-job";

/// Name of a Job's DaemonSet: `<job>-daemonset-job`, shortened if it is too long.
#[must_use]
pub fn daemon_set(job: &str) -> String {
    let room = MAX_DAEMON_SET_NAME - DAEMON_SET_SUFFIX.len();
    format!("{}{DAEMON_SET_SUFFIX}", shorten(job, room))
}

/// The Job of the DaemonSet `name`: the inverse of [`daemon_set`].
///
/// It holds only for names that were not shortened.
#[must_use]
pub fn job_of_daemon_set(name: &str) -> Option<&str> {
    name.strip_suffix(DAEMON_SET_SUFFIX).filter(|job| !job.is_empty())
}

/// `name` as a label value: itself if it fits, else its beginning and a hash of it.
#[must_use]
pub fn label_value(name: &str) -> String {
    shorten(name, MAX_LABEL_VALUE)
}

/// The name of an event on the Job `job`.
///
/// It is the same for the same `identity`, so that an event that is published twice is one event.
#[must_use]
pub fn event(job: &str, identity: &str) -> String {
    let hash = hex_digest(identity.as_bytes(), EVENT_HASH_DIGITS);
    format!("{}.{hash}", shorten(job, MAX_NAME - EVENT_HASH_DIGITS - 1))
}

/// The first `digits` hexadecimal digits of the SHA-256 of `bytes`.
pub(crate) fn hex_digest(bytes: &[u8], digits: usize) -> String {
    let mut hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    hex.truncate(digits);
    hex
}

/// Shortens `name` to `max` bytes. It is ASCII, as object names are.
fn shorten(name: &str, max: usize) -> String {
    if name.len() <= max {
        return name.to_owned();
    }
    let head = name.get(..max - HASH_DIGITS - 1).unwrap_or_default();
    // A dot before the dash would start an invalid DNS label.
    let head = head.trim_end_matches(['.', '-']);
    format!("{head}-{}", hex_digest(name.as_bytes(), HASH_DIGITS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_short_job_gives_the_documented_name() {
        assert_eq!(daemon_set("job-sample"), "job-sample-daemonset-job");
        assert_eq!(job_of_daemon_set("job-sample-daemonset-job"), Some("job-sample"));
        assert_eq!(label_value("job-sample"), "job-sample");
    }

    #[test]
    fn names_at_the_limit_are_left_alone() {
        assert_eq!(label_value(&"a".repeat(63)), "a".repeat(63));
        assert_eq!(daemon_set(&"a".repeat(228)).len(), 242);
    }

    proptest! {
        #[test]
        fn any_job_name_gives_valid_and_distinct_names(
            a in "[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?){0,3}",
            tail in "[a-z0-9]{1,9}",
        ) {
            let a = &a[..a.len().min(244)];
            let a = a.trim_end_matches(['.', '-']);
            let b = format!("{a}{tail}");
            for name in [a, &b] {
                prop_assert!(daemon_set(name).len() <= MAX_DAEMON_SET_NAME);
                let label = label_value(name);
                prop_assert!(label.len() <= MAX_LABEL_VALUE);
                prop_assert!(!label.contains(".-"));
                prop_assert!(label.ends_with(|c: char| c.is_ascii_alphanumeric()));
            }
            prop_assert_ne!(daemon_set(a), daemon_set(&b));
            prop_assert_ne!(label_value(a), label_value(&b));
        }
    }
}
