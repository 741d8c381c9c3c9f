//! The imports of Rust sources.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use harness::paths;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A source file that is compiled into a program.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Its path in the repository.
    pub(super) file: PathBuf,
    /// The path of its module, without the crate: `job`, `decide`.
    pub(super) module: Vec<String>,
    /// The paths that it imports, or names in full, and what it calls without arguments: `now()`.
    pub(super) imports: Vec<Import>,
    /// The modules that it declares for tests only.
    tests: Vec<Vec<String>>,
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
    let folder = crate_folder.join("src");
    let mut sources = Vec::new();
    for path in paths::files(root.join(&folder)).expect("a folder") {
        let file = path.strip_prefix(root).expect("inside").to_owned();
        let is_test = |part: &OsStr| ["tests", "testing", "tests.rs"].iter().any(|it| part == *it);
        if file.extension().is_some_and(|it| it == "rs") && !file.iter().any(is_test) {
            let text = std::fs::read_to_string(&path).expect("read");
            sources.push(Source::new(file.clone(), module(&file, &folder), &text));
        }
    }
    // What a file declares for tests only is not part of the program.
    let tests: Vec<_> = sources.iter().flat_map(|source| source.tests.clone()).collect();
    sources.retain(|source| !tests.iter().any(|test| source.module.starts_with(test)));
    sources
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

impl Source {
    fn new(file: PathBuf, module: Vec<String>, text: &str) -> Self {
        let mut this = Self { file, module, imports: Vec::new(), tests: Vec::new() };
        this.read(text.parse().expect("Rust"));
        this
    }

    /// Notes the paths among these tokens, which hold no comment, and no string as a word.
    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut rest = &tokens[..];
        while let [first, others @ ..] = rest {
            rest = match first {
                TokenTree::Group(group) => {
                    self.read(group.stream());
                    others
                }
                TokenTree::Ident(word) if word == "use" => {
                    let end = others.iter().position(|token| is(token, ';'));
                    let (tree, others) = others.split_at(end.unwrap_or(others.len()));
                    self.add_tree(&[], tree);
                    others
                }
                TokenTree::Ident(word) => {
                    let (path, others) = names(rest);
                    let line = word.span().start().line;
                    if let Some(TokenTree::Group(arguments)) = others.first()
                        && arguments.to_string() == "()"
                    {
                        self.add(line, path.last().map(|name| format!("{name}()")).into_iter());
                    }
                    if path.len() > 1 {
                        self.add(line, path.into_iter());
                    }
                    others
                }
                TokenTree::Punct(_) if is(first, '#') && is_for_tests(others) => self.pass(others),
                _ => others,
            };
        }
    }

    /// Passes over an item that is for tests only: to its `;`, or its last brace.
    fn pass<'t>(&mut self, tokens: &'t [TokenTree]) -> &'t [TokenTree] {
        let is_end = |token: &TokenTree| match token {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            token => is(token, ';'),
        };
        let end = tokens.iter().position(is_end).map_or(tokens.len(), |last| last + 1);
        let (item, rest) = tokens.split_at(end);
        if let [.., TokenTree::Ident(kind), TokenTree::Ident(name), _] = item
            && kind == "mod"
        {
            self.tests.push(self.module.iter().cloned().chain([name.to_string()]).collect());
        }
        rest
    }

    /// Notes the paths of a `use` tree.
    fn add_tree(&mut self, prefix: &[String], tree: &[TokenTree]) {
        for branch in tree.split(|token| is(token, ',')) {
            let Some(first) = branch.first() else { continue };
            let (names, rest) = names(branch);
            // Within braces it means what stands before them.
            let names = names.into_iter().filter(|name| prefix.is_empty() || name != "self");
            let path: Vec<_> = prefix.iter().cloned().chain(names).collect();
            match rest.first() {
                Some(TokenTree::Group(group)) => {
                    self.add_tree(&path, &group.stream().into_iter().collect::<Vec<_>>());
                }
                Some(token) if is(token, '*') => {
                    self.add(first.span().start().line, path.into_iter().chain(["*".to_owned()]));
                }
                _ => self.add(first.span().start().line, path.into_iter()),
            }
        }
    }

    /// Notes a path, from the crate on.
    fn add(&mut self, line: usize, path: impl Iterator<Item = String>) {
        let mut path = path.peekable();
        let mut module = self.module.clone();
        let mut is_own = false;
        while let Some(word) = path.next_if(|word| word == "super" || word == "self") {
            is_own = true;
            if word == "super" {
                module.pop();
            }
        }
        let base = is_own.then(|| std::iter::once("crate".to_owned()).chain(module));
        let path = base.into_iter().flatten().chain(path).collect();
        self.imports.push(Import { line, path });
    }
}

/// The names at the beginning that `::` joins, and what follows.
fn names(mut tokens: &[TokenTree]) -> (Vec<String>, &[TokenTree]) {
    let mut names = Vec::new();
    while let [TokenTree::Ident(name), rest @ ..] = tokens {
        names.push(name.to_string());
        tokens = rest;
        match rest {
            [one, two, rest @ ..] if is(one, ':') && is(two, ':') => tokens = rest,
            _ => break,
        }
    }
    (names, tokens)
}

fn is(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

/// Whether these tokens continue a `#[cfg(test)]`.
fn is_for_tests(tokens: &[TokenTree]) -> bool {
    let attribute = tokens.first().map(ToString::to_string).unwrap_or_default();
    attribute.replace(' ', "") == "[cfg(test)]"
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
            fn a() { crate::metrics::count(1); self::b(c.now()); }\n";
        let expected = [
            (1, "std::fmt"),
            (2, "crate::job::observe"),
            (2, "crate::job::apply"),
            (2, "crate::job::apply::Status"),
            (3, "a()"),
            (3, "crate::metrics::count"),
            (3, "crate::job::decide::b"),
            (3, "now()"),
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
