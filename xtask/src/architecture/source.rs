//! The imports of Rust sources.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// A source file that is compiled into a program.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Its path in the repository.
    pub(super) file: PathBuf,
    /// The path of its module, without the crate: `job`, `decide`.
    pub(super) module: Vec<String>,
    /// The source without comments, strings and test code, line by line as in the file.
    pub(super) text: String,
    /// The paths that it imports, or names in full.
    pub(super) imports: Vec<Import>,
}

/// A path that a source names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) line: usize,
    /// What it is, from the crate on: `crate`, `job`, `decide`.
    pub(super) path: Vec<String>,
}

/// The sources of a crate, without its tests.
pub(super) fn sources(root: &Path, crate_folder: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let folder = crate_folder.join("src");
    collect(root, &folder, &folder, &mut sources);
    sources
}

fn collect(root: &Path, folder: &Path, src: &Path, sources: &mut Vec<Source>) {
    for path in harness::paths::entries(root.join(folder)).expect("a folder") {
        let file = path.strip_prefix(root).expect("inside").to_owned();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !["tests", "testing"].contains(&name.as_str()) {
            collect(root, &file, src, sources);
        } else if path.extension().is_some_and(|it| it == "rs") && name != "tests" {
            let text = std::fs::read_to_string(&path).expect("read");
            sources.push(Source::new(file.clone(), module(&file, src), &text));
        }
    }
    // What a file declares for tests only is not part of the program.
    let tests: Vec<_> = sources.iter().flat_map(|source| test_modules(root, source)).collect();
    sources.retain(|source| !tests.iter().any(|test| source.module.starts_with(test)));
}

fn module(file: &Path, src: &Path) -> Vec<String> {
    let inside = file.strip_prefix(src).expect("inside").with_extension("");
    let mut module: Vec<_> =
        inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        module.pop();
    }
    module
}

/// The modules `mod x;` behind `#[cfg(test)]`.
fn test_modules(root: &Path, source: &Source) -> Vec<Vec<String>> {
    static DECLARED: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"#\[cfg\(test\)\](?-u:\s)*(?:pub(?:\([^)]*\))? )?mod ((?-u:\w)+);")
            .expect("a pattern")
    });
    let text = std::fs::read_to_string(root.join(&source.file)).expect("read");
    let names = DECLARED.captures_iter(&text).map(|found| found[1].to_owned());
    names.map(|name| source.module.iter().cloned().chain([name]).collect()).collect()
}

/// The source with comments, strings and test code blanked out.
fn product(text: &str) -> String {
    static NOISE: LazyLock<Regex> = LazyLock::new(|| {
        let comment = r"//[^\n]*|/\*(?s:.*?)\*/";
        let string = r##"r#"(?s:.*?)"#|"(?:[^"\\]|\\(?s:.))*"|'(?:[^'\\\n]|\\[^\n]+?)'"##;
        Regex::new(&format!("{comment}|{string}")).expect("a pattern")
    });
    let mut text = blank(text, NOISE.find_iter(text).map(|found| found.range()));
    while let Some(start) = text.find("#[cfg(test)]") {
        let end = item_end(&text, start);
        text = blank(&text, std::iter::once(start..end));
    }
    text
}

