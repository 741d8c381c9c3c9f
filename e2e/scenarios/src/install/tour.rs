//! The tour of `docs/tour.md`, taken as a reader takes it: every command, in order.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use harness::pages::{self, Block, Page, TRANSCRIPT};
use harness::process::Cmd;
use harness::{kubectl, paths};

use crate::support::env::ScenarioEnv;
use crate::support::install;

/// The page.
const PAGE: &str = "docs/tour.md";

/// What the names of nodes begin with on the page.
const NODES: &str = "demo-";

/// What is installed on the way, and may be left when the tour is broken off.
const REPLICAS: &str = "deploy/kustomize/ha";

/// How long any command may take: the longest wait for pods.
const LIMIT: Duration = Duration::from_secs(120);

/// How long a watch is looked at that has no end.
const LOOK: &str = "timeout --preserve-status --signal INT 5";

/// What a reader does next.
#[derive(Debug, PartialEq, Eq)]
enum Step<'p> {
    /// Writes a file.
    File { name: String, text: String },
    /// Types something.
    Type { place: String, script: String, shown: Vec<&'p str> },
}

/// Every command does what the page shows.
pub(crate) async fn goes_as_written(env: &ScenarioEnv<'_>) -> Result<()> {
    let pages = pages::all()?;
    let page = pages.iter().find(|page| page.path == Path::new(PAGE)).context(PAGE)?;
    let steps = steps(page)?;
    ensure!(env.nodes.len() >= 3, "{PAGE} has three nodes");
    let reader = Reader::new(env).await?;
    let cx = env.cx;
    // The page begins with a cluster that has nothing of ours.
    env.uninstall().await?;
    let taken = async {
        for step in &steps {
            reader.take(step).await?;
        }
        anyhow::Ok(())
    };
    let result = taken.await;
    if result.is_err() {
        // A node may be cordoned still.
        cx.cluster
            .kubectl(["uncordon", "--selector", "kubernetes.io/os=linux"])
            .run(cx.logs)
            .await?;
    }
    result.and(install::put_back(env.cx, Path::new(REPLICAS)).await)?;
    cx.phase.outcome(format_args!("{} steps", steps.len()));
    Ok(())
}

/// Somebody in a folder of his own, with a copy of `deploy/`.
struct Reader<'s> {
    env: &'s ScenarioEnv<'s>,
    folder: tempfile::TempDir,
    kubeconfig: PathBuf,
}

