//! Cargo called from a program that cargo itself runs.

use std::ffi::OsString;

use harness::paths;
use harness::process::Cmd;

/// A cargo command in the workspace, with the environment that a shell would give it.
///
/// `cargo run` hands its program variables about the package it runs. Passed on, they make build
/// scripts that watch them (ring's does) run again, and the next plain `cargo build` once more.
pub(crate) fn cargo() -> Cmd {
    let cargo = Cmd::new(program()).cwd(paths::workspace());
    set_by_cargo().fold(cargo, Cmd::env_remove)
}

/// The cargo that runs this program, or the one on `PATH`.
pub(crate) fn program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))
}

/// The names of the variables that are not for other commands of cargo.
pub(crate) fn set_by_cargo() -> impl Iterator<Item = OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| is_set_by_cargo(&name.to_string_lossy()))
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
