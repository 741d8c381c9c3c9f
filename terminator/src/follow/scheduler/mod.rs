//! Schedules the logs that are followed: a pure state machine.
//!
//! There may be more logs than followers. Each log gets a slot in turn: while others wait, a follower is
//! preempted after a slice of time, and its log goes to the end of the queue. Logs that have not been followed
//! yet go first and wait for a shorter slice only. Most work is short: an early end is noticed early, whatever
//! else goes on for long. With `n` logs that go on for long, each is followed every `n / followers` slices,
//! which is the longest time that an end can go unnoticed.
//!
//! Each slice reads the log from its beginning, for kubelets serve whole seconds of it and no less. So a large
//! log gets more time until all of it has come, and twice as much when even that was not enough.
//!
//! ```text
//!            upsert             next               ended
//!  (new log) ──────▶ Queued ──────────▶ Following ───────▶ Resting ──▶ Queued …
//!                       ▲     preempt      │    │ ended
//!                       └──────────────────┘    ├───────▶ Read (its run is over) ──▶ Queued, if it runs again
//!                                    word_found ▼
//!                                           Recording ──▶ Done
//! ```
//!
//! [`events`] has the changes that happen to logs, [`slots`] hands out the slots.

mod events;
mod slots;
mod state;
#[cfg(test)]
mod tests;

pub(super) use state::{FollowScheduler, Limits, Outcome, Step, Uid};
