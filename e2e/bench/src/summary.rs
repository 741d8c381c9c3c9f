//! The figures that are promised, made from what was measured.

use testbed::program::Usage;

use super::report::{JobRun, Kind, Size};

/// The middle of some figures, and their 99th percentile: of fewer than a hundred the largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// `None` of nothing.
pub(super) fn spread(figures: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied();
    let count = sorted.len();
    let p50 = (at(count.checked_sub(1)? / 2)? + at(count / 2)?) / 2.0;
    // The nearest rank: the smallest figure that 99 of 100 do not exceed.
    let p99 = at((count * 99).div_ceil(100) - 1)?;
    Some(Spread { p50, p99 })
}

pub(super) fn median(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    spread(figures).map(|spread| spread.p50)
}

/// The figures of one number of nodes; those that were not measured are `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) nodes: u32,
    pub(super) detection: Option<Spread>,
    /// Until it is recorded, reported in the status, and acted upon.
    pub(super) parts: Option<[f64; 3]>,
    pub(super) recorded: Option<Spread>,
    pub(super) exit_codes: Option<Spread>,
    pub(super) follow: Option<f64>,
    pub(super) polling: Option<f64>,
    pub(super) whole: Option<f64>,
    pub(super) whole_baseline: Option<f64>,
    pub(super) requests_a_pod: Option<f64>,
    pub(super) requests_besides: Option<f64>,
    pub(super) log_ratio: Option<f64>,
    pub(super) resident: Option<f64>,
    pub(super) peak: Option<f64>,
    /// From the start of both processes until both are ready.
    pub(super) ready: Option<f64>,
    /// Processor time of both for one Job.
    pub(super) cpu: Option<f64>,
    pub(super) requests: Option<f64>,
    pub(super) watch_events: Option<f64>,
}

pub(super) fn of_size(size: &Size) -> Figures {
    let nodes = f64::from(size.nodes);
    let words = || size.words.iter();
    let count = |number: u64| number as f64;
    let both = |run: &JobRun, of: fn(&Usage) -> f64| run.usage.iter().map(of).sum::<f64>();
    let per = |figure: fn(&JobRun) -> f64| median(words().map(figure));
    let part = |index: usize| median(words().map(|run| run.detection_parts[index]));
    Figures {
        nodes: size.nodes,
        detection: spread(words().map(|run| run.detection)),
        parts: (|| Some([part(0)?, part(1)?, part(2)?]))(),
        recorded: spread(words().flat_map(|run| run.recorded.iter().copied())),
        exit_codes: spread(size.exit_codes.iter().map(|run| run.detection)),
        follow: median(size.baselines.iter().map(|baseline| baseline.follow)),
        polling: median(size.baselines.iter().map(|baseline| baseline.polling)),
        whole: per(|run| run.whole),
        whole_baseline: median(size.baselines.iter().map(|baseline| baseline.whole)),
        requests_a_pod: median(words().map(|run| count(run.cost.for_pods) / nodes)),
        requests_besides: per(|run| run.cost.besides as f64),
        log_ratio: median(words().map(|run| count(run.log_bytes_read) / count(run.log_bytes))),
        resident: median(words().map(|run| both(run, |usage| usage.resident as f64))),
        peak: median(words().map(|run| both(run, |usage| usage.peak as f64))),
        ready: median(size.starts.iter().copied()),
        cpu: median(words().map(|run| both(run, |usage| usage.cpu))),
        requests: per(|run| (run.cost.for_pods + run.cost.besides) as f64),
        watch_events: per(|run| run.watch_events as f64),
    }
}

pub(super) fn of_kind(kind: &Kind) -> Figures {
    let list = |figures: &[f64]| figures.to_vec();
    Figures {
        nodes: kind.nodes,
        detection: spread(list(&kind.detections)),
        follow: median(list(&kind.follows)),
        whole: median(list(&kind.wholes)),
        whole_baseline: median(list(&kind.baselines)),
        resident: Some(kind.memory as f64).filter(|memory| *memory > 0.0),
        ..Figures::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_of_few_figures_ends_with_the_largest() {
        assert_eq!(spread([3.0, 1.0, 2.0]), Some(Spread { p50: 2.0, p99: 3.0 }));
        assert_eq!(spread([1.0, 2.0]), Some(Spread { p50: 1.5, p99: 2.0 }));
        assert_eq!(spread([]), None);
    }

    #[test]
    fn ninety_ninth_percentile_of_many_leaves_one_in_a_hundred_out() {
        let figures = (1..=1000).map(f64::from);
        assert_eq!(spread(figures).map(|spread| spread.p99), Some(990.0));
    }
}
