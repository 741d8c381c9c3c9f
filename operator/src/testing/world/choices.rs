//! What may happen next in an exhaustive search.

use std::hash::{Hash, Hasher};

use super::{Event, Kinds, Look, Rollout, World};

/// What may still happen in a history, so that the number of histories is finite.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left {
    /// Looks that end between two writes, or never get an answer.
    pub(crate) cuts: usize,
    /// Looks whose releases land later than other events, or never.
    pub(crate) late: usize,
    /// Pods that somebody deletes.
    pub(crate) deletions: usize,
    /// Processes that start anew.
    pub(crate) restarts: usize,
    /// Events of users, of nodes and of strangers, in this order; each is free to come later.
    pub(crate) script: Vec<Event>,
}

/// What is left of the script is as long as it is.
impl Hash for Left {
    fn hash<H: Hasher>(&self, digest: &mut H) {
        let Self { cuts, late, deletions, restarts, script } = self;
        (cuts, late, deletions, restarts, script.len()).hash(digest);
    }
}

impl World {
    /// Everything that may happen next, and what may happen after it.
    pub(crate) fn choices(&self, left: &Left) -> Vec<(Event, Left)> {
        let mut choices = Vec::new();
        for process in 0..2 {
            self.add_looks(process, left, &mut choices);
        }
        let mut add = |event: Event, left: &Left| choices.push((event, left.clone()));
        add(Event::Sync, left);
        for (index, pod) in self.now.pods.values().enumerate() {
            if pod.is_gated || pod.is_done() {
            } else if pod.bound.is_none() {
                add(Event::Rollout(Rollout::Bind(index)), left);
            } else {
                add(Event::PodDone(index), left);
            }
            if left.deletions > 0 && !pod.is_leaving {
                let left = Left { deletions: left.deletions - 1, ..left.clone() };
                add(Event::PodDeleted(index), &left);
            }
        }
        if self.now.pods.values().any(|pod| pod.is_leaving) || self.is_going() {
            add(Event::PodsGone, left);
        }
        for index in 0..self.in_flight.len() {
            add(Event::Rollout(Rollout::Lands(index)), left);
        }
        if let Some((event, later)) = left.script.split_first() {
            add(event.clone(), &Left { script: later.to_vec(), ..left.clone() });
        }
        choices
    }

    fn is_going(&self) -> bool {
        self.now.daemon_set.as_ref().is_some_and(|daemon_set| daemon_set.is_going)
    }

    fn add_looks(&self, process: usize, left: &Left, choices: &mut Vec<(Event, Left)>) {
        let late = self.late_kinds(process);
        let look = |look: Look| Event::Rollout(Rollout::Look(look));
        for fresh in subsets(late) {
            let plain = Look { process, fresh, ..Look::default() };
            let (writes, releases) = match left.cuts + left.late {
                0 => (0, 0),
                _ => self.rehearse(&plain),
            };
            choices.push((look(plain.clone()), left.clone()));
            if releases > 0 && left.late > 0 {
                let late = Left { late: left.late - 1, ..left.clone() };
                choices.push((look(Look { are_late: true, ..plain.clone() }), late));
            }
            if left.cuts > 0 {
                let fewer = Left { cuts: left.cuts - 1, ..left.clone() };
                for cut in 1..=writes {
                    for lives_on in [false, true] {
                        let cut = Look { cut: Some(cut), lives_on, ..plain.clone() };
                        choices.push((look(cut), fewer.clone()));
                    }
                }
            }
        }
        for kinds in singles(late) {
            choices.push((Event::Rollout(Rollout::CatchUp(process, kinds)), left.clone()));
        }
        if left.restarts > 0 {
            let left = Left { restarts: left.restarts - 1, ..left.clone() };
            choices.push((Event::Rollout(Rollout::Restart(process)), left));
        }
    }

    /// The numbers of writes, and of releases among them, that this look would make.
    fn rehearse(&self, look: &Look) -> (usize, usize) {
        let mut world = self.clone();
        world.look(look);
        (world.writes, world.releases)
    }

    /// The caches of a process that are late.
    fn late_kinds(&self, process: usize) -> Kinds {
        let (now, [first, second]) = (&self.now, &self.processes);
        let caches = if process == 0 { &first.caches } else { &second.caches };
        let version = |job: &Option<std::sync::Arc<api::job::Job>>| {
            job.as_ref().and_then(|job| job.metadata.resource_version.clone())
        };
        let of = |objects: &super::Objects| {
            objects.daemon_set.as_ref().map(|it| (it.uid.clone(), it.version, it.is_going))
        };
        Kinds {
            job: version(&caches.job) != version(&now.job),
            daemon_set: of(caches) != of(now),
            pods: caches.pods != now.pods,
            nodes: caches.nodes != now.nodes,
        }
    }
}

/// All subsets of these kinds.
fn subsets(of: Kinds) -> impl Iterator<Item = Kinds> {
    let all = (0..16_u8).map(|bits| Kinds {
        job: bits & 1 != 0,
        daemon_set: bits & 2 != 0,
        pods: bits & 4 != 0,
        nodes: bits & 8 != 0,
    });
    all.filter(move |kinds| {
        (of.job || !kinds.job)
            && (of.daemon_set || !kinds.daemon_set)
            && (of.pods || !kinds.pods)
            && (of.nodes || !kinds.nodes)
    })
}

fn singles(of: Kinds) -> impl Iterator<Item = Kinds> {
    let count =
        |it: &Kinds| [it.job, it.daemon_set, it.pods, it.nodes].iter().filter(|is| **is).count();
    subsets(of).filter(move |kinds| count(kinds) == 1)
}
