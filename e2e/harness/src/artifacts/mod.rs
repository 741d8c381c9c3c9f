//! What is collected from a cluster when something failed, before it changes or goes.
//!
//! [`of_scenario`] takes what one scenario concerns, at the moment it failed; [`of_cluster`] takes all,
//! for failures that are nobody's. What cannot be had is left out, and the log of the command says
//! why: each command is bounded in time, and so is the whole.

mod pods;
mod probe;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream;

pub use self::pods::{tail, tails};
use self::probe::COMMAND_TIMEOUT;
pub use self::probe::{NodeProbe, Probe};
use crate::process::{Cmd, LogDir};

/// How long a collection may take, whatever its commands do.
const LIMIT: Duration = Duration::from_secs(90);

/// How many commands run at a time: other scenarios go on beside them.
const AT_A_TIME: usize = 4;

/// What is asked of the API server for each namespace: file name and kubectl arguments.
const OF_NAMESPACE: &[(&str, &str)] = &[
    ("events.txt", "get events --sort-by=.metadata.creationTimestamp"),
    ("pods.txt", "get pods --output=wide"),
    (
        "objects.yaml",
        "get jobs.daemonset.darkowlzz.space,daemonsets,controllerrevisions,deployments,pods --output=yaml",
    ),
    ("described.txt", "describe jobs.daemonset.darkowlzz.space,daemonsets,pods"),
];

/// What is asked of it in any case.
const OF_ALL: &[(&str, &str)] = &[
    ("nodes.txt", "describe nodes"),
    ("pods.txt", "get pods --all-namespaces --output=wide"),
    ("objects.txt", "get jobs.daemonset.darkowlzz.space,daemonsets,deployments --all-namespaces"),
];

/// What is asked of it beside that when nothing else says where to look.
const OF_CLUSTER: &[(&str, &str)] = &[
    ("events.txt", "get events --all-namespaces --sort-by=.metadata.creationTimestamp"),
    ("described.txt", "describe pods --all-namespaces"),
    (
        "objects.yaml",
        "get pods,daemonsets,deployments,controllerrevisions --all-namespaces --output=yaml",
    ),
    ("jobs.yaml", "get jobs.daemonset.darkowlzz.space --all-namespaces --output=yaml"),
];

/// Prints what runs on a node, and what it logged last. `crictl` is in official node images only.
const NODE_STATE: &str = r"
heading() { printf '\n## %s\n' $1; }
heading containers; crictl ps --all 2>/dev/null || ctr --namespace k8s.io tasks list
heading processes; ps axww -o pid,ppid,stat,etime,rss,args --sort=-rss | head -n 60
heading memory; free -m
heading disk; df -h /var /tmp
heading addresses; ip -brief address
heading firewall; iptables --list-rules | grep -v -e KUBE- -e '^-P .* ACCEPT'
for unit in kubelet containerd; do heading $unit; journalctl -u $unit 2>&1 | tail -n 200; done
exit 0
";

/// Collects what a scenario concerns: its namespaces, those named, and all nodes.
pub async fn of_scenario(
    probe: &Probe,
    scenario: &str,
    namespaces: &[&str],
    folder: &Path,
    logs: &LogDir,
) -> Result<()> {
    within(LIMIT, async {
        let collection = Collection { probe, folder, logs };
        let mut work = Vec::new();
        let list = probe.kubectl(["get", "namespaces", "--output=name"]);
        let found = list.run(logs).await.map(|output| output.text()).unwrap_or_default();
        let concerned = concerned(&found, scenario, namespaces);
        for namespace in &concerned {
            let into = folder.join(namespace);
            fs_err::create_dir_all(&into)?;
            work.extend(collection.queries(OF_NAMESPACE, &into, &["--namespace", namespace]));
        }
        work.extend(collection.of_all()?);
        let containers = pods::containers(probe, logs).await;
        for container in containers.iter().filter(|it| concerned.contains(&it.namespace)) {
            work.extend(collection.pod_logs(container, &folder.join(&container.namespace)));
        }
        run(work).await;
        Ok(())
    })
    .await
}

