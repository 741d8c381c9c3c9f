//! Whether our processes need no more at the end than after their first Jobs.
//!
//! This is the pure part: samples in, findings out.

use serde::Serialize;

use super::usage::{Process, Sample, Usage};

/// From how many Jobs on a process has what it keeps: caches, buffers, connections.
pub const SETTLED_AFTER: usize = 10;

/// By how many percent memory may be above its level after the first Jobs.
const MEMORY_MARGIN: u64 = 20;

/// What our processes used at several times, taken while no Job was there.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Look>);

#[derive(Clone, Debug)]
struct Look {
    /// How many Jobs had been there until then.
    jobs: usize,
    sample: Sample,
}

/// What became of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceUse {
    /// The name of its program.
    pub process: String,
    /// How many Jobs came between the two samples.
    pub jobs: usize,
    /// What it used when it had settled.
    pub before: Usage,
    /// What it uses now.
    pub after: Usage,
    /// What it needs too much of.
    pub excess: Vec<String>,
}

impl Samples {
    /// Adds what is seen after so many Jobs.
    pub fn add(&mut self, jobs: usize, sample: Sample) {
        self.0.push(Look { jobs, sample });
    }

    /// Compares every process of the last look with itself when it had settled. One that was started anew has
    /// its own level; one that has not had its first Jobs yet has none to be compared with.
    ///
    /// `left` pods are still there, for the scenario that made them has failed: each may have its log
    /// followed, which takes a connection.
    pub fn assess(&self, left: u64) -> Vec<ResourceUse> {
        let Some((last, earlier)) = self.0.split_last() else { return Vec::new() };
        let assessed = last.sample.iter().filter_map(|(process, after)| {
            let settled = settled(earlier, process)?;
            let jobs = last.jobs.saturating_sub(settled.jobs);
            let before = level(earlier, settled, process)?;
            (jobs > 0).then(|| ResourceUse::of(process, jobs, before, *after, left))
        });
        assessed.collect()
    }
}

/// The first look at a process after which it was to need no more.
fn settled<'a>(samples: &'a [Look], process: &Process) -> Option<&'a Look> {
    let mut seen = samples.iter().filter(|look| look.sample.contains_key(process));
    let first = seen.next()?;
    // A process that was there before the first look has had as many Jobs as were there.
    let born = if samples.first().is_some_and(|look| look.sample.contains_key(process)) {
        0
    } else {
        first.jobs
    };
    std::iter::once(first).chain(seen).find(|look| look.jobs - born >= SETTLED_AFTER)
}

/// What a process used when it had settled. Its idle connections were still open then: of these, and of
/// what holds them, the least that was seen until then counts.
fn level(samples: &[Look], settled: &Look, process: &Process) -> Option<Usage> {
    let mut level = *settled.sample.get(process)?;
    let until = samples.iter().filter(|look| look.jobs <= settled.jobs);
    for usage in until.filter_map(|look| look.sample.get(process)) {
        level.descriptors = level.descriptors.min(usage.descriptors);
        level.connections = level.connections.min(usage.connections);
    }
    Some(level)
}

impl ResourceUse {
    fn of(process: &Process, jobs: usize, before: Usage, after: Usage, left: u64) -> Self {
        let limit = before.memory_kib + before.memory_kib * MEMORY_MARGIN / 100;
        let mut excess = Vec::new();
        if after.memory_kib > limit {
            excess.push(format!("memory, {limit} KiB are allowed"));
        }
        if after.descriptors > before.descriptors + left {
            excess.push("file descriptors".to_owned());
        }
        if after.connections > before.connections + left {
            excess.push("connections".to_owned());
        }
        Self { process: process.name.clone(), jobs, before, after, excess }
    }
}

