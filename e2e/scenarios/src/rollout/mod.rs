//! Rollouts: of work to the nodes, one after another, and of the operator while Jobs run.

pub(crate) mod suspension;
pub(crate) mod turns;
pub(crate) mod upgrade;