/// Collects the state of the whole cluster, the logs of all pods and those of the nodes into `folder`.
pub async fn of_cluster(probe: &Probe, folder: &Path, logs: &LogDir) -> Result<()> {
    let pod_logs = folder.join("pods");
    fs_err::create_dir_all(&pod_logs)?;
    within(LIMIT, async {
        let collection = Collection { probe, folder, logs };
        let mut work = collection.of_all()?;
        work.extend(collection.queries(OF_CLUSTER, folder, &[]));
        for container in &pods::containers(probe, logs).await {
            work.extend(collection.pod_logs(container, &pod_logs));
        }
        work.push(exported(probe, folder, logs).boxed());
        run(work).await;
        Ok(())
    })
    .await
}

/// Copies what kind exports of the nodes, the logs of all containers among it, into `folder`.
pub async fn exported(probe: &Probe, folder: &Path, logs: &LogDir) {
    let export = probe.export_logs.clone().arg(folder.join("kind-logs"));
    // What cannot be exported is missing; the log of the command says why.
    let _ = export.timeout(COMMAND_TIMEOUT * 2).run(logs).await;
}

/// One command, and where its output goes.
type Task<'a> = BoxFuture<'a, ()>;

async fn run(work: Vec<Task<'_>>) {
    stream::iter(work).buffer_unordered(AT_A_TIME).collect::<Vec<()>>().await;
}

async fn within(limit: Duration, work: impl Future<Output = Result<()>>) -> Result<()> {
    // What was collected until then is there.
    tokio::time::timeout(limit, work).await.unwrap_or(Ok(()))
}

/// Where from, and where to.
#[derive(Clone, Copy)]
struct Collection<'a> {
    probe: &'a Probe,
    folder: &'a Path,
    logs: &'a LogDir,
}

impl<'a> Collection<'a> {
    fn queries(self, queries: &[(&str, &str)], into: &Path, options: &[&str]) -> Vec<Task<'a>> {
        let tasks = queries.iter().map(|(file, query)| {
            let words = query.split(' ').chain(options.iter().copied());
            into_file(self.probe.kubectl(words), into.join(file), self.logs).boxed()
        });
        tasks.collect()
    }

    fn pod_logs(self, container: &pods::Container, into: &Path) -> [Task<'a>; 2] {
        [false, true].map(|previous| {
            let file = into.join(container.file(previous));
            into_file(self.probe.kubectl(container.query(previous)), file, self.logs).boxed()
        })
    }

    /// What is asked in any case, and the state of every node: from inside, and from outside for one that does not
    /// answer.
    fn of_all(self) -> Result<Vec<Task<'a>>> {
        let into = self.folder.join("nodes");
        fs_err::create_dir_all(&into)?;
        let tasks = self.probe.nodes.iter().flat_map(|node| {
            let state = into.join(format!("{}.txt", node.name));
            let container = into.join(format!("{}.json", node.name));
            let print_state = node.exec.clone().args(["sh", "-c", NODE_STATE]);
            [
                into_file(print_state, state, self.logs).boxed(),
                into_file(node.inspect.clone(), container, self.logs).boxed(),
            ]
        });
        Ok(self.queries(OF_ALL, self.folder, &[]).into_iter().chain(tasks).collect())
    }
}

/// Which of the namespaces (`namespace/NAME` a line) a scenario concerns.
fn concerned(found: &str, scenario: &str, others: &[&str]) -> Vec<String> {
    let names = found.lines().filter_map(|line| line.trim().strip_prefix("namespace/"));
    names
        .filter(|name| name.starts_with(scenario) || others.contains(name))
        .map(str::to_owned)
        .collect()
}

/// Runs a command for its standard output, and leaves no empty file behind.
async fn into_file(cmd: Cmd, file: PathBuf, logs: &LogDir) {
    let _ = cmd.stdout_file(&file).timeout(COMMAND_TIMEOUT).run(logs).await;
    if std::fs::metadata(&file).is_ok_and(|meta| meta.len() == 0) {
        let _ = std::fs::remove_file(&file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenario_concerns_its_own_namespaces_and_those_named() {
        let found = "namespace/default\nnamespace/mine\nnamespace/mine-2\nnamespace/other\nnamespace/system\n";
        assert_eq!(concerned(found, "mine", &["system"]), ["mine", "mine-2", "system"]);
    }

    #[tokio::test]
    async fn collection_that_hangs_is_given_up() {
        assert!(within(Duration::from_millis(10), std::future::pending()).await.is_ok());
    }
}
