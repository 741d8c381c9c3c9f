//! What is left of a Job, and for how long.

use api::job::{CompletionPolicy, DeletionPolicy, JobSpec, Phase};

use crate::{
    model::{evidence::Evidence, finding::Finding, nodes::State},
    render::text::{self, count, duration},
};

/// The last finding: how far the Job is.
pub(super) fn outlook(evidence: &Evidence) -> Finding {
    let finding = match evidence.model.phase {
        None => Finding::info("Nothing has begun yet"),
        Some(Phase::Completed) => completed(evidence),
        Some(Phase::Failed) => failed(evidence),
        Some(Phase::Suspended) => {
            Finding::info(format!("{} done, the rest waits for you", done(evidence)))
        }
        Some(Phase::Pending | Phase::Running) => running(evidence),
    };
    Finding { check: "Outlook", ..finding }
}

fn done(evidence: &Evidence) -> String {
    let counts = evidence.model.counts;
    format!("{} of {}", counts.done, count(usize::try_from(counts.desired).unwrap_or(0), "node"))
}

/// Whether nothing deletes the Job by itself.
fn is_retained(spec: &JobSpec) -> bool {
    spec.deletion_policy == DeletionPolicy::Retain
        || spec.completion_policy == CompletionPolicy::Never
}

fn completed(evidence: &Evidence) -> Finding {
    let spec = &evidence.job.spec;
    let after = match (spec.ttl_seconds_after_finished, evidence.model.ended) {
        _ if is_retained(spec) => "the Job stays until somebody deletes it".to_owned(),
        (Some(ttl), Some(ended)) => {
            let left = ended.as_second() + ttl - evidence.now.as_second();
            format!("the Job is deleted in {}", duration(left))
        }
        _ => "the Job is deleted at once, for it has neither ttlSecondsAfterFinished nor \
              deletionPolicy Retain"
            .to_owned(),
    };
    Finding::info(format!("Complete: {} done; {after}", done(evidence)))
}

fn failed(evidence: &Evidence) -> Finding {
    let blocked = "the operator goes on as soon as the cause is gone";
    let spec = &evidence.job.spec;
    let after = match (evidence.is_ended(), spec.ttl_seconds_after_finished) {
        (false, _) => blocked.to_owned(),
        (true, _) if is_retained(spec) => "the Job stays until somebody deletes it".to_owned(),
        (true, None) => "the Job stays until somebody deletes it".to_owned(),
        (true, Some(ttl)) => format!("the Job is deleted {} after its end", duration(ttl)),
    };
    Finding::info(format!("{} done; {after}", done(evidence)))
}

fn running(evidence: &Evidence) -> Finding {
    let model = &evidence.model;
    let counts = model.counts;
    let left = counts.desired - counts.done - counts.failed;
    if left <= 0 {
        return Finding::info(format!(
            "{} done; the operator is about to end the Job",
            done(evidence)
        ));
    }
    let mut text = format!("{} done, {left} left", done(evidence));
    let states = [State::Running, State::Pending, State::Unreachable].map(|state| {
        let number = model.in_state(state);
        (number > 0).then(|| format!("{} {}", text::thousands(number), state.as_str()))
    });
    let states: Vec<_> = states.into_iter().flatten().collect();
    if !states.is_empty() {
        text += &format!(": {}", states.join(", "));
    }
    if let Some(elapsed) = model.elapsed_seconds(evidence.now) {
        text += &format!("; it runs for {}", duration(elapsed));
        if counts.done > 0 && elapsed > 0 {
            let rest = elapsed.saturating_mul(left.into()) / i64::from(counts.done);
            text += &format!(", and at this pace for another {}", duration(rest));
        }
        if let Some(deadline) = model.deadline_seconds {
            text += &format!("; its deadline is in {}", duration(deadline - elapsed));
        }
    }
    let nodes = model.nodes.iter().filter(|node| node.state != State::Done);
    Finding::info(text).nodes(nodes.map(|node| node.name.clone()).collect())
}
