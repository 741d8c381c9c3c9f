//! Scheduling gates.

use k8s_openapi::api::core::v1::PodSchedulingGate;
use serde::{Deserialize, Deserializer};

use crate::labels;

/// The scheduling gates of a pod or of a pod template.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Gates {
    /// It waits for its node's turn.
    pub turn: bool,
    /// It waits for somebody else.
    pub others: bool,
}

/// Decodes scheduling gates into whether there is ours, and whether there are others.
pub(super) fn decode<'de, D: Deserializer<'de>>(decoder: D) -> Result<Gates, D::Error> {
    let gates = Option::<Vec<PodSchedulingGate>>::deserialize(decoder)?.unwrap_or_default();
    let (turns, others): (Vec<_>, Vec<_>) =
        gates.into_iter().partition(|gate| gate.name == labels::TURN_GATE);
    Ok(Gates { turn: !turns.is_empty(), others: !others.is_empty() })
}
