//! Whether this replica leads, for whoever scrapes it.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::runtime::Standing;

/// Whether this replica leads. Clones share one state.
#[derive(Clone, Debug, Default)]
pub(in crate::runtime) struct Leadership(Arc<OnceLock<Option<watch::Receiver<Standing>>>>);

impl Leadership {
    /// It is as an election says from now on; without one, this is the only replica, and leads.
    pub(in crate::runtime) fn follow(&self, standing: Option<watch::Receiver<Standing>>) {
        // A process takes part in one election at most.
        let _ = self.0.set(standing);
    }

    /// Whether this replica leads, and its claim holds now.
    pub(super) fn leads(&self) -> bool {
        match self.0.get() {
            Some(Some(standing)) => standing.borrow().may_write(),
            Some(None) => true,
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn who_is_alone_leads_and_who_is_elected_while_its_claim_holds() {
        let alone = Leadership::default();
        assert!(!alone.leads(), "it has not begun");
        alone.clone().follow(None);
        assert!(alone.leads());

        let (sender, standing) = watch::channel(Standing::Standby);
        let elected = Leadership::default();
        elected.follow(Some(standing));
        assert!(!elected.leads());
        sender.send_replace(Standing::Leading(Instant::now() + Duration::from_secs(60)));
        assert!(elected.leads());
        sender.send_replace(Standing::Leading(Instant::now()));
        assert!(!elected.leads());
    }
}
