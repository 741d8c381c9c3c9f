//! The logs of many pods at once, with a bound for connections and memory.
//!
//! ```text
//! watch of pods ──> plan (pure): which logs to open ──> reader a log ──> lines, prefixed by node ──> screen
//!                     ^ end of a log, with the time of its last line ──┘
//! ```

pub(crate) mod line;
pub(crate) mod plan;
pub(crate) mod reader;
pub(crate) mod tails;
