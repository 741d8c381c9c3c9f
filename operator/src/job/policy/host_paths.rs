//! Directories of nodes that a policy allows.

use std::{fmt, str::FromStr};

use super::list::items;

/// Absolute directories, separated by commas.
///
/// `/dir/**` stands for `/dir` and all directories below it.
///
/// A container that may write in a directory can make a symbolic link there to any other one, which the container
/// runtime follows when a later pod mounts it: to such containers `/dir/**` allows as much as `/**`.
/// <https://kubernetes.io/docs/concepts/storage/volumes/#hostpath>
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HostPaths(Vec<String>);

/// The end of a directory that stands for all below it.
const BELOW: &str = "/**";

impl HostPaths {
    pub(crate) fn all() -> Self {
        Self(vec![BELOW.to_owned()])
    }

    /// Whether these stand for `path`. Only the node knows where symbolic links lead.
    pub(super) fn contain(&self, path: &str) -> bool {
        let Some(path) = components(path) else {
            return false;
        };
        self.0.iter().any(|allowed| match allowed.strip_suffix(BELOW) {
            Some(directory) => components(&format!("{directory}/"))
                .is_some_and(|directory| path.starts_with(&directory)),
            None => components(allowed).is_some_and(|directory| path == directory),
        })
    }
}

/// The components of an absolute path without `..`.
fn components(path: &str) -> Option<Vec<&str>> {
    // Nodes of another system may take it for a separator.
    if path.contains('\\') {
        return None;
    }
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
        items(text).map(directory).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for HostPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("the allowed directories, for there are none")
        } else {
            f.write_str(&self.0.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stands_for_itself_and_only_if_it_says_so_for_what_is_below_it() {
        let table = [
            ("/**", "/etc", true),
            ("/**", "/", true),
            ("/", "/etc", false),
            ("/var/log", "/var/log", true),
            ("/var/log", "/var//log/./", true),
            ("/var/log", "/var/log/pods", false),
            ("/var/log/**", "/var/log/pods", true),
            ("/var/log/**", "/var/log", true),
            ("/tmp, /var/log/**", "/var//log/./pods/", true),
            ("/var/log/**", "/var/logs", false),
            ("/var/log/**", "/var", false),
            ("/var/log/**", "/var/log/../lib", false),
            ("/var/log/**", "/var/log/a\\..\\..\\lib", false),
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
