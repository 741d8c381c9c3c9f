//! `kubectl dsjob logs`: the output of all nodes, on the screen or a file a node.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::StreamExt as _;

use super::context::{Context, Exit};
use crate::{
    args::{duration, names},
    cluster::{
        connect::Cluster,
        snapshot::Snapshot,
        watch::{self, Seen},
    },
    error::{Error, Result},
    follow::{
        line,
        plan::{Runs, Wanted},
        reader::Extent,
        tails::{Heard, Tails},
    },
    model::{
        facts::PodFacts,
        job::{JobModel, ending},
        nodes::{NodeRow, State},
    },
    render::{style::Canvas, text},
};

/// Logs that are open at once unless the user says otherwise.
const MAX_LOGS: usize = 50;
/// Time between two looks for logs for which there was no room.
const TICK: Duration = Duration::from_millis(250);

/// Print the output of the nodes, each line with the name of its node.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Name of the Job.
    #[arg(value_parser = names::job)]
    name: String,

    /// Only nodes that have failed.
    #[arg(long)]
    failed: bool,

    /// Only this node; may be repeated.
    #[arg(long, value_name = "NODE")]
    node: Vec<String>,

    /// Go on until the Job ends.
    #[arg(long, short)]
    follow: bool,

    /// The run before the current one.
    #[arg(long, short, conflicts_with = "follow")]
    previous: bool,

    /// Only so many lines from the end.
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,

    /// Only what is younger, such as 10m.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    since: Option<Duration>,

    /// Write a file a node into this folder, which is made if it is not there.
    #[arg(long, value_name = "FOLDER", conflicts_with = "follow")]
    output_dir: Option<PathBuf>,

    /// Logs that are open at once.
    #[arg(long, value_name = "NUMBER", default_value_t = MAX_LOGS)]
    max_log_requests: usize,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Exit> {
    let cluster = cx.cluster().await?;
    let snapshot = Snapshot::read(&cluster, &args.name).await?;
    let model = snapshot.model();
    check_nodes(&args, &model)?;
    let wanted = Wanted {
        max_open: args.max_log_requests.max(1),
        runs: if args.previous { Runs::Previous } else { Runs::Current },
        is_once: !args.follow,
    };
    let extent = Extent { follow: args.follow, tail: args.tail.map(Into::into), since: args.since };
    let tails = Tails::new(&cluster, snapshot.job.spec.completion_mode, wanted, extent);
    if args.follow {
        return follow(&args, &cluster, tails, &model, cx).await;
    }
    collect(&args, tails, &snapshot, &model, cx).await
}

/// Refuses nodes that the Job does not know, with those that may have been meant.
fn check_nodes(args: &Args, model: &JobModel) -> Result<()> {
    let known = || model.nodes.iter().map(|node| node.name.as_str());
    for name in &args.node {
        if !known().any(|node| node == name) {
            let error = Error::new(format!("the Job has no node {name:?}"));
            let likely = names::similar(name, known());
            return Err(match likely.as_slice() {
                [] => error,
                _ => error.hint(format!("did you mean {}?", likely.join(" or "))),
            });
        }
    }
    Ok(())
}

/// Whether the output of a node is wanted.
fn is_wanted(args: &Args, node: &str, model: &JobModel) -> bool {
    let state = || model.nodes.iter().find(|row| row.name == node).map(|row| row.state);
    (args.node.is_empty() || args.node.iter().any(|name| name == node))
        && (!args.failed || state() == Some(State::Failed))
}

