//! The table of rollouts, in Markdown.

use crate::cells::{MIB, REQUESTS_A_POD, both, plain, table, time, verdict};
use crate::report::{Rollout, Size};
use crate::summary::{Spread, spread};

/// From the end of a node's work to the release of the next.
const HAND_OVER: Spread = Spread { p50: 0.1, p99: 0.4 };
/// A whole rollout against the ideal one.
const AGAINST_IDEAL: f64 = 1.15;
/// Requests a node of a Job whose nodes take turns.
const REQUESTS_A_TURN: f64 = REQUESTS_A_POD + 4.0;
/// MiB of the operator beyond what it needs for the same Job without turns.
const MORE_MEMORY: f64 = 15.0;

const ABOUT: &str = "Jobs whose nodes take turns, with 2 s of work on each. A hand-over is the time from the end of a node's work to \
                     the release of the next one; the first part of it ends with the request that stores the release in the status. \
                     The ideal is the rounds that the limit asks for, each as long as one node takes from its release to its end; \
                     the naive way is a rolling update of a DaemonSet with the limit as maxUnavailable. The operator's memory \
                     is compared with what it takes for the same Job without turns.\n\n";

const HEAD: &str = "nodes | parallelism | at work at once | hand-over, p50 / p99 | until the status | whole | \
                    against the ideal | naive way | requests a node | operator (peak) | more than without turns";

/// The table of all sizes, empty without a rollout.
pub(crate) fn rollouts(sizes: &[Size]) -> String {
    let rows = sizes.iter().flat_map(|size| size.rollouts.iter().map(|run| row(size.nodes, run)));
    table(ABOUT, HEAD, rows)
}

fn row(nodes: u32, run: &Rollout) -> String {
    let ideal = f64::from(nodes.div_ceil(run.places.max(1))) * run.single;
    let ratio = run.whole / ideal;
    let requests = (run.cost.for_pods + run.cost.besides) as f64 / f64::from(nodes);
    let most = (run.most_at_once.to_string(), run.most_at_once <= run.places);
    let hand_over = spread(run.hand_overs.iter().copied());
    let hand_over = hand_over
        .map(|times| (both(times), times.p50 <= HAND_OVER.p50 && times.p99 <= HAND_OVER.p99));
    let [operator, _] = &run.usage;
    let more = run.without_turns.map(|[without, _]| {
        let more = (operator.resident as f64 - without.resident as f64) / MIB;
        (format!("{more:.1} MiB"), more <= MORE_MEMORY)
    });
    format!(
        "{nodes} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} MiB ({:.1}) | {}",
        run.parallelism,
        verdict(Some(most)),
        verdict(hand_over),
        plain(spread(run.until_status.iter().copied()).map(both)),
        time(run.whole),
        verdict(Some((format!("{ratio:.2}"), ratio <= AGAINST_IDEAL))),
        time(run.naive),
        verdict(Some((format!("{requests:.1}"), requests <= REQUESTS_A_TURN))),
        operator.resident as f64 / MIB,
        operator.peak as f64 / MIB,
        verdict(more),
    )
}

#[cfg(test)]
mod tests {
    use testbed::program::Usage;

    use super::*;

    #[test]
    fn what_misses_its_promise_is_marked() {
        let usage = |mib: u64| [Usage { resident: mib << 20, ..Usage::default() }; 2];
        let run = Rollout {
            places: 50,
            most_at_once: 51,
            single: 2.0,
            whole: 40.0,
            hand_overs: vec![0.05, 0.5],
            until_status: vec![0.03],
            usage: usage(32),
            without_turns: Some(usage(16)),
            ..Rollout::default()
        };
        let row = row(1000, &run);
        for cell in
            ["**51**", "**275 ms / 500 ms**", "| 30 ms / 30 ms |", "| 1.00 |", "**16.0 MiB**"]
        {
            assert!(row.contains(cell), "{cell} in {row}");
        }
        assert_eq!(row.matches('|').count(), HEAD.matches('|').count());
        assert_eq!(rollouts(&[Size::default()]), "");
    }
}
