//! Work that simulated pods do by themselves, and when they did it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::simulation::{SimPod, Simulation};

/// The word that ends the work, on a line of its own.
const WORD: &str = "done\n";

/// When pods end: exponentially distributed times, so that most end soon and few late.
#[derive(Clone, Copy, Debug)]
pub struct Distribution {
    /// From the start of the container, on average.
    pub mean: Duration,
    /// At the latest.
    pub cap: Duration,
    /// Another seed draws other times; the same draws the same ones.
    pub seed: u64,
}

impl Distribution {
    /// The same time for every node; one in a million may get less.
    pub fn constant(time: Duration) -> Self {
        Self { mean: time * 1_000_000, cap: time, seed: 0 }
    }

    /// The time that is drawn for a node.
    pub fn draw(&self, node: &str) -> Duration {
        // FNV-1a: the draw depends on the name alone, not on the order in which pods start.
        let hash = node.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let share = fastrand::Rng::with_seed(hash ^ self.seed).f64();
        self.mean.mul_f64(-(1.0 - share).ln()).min(self.cap)
    }
}

/// How a pod ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It logs the word and runs on.
    Word,
    /// Its first container exits with this code.
    Exit(i32),
    /// Not at all, until [`Work::finish`].
    Held,
}

/// The work of the pods of one namespace.
#[derive(Clone)]
pub struct Work(Arc<Inner>);

struct Inner {
    distribution: Distribution,
    end: Box<dyn Fn(&str) -> End + Send + Sync>,
    /// What each pod logs before it begins to work.
    chatter: Vec<Bytes>,
    ended: Mutex<HashMap<String, Ended>>,
    count: watch::Sender<Counts>,
    /// Lets held pods end.
    released: watch::Sender<bool>,
}

/// How many pods have come how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Their containers run, or have run.
    pub started: usize,
    /// They have ended in their way.
    pub ended: usize,
}

/// The end of a pod's work.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Name of the pod.
    pub pod: String,
    /// Just before the word was written, or the container exited.
    pub at: Timestamp,
}

impl Work {
    /// Every pod ends in the way that `end` tells by the name of its node.
    pub fn new(
        distribution: Distribution,
        end: impl Fn(&str) -> End + Send + Sync + 'static,
    ) -> Self {
        Self::chatty(distribution, end, Vec::new())
    }

    /// As [`Self::new`], with something that each pod logs first, as fast as it is read.
    pub fn chatty(
        distribution: Distribution,
        end: impl Fn(&str) -> End + Send + Sync + 'static,
        chatter: Vec<Bytes>,
    ) -> Self {
        Self(Arc::new(Inner {
            distribution,
            end: Box::new(end),
            chatter,
            ended: Mutex::default(),
            count: watch::Sender::default(),
            released: watch::Sender::default(),
        }))
    }

    /// Puts the pods of a namespace to this work.
    pub fn assign(&self, sim: &Simulation, namespace: &str) {
        let this = self.clone();
        sim.behave(namespace, move |pod| this.clone().run(pod));
    }

    async fn run(self, pod: SimPod) {
        let node = pod.node().unwrap_or_default();
        self.0.count.send_modify(|count| count.started += 1);
        for chunk in &self.0.chatter {
            // Only a pod that is gone meanwhile has no container to log.
            if pod.log(chunk.clone()).is_err() {
                return;
            }
        }
        tokio::time::sleep(self.0.distribution.draw(&node)).await;
        let end = (self.0.end)(&node);
        if end == End::Held {
            // The sender lives as long as `self`.
            let _ = self.0.released.subscribe().wait_for(|released| *released).await;
        }
        let at = Timestamp::now();
        let done = match end {
            End::Word | End::Held => pod.log(WORD),
            End::Exit(code) => pod.exit(code),
        };
        if done.is_ok() {
            self.lock().insert(node, Ended { pod: pod.name(), at });
            self.0.count.send_modify(|count| count.ended += 1);
        }
    }

    /// Lets the pods that are held log the word.
    pub fn finish(&self) {
        self.0.released.send_replace(true);
    }

    /// Waits until the pods have come this far.
    pub async fn until(&self, reached: impl FnMut(&Counts) -> bool) {
        // The sender lives as long as `self`.
        let _ = self.0.count.subscribe().wait_for(reached).await;
    }

    /// How far the pods have come.
    pub fn counts(&self) -> Counts {
        *self.0.count.borrow()
    }

    /// The end of each pod's work, by node.
    pub fn ended(&self) -> HashMap<String, Ended> {
        self.lock().clone()
    }

    /// The last of these ends.
    pub fn last(&self) -> Option<Ended> {
        self.lock().values().max_by_key(|ended| ended.at).cloned()
    }

    /// Bytes that each pod logs, up to the end of the word.
    pub fn bytes_up_to_the_word(&self) -> u64 {
        let chatter: usize = self.0.chatter.iter().map(Bytes::len).sum();
        u64::try_from(chatter + WORD.len()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Ended>> {
        self.0.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEAN: Duration = Duration::from_secs(2);

    fn distribution(seed: u64) -> Distribution {
        Distribution { mean: MEAN, cap: Duration::from_secs(10), seed }
    }

    #[test]
    fn the_same_seed_draws_the_same_times() {
        assert_eq!(distribution(1).draw("a"), distribution(1).draw("a"));
        assert_ne!(distribution(1).draw("a"), distribution(2).draw("a"));
        assert_ne!(distribution(1).draw("a"), distribution(1).draw("b"));
    }

    #[test]
    fn times_have_their_mean_and_no_more_than_the_cap() {
        let draws: Vec<_> = (0..5000).map(|n| distribution(7).draw(&format!("node-{n}"))).collect();
        assert!(draws.iter().all(|draw| *draw <= Duration::from_secs(10)));
        let mean = draws.iter().sum::<Duration>() / 5000;
        assert!(mean > MEAN.mul_f64(0.9) && mean < MEAN.mul_f64(1.1), "{mean:?}");
    }
}
