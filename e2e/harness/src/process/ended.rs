//! Commands that are run whatever comes of it.

use tokio::sync::mpsc;

use super::cmd::Cmd;
use super::error::CommandError;
use super::log_dir::LogDir;

/// How a command has ended that exited by itself.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// Its standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// The same of its standard error, line by line.
    pub stderr: String,
}

impl Cmd {
    /// Runs the command to its end, whatever its exit code is.
    pub async fn end(self, logs: &LogDir) -> Result<Ended, CommandError> {
        let (sender, mut lines) = mpsc::unbounded_channel();
        let (code, stdout) = match self.stderr_lines(sender).run(logs).await {
            Ok(output) => (0, output.stdout),
            Err(error) => match error.code() {
                Some(code) => (code, error.stdout),
                None => return Err(error),
            },
        };
        let mut stderr = String::new();
        while let Ok(line) = lines.try_recv() {
            stderr += &line;
            stderr.push('\n');
        }
        Ok(Ended { code, stdout: String::from_utf8_lossy(&stdout).into_owned(), stderr })
    }
}
