//! Why is a Job not done? The page "Troubleshooting by symptom" as pure checks over what was read.

mod check;
mod cluster;
mod ends;
mod logs;
mod nodes;
mod outlook;
mod turns;

use k8s_openapi::jiff::Timestamp;

use self::check::Check;
use crate::{
    model::{
        evidence::{EventFacts, Evidence},
        finding::Finding,
    },
    render::text,
};

/// All checks, those whose cause explains the most first.
fn checks() -> impl Iterator<Item = &'static Check> {
    [cluster::CHECKS, ends::CHECKS, turns::CHECKS, nodes::CHECKS, logs::CHECKS]
        .into_iter()
        .flatten()
}

/// Everything that holds the Job up, and then what is left of it.
pub(crate) fn explain(evidence: &Evidence) -> Vec<Finding> {
    let found = checks().filter_map(|check| {
        let finding = (check.find)(evidence)?;
        Some(Finding { check: check.name, ..finding })
    });
    found.chain([outlook::outlook(evidence)]).collect()
}

/// What the events about Jobs of a name say of the last one, which is gone.
pub(crate) fn gone(events: &[EventFacts], now: Timestamp) -> Vec<Finding> {
    let Some(newest) = events.first() else { return Vec::new() };
    let of_it = events.iter().filter(|event| event.job_uid == newest.job_uid);
    let when =
        newest.last.map_or(String::new(), |last| format!(", {} ago", text::since(last, now)));
    let finding = match of_it.clone().find(|event| event.reason == "Completed") {
        Some(event) => Finding::info(format!("The Job has completed and is deleted{when}"))
            .quote(&event.message)
            .cure(
                "to keep completed Jobs, set deletionPolicy: Retain, or ttlSecondsAfterFinished for a while",
            ),
        None => of_it.take(3).fold(
            Finding::warning(format!("The Job is gone, and no event says that it completed{when}")),
            |finding, event| finding.quote(format!("{}: {}", event.reason, event.message)),
        ),
    };
    vec![Finding { check: "Gone", ..finding }]
}

#[cfg(test)]
mod tests;
