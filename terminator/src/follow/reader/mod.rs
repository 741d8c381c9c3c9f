//! Reads one log, by one stream or more.

mod error;
mod follow;
mod stream;

pub(super) use follow::{ReadEvent, ReadOutcome, follow};
