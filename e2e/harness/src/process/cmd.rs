//! A command to run.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::process::Command;
use tokio::sync::mpsc::UnboundedSender;

use super::error::{Cause, CommandError};
use super::log_dir::LogDir;
use super::process_group::{Input, ProcessGroup, Recorder};

/// How long a command may run unless [`Cmd::timeout`] says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// A command to run. Standard input is empty unless [`Cmd::stdin`] sets it.
#[derive(Clone, Debug)]
#[must_use]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    cwd: Option<PathBuf>,
    stdin: Input,
    stdout_file: Option<PathBuf>,
    timeout: Duration,
    name: Option<String>,
    stderr_lines: Option<UnboundedSender<String>>,
    end_with: Signal,
}

/// What a command that ended well left behind.
#[derive(Clone, Debug)]
pub struct Output {
    /// Standard output; empty when it went into a file.
    pub stdout: Vec<u8>,
    /// The command's log file.
    pub log: PathBuf,
    /// How long it ran.
    pub elapsed: Duration,
}

impl Output {
    /// Standard output as text without surrounding white space; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }
}

impl Cmd {
    /// A command; `program` is looked up in `PATH` unless it holds a slash.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            stdin: Input::Empty,
            stdout_file: None,
            timeout: DEFAULT_TIMEOUT,
            name: None,
            stderr_lines: None,
            end_with: Signal::KILL,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable; the rest of the environment is inherited.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Takes a variable out of the inherited environment.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// Sets the folder that the command runs in.
    pub fn cwd(mut self, path: impl Into<PathBuf>) -> Self {
        self.cwd = Some(path.into());
        self
    }

    /// Feeds these bytes to standard input.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Input::Bytes(bytes.into());
        self
    }

    /// Feeds a file to standard input.
    pub fn stdin_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdin = Input::File(path.into());
        self
    }

    /// Sends standard output straight into a file, for output too large or too binary for the log.
    pub fn stdout_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdout_file = Some(path.into());
        self
    }

    /// Sets the timeout. Default: [`DEFAULT_TIMEOUT`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Names the log file. Default: the program and its first argument.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sends every line of standard error as it comes, for those who show how far the command is.
    pub fn stderr_lines(mut self, lines: UnboundedSender<String>) -> Self {
        self.stderr_lines = Some(lines);
        self
    }

    /// Ends the command by SIGTERM when nobody waits for it any more: it ends its own children.
    pub fn end_with_sigterm(mut self) -> Self {
        self.end_with = Signal::TERM;
        self
    }

    /// Runs the command to its end.
    pub async fn run(self, logs: &LogDir) -> Result<Output, CommandError> {
        let log = logs.next_file(&self.log_name());
        let started = Instant::now();
        let mut recorder = Mutex::new(Recorder::new(self.stderr_lines.clone()));
        let result = self.execute(&log, &mut recorder).await;
        let elapsed = started.elapsed();
        let ending = match &result {
            Ok(()) => "exit status: 0".to_owned(),
            Err(cause) => cause.to_string(),
        };
        let recorder = recorder.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (stdout, tail) = recorder.finish(&format!("# {ending}, after {elapsed:.1?}\n"));
        match result {
            Ok(()) => Ok(Output { stdout, log, elapsed }),
            Err(cause) => {
                Err(CommandError { command: self.to_string(), cause, elapsed, log, tail, stdout })
            }
        }
    }

    async fn execute(&self, log: &Path, recorder: &mut Mutex<Recorder>) -> Result<(), Cause> {
        let recording = recorder.get_mut().unwrap_or_else(PoisonError::into_inner);
        recording.open(log, &format!("$ {self}\n")).map_err(Cause::Log)?;

        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .stdin(self.stdin_stdio()?)
            .stdout(self.stdout_stdio()?)
            .stderr(Stdio::piped())
            // Its own group: Ctrl-C reaches only us, and we end the whole group, not just its leader.
            .process_group(0)
            .kill_on_drop(self.end_with == Signal::KILL);
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        let child = command.spawn().map_err(Cause::Spawn)?;
        let mut child = ProcessGroup::new(child, self.end_with);
        match tokio::time::timeout(self.timeout, child.interact(&self.stdin, recorder)).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(ended) => Err(ended.map_or_else(|cause| cause, Cause::Exit)),
            Err(_) => Err(Cause::Timeout(self.timeout)),
        }
    }

    fn stdin_stdio(&self) -> Result<Stdio, Cause> {
        Ok(match &self.stdin {
            Input::Empty => Stdio::null(),
            Input::Bytes(_) => Stdio::piped(),
            Input::File(path) => std::fs::File::open(path).map_err(Cause::Spawn)?.into(),
        })
    }

    fn stdout_stdio(&self) -> Result<Stdio, Cause> {
        Ok(match &self.stdout_file {
            None => Stdio::piped(),
            Some(path) => std::fs::File::create(path).map_err(Cause::Spawn)?.into(),
        })
    }

    fn log_name(&self) -> String {
        let name = self.name.clone().unwrap_or_else(|| {
            let program = Path::new(&self.program).file_name().unwrap_or_default();
            let program = program.to_string_lossy();
            match self.args.first().map(|arg| arg.to_string_lossy()) {
                Some(verb) if !verb.starts_with(['-', '/', '+']) => format!("{program}-{verb}"),
                _ => program.into_owned(),
            }
        });
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(48).collect()
    }
}

