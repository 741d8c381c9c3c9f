//! `kubectl dsjob run`: a Job in one line.

use std::time::Duration;

use api::{
    job::{CompletionMode, Job, JobSpec, validation},
    labels,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::{
    attend::{self, Attendance},
    context::{Context, Exit, object_name},
};
use crate::{
    args::{
        duration, names,
        output::{DryRun, Format, Output, Strategy},
    },
    cluster::write,
    error::{Error, Result},
};

/// Seconds for which a Job of this command stays after its end.
const TTL: i64 = 3600;

/// Run a command once on every node, or on some.
#[derive(clap::Args, Debug, Default)]
#[command(after_help = "Examples:
  kubectl dsjob run uptime --image busybox:1.36 --follow --rm -- uptime
  kubectl dsjob run mapcount --image busybox:1.36 --privileged -- sysctl -w vm.max_map_count=262144
  kubectl dsjob run rotate --image example.org/rotate:1 --mount /etc/ssl --on pool=edge --parallelism 10%")]
pub(crate) struct Args {
    /// Name of the Job.
    #[arg(value_parser = names::job)]
    name: String,

    /// Image of the container.
    #[arg(long, value_parser = image)]
    image: String,

    /// Command of the container, behind `--`. Default: the image's.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,

    /// How a node is done: its container exits with 0, or logs a word and runs on.
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    mode: Mode,

    /// Word that the container logs when it is done; implies --mode word.
    #[arg(long, value_parser = word)]
    word: Option<String>,

    /// Only nodes with this label; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = names::pair)]
    on: Vec<(String, String)>,

    /// Directory of the node that the container has at /basetarget.
    #[arg(long, value_name = "PATH")]
    mount: Option<String>,

    /// Environment variable of the container; may be repeated.
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = names::pair)]
    env: Vec<(String, String)>,

    /// Let the container do everything on its node.
    #[arg(long)]
    privileged: bool,

    /// Nodes at work at once: a number, or per cent of the nodes.
    #[arg(long, value_name = "NUMBER", value_parser = parallelism)]
    parallelism: Option<IntOrString>,

    /// Time after which the Job fails, such as 10m.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_seconds)]
    deadline: Option<i64>,

    /// Failed runs that are tolerated on each node. Default: 6.
    #[arg(long, value_name = "NUMBER")]
    retries: Option<u16>,

    /// Failed nodes that are tolerated until every node has ended. Default: any number.
    #[arg(long, value_name = "NUMBER")]
    max_failed: Option<u16>,

    /// Time for which the Job stays when it has ended.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_seconds, default_value = "1h")]
    ttl: Option<i64>,

    /// Show all output as it comes; exit code 0 done, 1 a node failed, 2 timeout.
    #[arg(long, short)]
    follow: bool,

    /// Delete the Job at the end of --follow, also when that is interrupted.
    #[arg(long, requires = "follow")]
    rm: bool,

    /// Time to follow. Default: until the Job ends.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, requires = "follow")]
    timeout: Option<Duration>,

    /// Logs that are open at once.
    #[arg(long, value_name = "NUMBER", default_value_t = attend::MAX_LOGS)]
    max_log_requests: usize,

    #[command(flatten)]
    dry_run: DryRun,

    #[command(flatten)]
    output: Output,
}

/// Signal that marks a node as done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
enum Mode {
    #[default]
    ExitCode,
    Word,
}

fn image(text: &str) -> Result<String, String> {
    validation::image(text).map(|()| text.to_owned())
}

fn word(text: &str) -> Result<String, String> {
    validation::termination_word(text).map(|()| text.to_owned())
}

