//! The static binaries that the images hold.
//!
//! The same sources and the same compiler make the same binaries in every folder of every machine:
//! the paths in them (of panics) name no place on the disk.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use harness::paths;
use harness::process::{Cmd, LogDir};
use harness::provide::Profile;

use super::architecture::Architecture;
use super::cross;
use super::kept::Build;
use crate::cargo::cargo;
use crate::offline::provision::Provision;

/// A build with fat LTO on a small machine, dependencies included.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Between the flags in `CARGO_ENCODED_RUSTFLAGS`, which may hold blanks.
const SEPARATOR: &str = "\u{1f}";

/// Static, and small: with the relocations of a position independent program as bits, which a linker that does not
/// know how leaves as they are; with strings that end alike written once; and without the index for unwinding, for a
/// panic aborts, and there are no symbols.
const FLAGS: [&str; 4] = [
    "-C",
    "target-feature=+crt-static",
    "-C",
    "link-arg=-Wl,-z,pack-relative-relocs,--no-eh-frame-hdr,-O2",
];

/// Functions with the same code are one, where the linker is that of the Rust toolchain: on x86-64.
/// <https://blog.rust-lang.org/2025/09/01/rust-lld-on-1.90.0-stable/>
const FOLDED: [&str; 2] = ["-C", "link-arg=-Wl,--icf=all"];

/// Where binaries are, and what they run on.
#[derive(Debug)]
pub(crate) struct Binaries {
    /// The folder that holds them.
    pub(crate) folder: PathBuf,
    /// The processor.
    pub(crate) architecture: Architecture,
}

/// Builds static binaries of workspace packages for this machine, unless the same were built before.
pub(crate) async fn build(packages: &[&str], profile: Profile, logs: &LogDir) -> Result<Binaries> {
    let compiler = Compiler::ask(logs).await?;
    let architecture = compiler.architecture()?;
    let flags = flags(architecture);
    let build = Build {
        packages,
        profile: profile.name(),
        target: &target(architecture, &compiler),
        compiler: &compiler.commit,
        flags: &flags,
    };
    let folder = build.folder(logs).await?;
    if !build.is_in(&folder) {
        let built = compile(packages, profile, architecture, &compiler, logs).await?;
        build.keep(&built.folder, &folder)?;
    }
    Ok(Binaries { folder, architecture })
}

/// Builds static binaries of workspace packages for any processor.
pub(crate) async fn build_for(
    architecture: Architecture,
    packages: &[&str],
    profile: Profile,
    provision: &Provision,
) -> Result<Binaries> {
    let compiler = Compiler::ask(provision.logs()).await?;
    if compiler.architecture()? != architecture {
        cross::ensure(architecture, &target(architecture, &compiler), &compiler.sysroot, provision)
            .await?;
    }
    compile(packages, profile, architecture, &compiler, provision.logs()).await
}

/// The user's flags of the compiler, and ours.
fn flags(architecture: Architecture) -> Vec<String> {
    let user = std::env::var("RUSTFLAGS").unwrap_or_default();
    let folded = FOLDED.iter().filter(|_| architecture == Architecture::Amd64);
    let ours = FLAGS.iter().chain(folded).map(|flag| (*flag).to_owned());
    user.split_whitespace().map(str::to_owned).chain(ours).collect()
}

async fn compile(
    packages: &[&str],
    profile: Profile,
    architecture: Architecture,
    compiler: &Compiler,
    logs: &LogDir,
) -> Result<Binaries> {
    let target = target(architecture, compiler);
    let mut flags = flags(architecture);
    flags.extend(remaps(compiler)?);
    // With `--target` the flags reach only what goes into the binaries: procedural macros are
    // shared libraries and cannot be static.
    let mut build = cargo()
        .args(["build", "--locked", "--profile", profile.name(), "--target", &target])
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join(SEPARATOR))
        .name(format!("cargo-build-{}", architecture.name()))
        .timeout(TIMEOUT);
    if target != compiler.host {
        for (name, value) in cross::environment(architecture, &target) {
            build = build.env(name, value);
        }
    }
    for package in packages {
        build = build.args(["--package", package]);
    }
    build.run(logs).await.context(
        "cannot build static binaries; a static C library is needed (Debian: libc6-dev, \
         Fedora: glibc-static)",
    )?;
    let folder = paths::target().join(&target).join(profile.name());
    Ok(Binaries { folder, architecture })
}

/// The target triple that builds for a processor.
fn target(architecture: Architecture, compiler: &Compiler) -> String {
    match compiler.architecture() {
        Ok(host) if host == architecture => compiler.host.clone(),
        _ => format!("{}-unknown-linux-gnu", architecture.machine()),
    }
}

/// What tells binaries of one compiler from those of another.
struct Compiler {
    /// The target triple that it builds for by default.
    host: String,
    commit: String,
    /// Where it is installed.
    sysroot: PathBuf,
}

impl Compiler {
    async fn ask(logs: &LogDir) -> Result<Self> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let version = Cmd::new(&rustc).arg("-vV").run(logs).await?.text();
        let sysroot = Cmd::new(&rustc).args(["--print", "sysroot"]).run(logs).await?.text();
        let value = |key: &str| {
            let found = version.lines().find_map(|line| line.strip_prefix(key));
            found.map(str::to_owned).with_context(|| format!("`rustc -vV` has no {key}{version}"))
        };
        Ok(Self {
            host: value("host: ")?,
            commit: value("commit-hash: ")?,
            sysroot: sysroot.into(),
        })
    }

    fn architecture(&self) -> Result<Architecture> {
        let host = &self.host;
        ensure!(
            host.contains("-linux-"),
            "the images hold Linux binaries and this is {host}: run `cargo xtask image` on Linux"
        );
        match host.split('-').next() {
            Some("x86_64") => Ok(Architecture::Amd64),
            Some("aarch64") => Ok(Architecture::Arm64),
            _ => bail!("images are made on x86_64 and aarch64, and this is {host}"),
        }
    }
}

/// The compiler's flags that take this machine's paths out of what it writes.
fn remaps(compiler: &Compiler) -> Result<Vec<String>> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => std::env::home_dir().context("set HOME or CARGO_HOME")?.join(".cargo"),
    };
    let mut places = vec![
        // The last that fits wins.
        (home.clone(), "/cargo".to_owned()),
        (paths::workspace(), "/workspace".to_owned()),
        (paths::target(), "/target".to_owned()),
        // Where the library was compiled, for those who have its sources.
        (compiler.sysroot.join("lib/rustlib/src/rust"), format!("/rustc/{}", compiler.commit)),
    ];
    // One folder for each registry, named after how this machine reaches it.
    let sources = home.join("registry/src");
    let registries = paths::entries(&sources).unwrap_or_default();
    places.extend(registries.into_iter().map(|path| (path, "/crates".to_owned())));
    places.iter().map(|(path, name)| remap(path, name)).collect()
}

fn remap(path: &Path, name: &str) -> Result<String> {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(path);
    flag.push("=");
    flag.push(name);
    flag.into_string().map_err(|flag| anyhow::anyhow!("{} is no UTF-8", flag.display()))
}
