//! What must hold of the whole cluster when all scenarios have ended.
//!
//! Nothing is left, our processes ended only when somebody ended them, and they need no more than before.

pub mod jobs;
pub mod leftover;
pub mod resources;
pub mod restarts;
pub mod usage;
