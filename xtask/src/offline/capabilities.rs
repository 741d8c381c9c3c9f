//! Linux capabilities that the kernel knows and a process cannot get.
//!
//! Shared by the provisioning of Docker and by the OCI runtime shim, which is a program of its own.

use std::fs;
use std::io;

use rustix::thread::CapabilitySet;

/// The capabilities that the kernel knows and that lie outside the bounding set of a process.
///
/// Neither it nor any of its children can ever have them. They are spelt as in the specification
/// of OCI runtimes. `process` is a process id or `self`.
pub(crate) fn unavailable_to(process: &str) -> io::Result<Vec<String>> {
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap")?;
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    missing(&status, last.trim())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no capabilities in /proc"))
}

/// What is not in the `CapBnd` line of a process's `status`, up to the kernel's last capability.
fn missing(status: &str, last: &str) -> Option<Vec<String>> {
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    let bounding = u64::from_str_radix(bounding.trim(), 16).ok()?;
    let last: usize = last.parse().ok()?;
    let known = CapabilitySet::all().iter_names().take(last + 1);
    let lacking = known.filter(|(_, capability)| bounding & capability.bits() == 0);
    Some(lacking.map(|(name, _)| format!("CAP_{name}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(bounding: &str) -> String {
        format!("Name:\tx\nCapEff:\t0000000000000000\nCapBnd:\t{bounding}\nCapAmb:\t0\n")
    }

    #[test]
    fn cleared_bits_that_the_kernel_knows_are_named() {
        for (bounding, last, lacking) in [
            ("000001ffffffffff", "40", &[][..]),
            ("000001fffeffffff", "40", &["CAP_SYS_RESOURCE"]),
            // An older kernel.
            ("0000003fffffffff", "37", &[]),
        ] {
            let lacking = lacking.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(missing(&status(bounding), last), Some(lacking), "{bounding}");
        }
    }

    #[test]
    fn unexpected_text_is_no_answer() {
        assert_eq!(missing("Name:\tx\n", "40"), None);
        assert_eq!(missing(&status("zz"), "40"), None);
        assert_eq!(missing(&status("0"), "many"), None);
    }
}
