//! The machine that a run is on, for those who compare its figures.

use serde::Serialize;

/// What explains a slow run.
#[derive(Clone, Debug, Serialize)]
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
        let uname = rustix::system::uname();
        Self {
            kernel: format!(
                "{} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy()
            ),
            architecture: std::env::consts::ARCH,
            processors: std::thread::available_parallelism().ok().map(usize::from),
            memory: std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text)),
        }
    }
}

/// `MemTotal` of `/proc/meminfo`, in MiB.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib >> 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_in_mebibytes() {
        assert_eq!(total("MemFree: 1 kB\nMemTotal:   2048000 kB\n"), Some(2000));
        assert_eq!(total("MemFree: 1 kB\n"), None);
    }
}
