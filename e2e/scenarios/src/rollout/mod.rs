//! Rollouts of operator and terminator while Jobs run.

pub(crate) mod upgrade;
