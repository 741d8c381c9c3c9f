//! The controller of Jobs.
//!
//! ```text
//! controller: watches ─→ reconcile: observe ─→ decide ─→ apply
//! ```

mod apply;
mod controller;
pub(crate) mod decide;
mod observe;
mod policy;
mod reconcile;
mod report;
mod settings;
mod undecodable;

pub(crate) use controller::run;
pub(crate) use policy::{Features, HostPaths, Policy};
pub(crate) use settings::Settings;