impl std::fmt::Display for ResourceUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { process, jobs, before, after, excess } = self;
        write!(
            f,
            "{process}: memory {} → {} KiB, descriptors {} → {}, connections {} → {} over {jobs} Jobs",
            before.memory_kib,
            after.memory_kib,
            before.descriptors,
            after.descriptors,
            before.connections,
            after.connections,
        )?;
        if !excess.is_empty() {
            write!(f, "; too much: {}", excess.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(start: u64) -> Process {
        Process { name: "operator".to_owned(), node: "worker".to_owned(), id: 7, start }
    }

    fn usage(memory_kib: u64, descriptors: u64, connections: u64) -> Usage {
        Usage { memory_kib, descriptors, connections }
    }

    /// Looks at one process: Jobs so far, the start of the process, what it uses.
    fn assess(samples: &[(usize, u64, Usage)]) -> Vec<ResourceUse> {
        let mut all = Samples::default();
        for (jobs, start, usage) in samples {
            all.add(*jobs, [(process(*start), *usage)].into());
        }
        all.assess(0)
    }

    fn excess(samples: &[(usize, u64, Usage)]) -> usize {
        assess(samples).iter().map(|assessed| assessed.excess.len()).sum()
    }

    #[test]
    fn a_fifth_more_memory_is_allowed_and_no_more() {
        let settled = (10, 1, usage(5000, 10, 2));
        assert_eq!(excess(&[settled, (60, 1, usage(6000, 10, 2))]), 0);
        assert_eq!(excess(&[settled, (60, 1, usage(6001, 10, 2))]), 1);
    }

    #[test]
    fn descriptors_and_connections_have_to_be_given_back() {
        let settled = (10, 1, usage(5000, 10, 2));
        assert_eq!(excess(&[settled, (60, 1, usage(5000, 11, 3))]), 2);
        assert_eq!(excess(&[settled, (60, 1, usage(4000, 9, 1))]), 0);
    }

    #[test]
    fn pods_that_a_failed_scenario_left_may_have_their_logs_followed() {
        let mut samples = Samples::default();
        samples.add(10, [(process(1), usage(5000, 10, 2))].into());
        samples.add(60, [(process(1), usage(5000, 12, 4))].into());
        assert_eq!(samples.assess(1)[0].excess.len(), 2);
        assert_eq!(samples.assess(2)[0].excess, Vec::<String>::new());
    }

    #[test]
    fn what_the_first_jobs_take_is_no_leak() {
        let samples =
            [(0, 1, usage(3000, 5, 1)), (10, 1, usage(5000, 10, 2)), (20, 1, usage(5000, 10, 2))];
        assert_eq!(assess(&samples).len(), 1);
        assert_eq!(assess(&samples)[0].before.memory_kib, 5000);
    }

    #[test]
    fn connections_that_were_idle_after_the_first_jobs_are_no_level() {
        let samples =
            [(0, 1, usage(3000, 5, 1)), (10, 1, usage(5000, 9, 4)), (20, 1, usage(5000, 6, 2))];
        assert_eq!(excess(&samples), 2);
    }

    #[test]
    fn process_that_was_started_anew_has_a_level_of_its_own() {
        let old = (10, 1, usage(9000, 30, 9));
        assert_eq!(assess(&[old, (30, 2, usage(4000, 5, 1))]), [], "one look says nothing");
        assert_eq!(
            assess(&[old, (30, 2, usage(1, 1, 1)), (35, 2, usage(9, 9, 9))]),
            [],
            "too young"
        );
        let grown =
            [old, (30, 2, usage(1, 1, 1)), (40, 2, usage(10, 1, 1)), (50, 2, usage(13, 1, 1))];
        assert_eq!(excess(&grown), 1);
    }

    #[test]
    fn figures_are_told() {
        let samples = [(10, 1, usage(5000, 10, 2)), (60, 1, usage(7000, 10, 2))];
        assert_eq!(
            assess(&samples)[0].to_string(),
            "operator: memory 5000 → 7000 KiB, descriptors 10 → 10, connections 2 → 2 over 50 Jobs; \
             too much: memory, 6000 KiB are allowed"
        );
    }
}
