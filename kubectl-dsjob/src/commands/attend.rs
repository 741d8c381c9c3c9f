//! Stays with a Job until its end: the output of its nodes, and a line of progress below.

use std::{fmt::Write as _, time::Duration};

use api::job::Job;
use futures::StreamExt as _;
use tokio::time::Instant;

use super::context::{Context, Exit, object_name};
use crate::{
    cluster::{
        connect::Cluster,
        snapshot::Snapshot,
        watch::{self, Seen},
    },
    error::Result,
    follow::{
        line,
        plan::{Runs, Wanted},
        reader::Extent,
        tails::{Heard, Tails},
    },
    model::{
        job::{Ending, JobModel, ending},
        nodes::State,
    },
    render::{progress, status, text},
};

/// Logs that are open at once unless the user says otherwise.
pub(crate) const MAX_LOGS: usize = 100;
/// Time between two looks at clocks and at logs for which there was no room.
const TICK: Duration = Duration::from_millis(250);
/// Time for which logs may go on after the end of the Job.
const AFTER_END: Duration = Duration::from_secs(3);
/// Batches of lines that are written at once.
const BATCHES: usize = 64;
/// Failed nodes that are named at the end.
const NAMED: usize = 10;

/// For how long, and with how much, a Job is attended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attendance {
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_logs: usize,
}

/// Shows the output of all nodes as it comes, until the Job ends.
pub(crate) async fn attend(
    cluster: &Cluster,
    job: &Job,
    attendance: Attendance,
    cx: &Context,
) -> Result<Exit> {
    let name = job.metadata.name.clone().unwrap_or_default();
    let wanted = Wanted { max_open: attendance.max_logs.max(1), runs: Runs::All, is_once: false };
    let extent = Extent { follow: true, ..Extent::default() };
    let mut tails = Tails::new(cluster, job.spec.completion_mode, wanted, extent);
    let mut view = Display::new(cx, job.clone());
    let mut jobs = std::pin::pin!(watch::job(cluster, &name));
    let mut pods = std::pin::pin!(watch::pods(cluster, &name));
    let mut tick = tokio::time::interval(TICK);
    let timeout = async {
        match attendance.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let mut timeout = std::pin::pin!(timeout);
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    let mut end: Option<(Option<Ending>, Instant)> = None;
    loop {
        tokio::select! {
            heard = tails.next() => {
                let mut batch = Vec::new();
                view.take_in(heard, &mut batch);
                for _ in 0..BATCHES {
                    let Some(heard) = tails.try_next() else { break };
                    view.take_in(heard, &mut batch);
                }
                view.print(&batch)?;
            }
            Some(seen) = jobs.next() => {
                let gone = match seen {
                    Seen::Is(job) if job.metadata.uid == view.job.metadata.uid => view.update(*job)?,
                    Seen::Is(_) | Seen::Gone(None) => true,
                    Seen::Gone(Some(job)) => {
                        view.update(*job)?;
                        true
                    }
                    Seen::Interrupted(why) => {
                        view.interrupted(&why)?;
                        false
                    }
                    Seen::Refused(error) => return Err(error),
                };
                let ending = ending(&view.job);
                if end.is_none() && (gone || ending.is_some()) {
                    end = Some((ending, Instant::now() + AFTER_END));
                }
            }
            Some(seen) = pods.next() => tails.take_in(seen)?,
            _ = tick.tick() => {
                tails.tick();
                view.tick()?;
            }
            () = &mut timeout => {
                view.note(&format!("error: timed out following {}", object_name(&name)))?;
                return Ok(Exit::TimedOut);
            }
            interrupted = &mut interrupt => {
                interrupted?;
                view.close()?;
                return Ok(Exit::Interrupted);
            }
        }
        if let Some((ending, until)) = &end
            && (tails.is_idle() || *until <= Instant::now())
        {
            for trouble in tails.troubles() {
                view.note(&format!("some output is missing: {trouble}"))?;
            }
            return finish(cluster, *ending, &mut view).await;
        }
    }
}

/// Says how the Job has ended, and which nodes failed.
async fn finish(cluster: &Cluster, ending: Option<Ending>, view: &mut Display<'_>) -> Result<Exit> {
    view.close()?;
    let model = match ending {
        Some(Ending::Failed) => {
            let snapshot = Snapshot::of(cluster, view.job.clone()).await;
            snapshot.map_or_else(|_| view.model(), |snapshot| snapshot.model())
        }
        _ => view.model(),
    };
    let canvas = view.cx.screen.progress_canvas();
    let mut page = progress::line(&model, canvas, view.cx.now());
    for notice in &model.notices {
        let _ = write!(
            page,
            "\n  {}: {}: {}",
            notice.type_,
            notice.reason,
            text::one_line(&notice.message)
        );
    }
    let failed: Vec<_> = model.nodes.iter().filter(|node| node.state == State::Failed).collect();
    for node in failed.iter().take(NAMED) {
        let _ = write!(page, "\n  {} {}", canvas.red(&node.name), status::last_words(node));
    }
    if failed.len() > NAMED {
        let _ = write!(page, "\n  … and {}", text::count(failed.len() - NAMED, "more node"));
    }
    view.note(&page)?;
    let counts = model.counts;
    Ok(match ending {
        Some(Ending::Complete) => Exit::Good,
        Some(Ending::Failed) => Exit::Bad,
        // It is gone: a completed Job without a TTL deletes itself.
        None if counts.desired > 0 && counts.done == counts.desired => Exit::Good,
        None => {
            view.note(&format!("{} was deleted before it was done", object_name(&model.name)))?;
            Exit::Bad
        }
    })
}

/// The two streams: output of nodes, and below it the progress.
struct Display<'c> {
    cx: &'c Context,
    job: Job,
    /// Whether the line of progress is on the screen.
    is_live: bool,
    is_interrupted: bool,
    phase: Option<api::job::Phase>,
}

