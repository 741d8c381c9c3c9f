//! Types of the conditions of a Job.

/// Type of the condition of a Job whose work is done on every wanted node.
pub const COMPLETE: &str = "Complete";
/// Type of the condition of a Job that cannot be done, or was not.
pub const FAILED: &str = "Failed";

/// Type, and reason, of the condition of a Job whose DaemonSet somebody edits.
///
/// It is there while that is recent or goes on, and says nothing about the end of the Job.
pub const DAEMON_SET_EDITED: &str = "DaemonSetEdited";

/// Type of the condition of a Job that is suspended.
///
/// It is false once the Job has been resumed, as in batch/v1.
pub const SUSPENDED: &str = "Suspended";

/// Type of the condition of a Job whose nodes wait for their turn: it says what for.
pub const WAITING: &str = "Waiting";

/// Type of the condition of a Job that never completes: whether every wanted node is done.
pub const READY: &str = "Ready";

/// Type of the condition of a Job that is not finished: it says what is waited for.
///
/// It is there while it is true. Generic tools know it, and [`STALLED`]:
/// <https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>
pub const RECONCILING: &str = "Reconciling";

/// Type of the condition of a Job that has failed, or that cannot go on: it says what [`FAILED`] says.
///
/// It is there while it is true.
pub const STALLED: &str = "Stalled";

/// Types of the conditions that the operator sets.
pub(super) const TYPES: [&str; 8] =
    [COMPLETE, FAILED, DAEMON_SET_EDITED, SUSPENDED, WAITING, READY, RECONCILING, STALLED];
