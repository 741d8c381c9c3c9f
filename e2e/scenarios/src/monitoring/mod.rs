//! A Prometheus that scrapes operator and terminator as `deploy/monitoring` has it.
//!
//! Its rules wait for a part of the time for which the shipped ones wait, and are the same in all else. The cause of
//! each alert is one that the installation or its Jobs may have.

mod causes;
mod dashboard;
mod prometheus;
mod rules;
mod scrape;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use api::job::Job;
use harness::job_builder::JobBuilder;
use harness::paths;
use harness::wait::State;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use self::causes::Installation;
use self::prometheus::Prometheus;
use self::scrape::{BY_SERVICE, PodMonitor};
use crate::support::env::ScenarioEnv;
use crate::support::work::{Containers, running_containers};

/// The shipped files, in the workspace.
const FOLDER: &str = "deploy/monitoring";

/// The Service in it.
const SERVICE: &str = "deploy/monitoring/service.yaml";

/// How many times sooner alerts fire: five seconds after their cause, and not a quarter of an hour.
const SOONER: u32 = 180;

/// Series of one process; there are some hundred.
const MANY_SERIES: usize = 50;

/// The names of the alerts that are made to fire here.
mod alert {
    pub(super) const ABSENT: &str = "DaemonsetJobAbsent";
    pub(super) const NO_LEADER: &str = "DaemonsetJobNoLeader";
    pub(super) const TWO_LEADERS: &str = "DaemonsetJobTwoLeaders";
    pub(super) const WATCH_BROKEN: &str = "DaemonsetJobWatchBroken";
    pub(super) const RECONCILE_ERRORS: &str = "DaemonsetJobReconcileErrors";
    pub(super) const STUCK: &str = "DaemonsetJobStuck";
    pub(super) const PODS_MISSING: &str = "DaemonsetJobPodsMissing";
    pub(super) const FAILED: &str = "DaemonsetJobFailed";
    pub(super) const LATE: &str = "DaemonsetJobLate";
    pub(super) const LOGS_QUEUED: &str = "DaemonsetJobLogsQueued";
}

/// Waits for a file, and is done.
const WAITS: &str = r"until [ -e /basetarget/go-NAME ]; do sleep 0.2; done";

/// The Job that ends while no operator runs.
const LATE: &str = "late";
/// The Job that waits to log its word.
const WORDS: &str = "words";
/// The Job whose nodes take turns.
const TURNS: &str = "turns";
/// The Job whose pods a quota refuses.
const MISSING: &str = "missing";
/// The Job whose status the operator may not write.
const REFUSED: &str = "refused";

/// Alerts fire by their causes and stop again, and every panel of the dashboard has data.
pub(crate) async fn alerts_fire_and_stop(env: &ScenarioEnv<'_>) -> Result<()> {
    let installation = Installation::read(env).await?;
    let result = watched(env, &installation).await;
    let restored = installation.restore().await;
    let gone = env.kubectl_ours(&["delete", "--ignore-not-found", "--filename", SERVICE]).await;
    result.and(restored).and(gone).and(Prometheus::clean_up(env).await)
}

async fn watched(env: &ScenarioEnv<'_>, installation: &Installation<'_>) -> Result<()> {
    let prometheus = &start(env).await?;
    processes_go_wrong(env, installation, prometheus).await?;
    jobs_go_wrong(env, installation, prometheus).await?;
    every_panel_has_data(prometheus).await?;
    env.kubectl(&["delete", "pod", "--selector", prometheus::SELECTOR], "").await
}

fn read(file: &str) -> Result<String> {
    Ok(fs_err::read_to_string(paths::workspace().join(FOLDER).join(file))?)
}

