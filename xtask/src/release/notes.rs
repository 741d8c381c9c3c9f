//! The notes of one version, from the changelog.

/// The file with the notes.
pub(super) const FILE: &str = "release-notes.md";

/// The section of a version without its heading, if it is not empty.
pub(super) fn of(changelog: &str, version: &str) -> Option<String> {
    let heading = format!("## [{version}]");
    let mut lines = changelog.lines().skip_while(|line| !line.starts_with(&heading));
    lines.next()?;
    let section: Vec<_> = lines.take_while(|line| !line.starts_with("## ")).collect();
    let section = section.join("\n");
    let section = section.trim();
    (!section.is_empty()).then(|| format!("{section}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\n## [Unreleased]\n\n- later\n\n## [1.2.3] - 2026-01-31\n\n\
        ### Added\n\n- this\n\n## [1.2.2] - 2026-01-01\n\n- that\n\n## [1.2.1] - 2026-01-01\n";

    #[test]
    fn notes_are_those_of_the_version_alone() {
        assert_eq!(of(CHANGELOG, "1.2.3").as_deref(), Some("### Added\n\n- this\n"));
        assert_eq!(of(CHANGELOG, "Unreleased").as_deref(), Some("- later\n"));
        assert_eq!(of(CHANGELOG, "1.2.2").as_deref(), Some("- that\n"));
    }

    #[test]
    fn version_without_changes_has_no_notes() {
        for version in ["1.2.1", "1.2.4", "1.2"] {
            assert_eq!(of(CHANGELOG, version), None, "{version}");
        }
    }
}
