//! What scenarios share: their environment, Jobs that faults disturb, other installs.

pub(crate) mod context;
pub(crate) mod env;
pub(crate) mod history;
pub(crate) mod install;
pub(crate) mod leftovers;
pub(crate) mod work;
