//! Which crates may link which.

use std::path::PathBuf;
use std::process::Command;

use harness::paths;
use serde_json::Value;

use super::{Violation, assert_none};

/// What each crate may link of the others; tests of a crate may link more.
const MAY_LINK: [(&str, &[&str]); 11] = [
    ("api", &[]),
    ("runtime", &[]),
    ("operator", &["api", "runtime"]),
    ("terminator", &["api", "runtime"]),
    ("kubectl-dsjob", &["api"]),
    ("harness", &["api"]),
    ("testbed", &["api", "harness"]),
    ("scenarios", &["api", "harness", "testbed"]),
    ("integration", &["api", "harness", "testbed"]),
    ("bench", &["api", "harness", "testbed"]),
    ("xtask", &["api", "harness"]),
];

/// The violations of the packages that cargo describes.
fn violations(metadata: &Value) -> Vec<Violation> {
    let packages: Vec<_> = metadata["packages"].as_array().into_iter().flatten().collect();
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let members: Vec<_> = packages.iter().map(|package| name(package)).collect();
    let mut violations = Vec::new();
    for package in packages {
        let crate_name = name(package);
        let file = PathBuf::from(package["manifest_path"].as_str().unwrap_or_default());
        let Some((_, may)) = MAY_LINK.iter().find(|(name, _)| *name == crate_name) else {
            let rule = format!("{crate_name} has no rule; say in MAY_LINK what it may link");
            violations.push(Violation { file, line: 1, rule });
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = name(dependency);
            let is_linked = dependency["kind"] != "dev";
            if is_linked && members.contains(&to) && !may.contains(&to.as_str()) {
                let text = std::fs::read_to_string(&file).unwrap_or_default();
                let line = text.lines().position(|line| line.starts_with(&to)).unwrap_or_default();
                let rule = format!("{crate_name} may link {may:?} of this workspace, not {to}");
                violations.push(Violation { file: file.clone(), line: line + 1, rule });
            }
        }
    }
    violations
}

#[test]
fn crates_link_only_what_is_below_them() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(paths::workspace())
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_none(violations(&metadata));
}

#[test]
fn crate_that_links_one_above_it_is_found() {
    let metadata = serde_json::json!({"packages": [
        {"name": "api", "manifest_path": "api/Cargo.toml", "dependencies": [
            {"name": "operator", "kind": null}, {"name": "serde", "kind": null},
            {"name": "harness", "kind": "dev"},
        ]},
        {"name": "operator", "manifest_path": "operator/Cargo.toml", "dependencies": [
            {"name": "api", "kind": null},
        ]},
        {"name": "harness", "manifest_path": "e2e/harness/Cargo.toml", "dependencies": []},
        {"name": "new", "manifest_path": "new/Cargo.toml", "dependencies": []},
    ]});
    let found: Vec<_> = violations(&metadata).iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0], "api/Cargo.toml:1: api may link [] of this workspace, not operator");
    assert!(found[1].starts_with("new/Cargo.toml:1: new has no rule"), "{found:?}");
}
