//! The order of a run: from checking the machine to tearing the cluster down.

use anyhow::Result;
use harness::artifacts;
use harness::command::Verdict;
use harness::progress::Tally;
use harness::report::Ending;
use harness::report::summary::summary;

use super::context::Context;
use super::invariants::Invariants;
use super::options::Options;
use super::plan::{self, Planned};
use super::prepare::{self, Needs};
use super::rerun;
use super::run::Run;
use super::selection::Selection;

/// Runs the selected scenarios on a cluster; without a selection, the main job alone.
///
/// The tally counts each scenario and check that ended, and one more failure when not all of them did.
pub(super) async fn run_scenarios(
    options: Options,
    selection: Option<Selection>,
    cx: &Context,
) -> Result<(Tally, Verdict)> {
    let selection = match selection {
        Some(selection) => selection,
        None => Selection::main_job()?,
    };
    selection.check(options.cluster.nodes)?;
    let run = Run::start(options)?;
    let rounds = run.options.repeat;
    let plan = run.report.change(|report| plan::plan(report, &selection.choice, rounds));
    let ending = tokio::select! {
        ending = work(&run, &selection, &plan, cx) => ending,
        () = cx.interrupted.cancelled() => Ending::Interrupted,
    };
    run.progress.overall("");
    run.report.change(|report| report.end(ending));
    if ending == Ending::Interrupted {
        run.collect().await;
    }
    run.cluster.end(ending).await;
    let (lines, tally) = run.report.change(|report| {
        report.end(ending);
        let rerun = rerun::command(report, &run.options);
        (summary(report, &run.folder.artifacts, rerun.as_deref()), report.tally())
    });
    for line in lines {
        run.progress.say(line);
    }
    let verdict = match ending {
        Ending::Passed => Verdict::Passed,
        Ending::Failed => Verdict::Failed,
        Ending::Broken | Ending::Interrupted | Ending::Running => Verdict::Broken,
    };
    Ok((tally, verdict))
}

async fn work(run: &Run, selection: &Selection, plan: &[Planned], cx: &Context) -> Ending {
    let prepared = async {
        let ready = prepare::prepare(run, needs(plan), cx).await?;
        let invariants = Invariants::begin(run, &ready).await?;
        anyhow::Ok((ready, invariants))
    };
    let (ready, mut invariants) = match prepared.await {
        Ok(prepared) => prepared,
        Err(error) => {
            run.report_broken(&error).await;
            return Ending::Broken;
        }
    };
    let all_kept = plan::run(plan, selection, run, &ready, &mut invariants).await;
    let all_as_before = invariants.verify(run, &ready).await;
    if all_kept && all_as_before {
        return Ending::Passed;
    }
    show_pod_logs(run, &ready.deployed.namespace);
    let probe = ready.cluster.probe().await;
    artifacts::exported(&probe, &run.folder.artifacts, &run.folder.logs).await;
    Ending::Failed
}

/// The needs of the scenarios beside what every run prepares.
fn needs(plan: &[Planned]) -> Needs {
    let scenarios = || plan.iter().filter_map(|planned| planned.listed.scenario);
    Needs {
        network_policies: scenarios().any(|scenario| scenario.needs_network_policies),
        prometheus: scenarios().any(|scenario| scenario.needs_prometheus),
        plugin: scenarios().any(|scenario| scenario.needs_plugin),
        release: scenarios().any(|scenario| scenario.needs_release),
    }
}

/// Shows the ends of the logs that were taken from our own pods when the last scenario failed.
fn show_pod_logs(run: &Run, namespace: &str) {
    let folder = run.report.read(|report| {
        let last = report.results.iter().rev().find_map(|entry| entry.artifacts.clone());
        last.map(|folder| folder.join(namespace))
    });
    let Some(folder) = folder else { return };
    for (file, lines) in artifacts::tails(&folder, namespace) {
        run.progress.quote(format_args!("{}:", file.display()), &lines);
    }
}