impl<'s> Reader<'s> {
    async fn new(env: &'s ScenarioEnv<'s>) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let cluster = env.cx.cluster;
        let link = |from: &Path, to: &str| {
            std::os::unix::fs::symlink(from, folder.path().join(to))
                .with_context(|| format!("cannot make {to} in {}", folder.path().display()))
        };
        link(&paths::workspace().join("deploy"), "deploy")?;
        std::fs::create_dir(folder.path().join("bin"))?;
        link(&cluster.record().kubectl, "bin/kubectl")?;
        let kubeconfig = folder.path().join("kubeconfig");
        fs_err::copy(cluster.kubeconfig(), &kubeconfig)?;
        let this = Self { env, folder, kubeconfig };
        let namespace = env.namespace;
        this.run(
            "namespace",
            &format!("kubectl config set-context --current --namespace {namespace}"),
        )
        .await
        .map(|_| this)
    }

    async fn take(&self, step: &Step<'_>) -> Result<()> {
        match step {
            Step::File { name, text } => Ok(fs_err::write(self.folder.path().join(name), text)?),
            Step::Type { place, script, shown } => {
                let nodes = format!("{}-", self.env.cx.cluster.record().name);
                let script = script.replace(NODES, &nodes);
                self.env.cx.phase.detail(&script);
                let shown = shown.join("\n").replace(NODES, &nodes);
                let said = self.run(place, &script).await;
                is_as_shown(said, &shown).with_context(|| format!("{place}: {script}"))
            }
        }
    }

    /// What a command says, and whether it ended well.
    async fn run(&self, place: &str, script: &str) -> Result<(String, bool)> {
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = self.folder.path().join("bin");
        let command = Cmd::new("bash")
            .args(["-o", "errexit", "-o", "pipefail", "-c"])
            .arg(format!("exec 2>&1\n{script}"))
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("KUBECONFIG", &self.kubeconfig)
            // kubectl remembers there what servers have.
            .env("HOME", self.folder.path())
            .cwd(self.folder.path())
            .timeout(LIMIT)
            .name(format!("tour-{}", place.rsplit(':').next().unwrap_or_default()));
        match command.run(self.env.cx.logs).await {
            Ok(output) => Ok((output.text(), true)),
            Err(error) if error.code().is_some() => {
                Ok((String::from_utf8_lossy(&error.stdout).into_owned(), false))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a command did what the page shows: refusals are refusals, what was done to which object is named in
/// the same words, and tables have the same columns.
fn is_as_shown(said: Result<(String, bool)>, shown: &str) -> Result<()> {
    let (said, is_well) = said?;
    let first = shown.lines().next().unwrap_or_default();
    let refusal = first.split(": ").next().filter(|_| is_refusal(first));
    ensure!(is_well == refusal.is_none(), "{said}");
    let is_warned = |text: &str| text.lines().any(kubectl::is_warning);
    ensure!(is_warned(shown) || !is_warned(&said), "kubectl warns: {said}");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let said: Vec<_> = said.lines().map(|line| words(&settled(line))).collect();
    let table = first.starts_with("NAME ") || first.starts_with("LAST SEEN ");
    let expected: Vec<&str> = match refusal {
        Some(refusal) => vec![refusal],
        None if table => vec![first],
        None => shown.lines().filter(|line| is_deed(line)).collect(),
    };
    for line in expected {
        let line = words(&settled(line));
        let is_said = said.iter().any(|said| match refusal {
            Some(_) => said.starts_with(&line),
            None => *said == line,
        });
        if !is_said {
            bail!("{line:?} is not in\n{}", said.join("\n"));
        }
    }
    Ok(())
}

fn is_refusal(line: &str) -> bool {
    line.starts_with("Error from server") || line.starts_with("The Job ")
}

/// Whether a line says what was done to an object whose name is not drawn.
fn is_deed(line: &str) -> bool {
    const DEEDS: [&str; 8] = [
        " created",
        " configured",
        " unchanged",
        "\" deleted",
        " condition met",
        " cordoned",
        " drained",
        " successfully rolled out",
    ];
    let line = settled(line);
    DEEDS.iter().any(|deed| line.ends_with(deed))
}

/// The line in the words of any version: what is `configured` for one kubectl or API server is `unchanged` for
/// another, and since 1.34 kubectl says which namespace it deletes from, which is another one here.
fn settled(line: &str) -> String {
    let line = line.replace(" configured", " unchanged");
    match line.split_once("\" deleted from ") {
        Some((object, namespace)) if namespace.ends_with(" namespace") => {
            format!("{object}\" deleted")
        }
        _ => line,
    }
}

fn steps(page: &Page) -> Result<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    for block in page.blocks() {
        let place = |number| format!("{}:{number}", page.path.display());
        if block.language == "yaml" {
            let name = block.lines.iter().find_map(|line| line.strip_prefix("  name: "));
            let name = name.with_context(|| place(block.number))?;
            let text = block.lines.join("\n") + "\n";
            steps.push(Step::File { name: format!("{name}.yaml"), text });
        } else if block.language == TRANSCRIPT {
            steps.extend(typed(&block).into_iter().map(|(number, script, shown)| Step::Type {
                place: place(number),
                script,
                shown,
            }));
        }
    }
    Ok(steps)
}

/// The commands of a block with their line numbers, and what each shows.
fn typed<'p>(block: &Block<'p>) -> Vec<(usize, String, Vec<&'p str>)> {
    let mut typed: Vec<(usize, String, Vec<&str>)> = Vec::new();
    for (line, number) in block.lines.iter().zip(block.number..) {
        match line.strip_prefix("$ ") {
            // It has no end.
            Some(command) if command.ends_with(" --watch") => {
                typed.push((number, format!("{LOOK} {command} || true"), Vec::new()));
            }
            Some(command) => typed.push((number, command.to_owned(), Vec::new())),
            None => typed.last_mut().into_iter().for_each(|(_, _, shown)| shown.push(line)),
        }
    }
    typed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_step_by_step() {
        let text = "```yaml\nkind: Job\nmetadata:\n  name: slow\n```\n```shell-session\n$ kubectl apply -f slow.yaml\n\
            slow created\n$ kubectl get dsjob --watch\nNAME\n$ kubectl get pods | wc -l\n3\n```\n";
        let page = Page { path: "docs/tour.md".into(), text: text.to_owned() };
        let of = |number, script: &str, shown: &[&'static str]| Step::Type {
            place: format!("docs/tour.md:{number}"),
            script: script.to_owned(),
            shown: shown.to_vec(),
        };
        let file = Step::File {
            name: "slow.yaml".into(),
            text: "kind: Job\nmetadata:\n  name: slow\n".into(),
        };
        let expected = [
            file,
            of(7, "kubectl apply -f slow.yaml", &["slow created"]),
            of(9, &format!("{LOOK} kubectl get dsjob --watch || true"), &["NAME"]),
            of(11, "kubectl get pods | wc -l", &["3"]),
        ];
        assert_eq!(steps(&page).expect("steps"), expected);
    }

    #[test]
    fn deeds_and_refusals_are_compared_and_what_is_drawn_is_not() {
        let deed = "job/a created\npod/x-4fzh evicted";
        let deletion = "job \"a\" deleted from default namespace";
        let table = "NAME   PHASE\na      Running";
        let refusal = "The Job \"bad\" is invalid: spec.mountPath: Invalid value";
        for (shown, said, is_well, is_as_shown) in [
            (deed, "job/a created\npod/x-8q2c evicted", true, true),
            (deed, "job/b created", true, false),
            (deed, "job/a created", false, false),
            (deletion, "job \"a\" deleted from another namespace", true, true),
            (deletion, "job \"a\" deleted", true, true),
            (deletion, "job \"b\" deleted from default namespace", true, false),
            (table, "NAME PHASE\na Completed", true, true),
            (table, "NAME", true, false),
            (deed, "job/a created\nWarning: it is old", true, false),
            (refusal, "The Job \"bad\" is invalid: another", false, true),
            (refusal, "The Job \"bad\" is invalid: another", true, false),
            (refusal, "connection refused", false, false),
        ] {
            let result = super::is_as_shown(Ok((said.to_owned(), is_well)), shown);
            assert_eq!(result.is_ok(), is_as_shown, "{shown:?}: {said:?}");
        }
    }
}
