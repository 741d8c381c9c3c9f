//! Linux capabilities that the kernel knows and a process cannot get.
//!
//! Shared by the provisioning of Docker and by the OCI runtime shim, which is a program of its own.

use std::fs;
use std::io;

/// The capabilities by number, as the OCI runtime specification spells them. From
/// `include/uapi/linux/capability.h`.
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The capabilities that the kernel knows and that lie outside the bounding set of a process, so
/// that neither it nor any of its children can ever have them. `process` is a process id or `self`.
///
/// # Errors
/// When `/proc` cannot be read or is not as the kernel writes it.
pub(crate) fn unavailable_to(process: &str) -> io::Result<Vec<&'static str>> {
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap")?;
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    missing(&status, last.trim())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no capabilities in /proc"))
}

/// What is not in the `CapBnd` line of a process's `status`, up to the kernel's last capability.
fn missing(status: &str, last: &str) -> Option<Vec<&'static str>> {
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    let bounding = u64::from_str_radix(bounding.trim(), 16).ok()?;
    let last: usize = last.parse().ok()?;
    let known = NAMES.iter().take(last + 1).enumerate();
    Some(known.filter(|(number, _)| bounding & (1 << number) == 0).map(|(_, name)| *name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(bounding: &str) -> String {
        format!("Name:\tx\nCapEff:\t0000000000000000\nCapBnd:\t{bounding}\nCapAmb:\t0\n")
    }

    #[test]
    fn full_bounding_set_lacks_nothing() {
        assert_eq!(missing(&status("000001ffffffffff"), "40"), Some(vec![]));
    }

    #[test]
    fn cleared_bits_are_named() {
        let lacking = missing(&status("000001fffeffffff"), "40");
        assert_eq!(lacking, Some(vec!["CAP_SYS_RESOURCE"]));
    }

    #[test]
    fn capabilities_that_an_older_kernel_does_not_know_are_not_missed() {
        assert_eq!(missing(&status("0000003fffffffff"), "37"), Some(vec![]));
    }

    #[test]
    fn unexpected_text_is_no_answer() {
        assert_eq!(missing("Name:\tx\n", "40"), None);
        assert_eq!(missing(&status("zz"), "40"), None);
        assert_eq!(missing(&status("0"), "many"), None);
    }
}
