//! `kubectl dsjob status`: one screen about a Job.

use std::{collections::BTreeMap, time::Duration};

use api::job::Job;
use futures::StreamExt as _;
use tokio::time::{Instant, sleep_until};

use super::context::{Context, Exit, object_name};
use crate::{
    args::{
        names,
        output::{Format, Output},
    },
    cluster::{
        connect::Cluster,
        pages,
        snapshot::Snapshot,
        watch::{self, Seen, SeenPod},
    },
    error::{Error, Result},
    model::{
        facts::PodFacts,
        job::{Ending, JobModel, ending},
    },
    render::{
        progress,
        status::{self, View},
        style::Canvas,
    },
};

/// Shortest time between two screens of `--watch`.
const REDRAW: Duration = Duration::from_millis(250);
/// Time after which an unchanged screen is drawn again, for the clock in it.
const TICK: Duration = Duration::from_secs(1);

/// Show a Job and its nodes, failed ones first.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Name of the Job.
    #[arg(value_parser = names::job)]
    name: String,

    /// Go on until the Job ends; exit code 1 if it fails.
    #[arg(long, short)]
    watch: bool,

    /// Show all nodes, though they do not fit onto the screen.
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Exit> {
    let cluster = cx.cluster().await?;
    if args.watch {
        if matches!(args.output.format, Some(Format::Json | Format::Yaml | Format::Name)) {
            return Err(Error::new("--watch is for people: use it without --output, or with wide"));
        }
        return follow(&args, &cluster, cx).await;
    }
    let model = Snapshot::read(&cluster, &args.name).await?.model();
    match args.output.format {
        Some(format @ (Format::Json | Format::Yaml)) => cx.print_data(format, &model)?,
        Some(Format::Name) => cx.screen.print(&(object_name(&model.name) + "\n"))?,
        _ => {
            let mut canvas = cx.screen.canvas();
            // What was typed can be scrolled.
            canvas.height = None;
            cx.screen.print(&status::render(&model, view(&args, cx), canvas))?;
        }
    }
    Ok(Exit::Good)
}

fn view(args: &Args, cx: &Context) -> View {
    View { is_wide: args.output.is_wide(), all: args.all, now: cx.now() }
}

/// Shows the Job again and again, until it ends or is gone.
async fn follow(args: &Args, cluster: &Cluster, cx: &Context) -> Result<Exit> {
    let snapshot = Snapshot::read(cluster, &args.name).await?;
    let uid = snapshot.job.metadata.uid.clone();
    let mut live = Live::new(snapshot);
    let mut jobs = std::pin::pin!(watch::job(cluster, &args.name));
    let mut pods = std::pin::pin!(watch::pods(cluster, &args.name));
    let mut display = Display::default();
    let mut next_draw = Instant::now();
    loop {
        tokio::select! {
            Some(seen) = jobs.next() => match seen {
                Seen::Is(job) if job.metadata.uid == uid => live.snapshot.job = *job,
                Seen::Is(_) | Seen::Gone(None) => return live.gone(args, cx),
                Seen::Gone(Some(job)) => {
                    live.snapshot.job = *job;
                    return live.gone(args, cx);
                }
                Seen::Interrupted(why) => live.interruption = Some(why),
                Seen::Refused(error) => return Err(error),
            },
            Some(seen) = pods.next() => live.take_in(seen),
            () = sleep_until(next_draw) => {
                live.ask_again(cluster).await;
                live.look_up_nodes(cluster).await;
                display.draw(&live.model(), args, cx)?;
                if let Some(ending) = ending(&live.snapshot.job) {
                    return Ok(match ending {
                        Ending::Complete => Exit::Good,
                        Ending::Failed => Exit::Bad,
                    });
                }
                next_draw = Instant::now() + TICK;
                continue;
            }
        }
        next_draw = next_draw.min(display.last.map_or_else(Instant::now, |last| last + REDRAW));
    }
}

