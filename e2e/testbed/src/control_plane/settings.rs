//! The settings of a control plane.

/// The settings of a control plane.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Requests that each controller may make a second, and twice as many in a burst.
    pub controllers_qps: u32,
    /// Users whose requests are written down, see [`super::ControlPlane::audit_log`].
    pub audited_users: Vec<String>,
}

impl Default for Settings {
    /// Fast enough for many small DaemonSets; nobody is audited.
    fn default() -> Self {
        Self { controllers_qps: 200, audited_users: Vec::new() }
    }
}
