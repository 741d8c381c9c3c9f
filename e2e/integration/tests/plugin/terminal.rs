//! The live views on a real terminal, which tmux holds and shows as text.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use api::job::{Job, Phase};
use harness::process::{Cmd, LogDir};
use testbed::simulation::SimPod;

use crate::cluster::artifacts;
use crate::job::{exit_code_manifest, exit_well, phase};
use crate::kubectl::Kubectl;
use crate::test::{Test, shared_test};

/// A terminal of 100 columns and 30 lines. It ends with this value.
struct Terminal {
    socket: String,
    logs: LogDir,
}

impl Terminal {
    /// Starts a line of `kubectl dsjob` in a terminal; its exit code follows.
    async fn start(cx: &Test, dsjob: &Kubectl, env: &str, line: &str) -> Result<Self> {
        let logs = LogDir::create(artifacts().join(&cx.namespace))?;
        // A server that is told to end still listens for a while, so that each has a socket of its own.
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let this = Self { socket: format!("{}-{number}", cx.namespace), logs };
        let (kubectl, config) = (dsjob.program.display(), dsjob.config.display());
        // The shell outlives Ctrl-C. tmux has a path of its own.
        let path = dsjob.path.to_string_lossy();
        let command = format!(
            "trap : INT; export PATH='{path}' KUBECONFIG='{config}' {env}; \
             {kubectl} dsjob {line}; echo exit code $?; sleep 120"
        );
        let size = ["-x", "100", "-y", "30"];
        let start = ["-f", "/dev/null", "new-session", "-d"].into_iter().chain(size);
        this.tmux(&start.chain([command.as_str()]).collect::<Vec<_>>()).await?;
        Ok(this)
    }

    async fn tmux(&self, words: &[&str]) -> Result<String> {
        let command = Cmd::new("tmux").args(["-L", &self.socket]).args(words).name("tmux");
        Ok(command.run(&self.logs).await?.text())
    }

    /// What is on the screen.
    async fn screen(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p"]).await
    }

    /// Waits until the screen shows this.
    async fn until(&self, cx: &Test, text: &str) -> Result<String> {
        cx.until(text, async || Ok(self.screen().await?.contains(text))).await?;
        self.screen().await
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It goes with its last session, too; then there is nothing to end.
        let _ = std::process::Command::new("tmux")
            .args(["-L", &self.socket, "kill-server"])
            .stderr(std::process::Stdio::null())
            .status();
    }
}

#[apply(shared_test)]
async fn watched_status_is_drawn_in_place_and_in_colour(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("drawn")).await?;
    let pods = job.pods().await?;
    job.until("running", |job| phase(job) == Some(Phase::Running)).await?;
    let dsjob = &Kubectl::admin(cx)?;
    let terminal = Terminal::start(cx, dsjob, "", "status drawn --watch").await?;
    // The last line that is drawn.
    let screen = terminal.until(cx, "worker-2").await?;
    ensure!(screen.contains("0/3") && screen.contains("Running"), "{screen}");
    let painted = terminal.tmux(&["capture-pane", "-p", "-e"]).await?;
    ensure!(painted.contains("\u{1b}["), "no colours: {painted}");
    exit_well(&pods)?;
    let screen = terminal.until(cx, "exit code 0").await?;
    let heads = screen.lines().filter(|line| line.starts_with("drawn (")).count();
    ensure!(heads == 1 && screen.contains("3/3"), "{heads} times:\n{screen}");
    drop(terminal);
    let plain = Terminal::start(cx, dsjob, "NO_COLOR=1", "status drawn").await?;
    plain.until(cx, "exit code 0").await?;
    let screen = plain.tmux(&["capture-pane", "-p", "-e"]).await?;
    ensure!(!screen.contains("\u{1b}[3"), "colours: {screen:?}");
    Ok(())
}

#[apply(shared_test)]
async fn followed_run_has_its_progress_below_and_ends_with_ctrl_c(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    cx.sim().behave(&cx.namespace, |pod: SimPod| async move {
        for number in 0..3 {
            // A pod that is gone meanwhile has nothing to say.
            let _ = pod.log(format!("line {number}\n"));
        }
    });
    let dsjob = &Kubectl::admin(cx)?;
    let line = "run live --image busybox --follow -- work";
    let terminal = Terminal::start(cx, dsjob, "", line).await?;
    terminal.until(cx, "[worker-2] line 2").await?;
    terminal.until(cx, "0/3").await?;
    let screen = terminal.until(cx, "Running").await?;
    let last = screen.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    ensure!(last.starts_with("live (") && last.contains("Running"), "{screen}");
    let heads = screen.lines().filter(|line| line.starts_with("live (")).count();
    ensure!(heads == 1, "{heads} lines of progress:\n{screen}");
    terminal.tmux(&["send-keys", "C-c"]).await?;
    let screen = terminal.until(cx, "exit code 130").await?;
    ensure!(screen.contains("To end it: kubectl dsjob cancel live"), "{screen}");
    ensure!(cx.api::<Job>().get_opt("live").await?.is_some());
    drop(terminal);
    let line = "run brief --image busybox --follow --rm -- work";
    let terminal = Terminal::start(cx, dsjob, "", line).await?;
    terminal.until(cx, "[worker-2] line 2").await?;
    terminal.tmux(&["send-keys", "C-c"]).await?;
    terminal.until(cx, "brief deleted").await?;
    terminal.until(cx, "exit code 130").await?;
    Ok(())
}
