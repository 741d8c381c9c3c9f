//! The version: given in the workspace's `Cargo.toml`, repeated where files cannot refer to it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use harness::command::Refusal;
use harness::{images, paths};
use regex::Regex;

use super::notes;

/// Files and folders that name the version.
const PLACES: [&str; 3] = ["README.md", "deploy", "docs"];

/// Fails where an image, a chart or a label has another version than the workspace.
pub(super) fn check() -> Result<()> {
    let mut texts = Vec::new();
    for path in PLACES.map(|place| paths::files(paths::workspace().join(place))) {
        for path in path?.into_iter().filter(|path| is_text(path)) {
            let text = fs_err::read_to_string(&path)?;
            texts.push((path, text));
        }
    }
    let wrong = wrong(&texts, images::VERSION)?;
    if wrong.is_empty() {
        return Ok(());
    }
    let error =
        format!("the workspace has version {}, and there is {}", images::VERSION, wrong.join(", "));
    Err(Refusal::Check(error).into())
}

/// The other versions in texts, each with its place.
fn wrong(texts: &[(PathBuf, String)], version: &str) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (path, text) in texts {
        let others = versions(text)?.into_iter().filter(|found| *found != version);
        wrong.extend(others.map(|found| format!("{found} in {}", path.display())));
    }
    Ok(wrong)
}

fn is_text(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "md")
}

/// Finds our versions in a text.
///
/// They are those of images, as references or as kustomize writes them, of the chart, and of labels.
fn versions(text: &str) -> Result<Vec<&str>> {
    let version = r"(?<v>[0-9][A-Za-z0-9_.-]*)";
    let patterns = [
        format!("(?:{}|{}):{version}", images::OPERATOR, images::TERMINATOR),
        format!("newTag: *{version}"),
        format!("(?m)^(?:version|appVersion): *{version}"),
        format!(r"app\.kubernetes\.io/version: *{version}"),
        r"daemonset-job-(?<v>[0-9][A-Za-z0-9_.-]*)\.tgz".to_owned(),
    ];
    let mut found = Vec::new();
    for pattern in patterns {
        let pattern = Regex::new(&pattern)?;
        let captures = pattern.captures_iter(text);
        found.extend(captures.filter_map(|captures| Some(captures.name("v")?.as_str())));
    }
    Ok(found)
}

/// The changes of each version, for users.
pub(super) fn changelog() -> Result<String> {
    Ok(fs_err::read_to_string(paths::workspace().join("CHANGELOG.md"))?)
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
        if notes::of(&self.changelog, "Unreleased").is_some() {
            let advice =
                "move what CHANGELOG.md has under [Unreleased] to a version, and raise the version";
            obstacles.push(advice.to_owned());
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
    fn versions_are_found_wherever_they_are_named() {
        let text = "image: a/daemonset-job-operator:1.2.3\n- newTag: 1.2.4\n\
            `r.example:5000/daemonset-job-terminator:1.2.5-rc.1` daemonset-job-operator:dev busybox:1.36\n\
            version: 1.2.6\nappVersion: 1.2.7\n  version: 9\napp.kubernetes.io/version: 1.2.8\n\
            helm install a daemonset-job-1.2.9.tgz";
        let mut versions = versions(text).expect("a pattern");
        versions.sort_unstable();
        let expected = ["1.2.3", "1.2.4", "1.2.5-rc.1", "1.2.6", "1.2.7", "1.2.8", "1.2.9"];
        assert_eq!(versions, expected);
    }

    #[test]
    fn file_that_was_forgotten_when_the_version_was_raised_is_named() {
        let texts = [
            ("deploy/a.yaml".into(), "image: daemonset-job-operator:1.2.3".to_owned()),
            ("Chart.yaml".into(), "version: 1.2.3\nappVersion: 1.2.2".to_owned()),
        ];
        assert_eq!(wrong(&texts, "1.2.3").expect("a pattern"), ["1.2.2 in Chart.yaml"]);
        assert_eq!(wrong(&texts, "1.2.2").expect("a pattern").len(), 2);
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
        let untagged = State { tags: String::new(), ..state.clone() };
        assert_eq!(untagged.obstacles("1.2.3"), ["tag the commit: git tag v1.2.3"]);
        let open =
            State { changelog: "## [Unreleased]\n\n## [1.2.3]\n".to_owned(), ..state.clone() };
        assert_eq!(open.obstacles("1.2.3").len(), 1);
        let more = State {
            changelog: "## [Unreleased]\n\n- more\n\n## [1.2.3] - 2026-01-31\n".to_owned(),
            ..state
        };
        let [obstacle] = &more.obstacles("1.2.3")[..] else { panic!("not one obstacle") };
        assert!(obstacle.contains("[Unreleased]"), "{obstacle}");
    }
}
