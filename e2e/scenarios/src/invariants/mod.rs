//! What must hold of the cluster as a whole when all scenarios have ended: nothing is left, our processes
//! ended only when somebody ended them, and they need no more than before.

pub mod jobs;
pub mod leftover;
pub mod resources;
pub mod restarts;
pub mod usage;
