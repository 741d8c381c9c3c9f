//! Cargo called from a program that cargo itself runs.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;

use e2e::paths;
use e2e::process::Cmd;

/// A cargo command in the workspace, with the environment that a shell would give it.
///
/// `cargo run` hands its program variables about the package it runs. Passed on, they make build
/// scripts that watch them (ring's does) run again, and the next plain `cargo build` once more.
pub(crate) fn cargo() -> Cmd {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let own = std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| is_set_by_cargo(&name.to_string_lossy()));
    own.fold(Cmd::new(cargo).cwd(paths::workspace()), Cmd::env_remove)
}

/// Goes on as the same command of this program, built with optimizations: what generates load and takes
/// times must not be what is waited for. Returns only if that is not possible.
pub(crate) fn go_on_optimized() -> std::io::Error {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = std::process::Command::new(cargo);
    command
        .args([
            "run",
            "--quiet",
            "--profile",
            "quick",
            "--package",
            "xtask",
            "--bin",
            "xtask",
            "--",
        ])
        .args(std::env::args_os().skip(1));
    for (name, _) in std::env::vars_os() {
        if is_set_by_cargo(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command.exec()
}

fn is_set_by_cargo(name: &str) -> bool {
    const EXACT: &[&str] = &[
        "CARGO",
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_PRIMARY_PACKAGE",
        "LD_LIBRARY_PATH",
        "OUT_DIR",
    ];
    EXACT.contains(&name) || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_BIN_EXE_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_user_stay_and_facts_about_this_package_go() {
        for gone in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "CARGO"] {
            assert!(is_set_by_cargo(gone), "{gone}");
        }
        for kept in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_NET_OFFLINE", "PATH", "RUSTFLAGS"] {
            assert!(!is_set_by_cargo(kept), "{kept}");
        }
    }
}
