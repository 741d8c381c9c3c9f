//! The life of a process: options, logging, signals, start and end.

mod logging;
mod options;
mod run;
mod signals;

pub use options::{LogFormat, Options};
pub use run::{Context, pause, run};
