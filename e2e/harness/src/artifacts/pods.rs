//! The logs of pods.

use std::path::{Path, PathBuf};

use super::probe::Probe;
use crate::paths;
use crate::process::LogDir;

/// How much of the end of a log is taken: some scenarios log hundreds of megabytes.
const LINES: usize = 5_000;
const BYTES: usize = 4 << 20;

/// How many lines of a pod's log are shown.
const TAIL_LINES: usize = 15;

/// A container whose log is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) namespace: String,
    pod: String,
    name: String,
}

impl Container {
    pub(super) fn file(&self, previous: bool) -> String {
        let run = if previous { ".previous" } else { "" };
        format!("{}_{}_{}{run}.log", self.namespace, self.pod, self.name)
    }

    pub(super) fn query(&self, previous: bool) -> Vec<String> {
        let query = format!(
            "logs --namespace={} {} --container={} --previous={previous} --timestamps \
             --tail={LINES} --limit-bytes={BYTES}",
            self.namespace, self.pod, self.name
        );
        query.split_whitespace().map(str::to_owned).collect()
    }
}

/// The containers of all pods; none when the API server does not answer.
pub(super) async fn containers(probe: &Probe, logs: &LogDir) -> Vec<Container> {
    let template = concat!(
        "--output=jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}",
        "{range .spec['initContainers','containers'][*]} {.name}{end}{'\\n'}{end}"
    );
    let list = probe.kubectl(["get", "pods", "--all-namespaces", template]).run(logs).await;
    list.map(|list| parse(&list.text())).unwrap_or_default()
}

fn parse(list: &str) -> Vec<Container> {
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

/// The last lines of each log in `folder` that was taken from the pods of a namespace.
pub fn tails(folder: &Path, namespace: &str) -> Vec<(PathBuf, Vec<String>)> {
    let begin = format!("{namespace}_");
    let mut files = paths::entries(folder).unwrap_or_default();
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&begin) && name.ends_with(".log")
    });
    files.into_iter().map(|file| (file.clone(), tail(&file, TAIL_LINES))).collect()
}

/// The last lines of a file; none of one that cannot be read.
pub fn tail(file: &Path, lines: usize) -> Vec<String> {
    let text = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut last: Vec<_> = text.lines().rev().take(lines).map(str::to_owned).collect();
    last.reverse();
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ends_of_the_namespaces_own_logs_are_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let log: String = (1..=20).map(|line| format!("line {line}\n")).collect();
        std::fs::write(folder.path().join("system_a_main.log"), log).expect("written");
        std::fs::write(folder.path().join("system-two_b_main.log"), "other").expect("written");
        let tails = tails(folder.path(), "system");
        assert_eq!(tails.len(), 1);
        assert!(tails[0].0.ends_with("system_a_main.log"));
        assert_eq!(tails[0].1.len(), TAIL_LINES);
        assert_eq!(tails[0].1.last().map(String::as_str), Some("line 20"));
    }

    #[test]
    fn every_container_of_every_pod_is_asked_for_its_log() {
        let containers = parse("system pod-a operator terminator\ndefault pod-b main\n");
        let files: Vec<_> = containers.iter().map(|c| c.file(false)).collect();
        let expected =
            ["system_pod-a_operator.log", "system_pod-a_terminator.log", "default_pod-b_main.log"];
        assert_eq!(files, expected);
        assert_eq!(containers[2].file(true), "default_pod-b_main.previous.log");
    }
}
