//! Whether the process does its work, for the kubelet's probes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether the process does its work. Clones share one state.
///
/// Liveness is not about the API server: while that is away our pods must not be restarted. A
/// process whose tasks have ended exits by itself; one whose runtime hangs does not answer.
#[derive(Clone, Debug, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
}

impl Health {
    /// The caches are synced: the process has begun to work.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Whether [`Health::set_ready`] was called.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}
