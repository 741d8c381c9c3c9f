//! Runs the main job, then the exclusive scenarios, then those that run beside others.
//!
//! In this order, for the exclusive ones restart our processes, and the last ones show whether these need
//! ever more.

use std::time::Duration;

use anyhow::Result;
use futures::StreamExt as _;
use futures::stream;
use harness::progress::Phase;
use harness::report::{Handle, Kind, Report, State};
use harness::statistics::median_and_maximum;
use scenarios::{Neighbours, sample_job};

use super::invariants::Invariants;
use super::prepare::Ready;
use super::run::Run;
use super::selection::{Choice, Listed, Selection, all};

/// The namespace of the main job: the one that users start with.
const NAMESPACE_OF_MAIN_JOB: &str = "default";

/// From how many scenarios on a run is long enough to see whether our processes need ever more.
const MANY: usize = 10;

/// One run of a scenario.
#[derive(Clone)]
pub(super) struct Planned {
    pub(super) listed: Listed,
    round: u32,
    label: String,
    handle: Handle,
}

/// Enters all that is to run into the report.
pub(super) fn plan(report: &mut Report, choice: &Choice, rounds: u32) -> Vec<Planned> {
    let mut plan = Vec::new();
    for round in 1..=rounds {
        for listed in all().filter(|listed| choice.has(listed)) {
            let handle = report.plan(listed.name, round, Kind::Scenario);
            let label = report.label(handle);
            plan.push(Planned { listed, round, label, handle });
        }
    }
    plan
}

/// Runs what was planned; returns whether all of it passed.
///
/// A round with a failure is the last one, for it leaves a state to look at; within it the others go on.
pub(super) async fn run(
    plan: &[Planned],
    selection: &Selection,
    run: &Run,
    ready: &Ready,
    invariants: &mut Invariants,
) -> bool {
    let (main_job, others): (Vec<_>, Vec<_>) =
        plan.iter().partition(|planned| planned.listed.scenario.is_none());
    let mut deletions = Vec::new();
    for planned in main_job {
        if !main_job_once(planned, run, ready, &mut deletions).await {
            return false;
        }
    }
    tell_figures(run, &deletions);
    let rounds = others.iter().map(|planned| planned.round).max().unwrap_or_default();
    for round in 1..=rounds {
        let (exclusive, shared): (Vec<_>, Vec<_>) = others
            .iter()
            .filter(|planned| planned.round == round)
            .partition(|planned| planned.listed.scenario.is_some_and(|it| it.is_exclusive));
        let mut all_kept = true;
        let mut before = None;
        for (index, planned) in exclusive.iter().enumerate() {
            let install = |planned: &&Planned| planned.listed.scenario.and_then(|it| it.install);
            let after = exclusive.get(index + 1).and_then(install);
            let kept = scenario(planned, Neighbours { before, after }, run, ready).await;
            before = install(planned).filter(|_| kept);
            all_kept &= kept;
            invariants.look(run, ready).await;
        }
        if shared.len() >= MANY {
            invariants.settle(run, ready).await;
        }
        let shared = stream::iter(shared)
            .map(|planned| scenario(planned, Neighbours::default(), run, ready))
            .buffer_unordered(selection.jobs.get());
        all_kept &= shared.fold(true, async |all, kept| all && kept).await;
        invariants.look(run, ready).await;
        if !all_kept {
            return false;
        }
    }
    true
}

async fn main_job_once(
    planned: &Planned,
    run: &Run,
    ready: &Ready,
    deletions: &mut Vec<Duration>,
) -> bool {
    verify(planned, run, ready, async |phase| {
        let measured = sample_job::run(ready.context(run, phase)).await?;
        phase.outcome(measured);
        deletions.push(measured.deletion);
        Ok(())
    })
    .await
}

/// What the main job took, over all of its runs.
fn tell_figures(run: &Run, deletions: &[Duration]) {
    let Some((median, maximum)) = median_and_maximum(deletions) else { return };
    run.progress.say(format_args!(
        "from apply to the deletion request: median {median:.2?}, maximum {maximum:.2?}, runs {}",
        deletions.len()
    ));
    run.report.change(|report| {
        let figures = serde_json::json!({
            "medianSeconds": median.as_secs_f64(),
            "maximumSeconds": maximum.as_secs_f64(),
            "runs": deletions.len(),
        });
        report.figures.insert("applyToDeletion".to_owned(), figures);
    });
}

async fn scenario(planned: &Planned, neighbours: Neighbours, run: &Run, ready: &Ready) -> bool {
    let Some(scenario) = planned.listed.scenario else { return true };
    let work = async |phase: &Phase| scenario.run(ready.context(run, phase), neighbours).await;
    verify(planned, run, ready, work).await
}

/// Runs one, and enters its result into the report. A failure collects artifacts at once.
async fn verify(
    planned: &Planned,
    run: &Run,
    ready: &Ready,
    work: impl AsyncFnOnce(&Phase) -> Result<()>,
) -> bool {
    let Planned { handle, label, listed, .. } = planned;
    run.report.change(|report| report.begin(*handle));
    let result = run
        .progress
        .phase(label, async |phase| {
            let result = work(phase).await;
            let error = result.as_ref().err().map(|error| format!("{error:#}"));
            run.report.change(|report| report.finish(*handle, error.clone()));
            if let Some(error) = error {
                phase.outcome(error.lines().next().unwrap_or_default());
                phase.detail("failed, collecting what can be seen");
                let others: &[&str] = match listed.scenario {
                    None => &[&ready.deployed.namespace, NAMESPACE_OF_MAIN_JOB],
                    Some(_) => &[&ready.deployed.namespace],
                };
                let concerned = (listed.name, others);
                run.collect_scenario(*handle, label, concerned, &error, &ready.cluster).await;
                // Whatever the scenario did to the nodes must not be in the way of the others.
                run.cluster.heal().await;
            }
            result
        })
        .await;
    run.progress.overall(&run.report.read(standing));
    result.is_ok()
}

/// How far the run is.
fn standing(report: &Report) -> String {
    let count = |state| report.results.iter().filter(|entry| entry.state == state).count();
    let (failed, all) = (count(State::Failed), report.results.len());
    let done = count(State::Passed) + failed;
    match failed {
        0 => format!("{done} of {all} done"),
        _ => format!("{done} of {all} done, {failed} failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_planned_once_a_round_and_the_main_job_first() {
        let mut report = Report::start("run", Vec::new());
        let plan = plan(&mut report, &Choice::default(), 2);
        assert_eq!(plan.len(), 2 * all().count());
        assert!(plan[0].listed.scenario.is_none());
        assert_eq!(plan[all().count()].label, format!("{} (run 2)", plan[0].listed.name));
        report.begin(plan[0].handle);
        report.finish(plan[0].handle, Some("broken".to_owned()));
        assert_eq!(standing(&report), format!("1 of {} done, 1 failed", plan.len()));
    }
}
