//! Whether this replica leads.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// Whether this replica leads. Clones share one source.
#[derive(Clone, Default)]
pub(crate) struct Leadership(Arc<OnceLock<Box<dyn Fn() -> bool + Send + Sync>>>);

impl Leadership {
    /// Takes the answer from `leads` from now on; further calls have no effect.
    pub(crate) fn follow(&self, leads: impl Fn() -> bool + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(leads));
    }

    /// Returns whether this replica leads now.
    pub(super) fn leads(&self) -> bool {
        self.0.get().is_some_and(|leads| leads())
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Leadership")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::*;

    #[test]
    fn a_replica_leads_when_its_election_says_so_and_not_before() {
        let leadership = Leadership::default();
        assert!(!leadership.leads(), "it has not begun");
        let leads = Arc::new(AtomicBool::new(true));
        let source = Arc::clone(&leads);
        leadership.clone().follow(move || source.load(Relaxed));
        assert!(leadership.leads());
        leads.store(false, Relaxed);
        assert!(!leadership.leads());
    }
}
