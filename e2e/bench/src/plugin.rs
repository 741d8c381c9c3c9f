//! The kubectl plugin against thousands of nodes and Jobs, and a thousand logs.

pub(super) mod table;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use bytes::Bytes;
use harness::{paths, proc_file};
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use testbed::simulated_work::{Distribution, End, Work};

use super::cluster::{Testbed, within};
use super::jobs::{self, Mode};
use super::report::PluginRun;

/// Nodes whose work does not end, so that the Job is in its midst.
const HELD: usize = 10;
/// Jobs of the list, each on one node.
const JOBS: usize = 1_000;
/// The most logs that are collected.
const LOGS: usize = 1_000;
/// Lines of each log, and bytes of each line.
const LINES: (usize, usize) = (1_000, 100);
/// How often what takes milliseconds is measured.
const STARTS: u32 = 20;
/// Time between two looks at a process.
const LOOK: Duration = Duration::from_millis(1);
/// How long the Jobs stay, for the plugin to look at.
const TTL: i64 = 3600;

/// Measures each command so many times.
///
/// # Errors
/// When a command fails or prints something else than it should.
pub(super) async fn measure(
    testbed: &Testbed,
    program: &Path,
    folder: &Path,
    runs: u32,
) -> Result<Vec<PluginRun>> {
    let kubeconfig = folder.join("plugin.kubeconfig");
    fs_err::write(&kubeconfig, testbed.control_plane.admin_kubeconfig())?;
    let plugin = Plugin {
        program: program.to_owned(),
        kubeconfig,
        printed: folder.join("plugin.txt"),
        folder: folder.join("plugin-logs"),
    };
    let size = fs_err::metadata(program)?.len();
    let mut measured =
        vec![PluginRun { size, ..plugin.run("--help", "", STARTS, |_| true).await? }];
    measured.push(status(testbed, &plugin, runs).await?);
    if testbed.nodes.len() <= LOGS {
        measured.push(list(testbed, &plugin, runs).await?);
        measured.push(logs(testbed, &plugin).await?);
    }
    Ok(measured)
}

/// One screen about a Job of all nodes, most of which are done.
async fn status(testbed: &Testbed, plugin: &Plugin, runs: u32) -> Result<PluginRun> {
    let nodes = testbed.nodes.len();
    let held: Vec<_> = testbed.nodes.iter().take(HELD).cloned().collect();
    let is_held = move |node: &str| held.iter().any(|held| held == node);
    let end = move |node: &str| if is_held(node) { End::Held } else { End::Exit(0) };
    let work = Work::new(Distribution::constant(Duration::ZERO), end);
    let namespace = testbed.namespace("plugin-status").await?;
    work.assign(&testbed.sim, &namespace);
    let done = i32::try_from(nodes.saturating_sub(HELD))?;
    let words = format!("{} --namespace {namespace}", jobs::NAME);
    let shows_all = |text: &str| {
        let lines = |state: &str| text.lines().filter(|line| line.contains(state)).count();
        lines(" Done ") == nodes - HELD && lines(" Running  ") >= HELD
    };
    let look = async || plugin.run("status", &words, runs, shows_all).await;
    with_jobs(testbed, &namespace, vec![jobs::manifest(Mode::ExitCode)], done, look).await
}

/// A list of many Jobs, each done on one node.
async fn list(testbed: &Testbed, plugin: &Plugin, runs: u32) -> Result<PluginRun> {
    let namespace = testbed.namespace("plugin-list").await?;
    let work = Work::new(Distribution::constant(Duration::ZERO), |_| End::Exit(0));
    work.assign(&testbed.sim, &namespace);
    let jobs = testbed.nodes.iter().cycle().take(JOBS).enumerate().map(|(number, node)| {
        let mut job = jobs::manifest(Mode::ExitCode);
        job["metadata"]["name"] = json!(format!("{}-{number:04}", jobs::NAME));
        job["spec"]["template"] = jobs::on_nodes(std::slice::from_ref(node));
        job
    });
    let has_all = |text: &str| text.lines().filter(|line| line.contains(" 1/1 ")).count() == JOBS;
    let look = async || plugin.run("list -A", "", runs, has_all).await;
    with_jobs(testbed, &namespace, jobs.collect(), 1, look).await
}

/// The logs of all nodes, each in its file.
async fn logs(testbed: &Testbed, plugin: &Plugin) -> Result<PluginRun> {
    let namespace = testbed.namespace("plugin-logs").await?;
    let (lines, bytes) = LINES;
    let line = "x".repeat(bytes - 1) + "\n";
    let chatter = vec![Bytes::from(line.repeat(lines))];
    let work = Work::chatty(Distribution::constant(Duration::ZERO), |_| End::Held, chatter);
    work.assign(&testbed.sim, &namespace);
    let nodes = testbed.nodes.len();
    let words =
        format!("{} --namespace {namespace} --output-dir {}", jobs::NAME, plugin.folder.display());
    let look = async || {
        within(work.until(|counts| counts.started >= nodes), "the pods to start").await?;
        let run = plugin.run("logs", &words, 1, |_| true).await?;
        let files = paths::files(&plugin.folder)?;
        let sizes = files.iter().map(|file| Ok(file.metadata()?.len()));
        let total = sizes.sum::<std::io::Result<u64>>()?;
        let found = (files.len(), total);
        let expected = (nodes, u64::try_from(nodes * lines * bytes)?);
        ensure!(found == expected, "{} files of {total} bytes", files.len());
        fs_err::remove_dir_all(&plugin.folder)?;
        Ok(PluginRun { bytes: total, ..run })
    };
    with_jobs(testbed, &namespace, vec![jobs::manifest(Mode::ExitCode)], 0, look).await
}

