//! An OCI runtime for hosts that withhold capabilities from root: runc, asked for no more than the
//! host can give.
//!
//! `docker run --privileged` asks for every capability that the kernel knows. Where the host's own
//! bounding set lacks one, runc fails with "unable to apply caps: operation not permitted". This
//! program takes the place of runc in Docker's configuration, removes what cannot be had from the
//! container's (`create`, `run`) or process's (`exec`) specification, and becomes runc.

#![allow(clippy::print_stderr, reason = "Docker reads a runtime's standard error")]

mod capabilities;

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The real runtime, looked up in `PATH`.
const RUNTIME: &str = "runc";

/// runc's global options that take a value as the next argument, without their dashes.
const GLOBAL_WITH_VALUE: [&str; 5] = ["criu", "log", "log-format", "root", "rootless"];

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    match become_runtime(&args) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("oci-shim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn become_runtime(args: &[OsString]) -> Result<Infallible> {
    if let Some(specification) = specification(args) {
        let unavailable = capabilities::unavailable_to("self")
            .context("cannot tell which capabilities this host has")?;
        rewrite(&specification, &unavailable)
            .with_context(|| format!("cannot edit {}", specification.path().display()))?;
    }
    let error = Command::new(RUNTIME).args(args).exec();
    Err(error).with_context(|| format!("cannot start {RUNTIME}"))
}

/// The file that tells runc what to start.
#[derive(Debug, PartialEq, Eq)]
enum Specification {
    /// A container's `config.json`, whose `process` is to be edited.
    Container(PathBuf),
    /// A file that holds just a process.
    Process(PathBuf),
}

impl Specification {
    fn path(&self) -> &Path {
        match self {
            Self::Container(path) | Self::Process(path) => path,
        }
    }

    fn process<'v>(&self, document: &'v mut Value) -> Option<&'v mut Value> {
        match self {
            Self::Container(_) => document.get_mut("process"),
            Self::Process(_) => Some(document),
        }
    }
}

/// Finds the specification in runc's arguments: `[global option...] command [option...] id`.
fn specification(args: &[OsString]) -> Option<Specification> {
    let mut rest = args.iter();
    let command = loop {
        let arg = rest.next()?.to_str()?;
        let Some(option) = arg.strip_prefix('-') else {
            break arg;
        };
        if GLOBAL_WITH_VALUE.contains(&option.trim_start_matches('-')) {
            rest.next();
        }
    };
    let rest = rest.as_slice();
    match command {
        "create" | "run" => {
            let bundle = value_of(rest, "bundle", 'b').unwrap_or_else(|| PathBuf::from("."));
            Some(Specification::Container(bundle.join("config.json")))
        }
        "exec" => value_of(rest, "process", 'p').map(Specification::Process),
        _ => None,
    }
}

/// The value of a command's option, in any of the forms that runc's flag parser accepts.
fn value_of(args: &[OsString], long: &str, short: char) -> Option<PathBuf> {
    let spellings =
        [format!("--{long}"), format!("-{long}"), format!("--{short}"), format!("-{short}")];
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let Some(arg) = arg.to_str() else { continue };
        match arg.split_once('=') {
            Some((name, value)) if spellings.iter().any(|s| s == name) => {
                return Some(value.into());
            }
            None if spellings.iter().any(|s| s == arg) => return args.next().map(PathBuf::from),
            _ => {}
        }
    }
    None
}

fn rewrite(specification: &Specification, unavailable: &[String]) -> Result<()> {
    let path = specification.path();
    let mut document: Value = serde_json::from_slice(&fs::read(path)?)?;
    let Some(process) = specification.process(&mut document) else {
        return Ok(());
    };
    if drop_capabilities(process, unavailable) {
        replace(path, &serde_json::to_vec(&document)?)?;
    }
    Ok(())
}

/// Takes capabilities out of every set of a process; returns whether any was there.
fn drop_capabilities(process: &mut Value, unavailable: &[String]) -> bool {
    let Some(sets) = process.get_mut("capabilities").and_then(Value::as_object_mut) else {
        return false;
    };
    let mut dropped = false;
    for set in sets.values_mut().filter_map(Value::as_array_mut) {
        let before = set.len();
        set.retain(|name| !name.as_str().is_some_and(|name| unavailable.iter().any(|u| u == name)));
        dropped |= set.len() < before;
    }
    dropped
}

/// Writes a file so that nobody ever sees half of it.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("oci-shim");
    fs::write(&new, content)?;
    fs::set_permissions(&new, fs::metadata(path)?.permissions())?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(line: &str) -> Option<Specification> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        specification(&args)
    }

    #[test]
    fn specification_is_found_behind_options_and_for_no_other_command() {
        let container = |path: &str| Some(Specification::Container(path.into()));
        let process = |path: &str| Some(Specification::Process(path.into()));
        for (line, expected) in [
            (
                "--root /run/create --log=/x --systemd-cgroup create --bundle /b --pid-file /p id",
                container("/b/config.json"),
            ),
            ("run -b=/b id", container("/b/config.json")),
            ("create id", container("./config.json")),
            ("--log /l --log-format json exec --process /tmp/p --detach id", process("/tmp/p")),
            ("exec id sh -c true", None),
            ("", None),
            ("--version", None),
            ("--root /r state id", None),
            ("delete --force create", None),
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
    }

    #[test]
    fn only_what_is_unavailable_is_dropped_from_every_set() {
        let mut process = json!({
            "args": ["CAP_SYS_RESOURCE"],
            "capabilities": {
                "bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"],
                "effective": ["CAP_SYS_RESOURCE"],
                "ambient": null,
            },
        });
        let unavailable = ["CAP_SYS_RESOURCE".to_owned()];
        assert!(drop_capabilities(&mut process, &unavailable));
        let expected = json!({
            "args": ["CAP_SYS_RESOURCE"],
            "capabilities": {"bounding": ["CAP_CHOWN"], "effective": [], "ambient": null},
        });
        assert_eq!(process, expected);
        assert!(!drop_capabilities(&mut process, &unavailable));
        assert!(!drop_capabilities(&mut json!({"args": []}), &["CAP_CHOWN".to_owned()]));
    }

    #[test]
    fn container_file_is_edited_under_its_process() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("config.json");
        let before = json!({
            "process": {"capabilities": {"bounding": ["CAP_BPF", "CAP_KILL"]}},
            "linux": {"resources": {"memory": {"limit": 18_446_744_073_709_551_615_u64}}},
        });
        fs::write(&path, before.to_string()).expect("written");
        rewrite(&Specification::Container(path.clone()), &["CAP_BPF".to_owned()]).expect("edited");
        let after: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
        assert_eq!(after["process"]["capabilities"]["bounding"], json!(["CAP_KILL"]));
        assert_eq!(after["linux"], before["linux"]);
    }
}
