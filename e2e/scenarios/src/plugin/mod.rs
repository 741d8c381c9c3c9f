//! `kubectl dsjob` as its users call it, on real nodes.

pub(crate) mod explain;
mod kubectl;
mod prompt;
pub(crate) mod run;
