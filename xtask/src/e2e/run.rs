//! A run: from checking the machine to tearing the cluster down.

use anyhow::Result;
use e2e::artifacts;
use e2e::progress::Tally;
use e2e::report::Ending;
use e2e::report::summary::summary;

use super::afterwards::Afterwards;
use super::options::Options;
use super::prepare::Needs;
use super::scenarios::{self, Planned};
use super::selection::Selection;
use super::session::Session;
use super::{again, prepare};
use crate::context::{Context, Verdict};

/// Runs the selected scenarios on a cluster, the main job alone without a selection. The tally has an
/// entry for each scenario and check that ended, and one more failure when not all did that were to.
pub(crate) async fn run_scenarios(
    options: Options,
    selection: Option<Selection>,
    cx: &Context,
) -> Result<(Tally, Verdict)> {
    let selection = match selection {
        Some(selection) => selection,
        None => Selection::main_job()?,
    };
    selection.check(options.nodes)?;
    let session = Session::start(options)?;
    let rounds = session.options.repeat;
    let plan = session.report(|report| scenarios::plan(report, &selection.choice, rounds));
    let ending = tokio::select! {
        ending = work(&session, &selection, &plan, cx) => ending,
        () = cx.interrupted.cancelled() => Ending::Interrupted,
    };
    session.progress.overall("");
    session.report(|report| report.end(ending));
    if ending == Ending::Interrupted {
        session.collect().await;
    }
    session.clean_up(ending).await;
    let (lines, tally) = session.report(|report| {
        report.end(ending);
        let again = again::command(report, &session.options);
        (summary(report, &session.artifacts, again.as_deref()), report.tally())
    });
    for line in lines {
        session.say(line);
    }
    let verdict = match ending {
        Ending::Passed => Verdict::Passed,
        Ending::Failed => Verdict::Failed,
        Ending::Broken | Ending::Interrupted | Ending::Running => Verdict::Broken,
    };
    Ok((tally, verdict))
}

async fn work(session: &Session, selection: &Selection, plan: &[Planned], cx: &Context) -> Ending {
    let ready = match prepare::prepare(session, needs(plan), cx).await {
        Ok(ready) => ready,
        Err(error) => {
            session.report_broken(&error).await;
            return Ending::Broken;
        }
    };
    let mut after = match Afterwards::begin(session, &ready).await {
        Ok(after) => after,
        Err(error) => {
            session.report_broken(&error).await;
            return Ending::Broken;
        }
    };
    let all_kept = scenarios::run(plan, selection, session, &ready, &mut after).await;
    let all_as_before = after.judge(session, &ready).await;
    if all_kept && all_as_before {
        return Ending::Passed;
    }
    show_pod_logs(session, &ready.deployed.namespace);
    artifacts::exported(&ready.cluster, &session.artifacts).await;
    Ending::Failed
}

/// What the scenarios need beside what every run prepares.
fn needs(plan: &[Planned]) -> Needs {
    let scenarios = || plan.iter().filter_map(|planned| planned.listed.scenario);
    Needs { network_policies: scenarios().any(|scenario| scenario.needs_network_policies) }
}

/// Shows the ends of the logs that were taken from our own pods when the last scenario failed.
fn show_pod_logs(session: &Session, namespace: &str) {
    let folder = session.report(|report| {
        let last = report.results.iter().rev().find_map(|entry| entry.artifacts.clone());
        last.map(|folder| folder.join(namespace))
    });
    let Some(folder) = folder else { return };
    for (file, lines) in artifacts::tails(&folder, namespace) {
        session.progress.quote(format_args!("{}:", file.display()), &lines);
    }
}
