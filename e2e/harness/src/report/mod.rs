//! Findings of a run, for programs (`run.json`, `junit.xml`) and for people (the [`summary`]).
//!
//! A report is written at every change, so that a run that was killed shows how far it came.

mod content;
mod facts;
mod junit;
pub mod summary;
mod write;

pub use self::content::{Ending, Entry, Handle, Kind, Report, State};
pub use self::facts::Machine;
pub use self::write::{Format, JSON, JUNIT};
