//! The layers of a controller: observe, decide, apply. And those of the plugin: what is pure in it.

use std::path::Path;

use harness::paths;

use super::source::{Import, Source, sources};
use super::{Violation, assert_none};

/// A folder, and what may not be in it. Each of the lists holds paths, one behind the other.
struct Layer {
    /// Its module.
    module: &'static str,
    /// What it may import of its own crate; empty: anything.
    only: &'static str,
    /// What it may not import, or call.
    never: &'static str,
    rule: &'static str,
}

const LAYERS: [Layer; 3] = [
    Layer {
        module: "job::decide",
        only: "crate::job::decide",
        never: "runtime tokio kube::Client kube::Api kube::api::Api now()",
        rule: "`decide` is pure: it imports `api`, and of this crate only itself",
    },
    Layer {
        module: "job::observe",
        only: "",
        never: "crate::job::apply crate::job::reconcile crate::job::controller",
        rule: "`observe` imports `decide` and `runtime`, and never `apply`",
    },
    Layer {
        module: "job::apply",
        only: "",
        never: "crate::job::observe crate::job::reconcile crate::job::controller",
        rule: "`apply` imports `decide` and `runtime`, and never `observe`",
    },
];

const PLUGIN_LAYERS: [Layer; 3] = [
    pure("model", "crate::model"),
    pure("render", "crate::render crate::model crate::error"),
    pure("explain", "crate::explain crate::model crate::render"),
];

/// A folder of the plugin that asks nobody.
const fn pure(module: &'static str, only: &'static str) -> Layer {
    let never = "tokio kube::Client kube::Api kube::api std::fs now()";
    let rule = "this folder is pure: what is read and printed, and when, is up to `commands`";
    Layer { module, only, never, rule }
}

fn violations(sources: &[Source], layers: &[Layer]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for layer in layers {
        let is_in = |source: &&Source| begins(&source.module, layer.module);
        for source in sources.iter().filter(is_in) {
            let mut blame = |line, what: &str| {
                let rule = format!("{what}: {}", layer.rule);
                violations.push(Violation { file: source.file.clone(), line, rule });
            };
            for Import { line, path } in &source.imports {
                let is_own = path.first().is_some_and(|first| first == "crate");
                let is_one_of = |paths: &str| paths.split(' ').any(|it| begins(path, it));
                let is_foreign = is_own && !layer.only.is_empty() && !is_one_of(layer.only);
                if is_foreign || is_one_of(layer.never) {
                    blame(*line, &path.join("::"));
                }
            }
        }
    }
    violations
}

/// Whether a path lies in another one, or is that.
fn begins(path: &[String], with: &str) -> bool {
    let mut path = path.iter();
    with.split("::").all(|part| path.next().is_some_and(|it| it == part))
}

fn check(crate_folder: &str, layers: &[Layer]) {
    let sources = sources(&paths::workspace(), Path::new(crate_folder));
    for layer in layers {
        let is_there = sources.iter().any(|source| begins(&source.module, layer.module));
        assert!(is_there, "{}", layer.module);
    }
    assert_none(violations(&sources, layers));
}

#[test]
fn observe_decide_and_apply_keep_to_themselves() {
    check("operator", &LAYERS);
}

#[test]
fn model_explain_and_render_of_the_plugin_ask_nobody() {
    check("kubectl-dsjob", &PLUGIN_LAYERS);
}

pub(super) mod tests {
    use super::*;

    /// A repository with these files.
    pub(in crate::architecture) fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        root
    }

    #[test]
    fn clock_client_and_other_layers_in_decide_are_found_and_its_tests_are_exempt() {
        let root = tree(&[
            ("operator/src/lib.rs", "mod job;\n"),
            ("operator/src/job/mod.rs", "mod decide;\nmod observe;\nmod apply;\n"),
            (
                "operator/src/job/decide/mod.rs",
                "use api::job::Job;\nuse super::observe::Cache;\n\nfn a() { Timestamp::now(); }\n\
                 #[cfg(test)]\nmod tests {\n    use tokio::time;\n}\n",
            ),
            ("operator/src/job/observe.rs", "use kube::Client;\nuse crate::job::apply::write;\n"),
            ("operator/src/job/apply.rs", "use crate::job::decide::Actions;\n"),
        ]);
        let found = violations(&sources(root.path(), Path::new("operator")), &LAYERS);
        let found: Vec<_> =
            found.iter().map(|it| (it.file.display().to_string(), it.line)).collect();
        let decide = "operator/src/job/decide/mod.rs".to_owned();
        let observe = "operator/src/job/observe.rs".to_owned();
        assert_eq!(found, [(decide.clone(), 2), (decide, 4), (observe, 2)]);
    }
}
