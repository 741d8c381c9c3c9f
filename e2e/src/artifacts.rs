//! What is collected from a cluster when something failed, before the cluster goes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::join_all;

use crate::cluster::Cluster;
use crate::process::{Cmd, LogDir};

/// How long each command may take. A broken cluster must not hold up the end of a run.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// How many lines of a pod's log are shown.
const TAIL_LINES: usize = 15;

/// The folder of the pods' logs.
const PODS: &str = "pods";

/// What is asked of the API server: file name and kubectl arguments.
const QUERIES: &[(&str, &str)] = &[
    ("events.txt", "get events --all-namespaces --sort-by=.metadata.creationTimestamp"),
    ("nodes.txt", "describe nodes"),
    ("pods.txt", "get pods --all-namespaces --output=wide"),
    ("pods-described.txt", "describe pods --all-namespaces"),
    (
        "objects.yaml",
        "get pods,daemonsets,deployments,controllerrevisions --all-namespaces --output=yaml",
    ),
    ("jobs.yaml", "get jobs.daemonset.darkowlzz.space --all-namespaces --output=yaml"),
];

/// Collects the state of the cluster and the logs of all pods into `folder`. What cannot be had is
/// left out; the log of the command says why.
///
/// # Errors
/// When the folder cannot be made.
pub async fn collect(cluster: &Cluster, folder: &Path, logs: &LogDir) -> Result<()> {
    let pod_logs = folder.join(PODS);
    std::fs::create_dir_all(&pod_logs)
        .with_context(|| format!("cannot make {}", pod_logs.display()))?;
    let queries = QUERIES.iter().map(|(file, query)| {
        let words = query.split(' ');
        into_file(cluster.kubectl(words), folder.join(file), logs)
    });
    join_all(queries).await;
    let containers = containers(cluster, logs).await.unwrap_or_default();
    let fetches = containers.iter().flat_map(|container| {
        [false, true].map(|previous| {
            let file = pod_logs.join(container.file(previous));
            into_file(cluster.kubectl(container.query(previous)), file, logs)
        })
    });
    join_all(fetches).await;
    let _ = cluster.export_logs(&folder.join("nodes"), COMMAND_TIMEOUT).await;
    Ok(())
}

/// The last lines of each log that [`collect`] took from the pods of a namespace.
#[must_use]
pub fn pod_log_tails(folder: &Path, namespace: &str) -> Vec<(PathBuf, Vec<String>)> {
    let entries = std::fs::read_dir(folder.join(PODS));
    let mut files: Vec<_> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('_'))
        })
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let text = std::fs::read(&file).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<_> = text.lines().map(str::to_owned).collect();
            let skip = lines.len().saturating_sub(TAIL_LINES);
            (file, lines[skip..].to_vec())
        })
        .collect()
}

/// Runs a command for its standard output, and leaves no empty file behind.
async fn into_file(cmd: Cmd, file: PathBuf, logs: &LogDir) {
    let _ = cmd.stdout_file(&file).timeout(COMMAND_TIMEOUT).run(logs).await;
    if std::fs::metadata(&file).is_ok_and(|meta| meta.len() == 0) {
        let _ = std::fs::remove_file(&file);
    }
}

/// A container whose log is wanted.
#[derive(Debug, PartialEq, Eq)]
struct Container {
    namespace: String,
    pod: String,
    name: String,
}

impl Container {
    fn file(&self, previous: bool) -> String {
        let run = if previous { ".previous" } else { "" };
        format!("{}_{}_{}{run}.log", self.namespace, self.pod, self.name)
    }

    fn query(&self, previous: bool) -> Vec<String> {
        let query = format!(
            "logs --namespace={} {} --container={} --previous={previous} --timestamps",
            self.namespace, self.pod, self.name
        );
        query.split(' ').map(str::to_owned).collect()
    }
}

/// The containers of all pods.
async fn containers(cluster: &Cluster, logs: &LogDir) -> Result<Vec<Container>> {
    let template = concat!(
        "--output=jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}",
        "{range .spec['initContainers','containers'][*]} {.name}{end}{'\\n'}{end}"
    );
    let list = cluster
        .kubectl(["get", "pods", "--all-namespaces", template])
        .timeout(COMMAND_TIMEOUT)
        .run(logs)
        .await?;
    Ok(parse_containers(&list.text()))
}

fn parse_containers(list: &str) -> Vec<Container> {
    let mut containers = Vec::new();
    for line in list.lines() {
        let mut words = line.split_whitespace();
        if let (Some(namespace), Some(pod)) = (words.next(), words.next()) {
            containers.extend(words.map(|name| Container {
                namespace: namespace.to_owned(),
                pod: pod.to_owned(),
                name: name.to_owned(),
            }));
        }
    }
    containers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ends_of_the_namespaces_own_logs_are_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let pods = folder.path().join(PODS);
        std::fs::create_dir(&pods).expect("made");
        let log: String = (1..=20).map(|line| format!("line {line}\n")).collect();
        std::fs::write(pods.join("system_a_main.log"), log).expect("written");
        std::fs::write(pods.join("system-two_b_main.log"), "other").expect("written");
        let tails = pod_log_tails(folder.path(), "system");
        assert_eq!(tails.len(), 1);
        assert!(tails[0].0.ends_with("system_a_main.log"));
        assert_eq!(tails[0].1.len(), TAIL_LINES);
        assert_eq!(tails[0].1.last().map(String::as_str), Some("line 20"));
    }

    #[test]
    fn every_container_of_every_pod_is_asked_for_its_log() {
        let containers = parse_containers("system pod-a operator terminator\ndefault pod-b main\n");
        let files: Vec<_> = containers.iter().map(|c| c.file(false)).collect();
        let expected =
            ["system_pod-a_operator.log", "system_pod-a_terminator.log", "default_pod-b_main.log"];
        assert_eq!(files, expected);
        assert_eq!(containers[2].file(true), "default_pod-b_main.previous.log");
    }
}