/// Reads the logs as they are now.
async fn collect(
    args: &Args,
    mut tails: Tails,
    snapshot: &Snapshot,
    model: &JobModel,
    cx: &Context,
) -> Result<Exit> {
    let mut sink = Sink::new(args, cx)?;
    let of_work = snapshot.job.status.as_ref().and_then(|status| status.work_hash.clone());
    let is_readable = |pod: &&PodFacts| {
        pod.work_hash == of_work.as_deref().map(Into::into)
            && pod.node.as_deref().is_some_and(|node| is_wanted(args, node, model))
    };
    let mut read = HashSet::new();
    for pod in snapshot.pods.iter().filter(is_readable) {
        read.extend(pod.node.as_deref().filter(|_| pod.container.run.is_some()).map(str::to_owned));
        tails.insert(pod.clone());
    }
    while !tails.is_idle() {
        sink.take_in(tails.next().await)?;
        tails.tick();
    }
    // The pods of failed nodes may be gone; the status has the end of their output.
    let is_unread = |row: &&NodeRow| {
        is_wanted(args, &row.name, model) && !read.contains(&row.name) && row.output.is_some()
    };
    let of_status: Vec<_> = model.nodes.iter().filter(is_unread).collect();
    for row in &of_status {
        sink.output_of_status(row)?;
    }
    sink.finish(read.len() + of_status.len(), ending(&snapshot.job).is_some())?;
    for trouble in tails.troubles() {
        cx.screen.note(&format!("error: some output is missing: {trouble}"))?;
    }
    let is_whole = tails.troubles().is_empty() && sink.is_whole;
    Ok(if is_whole { Exit::Good } else { Exit::Bad })
}

/// Follows the logs until the Job ends or is gone.
async fn follow(
    args: &Args,
    cluster: &Cluster,
    mut tails: Tails,
    model: &JobModel,
    cx: &Context,
) -> Result<Exit> {
    let mut sink = Sink::new(args, cx)?;
    let mut jobs = std::pin::pin!(watch::job(cluster, &args.name));
    let mut pods = std::pin::pin!(watch::pods(cluster, &args.name));
    let mut tick = tokio::time::interval(TICK);
    let (mut is_ended, mut is_interrupted) = (false, false);
    loop {
        tokio::select! {
            heard = tails.next() => sink.take_in(heard)?,
            Some(seen) = jobs.next() => match seen {
                Seen::Is(job) => {
                    is_ended = ending(&job).is_some();
                    is_interrupted = false;
                }
                Seen::Gone(_) => is_ended = true,
                Seen::Interrupted(why) => {
                    if !std::mem::replace(&mut is_interrupted, true) {
                        cx.screen.note(&watch::goes_on(&why))?;
                    }
                }
                Seen::Refused(error) => return Err(error),
            },
            Some(seen) = pods.next() => {
                let node = match &seen {
                    watch::SeenPod::Is(pod) => pod.node().map(str::to_owned),
                    _ => None,
                };
                // A node that joins is not in the model yet.
                let is_named = |node: &str| args.node.iter().any(|name| name == node);
                let is_taken = |node: &str| {
                    if args.failed { is_wanted(args, node, model) } else { args.node.is_empty() || is_named(node) }
                };
                if node.as_deref().is_none_or(is_taken) {
                    tails.take_in(seen)?;
                }
            },
            _ = tick.tick() => tails.tick(),
        }
        if is_ended && tails.is_idle() {
            let troubles = tails.troubles();
            for trouble in &troubles {
                cx.screen.note(&format!("error: some output is missing: {trouble}"))?;
            }
            return Ok(if troubles.is_empty() { Exit::Good } else { Exit::Bad });
        }
    }
}

/// Where the output goes.
struct Sink<'a> {
    cx: &'a Context,
    canvas: Canvas,
    folder: Option<Folder>,
    is_whole: bool,
}

impl<'a> Sink<'a> {
    fn new(args: &Args, cx: &'a Context) -> Result<Self> {
        let suffix = if args.previous { ".previous.log" } else { ".log" };
        let folder =
            args.output_dir.as_deref().map(|path| Folder::new(path, suffix)).transpose()?;
        Ok(Self { cx, canvas: cx.screen.canvas(), folder, is_whole: true })
    }

