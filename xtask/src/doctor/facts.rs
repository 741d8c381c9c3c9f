//! What can be seen of this machine.

use std::fs;
use std::path::{Path, PathBuf};

use harness::paths;
use harness::process::{Cmd, LogDir};

use crate::offline::provision::docker::{Silence, server};
use crate::offline::provision::host::Host;
use crate::offline::provision::{KIND, KUBECTL, apt, go, shim};

/// Facts, as they are found.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) host: Host,
    pub(super) docker: Result<Docker, Silence>,
    pub(super) kind: Option<Tool>,
    pub(super) kubectl: Option<Tool>,
    /// What the Go on `PATH` says of its version, for example `go1.26.8`.
    pub(super) go: Option<String>,
    pub(super) cgroups: Option<Cgroups>,
    pub(super) inotify: Inotify,
    /// Memory that programs could still get, in MiB.
    pub(super) memory: Option<u64>,
    /// Free space in MiB of the file systems that images and builds go to, fullest first.
    pub(super) disks: Vec<Disk>,
    /// The static C library that static binaries are linked with.
    pub(super) static_libc: Option<PathBuf>,
    /// Packages that building images would take and that are missing on this Debian.
    pub(super) missing_packages: Vec<&'static str>,
}

/// A daemon that answers.
#[derive(Clone, Debug)]
pub(super) struct Docker {
    pub(super) version: String,
    /// Capabilities that it lacks, so that privileged containers cannot start without the shim.
    pub(super) unavailable: Vec<String>,
    /// Whether the shim is its default runtime.
    pub(super) shim: bool,
}

/// A program and what it says of its version.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    pub(super) path: PathBuf,
    /// `None` when the program does not run.
    pub(super) version: Option<String>,
}

/// The version of control groups that the kernel offers to containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cgroups {
    /// One hierarchy for each controller.
    V1,
    /// The unified hierarchy.
    V2,
}

/// How many of the kernel's file watches one user may have.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inotify {
    pub(super) watches: Option<u64>,
    pub(super) instances: Option<u64>,
}

/// A file system.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) path: PathBuf,
    /// Free space in MiB.
    pub(super) free: u64,
}

/// Looks at this machine.
pub(super) async fn gather(logs: &LogDir) -> Facts {
    let host = Host::detect();
    let missing_packages =
        if host.is_debian() { apt::missing(logs, &["debootstrap"]).await } else { Vec::new() };
    let mut disks: Vec<_> = [docker_root(logs).await, Some(paths::workspace())]
        .into_iter()
        .flatten()
        .filter_map(disk)
        .collect();
    disks.sort_by_key(|disk| disk.free);
    Facts {
        host,
        docker: docker(logs).await,
        kind: tool(KIND.find(), &["--version"], logs).await,
        kubectl: tool(KUBECTL.find(), &["version", "--client"], logs).await,
        go: go::toolchain(logs).await,
        cgroups: cgroups(Path::new("/sys/fs/cgroup")),
        inotify: Inotify {
            watches: number("/proc/sys/fs/inotify/max_user_watches"),
            instances: number("/proc/sys/fs/inotify/max_user_instances"),
        },
        memory: fs::read_to_string("/proc/meminfo").ok().and_then(|text| available_memory(&text)),
        disks,
        static_libc: static_libc(logs).await,
        missing_packages,
    }
}

async fn docker(logs: &LogDir) -> Result<Docker, Silence> {
    let version = server(logs).await?;
    Ok(Docker {
        version,
        unavailable: shim::unavailable().await.unwrap_or_default(),
        shim: shim::is_default(logs).await.unwrap_or(false),
    })
}

async fn tool(path: Option<PathBuf>, version: &[&str], logs: &LogDir) -> Option<Tool> {
    let path = path?;
    let output = Cmd::new(&path).args(version).run(logs).await;
    let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    Some(Tool { version: output.ok().map(|output| first_line(output.text())), path })
}

fn cgroups(root: &Path) -> Option<Cgroups> {
    if root.join("cgroup.controllers").exists() {
        Some(Cgroups::V2)
    } else {
        root.join("memory").exists().then_some(Cgroups::V1)
    }
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// `MemAvailable` of `/proc/meminfo`, in MiB.
fn available_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib >> 10)
}

async fn docker_root(logs: &LogDir) -> Option<PathBuf> {
    let info = Cmd::new("docker").args(["info", "--format", "{{.DockerRootDir}}"]).run(logs).await;
    info.ok().map(|output| PathBuf::from(output.text())).filter(|path| path.exists())
}

fn disk(path: PathBuf) -> Option<Disk> {
    let stat = rustix::fs::statvfs(&path).ok()?;
    Some(Disk { free: (stat.f_bavail * stat.f_frsize) >> 20, path })
}

/// Asks the C compiler that links Rust programs.
async fn static_libc(logs: &LogDir) -> Option<PathBuf> {
    let answer = Cmd::new("cc").arg("-print-file-name=libc.a").run(logs).await.ok()?;
    // A file that the compiler does not find it names without a folder.
    Some(PathBuf::from(answer.text())).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_available_counts_not_what_is_free() {
        let text = "MemTotal:       24684292 kB\nMemFree: 1 kB\nMemAvailable:   2048000 kB\n";
        assert_eq!(available_memory(text), Some(2000));
        assert_eq!(available_memory("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn hierarchies_are_told_apart() {
        let root = tempfile::tempdir().expect("a folder");
        assert_eq!(cgroups(root.path()), None);
        fs::create_dir(root.path().join("memory")).expect("made");
        assert_eq!(cgroups(root.path()), Some(Cgroups::V1));
        fs::write(root.path().join("cgroup.controllers"), "").expect("written");
        assert_eq!(cgroups(root.path()), Some(Cgroups::V2));
    }
}