impl<'c> Display<'c> {
    fn new(cx: &'c Context, job: Job) -> Self {
        let is_live = cx.screen.has_terminal_for_progress();
        Self { cx, job, is_live, is_interrupted: false, phase: None }
    }

    fn model(&self) -> JobModel {
        JobModel::new(&self.job, &[], &[])
    }

    /// Takes in a newer state of the Job. It is not gone.
    fn update(&mut self, job: Job) -> Result<bool> {
        self.job = job;
        self.is_interrupted = false;
        let model = self.model();
        if model.phase != self.phase {
            self.phase = model.phase;
            // The end has a line of its own.
            if !self.is_live && ending(&self.job).is_none() {
                let line = progress::line(&model, self.cx.screen.progress_canvas(), self.cx.now());
                self.cx.screen.note(&line)?;
            }
        }
        self.tick()?;
        Ok(false)
    }

    /// Reports an interruption, once however often it is tried again.
    fn interrupted(&mut self, why: &str) -> Result<()> {
        match std::mem::replace(&mut self.is_interrupted, true) {
            true => Ok(()),
            false => self.note(&watch::goes_on(why)),
        }
    }

    /// Appends lines with the prefix of their node.
    fn take_in(&self, heard: Heard, batch: &mut Vec<u8>) {
        if let Heard::Lines { node, lines } = heard {
            line::prefixed(&node, &lines, self.cx.screen.canvas(), batch);
        }
    }

    fn print(&self, batch: &[u8]) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        if self.is_live {
            self.cx.screen.clear_progress()?;
        }
        self.cx.screen.write(batch)?;
        self.tick()
    }

    fn note(&self, line: &str) -> Result<()> {
        self.close()?;
        Ok(self.cx.screen.note(line)?)
    }

    /// Draws the progress.
    fn tick(&self) -> Result<()> {
        if self.is_live {
            let canvas = self.cx.screen.progress_canvas();
            let line = progress::line(&self.model(), canvas, self.cx.now());
            let width = canvas.width.unwrap_or(80).saturating_sub(1);
            self.cx.screen.progress(&console::truncate_str(&line, width, "…"))?;
        }
        Ok(())
    }

    /// Takes the progress away.
    fn close(&self) -> Result<()> {
        if self.is_live {
            self.cx.screen.clear_progress()?;
        }
        Ok(())
    }
}