/// The command line as one would type it in a shell.
impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cwd) = &self.cwd {
            write!(f, "cd {} && ", quote(cwd.as_os_str()))?;
        }
        for (name, value) in &self.env {
            if let Some(value) = value {
                write!(f, "{}={} ", name.to_string_lossy(), quote(value))?;
            }
        }
        f.write_str(&quote(&self.program))?;
        for arg in &self.args {
            write!(f, " {}", quote(arg))?;
        }
        if let Input::File(path) = &self.stdin {
            write!(f, " < {}", quote(path.as_os_str()))?;
        }
        match &self.stdout_file {
            Some(path) => write!(f, " > {}", quote(path.as_os_str())),
            None => Ok(()),
        }
    }
}

/// Quotes a word for a POSIX shell where that is needed. No byte of it gets to a terminal that this would
/// take for a command.
fn quote(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref().to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else if word.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        let escaped = |c: char| match c {
            '\'' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\x{:02x}", u32::from(c)),
            c => c.to_string(),
        };
        format!("$'{}'", word.chars().map(escaped).collect::<String>())
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::process_group::TAIL_LINES;
    use super::*;

    fn sh(script: &str) -> Cmd {
        Cmd::new("sh").args(["-c", script])
    }

    fn logs() -> (tempfile::TempDir, LogDir) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let logs = LogDir::create(dir.path().join("logs")).expect("a log folder");
        (dir, logs)
    }

    #[tokio::test]
    async fn output_is_captured_and_logged_with_the_command_line() {
        let (_dir, logs) = logs();
        let cmd = sh("cat; echo $X; echo problem >&2").stdin("in ").env("X", "a b");
        let output = cmd.run(&logs).await.expect("success");
        assert_eq!(output.text(), "in a b");
        let log = std::fs::read_to_string(&output.log).expect("a log");
        assert!(log.starts_with("$ X='a b' sh -c 'cat; echo"), "{log}");
        assert!(log.contains("problem"), "{log}");
        assert!(log.contains("# exit status: 0"), "{log}");
    }

    #[tokio::test]
    async fn failure_holds_status_tail_and_log() {
        let (_dir, logs) = logs();
        let long = sh("seq 100; printf unfinished; exit 3").run(&logs).await.expect_err("failure");
        assert_eq!(long.code(), Some(3));
        assert_eq!(long.tail.len(), TAIL_LINES);
        let text = long.to_string();
        for part in ["exit status: 3", "| 100", "| unfinished", "001-sh"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        // Which of the two streams is read first is not known.
        let both = sh("echo told; echo broken >&2; exit 3").run(&logs).await.expect_err("failure");
        let text = both.to_string();
        for part in ["| told", "| broken"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[tokio::test]
    async fn missing_program_is_named() {
        let (_dir, logs) = logs();
        let error = Cmd::new("no-such-program").run(&logs).await;
        let error = error.expect_err("failure").to_string();
        assert!(error.contains("`no-such-program`: cannot be started"), "{error}");
    }

    #[tokio::test]
    async fn timeout_kills_the_whole_group() {
        let (dir, logs) = logs();
        let file = dir.path().join("alive");
        let script = format!("(sleep 0.5; touch {}) & wait", file.display());
        let cmd = sh(&script).timeout(Duration::from_millis(100));
        let error = cmd.run(&logs).await.expect_err("timeout");
        assert!(matches!(error.cause, Cause::Timeout(_)), "{error}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!file.exists(), "a grandchild outlived the timeout");
    }

    #[tokio::test]
    async fn dropped_future_kills_the_command() {
        let (dir, logs) = logs();
        let file = dir.path().join("alive");
        let cmd = sh(&format!("sleep 0.5; touch {}", file.display()));
        let run = tokio::time::timeout(Duration::from_millis(100), cmd.run(&logs));
        assert!(run.await.is_err(), "still running");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!file.exists(), "the command outlived its future");
    }

    #[tokio::test]
    async fn command_that_ends_its_own_children_is_asked_to() {
        let (dir, logs) = logs();
        let file = dir.path().join("asked");
        let script = format!("trap 'touch {}; exit' TERM; sleep 5 & wait", file.display());
        let run = sh(&script).end_with_sigterm().run(&logs);
        assert!(tokio::time::timeout(Duration::from_millis(200), run).await.is_err());
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(file.exists(), "it was not asked");
    }

    #[tokio::test]
    async fn daemon_that_keeps_the_pipe_open_does_not_hold_up_the_command() {
        let (_dir, logs) = logs();
        let output = sh("echo started; sleep 30 &").run(&logs).await;
        let output = output.expect("success");
        assert_eq!(output.text(), "started");
        assert!(output.elapsed < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn files_serve_as_input_and_output() {
        let (dir, logs) = logs();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, b"\xff\n").expect("written");
        let cmd = Cmd::new("cat").stdin_file(&from).stdout_file(&to);
        cmd.run(&logs).await.expect("success");
        assert_eq!(std::fs::read(&to).expect("read"), b"\xff\n");
    }

    #[test]
    fn log_is_named_after_program_and_verb() {
        assert_eq!(Cmd::new("/usr/bin/docker").arg("build").log_name(), "docker-build");
        assert_eq!(Cmd::new("uname").arg("-r").log_name(), "uname");
    }

    #[test]
    fn words_are_quoted_only_where_a_shell_needs_it() {
        assert_eq!(quote("--name=x/y:z"), "--name=x/y:z");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a\nb"), "'a\nb'");
        assert_eq!(quote("it's\u{1b}[0m\n"), r"$'it\'s\x1b[0m\x0a'");
    }
}
