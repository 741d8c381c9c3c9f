//! However a run ends, it leaves no cluster, or `clean` finds what it left.
//!
//! `cargo xtask test` runs these tests, which need Docker. Each runs the main job on a cluster of one node
//! in a process of its own, and sends that signals.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests end this way when they fail"
)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use harness::paths;
use harness::process::LogDir;
use harness::provide::XTASK;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testbed::faults::{self, Fault};
use testbed::kind::{Cluster, Record};

/// How long a run may take to come to where it is to be ended. On a fresh machine it builds images.
const START_LIMIT: Duration = Duration::from_secs(20 * 60);

/// How long an orderly end may take: what can be seen is collected first.
const END_LIMIT: Duration = Duration::from_secs(180);

/// How long an end may take that is not orderly.
const EXIT_LIMIT: Duration = Duration::from_secs(10);

/// The exit code of a run that a signal ended.
const INTERRUPTED: Option<i32> = Some(130);

/// The line that says that the cluster is being made.
const CREATING: &str = "kind create cluster";

/// The line that says that the scenario runs.
const AT_WORK: &str = "sample-job: started";

#[test]
fn interrupted_run_tells_what_it_saw_and_leaves_no_cluster() {
    let mut run = Run::start();
    run.until(AT_WORK);
    let cluster = run.cluster();
    run.signal(Signal::INT);
    assert_eq!(run.end(END_LIMIT).code(), INTERRUPTED, "{}", run.output());
    assert_eq!(nodes(&cluster), "", "{}", run.output());
    assert_eq!(run.report()["ending"], "interrupted");
    assert_eq!(run.report()["results"][0]["state"], "interrupted");
    assert!(run.output().contains("INTERRUPTED during sample-job"), "{}", run.output());
    let collected = run.folder.join("cluster");
    for file in ["pods.txt", "events.txt", "nodes.txt"] {
        assert!(collected.join(file).exists(), "{file} is not in {}", collected.display());
    }
}

#[test]
fn run_that_is_terminated_while_it_makes_its_cluster_leaves_none() {
    let mut run = Run::start();
    run.until(CREATING);
    let cluster = run.cluster();
    run.signal(Signal::TERM);
    assert_eq!(run.end(END_LIMIT).code(), INTERRUPTED, "{}", run.output());
    assert_eq!(nodes(&cluster), "", "{}", run.output());
}

#[test]
fn second_interrupt_ends_a_run_at_once_and_clean_deletes_what_it_left() {
    let mut run = Run::start_to_be_cleaned();
    run.until(AT_WORK);
    let cluster = run.cluster();
    run.signal(Signal::INT);
    run.until("interrupted: cleaning up");
    run.signal(Signal::INT);
    assert_eq!(run.end(EXIT_LIMIT).code(), INTERRUPTED, "{}", run.output());
    assert_eq!(run.cluster(), cluster, "the record of the cluster is gone before the cluster");
    clean();
    assert_eq!(nodes(&cluster), "");
    assert_eq!(Record::load(&run.folder).expect("readable"), None);
}

#[test]
fn clean_heals_what_a_killed_run_broke_and_deletes_its_cluster() {
    let mut run = Run::start_to_be_cleaned();
    run.until(AT_WORK);
    let name = run.cluster();
    run.signal(Signal::KILL);
    assert_eq!(run.end(EXIT_LIMIT).code(), None, "{}", run.output());
    assert_eq!(run.report()["ending"], "running");

    let logs = LogDir::create(run.folder.join("logs-of-test")).expect("a folder");
    let cluster = Cluster::recorded(&run.folder, &logs).expect("readable").expect("a cluster");
    let node = tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let node = cluster.control_plane().await.expect("a node");
        drop(faults::inflict(Fault::NodeFrozen, &node, &cluster).await.expect("frozen"));
        node
    });
    assert!(is_paused(node.name()));
    let mut record = cluster.record().clone();
    record.kept = true;
    record.save(&run.folder).expect("saved");
    clean();
    assert!(!is_paused(node.name()), "a fault on record was not healed");
    assert_eq!(nodes(&name), node.name(), "a cluster that is to stay was deleted");

    record.kept = false;
    record.save(&run.folder).expect("saved");
    clean();
    assert_eq!(nodes(&name), "");
    assert_eq!(Record::load(&run.folder).expect("readable"), None);
}

