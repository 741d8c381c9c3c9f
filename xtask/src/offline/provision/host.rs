//! What sort of machine this is.

use std::fs;

/// Facts that decide what may be installed here, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Whether this process is root.
    pub(crate) root: bool,
    /// The distribution's identifier (`debian`), or nothing where there is none.
    pub(crate) id: String,
    /// The release's name (`bookworm`), or nothing.
    pub(crate) codename: String,
    /// The distribution's name for people.
    pub(crate) name: String,
}

impl Host {
    /// This machine, from `/etc/os-release`.
    pub(crate) fn detect() -> Self {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        Self::new(&release, rustix::process::geteuid().is_root())
    }

    fn new(os_release: &str, root: bool) -> Self {
        let value = |key: &str| {
            let find = |line: &str| {
                let (name, value) = line.split_once('=')?;
                (name == key).then(|| value.trim_matches(['"', '\'']).to_owned())
            };
            os_release.lines().find_map(find)
        };
        Self {
            root,
            id: value("ID").unwrap_or_default(),
            codename: value("VERSION_CODENAME").unwrap_or_default(),
            name: value("PRETTY_NAME").unwrap_or_else(|| "this system".to_owned()),
        }
    }

    /// Whether Debian's packages fit this machine: derivatives lack its other releases.
    pub(crate) fn is_debian(&self) -> bool {
        self.id == "debian"
    }

    /// Whether packages can be installed without asking anybody.
    pub(crate) fn installs_packages(&self) -> bool {
        self.is_debian() && self.root
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOKWORM: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\n\
        VERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID=debian\n";

    #[test]
    fn only_root_on_debian_installs_packages() {
        let root = Host::new(BOOKWORM, true);
        assert!(root.installs_packages());
        assert_eq!(root.codename, "bookworm");
        assert_eq!(root.name, "Debian GNU/Linux 12 (bookworm)");
        assert!(!Host::new(BOOKWORM, false).installs_packages());
    }

    #[test]
    fn derivatives_are_not_debian() {
        let ubuntu = Host::new("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n", true);
        assert!(!ubuntu.is_debian());
    }

    #[test]
    fn machine_without_os_release_is_described_all_the_same() {
        assert_eq!(Host::new("", false).name, "this system");
    }
}
