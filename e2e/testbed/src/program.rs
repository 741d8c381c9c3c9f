//! Operator and terminator as processes of this machine: the binaries that the images hold.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use harness::proc_file;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How long a process may take until it is ready.
const READY: Duration = Duration::from_secs(120);

/// How often readiness is asked for: the error of the time to ready.
const POLL: Duration = Duration::from_millis(2);

/// Clock ticks a second in `/proc/<pid>/stat`, on every Linux that Rust supports.
const TICKS: f64 = 100.0;

/// One of the two binaries.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its name, for logs.
    pub name: &'static str,
    /// Where it lies.
    pub path: PathBuf,
}

/// A running process. It is killed when this is dropped.
///
/// Not through [`harness::process`], which waits for the end of a command: what counts here is the time
/// before, and the number of the process.
pub struct Process {
    child: Child,
    health: SocketAddr,
    started: Instant,
    name: &'static str,
    log: PathBuf,
}

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Resident memory, in bytes.
    pub resident: u64,
    /// The most that it ever was, in bytes.
    pub peak: u64,
    /// Processor time since the start, in seconds.
    pub cpu: f64,
}

impl Process {
    /// Starts a program with the rights of a kubeconfig. Its log goes into `folder`.
    pub fn start(program: &Program, kubeconfig: &Path, folder: &Path) -> Result<Self> {
        Self::start_with(program, kubeconfig, folder, &[])
    }

    /// As [`Self::start`], with these environment variables as well.
    pub fn start_with(
        program: &Program,
        kubeconfig: &Path,
        folder: &Path,
        env: &[(&str, &str)],
    ) -> Result<Self> {
        let health = free_address()?;
        let log = folder.join(format!("{}.log", program.name));
        let file = std::fs::File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(&program.path)
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .env("HEALTH_ADDRESS", health.to_string())
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.path.display()))?;
        Ok(Self { child, health, started: Instant::now(), name: program.name, log })
    }

    /// Waits until it is ready, and tells how long that took from its start.
    pub async fn ready(&mut self) -> Result<Duration> {
        while self.started.elapsed() < READY {
            if is_ready(self.health).await {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}); its log is {}", self.name, self.log.display());
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("{} is not ready after {READY:?}; its log is {}", self.name, self.log.display())
    }

    /// Where it serves health and metrics.
    pub fn address(&self) -> SocketAddr {
        self.health
    }

    /// What it has logged.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What it uses now.
    pub fn usage(&self) -> Result<Usage> {
        let pid = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        let read = |file: &str| {
            std::fs::read_to_string(format!("/proc/{pid}/{file}")).with_context(|| {
                format!("{} has ended; its log is {}", self.name, self.log.display())
            })
        };
        usage(&read("status")?, &read("stat")?).context("/proc reads as on no Linux")
    }

    /// Ends it without a warning.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))
    }

    /// Asks it to end, and waits for that.
    pub async fn end(mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            kill_process(pid, Signal::TERM)?;
        }
        let status = tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await;
        let status = status.with_context(|| format!("{} does not end", self.name))??;
        anyhow::ensure!(
            status.success(),
            "{} ended badly ({status}); its log is {}",
            self.name,
            self.log.display()
        );
        Ok(())
    }
}

fn usage(status: &str, stat: &str) -> Option<Usage> {
    // The second field is the name in parentheses, which may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(Usage {
        resident: proc_file::bytes(status, "VmRSS")?,
        peak: proc_file::bytes(status, "VmHWM")?,
        cpu: (ticks(11)? + ticks(12)?) / TICKS,
    })
}

/// The ports that processes are given, below those that the kernel gives to connections (32768 and up).
const PORTS: RangeInclusive<u16> = 10_240..=32_767;

/// An address that is free, and that nobody else takes before the process does.
fn free_address() -> Result<SocketAddr> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end() - PORTS.start()) + 1;
    // Runs beside this one begin elsewhere.
    let first = std::process::id().wrapping_mul(97);
    for _ in 0..count {
        let number = first.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % count;
        let port = PORTS.start() + u16::try_from(number)?;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("all ports from {} to {} are taken", PORTS.start(), PORTS.end())
}

async fn is_ready(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    ask.await.is_ok_and(|answer| answer.splitn(3, |&byte| byte == b' ').nth(1) == Some(b"200"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_given_twice() {
        let first = free_address().expect("an address");
        let second = free_address().expect("an address");
        assert_ne!(first, second);
    }

    #[test]
    fn usage_is_read_from_proc() {
        let status = "Name:\toperator\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0";
        let usage = usage(status, stat).expect("usage");
        assert_eq!((usage.resident, usage.peak, usage.cpu), (1 << 20, 2 << 20, 2.0));
    }
}
