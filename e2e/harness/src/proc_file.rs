//! Files under `/proc` that hold a field a line.

/// A field in bytes, of a file such as `/proc/meminfo` that gives it in kB.
pub fn bytes(text: &str, field: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_of_this_name_is_read() {
        let text = "MemFree: 1 kB\nMemTotal:   2048000 kB\nThreads:\t7\n";
        assert_eq!(bytes(text, "MemTotal"), Some(2_097_152_000));
        for other in ["Mem", "Threads", "SwapTotal"] {
            assert_eq!(bytes(text, other), None, "{other}");
        }
    }
}
