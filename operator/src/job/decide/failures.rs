//! `spec.maxFailedNodes`.

use api::job::conditions::Reason;

use super::{observation::Observation, progress::Progress};

/// Reason and message of the end of a Job with more failed nodes than it tolerates.
pub(crate) fn exceeded(
    observation: &Observation<'_>,
    progress: &Progress,
) -> Option<(Reason, String)> {
    let max_failed_nodes = observation.job.spec.max_failed_nodes.unwrap_or(i32::MAX);
    let nodes = match progress.failed {
        failed if failed <= max_failed_nodes => return None,
        1 => "1 node".to_owned(),
        failed => format!("{failed} nodes"),
    };
    let names = progress.failed_names();
    let message =
        format!("{nodes} failed, more than the {max_failed_nodes} of spec.maxFailedNodes: {names}");
    Some((Reason::MaxFailedNodesExceeded, message))
}