/// Creates Jobs, waits until so many nodes of each are done, looks at them, and deletes them.
async fn with_jobs<T>(
    testbed: &Testbed,
    namespace: &str,
    jobs: Vec<Value>,
    done: i32,
    look: impl AsyncFnOnce() -> Result<T>,
) -> Result<T> {
    let mut both = testbed.start_both()?;
    both.ready().await?;
    let count = jobs.len();
    for mut job in jobs {
        job["spec"]["ttlSecondsAfterFinished"] = json!(TTL);
        testbed.create::<Job>(namespace, job).await?;
    }
    let api: Api<Job> = Api::namespaced(testbed.client.clone(), namespace);
    within(until_done(&api, count, done), "the Jobs").await??;
    let looked = look().await?;
    api.delete_collection(&DeleteParams::background(), &ListParams::default()).await?;
    testbed.clear(namespace).await?;
    both.end().await?;
    Ok(looked)
}

/// Waits until so many nodes of so many Jobs are done.
async fn until_done(api: &Api<Job>, jobs: usize, done: i32) -> Result<()> {
    loop {
        let listed = api.list(&ListParams::default()).await?;
        let is_done = |job: &&Job| job.status.as_ref().is_some_and(|it| it.succeeded >= done);
        if listed.iter().filter(is_done).count() == jobs {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The program with all rights.
struct Plugin {
    program: PathBuf,
    kubeconfig: PathBuf,
    /// Where its standard output goes.
    printed: PathBuf,
    /// Where it collects logs.
    folder: PathBuf,
}

impl Plugin {
    /// Runs a command with these words so many times, and sees that it prints what it should.
    async fn run(
        &self,
        command: &str,
        words: &str,
        runs: u32,
        is_right: impl Fn(&str) -> bool,
    ) -> Result<PluginRun> {
        let mut measured = PluginRun { command: command.to_owned(), ..PluginRun::default() };
        for _ in 0..runs {
            let child = Command::new(&self.program)
                .args(command.split(' ').chain(words.split_whitespace()))
                .env_clear()
                .env("KUBECONFIG", &self.kubeconfig)
                .stdin(Stdio::null())
                .stdout(fs_err::File::create(&self.printed)?.into_parts().0)
                .spawn()
                .with_context(|| format!("cannot start {}", self.program.display()))?;
            let used = tokio::task::spawn_blocking(move || watch(child)).await??;
            let printed = fs_err::read_to_string(&self.printed)?;
            ensure!(is_right(&printed), "{command}: see {}", self.printed.display());
            measured.seconds.push(used.seconds);
            measured.peak = measured.peak.max(used.peak);
            measured.connections = measured.connections.max(used.connections);
        }
        Ok(measured)
    }
}

/// What a process used until its end.
#[derive(Default)]
struct Used {
    seconds: f64,
    peak: u64,
    connections: usize,
}

/// Watches a process until its end, which must be a good one.
fn watch(mut child: Child) -> Result<Used> {
    let started = Instant::now();
    let folder = PathBuf::from(format!("/proc/{}", child.id()));
    let mut used = Used::default();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        used.peak = used.peak.max(peak(&folder).unwrap_or_default());
        used.connections = used.connections.max(sockets(&folder));
        std::thread::sleep(LOOK);
    };
    ensure!(status.success(), "the plugin ended badly: {status}");
    used.seconds = started.elapsed().as_secs_f64();
    Ok(used)
}

/// The most memory that a process has had so far, in bytes.
fn peak(folder: &Path) -> Option<u64> {
    let status = std::fs::read_to_string(folder.join("status")).ok()?;
    proc_file::bytes(&status, "VmHWM")
}

/// The number of sockets that a process has open.
fn sockets(folder: &Path) -> usize {
    let Ok(files) = std::fs::read_dir(folder.join("fd")) else { return 0 };
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_is_watched_to_its_end() {
        let child = Command::new("sleep").arg("0.05").spawn().expect("sleep");
        let used = watch(child).expect("a good end");
        assert!(used.seconds >= 0.05 && used.peak > 0, "{} {}", used.seconds, used.peak);
        assert_eq!(used.connections, 0);
        let child = Command::new("false").spawn().expect("false");
        assert!(watch(child).is_err());
    }

    #[test]
    fn sockets_of_a_process_are_counted() {
        let own = Path::new("/proc/self");
        let before = sockets(own);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        assert_eq!(sockets(own), before + 1);
        drop(listener);
    }
}
