//! No circle between the modules of a folder, and no import of what the folder's own file holds: that file
//! imports them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use harness::paths;

use super::source::{Source, sources};
use super::{Violation, assert_none};

/// An import of one module of a folder by another.
#[derive(Clone, Debug)]
struct Edge {
    file: PathBuf,
    line: usize,
}

/// The imports among the modules of one folder.
type Graph = BTreeMap<String, BTreeMap<String, Edge>>;

/// The circles in a crate, and its imports from below.
pub(super) fn violations(sources: &[Source]) -> Vec<Violation> {
    let modules: BTreeSet<_> = sources.iter().map(|source| source.module.clone()).collect();
    let folders: BTreeSet<_> = modules
        .iter()
        .flat_map(|module| (0..module.len()).map(|length| module[..length].to_vec()))
        .collect();
    let circles = folders.iter().flat_map(|it| circles(it, &graph(it, sources, &modules)));
    circles.chain(sources.iter().flat_map(|source| upward(source, &modules))).collect()
}

/// The imports of a module that go to the file of a folder that it lies in.
fn upward(source: &Source, modules: &BTreeSet<Vec<String>>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for import in &source.imports {
        let Some((first, path)) = import.path.split_first() else { continue };
        let lengths = (0..=path.len()).rev();
        let mut holders = lengths.map(|length| &path[..length]).filter(|it| modules.contains(*it));
        let Some(holder) = holders.next() else { continue };
        let is_below = source.module.len() > holder.len() && source.module.starts_with(holder);
        if first == "crate" && holder.len() < path.len() && is_below {
            let rule = format!(
                "{} goes upward: import it from the module that has it",
                import.path.join("::")
            );
            violations.push(Violation { file: source.file.clone(), line: import.line, rule });
        }
    }
    violations
}

/// The imports among the modules in a folder, and of what the folder's own file holds.
fn graph(folder: &[String], sources: &[Source], modules: &BTreeSet<Vec<String>>) -> Graph {
    let mut graph = Graph::new();
    let within = |path: &[String]| path.get(folder.len()).cloned();
    for source in sources.iter().filter(|source| source.module.starts_with(folder)) {
        let Some(from) = within(&source.module) else { continue };
        for import in &source.imports {
            let Some(("crate", path)) = import.path.split_first().map(|(a, b)| (a.as_str(), b))
            else {
                continue;
            };
            if !path.starts_with(folder) {
                continue;
            }
            let Some(to) = within(path) else { continue };
            let is_module = modules
                .iter()
                .any(|module| module.starts_with(folder) && within(module).as_ref() == Some(&to));
            if is_module && to != from {
                let edge = Edge { file: source.file.clone(), line: import.line };
                graph.entry(from.clone()).or_default().entry(to).or_insert(edge);
            }
        }
    }
    graph
}

/// Each import that leads back to where it comes from.
fn circles(folder: &[String], graph: &Graph) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (from, edges) in graph {
        for (to, edge) in edges {
            if let Some(way) = way(graph, to, from) {
                let place =
                    if folder.is_empty() { "the crate".to_owned() } else { folder.join("::") };
                let rule = format!("a circle in {place}: {from} → {}", way.join(" → "));
                violations.push(Violation { file: edge.file.clone(), line: edge.line, rule });
            }
        }
    }
    violations
}

/// The way along imports, both ends included.
fn way<'g>(graph: &'g Graph, from: &'g str, to: &str) -> Option<Vec<&'g str>> {
    let mut ways = vec![vec![from]];
    let mut seen = BTreeSet::from([from]);
    while let Some(way) = ways.pop() {
        let last = way.last()?;
        if *last == to {
            return Some(way);
        }
        for next in graph.get(*last).into_iter().flat_map(BTreeMap::keys) {
            if seen.insert(next) {
                ways.push(way.iter().copied().chain([next.as_str()]).collect());
            }
        }
    }
    None
}

#[test]
fn modules_of_a_folder_import_each_other_in_one_direction() {
    let root = paths::workspace();
    let entries = ["", "e2e"].map(|folder| paths::entries(root.join(folder)).expect("listed"));
    let crates: Vec<_> =
        entries.concat().into_iter().filter(|it| it.join("src").is_dir()).collect();
    assert!(crates.len() > 9, "{crates:?}");
    let violations = crates
        .iter()
        .flat_map(|it| violations(&sources(&root, it.strip_prefix(&root).expect("inside"))));
    assert_none(violations.collect());
}

#[test]
fn circle_in_a_made_up_tree_is_found_with_file_and_line() {
    let root = super::layers::tests::tree(&[
        ("operator/src/lib.rs", "mod job;\nmod metrics;\n"),
        ("operator/src/job/mod.rs", "mod controller;\n"),
        ("operator/src/job/controller.rs", "use std::fmt;\nuse crate::metrics::Metrics;\n"),
        ("operator/src/metrics.rs", "use crate::job::controller::Controller;\n"),
    ]);
    let found = violations(&sources(root.path(), Path::new("operator")));
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "operator/src/job/controller.rs:2: a circle in the crate: job → metrics → job",
            "operator/src/metrics.rs:1: a circle in the crate: metrics → job → metrics",
        ]
    );
}

#[test]
fn import_from_the_file_of_the_own_folder_is_found() {
    let root = super::layers::tests::tree(&[
        ("api/src/lib.rs", "pub mod job;\n"),
        ("api/src/job/mod.rs", "mod hash;\nmod spec;\npub use self::spec::JobSpec;\n"),
        ("api/src/job/spec.rs", "pub struct JobSpec;\n"),
        ("api/src/job/hash.rs", "use super::spec::JobSpec;\nuse super::JobSpec as Again;\n"),
    ]);
    let found = violations(&sources(root.path(), Path::new("api")));
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    let rule = "crate::job::JobSpec goes upward: import it from the module that has it";
    assert_eq!(found, [format!("api/src/job/hash.rs:2: {rule}")]);
}
