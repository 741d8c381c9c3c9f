//! The version: given in the workspace's `Cargo.toml`, repeated where files cannot refer to it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use harness::{images, paths};
use regex::Regex;

/// Files and folders that name our images.
const PLACES: [&str; 3] = ["README.md", "deploy", "docs"];

/// Fails where an image is named by another version than the workspace's.
///
/// # Errors
/// With the places, or when a file cannot be read.
pub(super) fn check() -> Result<()> {
    let mut wrong = Vec::new();
    for place in PLACES {
        for path in files(&paths::workspace().join(place))? {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            for found in versions(&text)?.into_iter().filter(|found| *found != images::VERSION) {
                wrong.push(format!("{} in {}", found, path.display()));
            }
        }
    }
    ensure!(
        wrong.is_empty(),
        "the workspace has version {}, and there is {}",
        images::VERSION,
        wrong.join(", ")
    );
    Ok(())
}

/// The text files in a folder and those in it, or the file itself.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let entries =
        std::fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?;
    for entry in entries {
        let path = entry?.path();
        let is_text =
            path.extension().is_some_and(|extension| extension == "yaml" || extension == "md");
        if path.is_dir() || is_text {
            found.extend(files(&path)?);
        }
    }
    Ok(found)
}

/// The tags of our images in a text, as references or as kustomize writes them.
fn versions(text: &str) -> Result<Vec<&str>> {
    let pattern = format!(
        r"(?:{}|{}):(?<tag>[0-9][A-Za-z0-9_.-]*)|newTag: *(?<new>[0-9][A-Za-z0-9_.-]*)",
        images::OPERATOR,
        images::TERMINATOR
    );
    let pattern = Regex::new(&pattern)?;
    let tags = pattern.captures_iter(text);
    Ok(tags.filter_map(|tag| Some(tag.name("tag").or(tag.name("new"))?.as_str())).collect())
}

/// The changes of each version, for users.
pub(super) fn changelog() -> Result<String> {
    let path = paths::workspace().join("CHANGELOG.md");
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// What decides whether the sources are those of a version.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// What `git status --porcelain` prints.
    pub(super) changes: String,
    /// The tags of the last commit, one a line.
    pub(super) tags: String,
    pub(super) changelog: String,
}

impl State {
    /// What has to be done before this is the version, as commands to whoever releases.
    pub(super) fn obstacles(&self, version: &str) -> Vec<String> {
        let mut obstacles = Vec::new();
        let changed = self.changes.lines().count();
        if changed > 0 {
            obstacles.push(format!("commit or remove {changed} changed files"));
        }
        if !self.tags.lines().any(|tag| tag == format!("v{version}")) {
            obstacles.push(format!("tag the commit: git tag v{version}"));
        }
        let dated = format!("## [{version}] - ");
        if !self.changelog.lines().any(|line| line.starts_with(&dated)) {
            obstacles.push(format!("head its changes in CHANGELOG.md by \"{dated}DATE\""));
        }
        obstacles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_and_pages_name_the_version_of_the_workspace() {
        check().expect("one version");
    }

    #[test]
    fn versions_are_found_wherever_images_are_named() {
        let text = "image: a/daemonset-job-operator:1.2.3\n- newTag: 1.2.4\n\
            `r.example:5000/daemonset-job-terminator:1.2.5-rc.1` daemonset-job-operator:dev busybox:1.36";
        assert_eq!(versions(text).expect("a pattern"), ["1.2.3", "1.2.4", "1.2.5-rc.1"]);
    }

    #[test]
    fn committed_tagged_and_described_version_can_be_released() {
        let state = State {
            changes: String::new(),
            tags: "other\nv1.2.3".to_owned(),
            changelog: "# Changelog\n\n## [1.2.3] - 2026-01-31\n".to_owned(),
        };
        assert_eq!(state.obstacles("1.2.3"), Vec::<String>::new());
        let changed = State { changes: " M a\n?? b\n".to_owned(), ..state.clone() };
        assert_eq!(changed.obstacles("1.2.3"), ["commit or remove 2 changed files"]);
        assert_eq!(state.obstacles("1.2.4").len(), 2);
        let open = State { changelog: "## [Unreleased]\n".to_owned(), ..state };
        assert_eq!(open.obstacles("1.2.3").len(), 1);
    }
}
