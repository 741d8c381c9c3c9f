//! `kubectl dsjob wait`: until a Job ends, well or not.

use std::{collections::BTreeSet, time::Duration};

use api::job::{CompletionPolicy, Job, conditions};
use futures::StreamExt as _;

use super::context::{Context, Exit, object_name};
use crate::{
    args::{duration, names},
    cluster::{
        connect::Cluster,
        find, surroundings,
        watch::{self, Seen},
    },
    error::Result,
    model::{
        evidence::Known,
        job::{Ending, Notice, ending, notices},
    },
    render::text,
};

/// Wait until a Job has ended: exit code 0 complete, 1 failed, 2 timeout.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Name of the Job.
    #[arg(value_parser = names::job)]
    name: String,

    /// Time to wait, such as 90s, 10m or 1h30m. Default: without end.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Exit> {
    let cluster = cx.cluster().await?;
    let job = find::job(&cluster, &args.name).await?;
    let timeout = async {
        match args.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let name = object_name(&args.name);
    let (said, exit) = tokio::select! {
        end = until_end(&cluster, job, cx) => end?,
        () = timeout => {
            cx.screen.note(&format!("error: timed out waiting for {name}"))?;
            return Ok(Exit::TimedOut);
        }
    };
    let line = format!("{name} {said}");
    if exit == Exit::Good {
        cx.screen.print(&(line + "\n"))?
    } else {
        cx.screen.note(&line)?
    }
    Ok(exit)
}

/// Waits for the end of the Job that was read.
pub(super) async fn until_end(cluster: &Cluster, job: Job, cx: &Context) -> Result<(String, Exit)> {
    let name = job.metadata.name.clone().unwrap_or_default();
    let uid = job.metadata.uid.clone();
    if let Some(end) = verdict(&job) {
        return Ok(end);
    }
    let mut noticed = Noticed::default();
    noticed.tell(&job, cx)?;
    let mut last = job;
    let mut is_interrupted = false;
    let mut jobs = std::pin::pin!(watch::job(cluster, &name));
    while let Some(seen) = jobs.next().await {
        match seen {
            Seen::Is(job) if job.metadata.uid == uid => {
                is_interrupted = false;
                last = *job;
                if let Some(end) = verdict(&last) {
                    return Ok(end);
                }
                noticed.tell(&last, cx)?;
            }
            Seen::Gone(Some(job)) if job.metadata.uid == uid => {
                last = *job;
                return Ok(gone(cluster, &last).await);
            }
            Seen::Is(_) | Seen::Gone(_) => return Ok(gone(cluster, &last).await),
            Seen::Interrupted(why) if !is_interrupted => {
                is_interrupted = true;
                cx.screen.note(&watch::goes_on(&why))?;
            }
            Seen::Interrupted(_) => {}
            Seen::Refused(error) => return Err(error),
        }
    }
    Ok(gone(cluster, &last).await)
}

/// What a Job says while somebody waits for it, each condition and reason once.
#[derive(Debug, Default)]
struct Noticed(BTreeSet<(String, String)>);

impl Noticed {
    /// Says why the Job is held back: nothing else may come for long.
    fn tell(&mut self, job: &Job, cx: &Context) -> Result<()> {
        for line in self.new_lines(job) {
            cx.screen.note(&line)?;
        }
        Ok(())
    }

    fn new_lines(&mut self, job: &Job) -> Vec<String> {
        let notices = job.status.as_ref().map(notices).unwrap_or_default();
        let is_new = |notice: &Notice| self.0.insert((notice.type_.clone(), notice.reason.clone()));
        let line = |notice: &Notice| {
            let message = text::one_line(&notice.message);
            format!("{}: {}: {message}", notice.type_, notice.reason)
        };
        notices.into_iter().filter(is_new).map(|notice| line(&notice)).collect()
    }
}

/// How the Job has ended, if it has.
fn verdict(job: &Job) -> Option<(String, Exit)> {
    let status = job.status.as_ref()?;
    if let Some(ending) = ending(job) {
        let condition = conditions::finished(&status.conditions)?;
        return Some(match ending {
            Ending::Complete => ("complete".to_owned(), Exit::Good),
            Ending::Failed => {
                (format!("failed: {}: {}", condition.reason, condition.message), Exit::Bad)
            }
        });
    }
    let never_ends = job.spec.completion_policy == CompletionPolicy::Never;
    let ready = conditions::find_true(&status.conditions, conditions::READY);
    let is_ready = never_ends && status.is_current(&job.metadata) && ready.is_some();
    is_ready.then(|| ("ready".to_owned(), Exit::Good))
}

/// The end of a Job that is gone: a completed one deletes itself.
async fn gone(cluster: &Cluster, last: &Job) -> (String, Exit) {
    let status = last.status.clone().unwrap_or_default();
    let is_done = verdict(last).is_some_and(|(_, exit)| exit == Exit::Good)
        || (status.desired > 0 && status.succeeded == status.desired);
    if is_done || has_completed(cluster, last).await {
        ("complete, and deleted".to_owned(), Exit::Good)
    } else {
        ("was deleted before it was done".to_owned(), Exit::Bad)
    }
}

/// Whether an event says that the Job completed.
///
/// The watch may have missed its last status.
async fn has_completed(cluster: &Cluster, job: &Job) -> bool {
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    match surroundings::events(cluster, name).await {
        Known::Yes(events) => {
            events.iter().any(|event| event.job_uid == uid && event.reason == "Completed")
        }
        Known::No(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use api::job::JobSpec;
    use serde_json::json;

    use super::*;

    fn job(policy: CompletionPolicy, type_: &str) -> Job {
        let spec = JobSpec { completion_policy: policy, ..JobSpec::default() };
        let mut job = Job::new("a", spec);
        job.metadata.generation = Some(1);
        let condition = json!({"type": type_, "status": "True", "reason": "R", "message": "m",
            "lastTransitionTime": "2026-01-02T03:04:05Z"});
        let status = json!({"observedGeneration": 1, "conditions": [condition]});
        job.status = Some(serde_json::from_value(status).unwrap());
        job
    }

    #[test]
    fn what_holds_a_job_back_is_said_once() {
        let mut noticed = Noticed::default();
        let suspended = job(CompletionPolicy::Always, "Suspended");
        assert_eq!(noticed.new_lines(&suspended), ["Suspended: R: m"]);
        assert!(noticed.new_lines(&suspended).is_empty());
        assert_eq!(noticed.new_lines(&job(CompletionPolicy::Always, "Waiting")), ["Waiting: R: m"]);
    }

    #[test]
    fn a_wait_ends_with_the_job_and_ready_is_the_end_of_one_that_never_completes() {
        let end = |policy, type_| verdict(&job(policy, type_)).map(|(_, exit)| exit);
        assert_eq!(end(CompletionPolicy::Always, "Complete"), Some(Exit::Good));
        assert_eq!(end(CompletionPolicy::Always, "Failed"), Some(Exit::Bad));
        assert_eq!(end(CompletionPolicy::Always, "Ready"), None);
        assert_eq!(end(CompletionPolicy::Never, "Ready"), Some(Exit::Good));
        let said = verdict(&job(CompletionPolicy::Always, "Failed")).unwrap().0;
        assert_eq!(said, "failed: R: m");
    }
}
