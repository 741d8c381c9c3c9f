//! A set of nodes that fits into the status of a Job.

use std::{collections::BTreeSet, fmt};

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// Number of bytes of a member.
const WIDTH: usize = 8;

/// A set of nodes by UID.
///
/// It serializes to the base64 of the members' 64-bit hashes in ascending order: 11 characters a node,
/// 53 KB for 5,000 nodes.
///
/// The probability that any two of 100,000 nodes have the same hash is less than one in a billion.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NodeSet(BTreeSet<u64>);

/// Hash of a node's UID, by which a [`NodeSet`] holds the node.
///
/// Callers keep it, because hashing thousands of UIDs takes a while.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Member(u64);

/// Hashes a UID.
impl<S: AsRef<str> + ?Sized> From<&S> for Member {
    fn from(uid: &S) -> Self {
        Self(hash(uid.as_ref()))
    }
}

impl Member {
    pub(super) fn hash(self) -> u64 {
        self.0
    }

    pub(super) fn from_hash(hash: u64) -> Self {
        Self(hash)
    }
}

impl NodeSet {
    /// Adds a node, by its UID or its [`Member`].
    pub fn insert(&mut self, node: impl Into<Member>) {
        self.0.insert(node.into().0);
    }

    /// Whether the set has a node, by its UID or its [`Member`].
    #[must_use]
    pub fn contains(&self, node: impl Into<Member>) -> bool {
        self.0.contains(&node.into().0)
    }

    /// Takes a node out, by its UID or its [`Member`].
    pub fn remove(&mut self, node: impl Into<Member>) {
        self.0.remove(&node.into().0);
    }

    /// Adds all nodes of `other`.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// Keeps the nodes of which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(Member) -> bool) {
        self.0.retain(|hash| keep(Member(*hash)));
    }

    /// The nodes.
    pub fn iter(&self) -> impl Iterator<Item = Member> {
        self.0.iter().copied().map(Member)
    }

    /// Whether the set has all nodes of `other`.
    #[must_use]
    pub fn is_superset(&self, other: &Self) -> bool {
        self.0.is_superset(&other.0)
    }

    /// Whether the set has no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of nodes in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

fn hash(uid: &str) -> u64 {
    let digest = Sha256::digest(uid.as_bytes());
    digest.iter().take(WIDTH).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

impl fmt::Display for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<u8> = self.0.iter().flat_map(|hash| hash.to_be_bytes()).collect();
        f.write_str(&BASE64_STANDARD_NO_PAD.encode(bytes))
    }
}

impl Serialize for NodeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD_NO_PAD.decode(text).map_err(de::Error::custom)?;
        let (members, rest) = bytes.as_chunks::<WIDTH>();
        if !rest.is_empty() {
            return Err(de::Error::custom(
                "not a set of nodes: its length is no multiple of 8 bytes",
            ));
        }
        Ok(Self(members.iter().map(|member| u64::from_be_bytes(*member)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn five_thousand_nodes_fit_into_54_kilobytes() {
        let mut set = NodeSet::default();
        for node in 0..5000 {
            set.insert(&format!("5f1c1a3e-0000-4000-8000-{node:012}"));
        }
        assert_eq!(set.len(), 5000);
        let length = set.to_string().len();
        assert!(length < 54_000, "{length}");
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in ["\"AAAA\"", "\"!\"", "1"] {
            assert!(serde_json::from_str::<NodeSet>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_set_survives_the_wire(uids in prop::collection::vec("[a-f0-9-]{1,36}", 0..50)) {
            let mut set = NodeSet::default();
            uids.iter().for_each(|uid| set.insert(uid));
            let wire = serde_json::to_string(&set).unwrap();
            let back: NodeSet = serde_json::from_str(&wire).unwrap();
            prop_assert_eq!(&back, &set);
            prop_assert!(uids.iter().all(|uid| back.contains(uid)));
            prop_assert!(!back.contains("another"));
        }
    }
}