    fn take_in(&mut self, heard: Heard) -> Result<()> {
        match (heard, &mut self.folder) {
            (Heard::Lines { node, lines }, Some(folder)) => folder.write(&node, &lines)?,
            (Heard::Lines { node, lines }, None) => {
                let mut batch = Vec::with_capacity(lines.len());
                line::prefixed(&node, &lines, self.canvas, &mut batch);
                self.cx.screen.write(&batch)?;
            }
            (Heard::Closed { node, is_final: true, is_whole }, Some(folder)) => {
                folder.close(&node, is_whole)?;
                self.is_whole &= is_whole;
            }
            (Heard::Closed { is_final, is_whole, .. }, _) => self.is_whole &= is_whole || !is_final,
        }
        Ok(())
    }

    fn output_of_status(&mut self, row: &NodeRow) -> Result<()> {
        let mut output = row.output.clone().unwrap_or_default().into_bytes();
        if !output.ends_with(b"\n") {
            output.push(b'\n');
        }
        self.take_in(Heard::Lines { node: row.name.clone(), lines: output })?;
        self.take_in(Heard::Closed { node: row.name.clone(), is_final: true, is_whole: true })
    }

    /// Says where the output is, or that there is none.
    fn finish(&self, nodes: usize, is_ended: bool) -> Result<()> {
        let folder = self.folder.as_ref().map(|folder| folder.path.as_path());
        summary(folder, nodes, is_ended).map_or(Ok(()), |line| Ok(self.cx.screen.note(&line)?))
    }
}

fn summary(folder: Option<&Path>, nodes: usize, is_ended: bool) -> Option<String> {
    match folder {
        _ if nodes == 0 && is_ended => {
            Some("No output: the Job has ended, and its pods are gone with their logs.".to_owned())
        }
        Some(folder) => {
            let of_nodes = text::count(nodes, "node");
            Some(format!("the output of {of_nodes} is in {}", folder.display()))
        }
        None => (nodes == 0).then(|| "No output yet.".to_owned()),
    }
}

/// A folder with a file a node, each whole or named `….partial`.
struct Folder {
    path: PathBuf,
    suffix: &'static str,
    open: HashMap<String, File>,
}

impl Folder {
    fn new(path: &Path, suffix: &'static str) -> Result<Self> {
        std::fs::create_dir_all(path)
            .map_err(|error| Error::new(format!("cannot make {}: {error}", path.display())))?;
        Ok(Self { path: path.to_owned(), suffix, open: HashMap::new() })
    }

    fn partial(&self, node: &str) -> PathBuf {
        self.path.join(format!("{node}{}.partial", self.suffix))
    }

    fn file(&mut self, node: &str) -> Result<&mut File> {
        let path = self.partial(node);
        let failed = |error| Error::new(format!("cannot write {}: {error}", path.display()));
        match self.open.entry(node.to_owned()) {
            std::collections::hash_map::Entry::Occupied(file) => Ok(file.into_mut()),
            std::collections::hash_map::Entry::Vacant(place) => {
                Ok(place.insert(File::create(&path).map_err(failed)?))
            }
        }
    }

    fn write(&mut self, node: &str, lines: &[u8]) -> Result<()> {
        let path = self.partial(node);
        let failed = |error| Error::new(format!("cannot write {}: {error}", path.display()));
        self.file(node)?.write_all(lines).map_err(failed)
    }

    fn close(&mut self, node: &str, is_whole: bool) -> Result<()> {
        self.file(node)?;
        self.open.remove(node);
        if is_whole {
            let path = self.path.join(format!("{node}{}", self.suffix));
            std::fs::rename(self.partial(node), &path)
                .map_err(|error| Error::new(format!("cannot write {}: {error}", path.display())))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_output_is_no_promise_of_some_when_the_job_has_ended() {
        let line = |nodes, is_ended| summary(None, nodes, is_ended);
        assert_eq!(line(0, false).as_deref(), Some("No output yet."));
        assert!(line(0, true).is_some_and(|line| line.contains("the Job has ended")));
        assert_eq!(line(1, true), None);
        let written = summary(Some(Path::new("folder")), 1, true);
        assert_eq!(written.as_deref(), Some("the output of 1 node is in folder"));
    }
}
