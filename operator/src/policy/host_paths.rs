//! Directories of nodes.

use std::{fmt, str::FromStr};

/// Absolute directories with all that is below them, separated by commas.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HostPaths(Vec<String>);

impl HostPaths {
    /// Every directory.
    #[must_use]
    pub fn all() -> Self {
        Self(vec!["/".to_owned()])
    }

    /// Whether `path` is one of these or below one. Symbolic links are the node's, and are not seen here.
    #[must_use]
    pub fn contain(&self, path: &str) -> bool {
        let Some(path) = components(path) else {
            return false;
        };
        let is_above = |directory: &Vec<&str>| path.starts_with(directory);
        self.0.iter().filter_map(|directory| components(directory)).any(|one| is_above(&one))
    }
}

/// The components of an absolute path that does not go up again.
fn components(path: &str) -> Option<Vec<&str>> {
    let components = path.strip_prefix('/')?.split('/');
    let components: Vec<_> = components.filter(|part| !matches!(*part, "" | ".")).collect();
    (!components.contains(&"..")).then_some(components)
}

impl FromStr for HostPaths {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let directory = |path: &str| match components(path) {
            Some(_) => Ok(path.to_owned()),
            None => Err(format!("{path:?} is not an absolute path without \"..\"")),
        };
        super::list(text).map(directory).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for HostPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("any directory")
        } else {
            f.write_str(&self.0.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_contain_themselves_and_what_is_below_them() {
        let table = [
            ("/", "/etc", true),
            ("/var/log", "/var/log", true),
            ("/var/log/", "/var/log/pods", true),
            ("/tmp, /var/log", "/var//log/./pods/", true),
            ("/var/log", "/var/logs", false),
            ("/var/log", "/var", false),
            ("/var/log", "/var/log/../lib", false),
            ("/var/log", "var/log", false),
            ("", "/tmp", false),
        ];
        for (allowed, path, expected) in table {
            let allowed: HostPaths = allowed.parse().unwrap();
            assert_eq!(allowed.contain(path), expected, "{path} in {allowed}");
        }
    }

    #[test]
    fn directories_are_absolute() {
        for bad in ["tmp", "/tmp/..", "/tmp,log"] {
            assert!(bad.parse::<HostPaths>().is_err(), "{bad}");
        }
    }
}
