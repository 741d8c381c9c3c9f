//! How much memory the terminator takes while something happens.

use anyhow::{Context as _, Result, ensure};
use harness::job_handle::node_of;
use testbed::kind::Node;

use crate::support::env::ScenarioEnv;

/// How far the memory may rise: enough for a few dozen connections' buffers.
const RISE: u64 = 8 * 1024;

/// Prints `pid level peak`, in KiB, of the process of the name `$1`. With `reset` as `$2` the peak is
/// forgotten first: <https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html>.
const MEASURE: &str = r#"
for process in /proc/[0-9]*; do
    read -r name 2>/dev/null < "$process/comm" && [ "$name" = "$1" ] || continue
    [ "$2" != reset ] || echo 5 > "$process/clear_refs" || exit
    awk -v pid="${process#/proc/}" '
        $1 == "VmRSS:" { level = $2 }
        $1 == "VmHWM:" { peak = $2 }
        END { print pid, level, peak }
    ' "$process/status"
done
"#;

/// The memory of the running terminator, from a point in time on.
pub(crate) struct TerminatorMemory<'a> {
    env: &'a ScenarioEnv<'a>,
    node: &'a Node,
    before: Measured,
}

/// Sizes in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Measured {
    pid: u32,
    level: u64,
    peak: u64,
}

impl<'a> TerminatorMemory<'a> {
    /// Takes the level, and begins to look for the peak.
    pub(crate) async fn watch(env: &'a ScenarioEnv<'a>) -> Result<Self> {
        let pods = env.cx.deployed.pods(env.cx.client).await?;
        let name = pods.first().and_then(node_of);
        let name = name.context("the operator's pod is on no node")?;
        let node = env.nodes.iter().find(|node| node.name() == name);
        let node = node.with_context(|| format!("the cluster has no node {name}"))?;
        let before = measure(env, node, "reset").await?;
        Ok(Self { env, node, before })
    }

    /// Sees that the memory stayed near its level, and shows how near.
    pub(crate) async fn has_stayed_level(self) -> Result<()> {
        let after = measure(self.env, self.node, "").await?;
        ensure!(after.pid == self.before.pid, "the terminator restarted");
        let rise = after.peak.saturating_sub(self.before.level);
        ensure!(
            rise <= RISE,
            "the terminator took {} KiB before and up to {} KiB, {rise} KiB more: {RISE} are allowed",
            self.before.level,
            after.peak
        );
        let (level, peak) = (self.before.level, after.peak);
        self.env.cx.phase.outcome(format_args!("terminator {level} KiB, at most {peak} KiB"));
        Ok(())
    }
}

async fn measure(env: &ScenarioEnv<'_>, node: &Node, reset: &str) -> Result<Measured> {
    let command = node.exec(["sh", "-c", MEASURE, "sh", "terminator", reset]);
    let text = command.run(env.cx.logs).await?.text();
    parse(&text).with_context(|| format!("{}: no memory of one terminator: {text:?}", node.name()))
}

/// One process; none if it is not clearly ours.
fn parse(text: &str) -> Option<Measured> {
    let words: Vec<_> = text.split_whitespace().collect();
    let [pid, level, peak] = words[..] else { return None };
    Some(Measured { pid: pid.parse().ok()?, level: level.parse().ok()?, peak: peak.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_is_measured_and_several_are_not_mixed_up() {
        assert_eq!(parse("12 400 500\n"), Some(Measured { pid: 12, level: 400, peak: 500 }));
        assert_eq!(parse("12 400 500\n13 1 2\n"), None);
        assert_eq!(parse(""), None);
    }
}
