//! What breaks while Jobs run, and must end none early, lose none, and take nothing back.
//!
//! Each scenario disturbs [`work::Work`]: Jobs of both modes that are done on a node when the scenario
//! opens their gates there, with a [`history`] of all that was seen of them.

mod api_server;
mod history;
mod nodes;
mod ours;
mod sandboxes;
pub(super) mod work;

pub(super) use self::api_server::{hanging, killed, out};
pub(super) use self::nodes::{
    deleted, frozen, joining, kubelet_frozen, ours_rebooted, partitioned, rebooted,
};
pub(super) use self::ours::{both_killed, operator_killed, pod_deleted, terminator_killed};
pub(super) use self::sandboxes::{dead, failed_before, stopped};