/// Starts a Prometheus that finds all targets in both ways, and sees nothing wrong.
async fn start<'a>(env: &'a ScenarioEnv<'a>) -> Result<Prometheus<'a>> {
    env.kubectl_ours(&["apply", "--filename", SERVICE]).await?;
    let monitor = PodMonitor::parse(&read("prometheus-operator/pod-monitor.yaml")?)?;
    let ports = scrape::ports_of_service(&read("service.yaml")?)?;
    let mut configs = monitor.scrape_configs();
    configs.push(scrape::of_annotated_services(&env.cx.deployed.namespace));
    let mut rules = rules::hurried(&read("alerts.yaml")?, SOONER)?;
    let prometheus = Prometheus::start(env, &configs, &rules).await?;
    let targets = [(monitor.job(), monitor.ports().len()), (BY_SERVICE.to_owned(), ports)];
    prometheus.until_up(&targets.into()).await?;
    for job in [&monitor.job(), BY_SERVICE] {
        let scraped = format!("scrape_samples_scraped{{job=\"{job}\"}}");
        let samples = prometheus.query(&scraped).await?;
        let is_whole = samples.iter().all(|samples| *samples > MANY_SERIES as f64);
        ensure!(is_whole && samples.len() == ports, "{scraped}: {samples:?}");
    }
    let names = rules::alerts(&mut rules)?;
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    prometheus.until_silent(&names).await?;
    prometheus
        .until("all rules evaluated", || async {
            let errors = prometheus.errors_of_rules().await?;
            Ok(errors.first().cloned().map_or(State::Reached(()), State::Waiting))
        })
        .await?;
    Ok(prometheus)
}

/// Processes that are gone, do not lead, all lead, and lack rights.
async fn processes_go_wrong(
    env: &ScenarioEnv<'_>,
    installation: &Installation<'_>,
    prometheus: &Prometheus<'_>,
) -> Result<()> {
    env.apply(&stays(env.shell(LATE, &WAITS.replace("NAME", LATE)).exit_code())).await?;
    let nodes: Vec<_> = env.nodes.iter().collect();
    env.until_pods("the work running on all nodes", |pods| {
        let running = running_containers(pods, &nodes, &Containers::new());
        (running.len() == nodes.len()).then_some(())
    })
    .await?;

    installation.forbid("nodes", &["list", "watch"]).await?;
    installation.run(0, |_| ()).await?;
    env.touch(&env.nodes, &format!("go-{LATE}")).await?;
    prometheus.until_firing(alert::ABSENT, 2).await?;

    installation.run(2, causes::without_election).await?;
    prometheus.until_silent(&[alert::ABSENT]).await?;
    prometheus.until_firing(alert::TWO_LEADERS, 2).await?;

    installation.allow_election(false).await?;
    installation.run(1, causes::with_one_follower).await?;
    prometheus.until_silent(&[alert::TWO_LEADERS]).await?;
    prometheus.until_firing(alert::NO_LEADER, 2).await?;

    installation.allow_election(true).await?;
    prometheus.until_silent(&[alert::NO_LEADER]).await?;
    prometheus.until_firing(alert::WATCH_BROKEN, 1).await?;

    installation.allow_all().await?;
    env.job(LATE).until_finished().await?;
    prometheus.until_firing(alert::LATE, 1).await
}

/// Jobs that fail, wait, lack pods, and cannot be handled.
async fn jobs_go_wrong(
    env: &ScenarioEnv<'_>,
    installation: &Installation<'_>,
    prometheus: &Prometheus<'_>,
) -> Result<()> {
    let parallelism = Some(IntOrString::Int(1));
    let turns = env.shell(TURNS, "true").exit_code();
    env.apply(&stays(turns.set(|spec| spec.parallelism = parallelism))).await?;
    env.apply(&env.shell("fails", "exit 1").exit_code().backoff_limit(0)).await?;
    let waits = WAITS.replace("NAME", WORDS);
    let words = format!("trap 'exit 0' TERM; {waits}; echo done; while :; do sleep 1; done");
    env.apply(&env.shell(WORDS, &words)).await?;
    prometheus.until_firing(alert::FAILED, 1).await?;
    prometheus.until_firing(alert::LOGS_QUEUED, 1).await?;
    env.job(TURNS).until_finished().await?;

    started_long_ago(env, WORDS).await?;
    env.apply(&quota()).await?;
    let counts = ["wait", "--for=jsonpath={.status.hard.pods}=0", "resourcequota/none"];
    env.kubectl(&counts, "").await?;
    env.apply(&stays(env.shell(MISSING, "true").exit_code())).await?;
    prometheus.until_firing(alert::PODS_MISSING, 1).await?;
    prometheus.until_firing(alert::STUCK, 1).await?;

    installation.forbid("jobs/status", &["patch"]).await?;
    env.apply(&stays(env.shell(REFUSED, "true").exit_code())).await?;
    prometheus.until_firing(alert::RECONCILE_ERRORS, 1).await?;

    installation.allow_all().await?;
    env.kubectl(&["delete", "resourcequota/none"], "").await?;
    env.touch(&env.nodes, &format!("go-{WORDS}")).await?;
    for job in [MISSING, REFUSED] {
        env.job(job).until_finished().await?;
    }
    env.job(WORDS).until_gone().await?;
    let stopped = [alert::LOGS_QUEUED, alert::STUCK, alert::PODS_MISSING];
    prometheus.until_silent(&stopped).await
}

