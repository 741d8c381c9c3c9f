//! What our processes use, read from `/proc` of the nodes that they run on.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use serde::Serialize;

use harness::process::LogDir;
use testbed::kind::{Cluster, Node};

/// Prints `name pid start memory(KiB) descriptors connections` of these processes.
const SCRIPT: &str = r#"
for process in /proc/[0-9]*; do
    read -r name 2>/dev/null <"$process/comm" || continue
    case " $* " in *" $name "*) ;; *) continue ;; esac
    start=$(sed 's/.*) //' "$process/stat" | cut -d ' ' -f 20)
    memory=$(awk '$1 == "VmRSS:" { print $2 }' "$process/status")
    descriptors=$(ls "$process/fd" | wc -l)
    connections=$({ ls -l "$process/fd"; cat "$process/net/tcp" "$process/net/tcp6"; } 2>/dev/null | awk '
        match($0, /socket:\[[0-9]+\]/) { own[substr($0, RSTART + 8, RLENGTH - 9)] = 1; next }
        $4 == "01" && ($10 in own) { connections++ }
        END { print connections + 0 }
    ')
    [ -n "$memory" ] && echo "$name ${process#/proc/} $start $memory $descriptors $connections"
done
exit 0
"#;

/// One process, from its start to its end: another one has another id or start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// The name of its program.
    pub name: String,
    /// The node that it runs on.
    pub node: String,
    /// Its id there.
    pub id: u32,
    /// When it started, in clock ticks after the machine did.
    pub start: u64,
}

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Resident memory in KiB.
    pub memory_kib: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Established TCP connections.
    pub connections: u64,
}

/// What all processes of ours use.
pub type Sample = BTreeMap<Process, Usage>;

/// Looks at the processes of these names on all nodes.
pub async fn sample(cluster: &Cluster, names: &[&str], logs: &LogDir) -> Result<Sample> {
    let nodes = cluster.nodes().await?;
    let samples = try_join_all(nodes.iter().map(|node| on_node(node, names, logs))).await?;
    Ok(samples.into_iter().flatten().collect())
}

async fn on_node(node: &Node, names: &[&str], logs: &LogDir) -> Result<Sample> {
    let script = node.exec(["sh", "-c", SCRIPT, "sh"].iter().chain(names));
    parse(node.name(), &script.run(logs).await?.text())
}

fn parse(node: &str, text: &str) -> Result<Sample> {
    text.lines()
        .map(|line| parse_line(node, line).with_context(|| format!("{node}: unexpected: {line}")))
        .collect()
}

fn parse_line(node: &str, line: &str) -> Option<(Process, Usage)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let &[name, id, start, memory, descriptors, connections] = words.as_slice() else {
        return None;
    };
    let process = Process {
        name: name.to_owned(),
        node: node.to_owned(),
        id: id.parse().ok()?,
        start: start.parse().ok()?,
    };
    let usage = Usage {
        memory_kib: memory.parse().ok()?,
        descriptors: descriptors.parse().ok()?,
        connections: connections.parse().ok()?,
    };
    Some((process, usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_process_and_nonsense_is_refused() {
        let sample = parse("worker", "operator 7 123 5400 14 3\nterminator 9 124 5000 12 2\n");
        let sample = sample.expect("parsed");
        assert_eq!(sample.len(), 2);
        let (process, usage) = sample.first_key_value().expect("one");
        assert_eq!((process.name.as_str(), process.id), ("operator", 7));
        let expected = Usage { memory_kib: 5400, descriptors: 14, connections: 3 };
        assert_eq!(*usage, expected);
        assert!(parse("worker", "operator 7 123\n").is_err());
    }
}