/// The Job as the watches show it.
struct Live {
    snapshot: Snapshot,
    pods: BTreeMap<String, PodFacts>,
    interruption: Option<String>,
}

impl Live {
    fn new(mut snapshot: Snapshot) -> Self {
        let pods = std::mem::take(&mut snapshot.pods);
        let pods = pods.into_iter().map(|pod| (pod.name.to_string(), pod)).collect();
        Self { snapshot, pods, interruption: None }
    }

    fn take_in(&mut self, seen: SeenPod) {
        match seen {
            SeenPod::Is(pod) => {
                let facts = PodFacts::new(&pod, self.snapshot.job.spec.completion_mode);
                self.pods.insert(facts.name.to_string(), facts);
                self.interruption = None;
            }
            SeenPod::Gone(name) => drop(self.pods.remove(&name)),
            SeenPod::Interrupted(why) => self.interruption = Some(why),
            // The gap says so already.
            SeenPod::Refused(_) => {}
        }
    }

    /// Asks for the Job while a watch is interrupted.
    ///
    /// A watch that goes on without news does not say so.
    async fn ask_again(&mut self, cluster: &Cluster) {
        let metadata = &self.snapshot.job.metadata;
        let (true, Some(name)) = (self.interruption.is_some(), &metadata.name) else { return };
        let asked = tokio::time::timeout(TICK, cluster.api::<Job>().get(name)).await;
        if let Ok(Ok(job)) = asked
            && job.metadata.uid == metadata.uid
        {
            self.snapshot.job = job;
            self.interruption = None;
        }
    }

    /// Lists the nodes again when there is a pod on one that is not known.
    async fn look_up_nodes(&mut self, cluster: &Cluster) {
        let nodes = &self.snapshot.nodes;
        let is_known = |name: &str| nodes.iter().any(|node| &*node.name == name);
        let mut names = self.pods.values().filter_map(|pod| pod.node.as_deref());
        if !nodes.is_empty() && names.any(|name| !is_known(name)) {
            // Without an answer the next look tries again.
            if let Ok(nodes) = pages::nodes(&cluster.client).await {
                self.snapshot.nodes = nodes;
            }
        }
    }

    fn model(&self) -> JobModel {
        let pods: Vec<_> = self.pods.values().cloned().collect();
        let model = JobModel::new(&self.snapshot.job, &self.snapshot.nodes, &pods);
        let interrupted =
            self.interruption.iter().map(|why| format!("the connection is interrupted: {why}"));
        JobModel { gaps: self.snapshot.gaps.iter().cloned().chain(interrupted).collect(), ..model }
    }

    /// The end of a Job that is gone.
    fn gone(&self, args: &Args, cx: &Context) -> Result<Exit> {
        let counts = self.model().counts;
        let is_done = counts.desired > 0 && counts.done == counts.desired;
        let what = if is_done { "is done and deleted" } else { "was deleted before it was done" };
        cx.screen.note(&format!("{} {what}", object_name(&args.name)))?;
        Ok(if is_done { Exit::Good } else { Exit::Bad })
    }
}

/// What is on the screen.
#[derive(Default)]
struct Display {
    lines: usize,
    text: String,
    last: Option<Instant>,
}

impl Display {
    /// Draws the screen again; off a terminal prints the first line if it has changed.
    fn draw(&mut self, model: &JobModel, args: &Args, cx: &Context) -> Result<()> {
        self.last = Some(Instant::now());
        let canvas = cx.screen.canvas();
        if cx.screen.is_terminal() {
            let text = status::render(model, view(args, cx), canvas);
            cx.screen.redraw(self.lines, &text)?;
            self.lines = text.lines().count();
            return Ok(());
        }
        // Without the clock, which changes at each look.
        let key = progress::line(&JobModel { started: None, ..model.clone() }, canvas, cx.now());
        if key != self.text {
            let line = progress::line(model, Canvas { width: None, ..canvas }, cx.now());
            cx.screen.print(&(line + "\n"))?;
            self.text = key;
        }
        Ok(())
    }
}