/// Parses a number, or per cent.
fn parallelism(text: &str) -> Result<IntOrString, String> {
    let error = || format!("{text:?} is neither a number nor per cent, as 10%");
    if let Some(percent) = text.strip_suffix('%') {
        let percent: u16 = percent.parse().map_err(|_| error())?;
        return (percent <= 100).then(|| IntOrString::String(text.to_owned())).ok_or_else(error);
    }
    let number: u16 = text.parse().map_err(|_| error())?;
    Ok(IntOrString::Int(number.into()))
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Exit> {
    let mut job = Job::new(&args.name, spec(&args));
    validation::validate(&job.spec).map_err(|error| Error::new(error.to_string()))?;
    let dry_run = args.dry_run.dry_run;
    if dry_run == Strategy::Client {
        job.metadata.namespace.clone_from(&cx.connection.namespace);
        announce(&job, "created", &args, cx)?;
        return Ok(Exit::Good);
    }
    let cluster = cx.cluster().await?;
    let job = write::create(&cluster, &job, dry_run).await?;
    announce(&job, "created", &args, cx)?;
    if !args.follow || dry_run != Strategy::None {
        return Ok(Exit::Good);
    }
    let attendance = Attendance { timeout: args.timeout, max_logs: args.max_log_requests };
    let exit = attend::attend(&cluster, &job, attendance, cx).await;
    let name = object_name(&args.name);
    if args.rm {
        write::delete(&cluster, &job, false, Strategy::None).await?;
        cx.screen.note(&format!("{name} deleted"))?;
    } else if matches!(exit, Ok(Exit::Interrupted | Exit::TimedOut)) {
        let space = &cluster.namespace;
        cx.screen.note(&format!(
            "{name} goes on. To see it: kubectl dsjob status {0} -n {space} -w\n\
             To end it: kubectl dsjob cancel {0} -n {space}",
            args.name
        ))?;
    }
    exit
}

/// Prints what kubectl prints about an object that it has made.
fn announce(job: &Job, done: &str, args: &Args, cx: &Context) -> Result<()> {
    let name = object_name(&args.name);
    match args.output.format {
        Some(format @ (Format::Json | Format::Yaml)) => cx.print_data(format, &tidy(job)),
        Some(Format::Name) => Ok(cx.screen.print(&(name + "\n"))?),
        // Standard output is for the nodes' output.
        _ if args.follow => Ok(cx.screen.note(&format!("{name} {done}"))?),
        _ => Ok(cx.screen.print(&format!("{name} {done}{}\n", args.dry_run.dry_run.suffix()))?),
    }
}

/// The Job without what nobody wants to read.
fn tidy(job: &Job) -> Value {
    let mut job = job.clone();
    job.metadata.managed_fields = None;
    json!(job)
}

/// The spec that the arguments describe.
fn spec(args: &Args) -> JobSpec {
    let is_word = args.mode == Mode::Word || args.word.is_some();
    JobSpec {
        image: args.image.clone(),
        command: args.command.clone(),
        mount_path: args.mount.clone(),
        termination_word: args.word.clone(),
        completion_mode: match is_word {
            true => CompletionMode::TerminationWord,
            false => CompletionMode::ExitCode,
        },
        template: template(args),
        backoff_limit_per_node: args.retries.map(Into::into),
        max_failed_nodes: args.max_failed.map(Into::into),
        active_deadline_seconds: args.deadline,
        ttl_seconds_after_finished: args.ttl.or(Some(TTL)),
        parallelism: args.parallelism.clone(),
        ..JobSpec::default()
    }
}

fn template(args: &Args) -> Option<Value> {
    let mut container = json!({"name": labels::JOB_CONTAINER});
    if args.privileged {
        container["securityContext"] = json!({"privileged": true});
    }
    if !args.env.is_empty() {
        let env = args.env.iter().map(|(name, value)| json!({"name": name, "value": value}));
        container["env"] = env.collect();
    }
    let mut spec = json!({});
    for (key, value) in &args.on {
        spec["nodeSelector"][key] = json!(value);
    }
    if container.as_object().is_some_and(|fields| fields.len() > 1) {
        spec["containers"] = json!([container]);
    }
    let is_empty = spec.as_object().is_none_or(serde_json::Map::is_empty);
    (!is_empty).then(|| json!({"spec": spec}))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        let words = std::iter::once("run").chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.args)
    }

    fn spec_of(line: &str) -> Value {
        json!(spec(&parse(line).unwrap()))
    }

    #[test]
    fn the_shortest_line_is_a_job_that_ends_by_its_exit_code() {
        let expected = json!({
            "image": "busybox", "command": ["uptime", "-p"], "completionMode": "ExitCode",
            "ttlSecondsAfterFinished": 3600,
        });
        assert_eq!(spec_of("a --image busybox -- uptime -p"), expected);
    }

    #[test]
    fn every_flag_reaches_its_field() {
        let line = "a --image i --word ready --on pool=edge --on zone=a --mount /etc --env A=b=c --privileged \
                    --parallelism 10% --deadline 10m --retries 2 --max-failed 3 --ttl 1d";
        let expected = json!({
            "image": "i", "mountPath": "/etc", "terminationWord": "ready", "parallelism": "10%",
            "activeDeadlineSeconds": 600, "backoffLimitPerNode": 2, "maxFailedNodes": 3,
            "ttlSecondsAfterFinished": 86_400,
            "template": {"spec": {
                "nodeSelector": {"pool": "edge", "zone": "a"},
                "containers": [{
                    "name": "job-container", "securityContext": {"privileged": true},
                    "env": [{"name": "A", "value": "b=c"}],
                }],
            }},
        });
        assert_eq!(spec_of(line), expected);
        assert_eq!(validation::validate(&spec(&parse(line).unwrap())), Ok(()));
    }

    #[test]
    fn what_no_job_can_be_is_refused() {
        for line in [
            "a",
            "A --image i",
            "a --image i --on pool",
            "a --image i --parallelism 101%",
            "a --image i --parallelism -1",
            "a --image i --deadline soon",
            "a --image i --rm",
            "a --image i --folow",
            "a --image i uptime",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("a --image i --parallelism 3 --follow --rm").is_ok());
    }
}
