//! Faults: what breaks on real clusters, inflicted on purpose and healed again.
//!
//! What lasts is a [`Fault`]. It is recorded in the cluster's folder before it is inflicted, and the
//! record goes when it is healed, so that it can be healed after a crash as well: `Drop` cannot wait
//! for a node to come back. What is over in a moment lies in [`kill`].

mod fault;
pub mod kill;
mod record;

use std::path::Path;

use anyhow::{Context as _, Result};
use harness::process::LogDir;

pub use self::fault::Fault;

use self::record::{Content, Record};
use crate::kind::{self, Cluster, Node, Provider};

/// A fault that lasts until it is healed. One that is dropped instead stays on record.
#[derive(Debug)]
#[must_use = "a fault lasts until it is healed"]
pub struct Inflicted {
    record: Record,
    provider: Provider,
    logs: LogDir,
}

/// Inflicts a fault on a node of the cluster. Part of one that fails may be there, and is on record.
pub async fn inflict(fault: Fault, node: &Node, cluster: &Cluster) -> Result<Inflicted> {
    let record = Record::write(cluster.folder(), fault, node.name())?;
    fault
        .inflict(node, cluster.logs())
        .await
        .with_context(|| format!("cannot inflict `{fault}` on {}", node.name()))?;
    let provider = cluster.record().provider;
    Ok(Inflicted { record, provider, logs: cluster.logs().clone() })
}

impl Inflicted {
    /// Undoes the fault, or leaves it on record. What the cluster makes of that takes its time.
    pub async fn heal(self) -> Result<()> {
        heal(&self.record, self.provider, &self.logs).await
    }
}

/// Undoes what is on record in a cluster's folder, the latest first, and tells what that was. Nodes
/// that are gone need no healing. What cannot be undone keeps nothing else from being healed.
pub async fn heal_recorded(folder: &Path, logs: &LogDir) -> Result<Vec<String>> {
    let mut healed = Vec::new();
    let mut failure = None;
    // Without a record the nodes are gone, or Docker's.
    let provider = kind::Record::load(folder)?.map(|record| record.provider).unwrap_or_default();
    for record in Record::all(folder)?.iter().rev() {
        match heal(record, provider, logs).await {
            Ok(()) => healed.push(record.to_string()),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(healed), Err)
}

async fn heal(record: &Record, provider: Provider, logs: &LogDir) -> Result<()> {
    let Content { fault, node } = &record.content;
    let node = Node::new(provider, node, logs);
    if node.exists().await? {
        fault.heal(&node, logs).await.with_context(|| format!("cannot heal {record}"))?;
    }
    record.remove()
}
