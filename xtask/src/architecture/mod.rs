//! The one-way rule: which crates and which folders may import which.
//!
//! The folder tree is the architecture, and data goes one way through it. These tests read the manifests and the
//! `use` lines of the whole repository. Test code is exempt.

mod crates;
mod folders;
mod layers;
mod source;

use std::fmt;
use std::path::PathBuf;

/// An import that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    file: PathBuf,
    line: usize,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.rule)
    }
}

/// Fails with all violations.
fn assert_none(mut violations: Vec<Violation>) {
    violations.sort();
    violations.dedup();
    let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} violations:\n{}", lines.len(), lines.join("\n"));
}
