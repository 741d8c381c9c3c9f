//! The surroundings of a controller. No kind of this project is known here.
//!
//! Each module uses those below it, and none above:
//!
//! - [`process`]: options, logging, signals, start and shutdown.
//! - [`controller`]: reconciles the objects of a cache when something changes.
//! - [`leader`]: leader election by a Lease.
//! - [`watch`]: watches, and the indices and caches that they fill.
//! - [`http`]: `/livez`, `/readyz` and `/metrics`.
//! - [`client`]: clients of the API server, their errors, and the fence before writes.
//! - [`metrics`]: the metrics that every process has.
//! - [`backoff`], [`expiring_map`]: waits after failures, and a map whose entries expire.

pub mod backoff;
pub mod client;
pub mod controller;
pub mod expiring_map;
pub mod http;
pub mod leader;
pub mod metrics;
pub mod process;
pub mod watch;
