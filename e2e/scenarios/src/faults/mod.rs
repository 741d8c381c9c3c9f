//! Faults of the API server and of our own processes while Jobs run: none ends early, none is lost, and
//! nothing is taken back.

pub(crate) mod api_server;
pub(crate) mod ours;
