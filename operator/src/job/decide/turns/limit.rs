//! How many nodes may be at work at once.

use api::job::Parallelism;

use super::look::Look;

/// Number of places that the Job has.
///
/// None: it is some per cent of the wanted nodes, and the DaemonSet controller has not counted these yet.
pub(super) fn limit(look: &Look<'_>) -> Option<usize> {
    let Some(parallelism) = &look.spec().parallelism else {
        return Some(usize::MAX);
    };
    match Parallelism::parse(parallelism) {
        Ok(limit @ Parallelism::Nodes(_)) => Some(limit.limit(0)),
        Ok(limit @ Parallelism::PerCent(_)) => {
            look.is_up_to_date().then(|| limit.limit(wanted(look)))
        }
        // It is refused before.
        Err(_) => None,
    }
}

/// Whether the Job starts no node, whatever is at work.
pub(super) fn is_paused(look: &Look<'_>) -> bool {
    let parallelism = look.spec().parallelism.as_ref().map(Parallelism::parse);
    matches!(parallelism, Some(Ok(Parallelism::Nodes(0) | Parallelism::PerCent(0))))
}

fn wanted(look: &Look<'_>) -> usize {
    let status = look.daemon_set.status.as_ref();
    let wanted = status.map_or(0, |status| status.desired_number_scheduled);
    usize::try_from(wanted).unwrap_or_default()
}