/// Each query of the dashboard returns a number, with the values that Grafana would offer for its variables.
async fn every_panel_has_data(prometheus: &Prometheus<'_>) -> Result<()> {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")?)?;
    let mut values = BTreeMap::new();
    for variable in dashboard::variables(&dashboard)? {
        let series = dashboard::substitute(&variable.series, &values)?;
        let found = prometheus.values_of(&variable.label, &series).await?;
        ensure!(!found.is_empty(), "the variable {} has no value", variable.name);
        values.insert(variable.name, found);
    }
    let queries = dashboard::queries(&dashboard)?;
    ensure!(!queries.is_empty(), "the dashboard asks for nothing");
    prometheus
        .until("data in every panel", || async {
            for query in &queries {
                let expression = dashboard::substitute(&query.expression, &values)?;
                if prometheus.query(&expression).await?.is_empty() {
                    return Ok(State::Waiting(format!("none in {}: {expression}", query.panel)));
                }
            }
            Ok(State::Reached(()))
        })
        .await
}

/// A Job that stays when it is done, so that all of its nodes are counted.
fn stays(job: JobBuilder) -> JobBuilder {
    job.ttl(600)
}

/// Lets no pod into the namespace.
fn quota() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"pods": "0"}},
    })
}

/// Writes into the status of a Job that it started seven hours ago.
async fn started_long_ago(env: &ScenarioEnv<'_>, job: &str) -> Result<()> {
    let start = Timestamp::now() - SignedDuration::from_hours(7);
    let start = json!({"status": {"startTime": start.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()}});
    let jobs = env.api::<Job>();
    jobs.patch_status(job, &PatchParams::default(), &Patch::Merge(start)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The alerts whose causes take more than a cluster has time for.
    ///
    /// The integration tests make them fire, and all others as well.
    const ELSEWHERE: [&str; 3] =
        ["DaemonsetJobNodesUnreachable", "DaemonsetJobLogsBreak", "DaemonsetJobLogRotated"];

    #[test]
    fn every_shipped_alert_is_made_to_fire_here_or_named_as_one_that_is_not() {
        let mut rules =
            rules::hurried(&read("alerts.yaml").expect("there"), SOONER).expect("valid");
        let shipped: BTreeSet<_> = rules::alerts(&mut rules).expect("named").into_iter().collect();
        let here = [
            alert::ABSENT,
            alert::NO_LEADER,
            alert::TWO_LEADERS,
            alert::WATCH_BROKEN,
            alert::RECONCILE_ERRORS,
            alert::STUCK,
            alert::PODS_MISSING,
            alert::FAILED,
            alert::LATE,
            alert::LOGS_QUEUED,
        ];
        let known = here.iter().chain(&ELSEWHERE).map(|name| (*name).to_owned()).collect();
        assert_eq!(shipped, known);
    }

    #[test]
    fn shipped_monitor_is_understood() {
        let text = read("prometheus-operator/pod-monitor.yaml").expect("there");
        let monitor = PodMonitor::parse(&text).expect("understood");
        let ports = scrape::ports_of_service(&read("service.yaml").expect("there")).expect("ports");
        assert_eq!(monitor.ports().len(), ports);
    }

    #[test]
    fn shipped_dashboard_is_understood() {
        let dashboard: Value =
            serde_json::from_str(&read("dashboard.json").expect("there")).expect("JSON");
        let variables = dashboard::variables(&dashboard).expect("understood");
        let values = variables.into_iter().map(|it| (it.name, vec!["a".to_owned()])).collect();
        for query in dashboard::queries(&dashboard).expect("understood") {
            dashboard::substitute(&query.expression, &values).expect("all variables are known");
        }
    }
}
