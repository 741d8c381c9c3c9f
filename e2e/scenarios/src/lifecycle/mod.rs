//! The life of a Job on real nodes, from its creation to its end.

pub(crate) mod exit_code;
pub(crate) mod gallery;
pub mod sample_job;
