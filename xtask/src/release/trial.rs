//! Sees that a binary starts, on this processor or one that QEMU plays.

use anyhow::{Context as _, Result, ensure};
use harness::images::VERSION;
use harness::process::Cmd;

use crate::image::{Architecture, Binaries};
use crate::offline::provision::Provision;

/// Has a binary print its version.
///
/// Says so if this machine can run none for its processor.
pub(super) async fn run(binaries: &Binaries, package: &str, provision: &Provision) -> Result<()> {
    let architecture = binaries.architecture;
    let binary = binaries.folder.join(package);
    let command = if is_ours(architecture) {
        Cmd::new(&binary)
    } else if let Some(qemu) = qemu(architecture) {
        Cmd::new(qemu).arg(&binary)
    } else {
        provision.say(format_args!(
            "{package} for {} was built and NOT run: there is no qemu-{}-static here (Debian: qemu-user-static)",
            architecture.name(),
            architecture.machine()
        ));
        return Ok(());
    };
    let printed = command
        .arg("--version")
        .name(format!("{package}-{}", architecture.name()))
        .run(provision.logs())
        .await
        .with_context(|| format!("{package} for {} does not start", architecture.name()))?
        .text();
    ensure!(
        printed.split_whitespace().any(|word| word == VERSION),
        "{package} for {} is of another version than {VERSION}: {printed}",
        architecture.name()
    );
    Ok(())
}

fn is_ours(architecture: Architecture) -> bool {
    std::env::consts::ARCH == architecture.machine()
}

/// QEMU for programs of another processor.
fn qemu(architecture: Architecture) -> Option<std::path::PathBuf> {
    let names = ["-static", ""].map(|end| format!("qemu-{}{end}", architecture.machine()));
    names.iter().find_map(|name| which::which(name).ok())
}
