//! Failed runs of pods that are gone, in a form that fits into the status of a Job.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::node_set::{Member, NodeSet};

/// Number of bytes of an entry: hash of the node, time, number of runs.
const WIDTH: usize = 8 + 4 + 2;

/// The number of failed runs by node.
///
/// The DaemonSet controller replaces a pod that its kubelet has given up, and the runs of that pod are gone with
/// it. Here they are kept, each pod once: pods of a node are created one after the other, so those that were
/// created after the last one that was counted are not counted yet.
///
/// It serializes to base64, 19 characters a node.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FailedRuns(BTreeMap<u64, Entry>);

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Entry {
    /// When the last pod that is counted was created, in seconds.
    created: u32,
    runs: u16,
}

impl FailedRuns {
    /// The failed runs of earlier pods of a node than the one created at `created`.
    ///
    /// `None` if the runs of that pod are counted among those of the node already.
    #[must_use]
    pub fn before(&self, node: Member, created: Timestamp) -> Option<i32> {
        match self.0.get(&node.hash()) {
            None => Some(0),
            Some(entry) => (seconds(created) > entry.created).then_some(entry.runs.into()),
        }
    }

    /// The failed runs of a node.
    #[must_use]
    pub fn of(&self, node: Member) -> i32 {
        self.0.get(&node.hash()).map_or(0, |entry| entry.runs.into())
    }

    /// Counts the failed runs of a pod of a node, unless they are counted already.
    pub fn add(&mut self, node: Member, created: Timestamp, runs: i32) {
        let entry = self.0.entry(node.hash()).or_default();
        if seconds(created) > entry.created {
            let runs = u16::try_from(runs).unwrap_or(u16::MAX);
            *entry = Entry { created: seconds(created), runs: entry.runs.saturating_add(runs) };
        }
    }

    /// Forgets the nodes that are in `ended`.
    pub fn forget(&mut self, ended: &NodeSet) {
        self.0.retain(|node, _| !ended.contains(Member::from_hash(*node)));
    }

    /// Whether no run is counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Seconds since 1970, up to 2106.
fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.as_second().max(0)).unwrap_or(u32::MAX)
}

impl fmt::Display for FailedRuns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |(node, entry): (&u64, &Entry)| {
            let (node, created) = (node.to_be_bytes(), entry.created.to_be_bytes());
            node.into_iter().chain(created).chain(entry.runs.to_be_bytes())
        };
        let bytes: Vec<u8> = self.0.iter().flat_map(bytes).collect();
        f.write_str(&BASE64_STANDARD_NO_PAD.encode(bytes))
    }
}

impl Serialize for FailedRuns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FailedRuns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD_NO_PAD.decode(text).map_err(de::Error::custom)?;
        let (entries, rest) = bytes.as_chunks::<WIDTH>();
        if !rest.is_empty() {
            return Err(de::Error::custom("no failed runs: its length is no multiple of 14 bytes"));
        }
        let entry = |[a, b, c, d, e, f, g, h, i, j, k, l, m, n]: &[u8; WIDTH]| {
            let created = u32::from_be_bytes([*i, *j, *k, *l]);
            let entry = Entry { created, runs: u16::from_be_bytes([*m, *n]) };
            (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), entry)
        };
        Ok(Self(entries.iter().map(entry).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000 + second).unwrap()
    }

    #[test]
    fn runs_add_up_and_no_pod_is_counted_twice() {
        let (mut runs, node) = (FailedRuns::default(), Member::from("a"));
        assert_eq!(runs.before(node, at(0)), Some(0));
        runs.add(node, at(0), 1);
        runs.add(node, at(0), 1);
        assert_eq!((runs.of(node), runs.before(node, at(0))), (1, None));
        assert_eq!(runs.before(node, at(5)), Some(1));
        runs.add(node, at(5), 2);
        // A cache that lags shows the first pod once more.
        runs.add(node, at(0), 1);
        assert_eq!((runs.of(node), runs.of(Member::from("b"))), (3, 0));
        let mut ended = NodeSet::default();
        ended.insert(node);
        runs.forget(&ended);
        assert!(runs.is_empty());
    }

    #[test]
    fn it_survives_the_wire_in_19_characters_a_node() {
        let mut runs = FailedRuns::default();
        for node in 0..1000 {
            runs.add(Member::from(&node.to_string()), at(node), 70_000);
        }
        let wire = serde_json::to_string(&runs).unwrap();
        assert!(wire.len() < 19_000, "{}", wire.len());
        assert_eq!(serde_json::from_str::<FailedRuns>(&wire).unwrap(), runs);
        for text in ["\"AAAA\"", "\"!\"", "1"] {
            assert!(serde_json::from_str::<FailedRuns>(text).is_err(), "{text}");
        }
    }
}