/// The end of the item that begins behind an attribute: its `;`, or its last brace.
fn item_end(text: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (index, character) in text[start..].char_indices() {
        match character {
            ';' if depth == 0 => return start + index + 1,
            '{' => depth += 1,
            '}' if depth <= 1 => return start + index + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

fn blank(text: &str, ranges: impl IntoIterator<Item = Range<usize>>) -> String {
    let mut blanked = String::new();
    let mut last = 0;
    for range in ranges {
        blanked += &text[last..range.start];
        blanked.extend(text[range.clone()].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        last = range.end;
    }
    blanked + &text[last..]
}

impl Source {
    fn new(file: PathBuf, module: Vec<String>, text: &str) -> Self {
        let mut this = Self { file, module, text: product(text), imports: Vec::new() };
        this.imports = this.read_imports();
        this
    }

    fn read_imports(&self) -> Vec<Import> {
        static USE: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"(?m)^ *(?:pub(?:\([^)]*\))? )?use ([^;]+);").expect("ok")
        });
        static INLINE: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"(?-u:\b\w+(?:::\w+)+)").expect("a pattern"));
        let mut imports = Vec::new();
        for found in USE.captures_iter(&self.text) {
            let tree = found.get(1).expect("matched");
            let line = self.line(tree.start());
            for path in expand(tree.as_str()) {
                imports.push(Import { line, path: self.resolve(path) });
            }
        }
        let rest = blank(&self.text, USE.find_iter(&self.text).map(|found| found.range()));
        for found in INLINE.find_iter(&rest) {
            let path = found.as_str().split("::").map(str::to_owned).collect();
            imports.push(Import { line: self.line(found.start()), path: self.resolve(path) });
        }
        imports
    }

    fn line(&self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count() + 1
    }

    /// The path from the crate on.
    fn resolve(&self, path: Vec<String>) -> Vec<String> {
        let mut module = self.module.clone();
        let mut rest = path.as_slice();
        while let [first, others @ ..] = rest {
            match first.as_str() {
                "super" => drop(module.pop()),
                "self" => {}
                _ => break,
            }
            rest = others;
        }
        if rest.len() == path.len() {
            return path;
        }
        let base = std::iter::once("crate".to_owned()).chain(module);
        base.chain(rest.iter().cloned()).collect()
    }
}

/// The paths of a `use` tree.
fn expand(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some((prefix, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree).trim();
        let path: Vec<_> = path.split("::").map(|part| part.trim().to_owned()).collect();
        return vec![path.into_iter().filter(|part| !part.is_empty()).collect()];
    };
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    let prefix: Vec<_> =
        prefix.split("::").map(str::trim).filter(|part| !part.is_empty()).collect();
    let mut paths = Vec::new();
    for branch in branches(group) {
        for mut path in expand(branch) {
            if path.first().is_some_and(|first| first == "self") {
                path.remove(0);
            }
            paths.push(prefix.iter().map(|part| (*part).to_owned()).chain(path).collect());
        }
    }
    paths
}

/// The parts between the commas of a group, whatever groups are in them.
fn branches(group: &str) -> Vec<&str> {
    let (mut depth, mut start) = (0, 0);
    let mut branches = Vec::new();
    for (index, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                branches.push(&group[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    branches.push(&group[start..]);
    branches.into_iter().filter(|branch| !branch.trim().is_empty()).collect()
}

mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        let module = vec!["job".to_owned(), "decide".to_owned()];
        Source::new("src/job/decide.rs".into(), module, text)
    }

    fn imports(text: &str) -> Vec<(usize, String)> {
        let imports = source(text).imports.into_iter();
        imports.map(|import| (import.line, import.path.join("::"))).collect()
    }

    #[test]
    fn trees_are_expanded_and_relative_paths_resolved() {
        let text = "use std::fmt;\nuse super::{observe, apply::{self, Status as S}};\n\
            fn a() { crate::metrics::count(); self::b(); }\n";
        let expected = [
            (1, "std::fmt"),
            (2, "crate::job::observe"),
            (2, "crate::job::apply"),
            (2, "crate::job::apply::Status"),
            (3, "crate::metrics::count"),
            (3, "crate::job::decide::b"),
        ];
        assert_eq!(imports(text), expected.map(|(line, path)| (line, path.to_owned())));
    }

    #[test]
    fn comments_strings_and_tests_import_nothing() {
        let text = "// use a::b;\nconst X: &str = \"use c::d;\";\n#[cfg(test)]\nmod tests {\n    use e::f;\n    fn a() {}\n}\n\
            #[cfg(test)]\nuse g::h;\nuse i::j;\n";
        assert_eq!(imports(text), [(10, "i::j".to_owned())]);
    }
}
