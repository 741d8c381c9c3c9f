//! The operator's memory of the DaemonSets that it has written.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use api::views::DaemonSetView;

use crate::job::decide::applied::Applied;

/// Time after which a DaemonSet is forgotten. To learn it again takes a call.
const LIFETIME: Duration = Duration::from_hours(1);
/// Time for which a Job shows an edit that nobody repeats.
const SHOWN: Duration = Duration::from_mins(1);
/// Shortest time between two answers to edits, which doubles with each.
const SHORTEST_REST: Duration = Duration::from_secs(1);
/// Longest time between two answers to edits.
const LONGEST_REST: Duration = Duration::from_mins(1);
/// Time without an edit after which the next one is the first again.
const FORGET_EDITS: Duration = Duration::from_mins(5);

/// DaemonSets by their UIDs.
#[derive(Debug, Default)]
pub(crate) struct WrittenDaemonSets(Mutex<HashMap<String, Entry>>);

#[derive(Clone, Debug)]
struct Entry {
    inserted: Instant,
    applied: Applied,
    edit: Option<Edit>,
}

/// The last edit that the operator has answered.
#[derive(Clone, Debug)]
struct Edit {
    by: Option<String>,
    at: Instant,
    /// How many it has answered, each soon after the one before.
    number: u32,
}

impl Edit {
    fn rest(&self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.number.saturating_sub(1).min(16));
        SHORTEST_REST.saturating_mul(doubled).min(LONGEST_REST)
    }
}

impl WrittenDaemonSets {
    /// Returns what is known of `daemon_set`.
    pub(crate) fn get(&self, daemon_set: &DaemonSetView) -> Option<Applied> {
        let entry = self.entry(daemon_set.metadata.uid.as_deref()?)?;
        let mut applied = entry.applied;
        if let Some(edit) = entry.edit {
            let age = edit.at.elapsed();
            applied.rest = edit.rest().saturating_sub(age);
            applied.edited_for = SHOWN.max(edit.rest() * 2).checked_sub(age);
            applied.edited_by = edit.by.filter(|_| applied.edited_for.is_some());
        }
        Some(applied)
    }

    /// Returns what is known of the DaemonSet `uid` but for edits.
    pub(super) fn of(&self, uid: &str) -> Option<Applied> {
        self.entry(uid).map(|entry| entry.applied)
    }

    /// Remembers the DaemonSet `uid`, which was written just now.
    pub(super) fn insert(&self, uid: &str, applied: Applied) {
        let edit = self.entry(uid).and_then(|entry| entry.edit);
        self.insert_entry(uid, Entry { inserted: Instant::now(), applied, edit });
    }

    /// Remembers the DaemonSet `uid`, which was put back after an edit by `editors`.
    ///
    /// None: nothing of the operator's was changed, so that nobody needs to know.
    pub(super) fn insert_restored(&self, uid: &str, applied: Applied, by: Option<String>) {
        let before = self.entry(uid).and_then(|entry| entry.edit);
        let before = before.filter(|edit| edit.at.elapsed() < FORGET_EDITS);
        let number = before.as_ref().map_or(1, |edit| edit.number.saturating_add(1));
        let by = by.or_else(|| before.and_then(|edit| edit.by));
        let now = Instant::now();
        let edit = Some(Edit { by, at: now, number });
        self.insert_entry(uid, Entry { inserted: now, applied, edit });
    }

    /// Adds a revision that an observation has looked up.
    pub(crate) fn learn(&self, daemon_set: Option<&DaemonSetView>, observed: &Applied) {
        let uid = daemon_set.and_then(|daemon_set| daemon_set.metadata.uid.as_deref());
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = uid.and_then(|uid| entries.get_mut(uid));
        let is_same = |entry: &&mut Entry| entry.applied.generation == observed.generation;
        if let Some(entry) = entry.filter(is_same) {
            entry.applied.revision.clone_from(&observed.revision);
        }
    }

    /// Forgets the DaemonSet `uid`, which was deleted.
    pub(super) fn remove(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    fn entry(&self, uid: &str) -> Option<Entry> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(uid).filter(|entry| entry.inserted.elapsed() < LIFETIME).cloned()
    }

    fn insert_entry(&self, uid: &str, entry: Entry) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.inserted.elapsed() < LIFETIME);
        entries.insert(uid.to_owned(), entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fixtures::{DAEMON_SET_UID, daemon_set};

    #[test]
    fn whoever_edits_again_and_again_is_answered_less_and_less_often() {
        let written = WrittenDaemonSets::default();
        let view = daemon_set().build();
        assert_eq!(written.get(&view), None);
        written.insert(DAEMON_SET_UID, Applied::default());
        assert_eq!(written.get(&view), Some(Applied::default()));
        let mut rests = Vec::new();
        for _ in 0..8 {
            let by = Some("kubectl-patch".to_owned());
            written.insert_restored(DAEMON_SET_UID, Applied::default(), by);
            let applied = written.get(&view).unwrap();
            assert_eq!(applied.edited_by.as_deref(), Some("kubectl-patch"));
            assert!(applied.edited_for.is_some_and(|shown| shown > applied.rest));
            rests.push(applied.rest.as_secs_f64().round());
        }
        assert_eq!(rests, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        written.remove(DAEMON_SET_UID);
        assert_eq!(written.get(&view), None);
    }

    #[test]
    fn a_revision_is_learned_for_the_generation_that_it_was_looked_up_for() {
        let written = WrittenDaemonSets::default();
        let view = daemon_set().build();
        written.insert(DAEMON_SET_UID, Applied { generation: 2, ..Applied::default() });
        let observed = |generation| {
            let revision = Some("5d".into());
            Applied { generation, revision, ..Applied::default() }
        };
        written.learn(Some(&view), &observed(1));
        assert_eq!(written.get(&view).unwrap().revision, None);
        written.learn(Some(&view), &observed(2));
        assert_eq!(written.get(&view).unwrap().revision.as_deref(), Some("5d"));
    }
}
