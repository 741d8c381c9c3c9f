//! The pages that people read, as tests read them: what is to be typed, applied, and followed.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};

use crate::paths;

/// Begins and ends a block.
const FENCE: &str = "```";

/// A page of Markdown in the repository.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its path in the repository.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// A fenced block of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block<'p> {
    /// What follows the fence: `console`, `yaml`, …
    pub language: &'p str,
    /// The lines between the fences, without the indentation of these.
    pub lines: Vec<&'p str>,
    /// The number of the first of them.
    pub number: usize,
}

/// The language of blocks with commands that anybody can type.
pub const CONSOLE: &str = "console";

/// The language of blocks that show what was typed once, on what there was then.
pub const TRANSCRIPT: &str = "shell-session";

/// Folders with pages.
const FOLDERS: [&str; 3] = ["", "docs", "deploy/kustomize"];

/// All pages.
pub fn all() -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    for folder in FOLDERS {
        for file in paths::entries(paths::workspace().join(folder))? {
            if file.extension().is_some_and(|extension| extension == "md") {
                let text = fs_err::read_to_string(&file)?;
                let name = file.file_name().unwrap_or_default();
                pages.push(Page { path: Path::new(folder).join(name), text });
            }
        }
    }
    pages.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(pages)
}

/// Sees that all lines of a program on the pages are parsed.
pub fn check_commands<T, E: Display>(
    program: &str,
    parse: impl Fn(Vec<String>) -> Result<T, E>,
) -> Result<()> {
    let mut found = false;
    for page in all()? {
        for (place, command) in [CONSOLE, TRANSCRIPT].iter().flat_map(|kind| page.commands(kind)) {
            let Some(words) = command.strip_prefix(program) else { continue };
            if words.is_empty() || words.starts_with(' ') {
                found = true;
                let words = words.split_whitespace().map(str::to_owned);
                let words = std::iter::once(program.to_owned()).chain(words).collect();
                parse(words).map_err(|error| anyhow!("{place}: {error}"))?;
            }
        }
    }
    ensure!(found, "no line of {program} is on a page");
    Ok(())
}

impl Page {
    /// The fenced blocks.
    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut open: Option<(Block<'_>, usize)> = None;
        for (index, line) in self.text.lines().enumerate() {
            let text = line.trim_start();
            match (text.strip_prefix(FENCE), &mut open) {
                (Some(language), None) => {
                    let block = Block { language, lines: Vec::new(), number: index + 2 };
                    open = Some((block, line.len() - text.len()));
                }
                (Some(_), Some(_)) => blocks.extend(open.take().map(|(block, _)| block)),
                (None, Some((block, indentation))) => {
                    block.lines.push(line.get(*indentation..).unwrap_or_default());
                }
                (None, None) => {}
            }
        }
        blocks
    }

    /// The commands that a reader types, each with its place.
    ///
    /// These are the lines behind a `$` in blocks of this language, [`CONSOLE`] or [`TRANSCRIPT`], without
    /// comments and redirections.
    pub fn commands(&self, language: &str) -> Vec<(String, &str)> {
        let mut commands = Vec::new();
        for block in self.blocks().into_iter().filter(|block| block.language == language) {
            for (line, number) in block.lines.iter().zip(block.number..) {
                if let Some(command) = line.strip_prefix("$ ") {
                    let mut command = command;
                    for end in [" #", " | ", " >"] {
                        command = command.split(end).next().unwrap_or(command);
                    }
                    commands.push((format!("{}:{number}", self.path.display()), command.trim()));
                }
            }
        }
        commands
    }

    /// The text outside of fenced blocks.
    fn prose(&self) -> String {
        self.text.split(FENCE).step_by(2).collect()
    }

    /// The targets of links into this repository.
    pub fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
    }

    /// What a link may name behind a `#`: the headings, as GitHub writes them.
    pub fn anchors(&self) -> Vec<String> {
        let prose = self.prose();
        prose.lines().filter(|line| line.starts_with('#')).map(anchor).collect()
    }

    /// Paths in the repository that are named in backticks: those that begin with one of its folders.
    pub fn named_paths(&self, folders: &[String]) -> Vec<String> {
        let prose = self.prose();
        let named = prose.split('`').skip(1).step_by(2);
        let is_path = |name: &&str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
            name.chars().all(plain)
                && name.split_once('/').is_some_and(|(first, _)| folders.iter().any(|f| f == first))
        };
        named.filter(is_path).map(str::to_owned).collect()
    }
}

fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let text = "# A Page: `one`\n\nSee [that](other.md#part) and [this](https://example.org), `deploy/x.yaml`,\n\
            `deploy/`, `a b`, `application/json`.\n\n```console\n$ first --a b  # why\noutput\n$ second | grep x\n```\n\n\
            1. in a list:\n\n   ```sh\n   if\n     then\n   ```\n\n```yaml\na: [x](y)\n```\n";
        Page { path: "docs/page.md".into(), text: text.to_owned() }
    }

    #[test]
    fn commands_are_told_from_output_and_comments() {
        let page = page();
        let expected = [("docs/page.md:7", "first --a b"), ("docs/page.md:9", "second")];
        assert_eq!(
            page.commands(CONSOLE),
            expected.map(|(place, command)| (place.to_owned(), command))
        );
        let yaml = Block { language: "yaml", lines: vec!["a: [x](y)"], number: 20 };
        assert_eq!(page.blocks()[2], yaml);
        assert_eq!(page.blocks()[1].lines, ["if", "  then"]);
    }

    #[test]
    fn links_and_paths_are_found_outside_of_blocks() {
        let page = page();
        assert_eq!(page.links(), ["other.md#part"]);
        assert_eq!(page.anchors(), ["a-page-one"]);
        assert_eq!(page.named_paths(&["deploy".to_owned()]), ["deploy/x.yaml", "deploy/"]);
    }

    #[test]
    fn links_lead_to_files_and_headings_that_exist() {
        let pages = all().expect("pages");
        assert!(pages.len() > 8, "{}", pages.len());
        let mut broken = Vec::new();
        for page in &pages {
            let folder = page.path.parent().expect("a folder");
            for link in page.links() {
                let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
                let target = if file.is_empty() { page.path.clone() } else { folder.join(file) };
                let target = paths::workspace().join(target);
                let is_there = match target.canonicalize() {
                    Err(_) => false,
                    Ok(_) if heading.is_empty() => true,
                    Ok(target) => pages.iter().any(|page| {
                        let path = paths::workspace().join(&page.path).canonicalize();
                        path.is_ok_and(|path| path == target)
                            && page.anchors().iter().any(|anchor| anchor == heading)
                    }),
                };
                if !is_there {
                    broken.push(format!("{} in {}", link, page.path.display()));
                }
            }
        }
        assert!(broken.is_empty(), "{broken:#?}");
    }

    #[test]
    fn paths_that_are_named_exist() {
        let workspace = paths::workspace();
        let entries = paths::entries(&workspace).expect("the workspace").into_iter();
        let folders: Vec<_> = entries
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            // What is made by running something.
            .filter(|name| name != "target" && name != "dist")
            .collect();
        let mut broken = Vec::new();
        for page in all().expect("pages") {
            for path in page.named_paths(&folders) {
                if !workspace.join(&path).exists() {
                    broken.push(format!("{path} in {}", page.path.display()));
                }
            }
        }
        assert!(broken.is_empty(), "{broken:#?}");
    }
}
