//! The command that reruns what failed.

use clap::ValueEnum as _;
use harness::report::{Kind, Report};

use super::options::Options;
use super::selection::MAIN_JOB;

/// As one would type it; `None` when no scenario failed.
pub(super) fn command(report: &Report, options: &Options) -> Option<String> {
    let mut failed: Vec<_> = report
        .failures()
        .filter(|entry| entry.kind == Kind::Scenario)
        .map(|entry| entry.name.as_str())
        .collect();
    failed.dedup();
    let mut command = match failed.as_slice() {
        [] => return None,
        [MAIN_JOB] => "cargo xtask e2e".to_owned(),
        [one] => format!("cargo xtask e2e run --filter '^{one}$'"),
        several => format!("cargo xtask e2e run --filter '^({})$'", several.join("|")),
    };
    let standard = Options::default();
    if options.cluster.nodes != standard.cluster.nodes {
        command += &format!(" --nodes {}", options.cluster.nodes);
    }
    if let Some(kubernetes) = &options.cluster.kubernetes {
        command += &format!(" --kubernetes {kubernetes}");
    }
    if let Some(image) = &options.cluster.node_image {
        command += &format!(" --node-image {image}");
    }
    if options.cluster.provider != standard.cluster.provider {
        command += &format!(" --provider {}", options.cluster.provider);
    }
    if options.reuse {
        command += " --reuse";
    }
    if let Some(profile) = options.cluster.profile.and_then(|profile| profile.to_possible_value()) {
        command += &format!(" --profile {}", profile.get_name());
    }
    if let Some(cluster) = &options.cluster.stays.name {
        command += &format!(" --cluster {cluster}");
    }
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::super::options::{ClusterOptions, Staying};
    use super::*;

    fn failed(names: &[&str]) -> Report {
        let mut report = Report::start("run", Vec::new());
        for name in names {
            let handle = report.plan(name, 1, Kind::Scenario);
            report.finish(handle, Some("broken".to_owned()));
        }
        let check = report.plan("nodes", 1, Kind::Check);
        report.finish(check, Some("not ready".to_owned()));
        report
    }

    #[test]
    fn only_scenarios_that_failed_run_again_on_the_same_cluster() {
        let standard = Options::default();
        assert_eq!(command(&failed(&[]), &standard), None);
        assert_eq!(command(&failed(&[MAIN_JOB]), &standard).as_deref(), Some("cargo xtask e2e"));
        let stays = Staying { name: Some("mine".to_owned()) };
        let cluster = ClusterOptions { nodes: 5, stays, ..ClusterOptions::default() };
        let options = Options { cluster, reuse: true, ..standard };
        assert_eq!(
            command(&failed(&["a", "b"]), &options).as_deref(),
            Some("cargo xtask e2e run --filter '^(a|b)$' --nodes 5 --reuse --cluster mine")
        );
    }
}