/// One of these tests at a time: `clean` of one would delete what another has left for its own.
///
/// Runs that leave nothing need not wait: `clean` lets a cluster be whose run is alive.
static LEFT_BEHIND: Mutex<()> = Mutex::new(());

/// A run of the main job in a process of its own.
struct Run {
    _leaves_behind: Option<MutexGuard<'static, ()>>,
    child: Child,
    /// Where its artifacts lie, and what is known of its cluster.
    folder: PathBuf,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Run {
    /// One that leaves nothing behind.
    fn start() -> Self {
        Self::start_with(None)
    }

    /// One that leaves a cluster, for `clean`.
    fn start_to_be_cleaned() -> Self {
        // That another test failed is no reason not to run this one.
        Self::start_with(Some(LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn start_with(leaves_behind: Option<MutexGuard<'static, ()>>) -> Self {
        let mut child = xtask(&["e2e", "--nodes", "1", "--profile", "release"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // Nobody listens any more only when the test has ended.
                let _ = sender.send(line);
            }
        });
        let folder = PathBuf::new();
        let mut run =
            Self { _leaves_behind: leaves_behind, child, folder, lines, seen: Vec::new() };
        run.until("doctor: started");
        run.folder = folder_of(run.child.id());
        run
    }

    /// Waits until it says this.
    fn until(&mut self, text: &str) {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("no `{text}` in time: {}", self.output()),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended before `{text}`: {}", self.output())
                }
            }
            if self.seen.last().is_some_and(|line| line.contains(text)) {
                return;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits until it has ended.
    fn end(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < deadline, "it has not ended: {}", self.output());
            std::thread::sleep(Duration::from_millis(50));
        };
        // What it started and left behind may hold the other end open.
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(500)) {
            self.seen.push(line);
        }
        status
    }

    /// The name of its cluster, as it is on record, or soon will be.
    fn cluster(&self) -> String {
        let deadline = Instant::now() + EXIT_LIMIT;
        loop {
            // Half of it may be written.
            match Record::load(&self.folder) {
                Ok(Some(record)) => return record.name,
                record if Instant::now() > deadline => panic!("no record of a cluster: {record:?}"),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn report(&self) -> Value {
        let text = std::fs::read(self.folder.join("run.json")).expect("a report");
        serde_json::from_slice(&text).expect("JSON")
    }

    fn output(&self) -> String {
        self.seen.join("\n")
    }
}

/// A test that fails leaves no run behind.
impl Drop for Run {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
            let _ = self.child.wait();
        }
    }
}

fn xtask(arguments: &[&str]) -> Command {
    let program = std::env::var_os(XTASK).expect("run these tests with `cargo xtask test`");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(paths::workspace());
    command
}

/// Runs are called after the time and their process.
fn folder_of(process: u32) -> PathBuf {
    let runs = paths::target().join("e2e");
    let of_process = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(&format!("-{process}"))
    };
    let entries = std::fs::read_dir(&runs).expect("runs").map(|entry| entry.expect("one").path());
    // An id may have been used before.
    entries.filter(|path| of_process(path)).max().expect("the folder of the run")
}

fn clean() {
    let output = xtask(&["e2e", "clean"]).output().expect("run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

/// The names of the nodes of a cluster, whatever state they are in.
fn nodes(cluster: &str) -> String {
    let label = format!("label=io.x-k8s.kind.cluster={cluster}");
    docker(&["ps", "--all", "--filter", &label, "--format", "{{.Names}}"])
}

fn is_paused(node: &str) -> bool {
    docker(&["inspect", "--format", "{{.State.Paused}}", node]) == "true"
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("docker");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
