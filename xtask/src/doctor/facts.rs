//! What can be seen of this machine.

use std::fs;
use std::path::{Path, PathBuf};

use harness::process::{Cmd, LogDir};
use harness::{paths, proc_file};

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
    /// The version of control groups that the kernel offers to containers.
    pub(super) cgroups: Option<u8>,
    pub(super) inotify: Inotify,
    /// Memory that programs could still get, in MiB.
    pub(super) memory: Option<u64>,
    /// The fullest of the file systems that images and builds go to.
    pub(super) disk: Option<Disk>,
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
    let disks = [docker_root(logs).await, Some(paths::workspace())].into_iter().flatten();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
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
        memory: proc_file::bytes(&meminfo, "MemAvailable").map(|bytes| bytes >> 20),
        disk: disks.filter_map(disk).min_by_key(|disk| disk.free),
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

/// 2 is the unified hierarchy, 1 has a hierarchy for each controller.
fn cgroups(root: &Path) -> Option<u8> {
    let marks = [(2, "cgroup.controllers"), (1, "memory")];
    marks.iter().find(|(_, file)| root.join(file).exists()).map(|(version, _)| *version)
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
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
    fn hierarchies_are_told_apart() {
        let root = tempfile::tempdir().expect("a folder");
        assert_eq!(cgroups(root.path()), None);
        fs::create_dir(root.path().join("memory")).expect("made");
        assert_eq!(cgroups(root.path()), Some(1));
        fs::write(root.path().join("cgroup.controllers"), "").expect("written");
        assert_eq!(cgroups(root.path()), Some(2));
    }
}
