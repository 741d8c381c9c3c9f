//! The machine that a run is on, for those who compare its figures.

use serde::Serialize;

use crate::proc_file;

/// What explains a slow run.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// The kernel's name and release.
    pub kernel: String,
    /// The processor architecture.
    pub architecture: &'static str,
    /// How many processors this process may use.
    pub processors: Option<usize>,
    /// Memory in MiB, used or not.
    pub memory: Option<u64>,
}

impl Machine {
    /// This one.
    pub(super) fn look() -> Self {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = proc_file::bytes(&meminfo, "MemTotal");
        let uname = rustix::system::uname();
        Self {
            kernel: format!(
                "{} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy()
            ),
            architecture: std::env::consts::ARCH,
            processors: std::thread::available_parallelism().ok().map(usize::from),
            memory: memory.map(|bytes| bytes >> 20),
        }
    }
}
