//! The process metrics of Prometheus' own libraries, under the same names.
//! <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>

use std::{fs, time::SystemTime};

/// Returns the time in seconds since the Unix epoch.
pub(super) fn now() -> Option<f64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map(|since| since.as_secs_f64()).ok()
}

/// Returns the resident memory in bytes.
pub(super) fn resident_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}

/// Returns the number of open files.
pub(super) fn open_files() -> Option<f64> {
    // One of them is the folder that is being read.
    let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(open).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_files_are_read_from_proc() {
        assert!(resident_memory().is_some_and(|bytes| bytes > 100_000.0));
        let before = open_files().unwrap();
        let files: Vec<_> = (0..50).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        // Tests beside this one open and close some.
        assert!(open_files().unwrap() > before + 20.0);
        drop(files);
    }
}
