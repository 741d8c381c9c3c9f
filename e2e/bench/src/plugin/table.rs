//! The table of the kubectl plugin.

use crate::cells::{MIB, both, plain, table, verdict};
use crate::report::Size;
use crate::summary::spread;

/// The most connections: fifty logs, and some beside.
const CONNECTIONS: usize = 60;
/// The size of the program, in MiB.
const SIZE: f64 = 12.0;
/// The most memory of any command, in MiB.
const MEMORY: f64 = 60.0;

/// Seconds that a command may take.
fn limit(command: &str) -> f64 {
    match command {
        "--help" => 0.02,
        "list -A" => 1.0,
        "status" => 1.5,
        _ => f64::INFINITY,
    }
}

/// The table, if the plugin was measured.
pub(crate) fn plugin(sizes: &[Size]) -> String {
    let runs: Vec<_> =
        sizes.iter().flat_map(|size| size.plugin.iter().map(|run| (size.nodes, run))).collect();
    let Some((_, first)) = runs.first() else { return String::new() };
    let size = first.size as f64 / MIB;
    let about = format!(
        "The kubectl plugin, a program of {}: `status` of a Job on all nodes, of which most are done; `list` of \
         1,000 Jobs; `logs` of all nodes into a file each.\n\n",
        verdict(Some((format!("{size:.1} MiB"), size <= SIZE))),
    );
    let head = "nodes | command | time, p50 / p99 | most memory | most connections | logs";
    let rows = runs.iter().map(|(nodes, run)| {
        let times = spread(run.seconds.iter().copied());
        let times = times.map(|times| (both(times), times.p50 <= limit(&run.command)));
        let peak = run.peak as f64 / MIB;
        let connections = (run.connections.to_string(), run.connections <= CONNECTIONS);
        let bytes = Some(run.bytes).filter(|bytes| *bytes > 0);
        format!(
            "{nodes} | `{}` | {} | {} | {} | {}",
            run.command,
            verdict(times),
            verdict(Some((format!("{peak:.1} MiB"), peak <= MEMORY))),
            verdict(Some(connections)),
            plain(bytes.map(|bytes| format!("{:.0} MiB", bytes as f64 / MIB))),
        )
    });
    table(&about, head, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::PluginRun;

    #[test]
    fn what_is_too_slow_or_too_large_is_marked() {
        let run = |command: &str, seconds, mib: u64| PluginRun {
            command: command.to_owned(),
            seconds: vec![seconds],
            peak: mib << 20,
            size: 13 << 20,
            ..PluginRun::default()
        };
        let commands =
            vec![run("--help", 0.03, 5), run("status", 1.4, 61), run("list -A", 0.9, 20)];
        let text = plugin(&[Size { nodes: 5000, plugin: commands, ..Size::default() }]);
        for marked in ["**13.0 MiB**", "**30 ms / 30 ms**", "**61.0 MiB**"] {
            assert!(text.contains(marked), "{marked}: {text}");
        }
        let list = "| 5000 | `list -A` | 900 ms / 900 ms | 20.0 MiB | 0 | – |";
        assert!(text.contains(list), "{text}");
        assert_eq!(plugin(&[Size::default()]), "");
    }
}
