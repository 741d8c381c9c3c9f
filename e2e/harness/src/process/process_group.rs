//! A running command: its input and output, and its end.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::mpsc::UnboundedSender;

use super::error::Cause;

/// How many of the last lines of its output a failed command shows.
pub(super) const TAIL_LINES: usize = 25;

/// How many bytes of one line are kept for that.
const TAIL_WIDTH: usize = 2000;

/// How long a daemon that a command leaves behind may keep its output open.
const DRAIN: Duration = Duration::from_secs(2);

/// The process groups of all commands that run, and the signals that end them.
static RUNNING: Mutex<BTreeMap<i32, Signal>> = Mutex::new(BTreeMap::new());

/// Ends every command that runs, for a process that exits at once: nothing is dropped then.
pub fn kill_all() {
    for (id, signal) in lock(&RUNNING).iter() {
        kill(*id, *signal);
    }
}

fn kill(group: i32, signal: Signal) {
    if let Some(group) = Pid::from_raw(group) {
        // The only failure is that nobody is left in the group.
        let _ = kill_process_group(group, signal);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard input of a command.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Empty,
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// A child with everything it started in its group; dropping it before its end ends them all.
pub(super) struct ProcessGroup {
    child: Child,
    /// The number of the group.
    id: Option<i32>,
    /// The signal that ends it.
    signal: Signal,
}

impl ProcessGroup {
    /// Takes a child that leads a process group of its own.
    pub(super) fn new(child: Child, signal: Signal) -> Self {
        let id = child.id().map(u32::cast_signed);
        lock(&RUNNING).extend(id.map(|id| (id, signal)));
        Self { child, id, signal }
    }

    /// Feeds input, records output, and waits for the end.
    pub(super) async fn interact(
        &mut self,
        input: &Input,
        recorder: &Mutex<Recorder>,
    ) -> Result<ExitStatus, Cause> {
        let stdin = self.child.stdin.take();
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let pump = async {
            tokio::try_join!(
                pump(stdout, Stream::Out, recorder),
                pump(stderr, Stream::Err, recorder)
            )
        };
        let feed = async {
            if let (Input::Bytes(bytes), Some(mut pipe)) = (input, stdin) {
                // A command may well stop reading; its exit status says whether that was a failure.
                let _ = pipe.write_all(bytes).await;
            }
        };
        let end = async { tokio::join!(feed, self.child.wait()).1 };
        tokio::pin!(pump, end);
        let status = tokio::select! {
            pumped = &mut pump => {
                pumped.map_err(Cause::Log)?;
                end.await
            }
            status = &mut end => {
                if let Ok(pumped) = tokio::time::timeout(DRAIN, pump).await {
                    pumped.map_err(Cause::Log)?;
                }
                status
            }
        };
        status.map_err(Cause::Spawn)
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            lock(&RUNNING).remove(&id);
        }
        // No id: the child was waited for, and its number may belong to somebody else by now.
        if let Some(group) = self.child.id() {
            kill(group.cast_signed(), self.signal);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Stream {
    Out,
    Err,
}

/// Records what comes out of a pipe, until that is closed.
async fn pump(
    pipe: Option<impl AsyncRead + Unpin>,
    stream: Stream,
    recorder: &Mutex<Recorder>,
) -> io::Result<()> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    // On the heap: dozens of these futures may be part of one.
    let mut buffer = vec![0; 8192];
    loop {
        match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(read) => lock(recorder).record(&buffer[..read], stream)?,
        }
    }
}

/// What is kept of the output: all of it in the log, standard output, and the last lines of both streams.
#[derive(Default)]
pub(super) struct Recorder {
    log: Option<File>,
    stdout: Vec<u8>,
    /// The line of each stream that has not ended yet.
    partial: [Vec<u8>; 2],
    lines: VecDeque<String>,
    /// Gets the lines of standard error as they come.
    stderr_lines: Option<UnboundedSender<String>>,
}

impl Recorder {
    pub(super) fn new(stderr_lines: Option<UnboundedSender<String>>) -> Self {
        Self { stderr_lines, ..Self::default() }
    }

    /// Begins the log.
    pub(super) fn open(&mut self, log: &Path, first_line: &str) -> io::Result<()> {
        let log = self.log.insert(File::create(log)?);
        log.write_all(first_line.as_bytes())
    }

    fn record(&mut self, chunk: &[u8], stream: Stream) -> io::Result<()> {
        if stream == Stream::Out {
            self.stdout.extend_from_slice(chunk);
        }
        for &byte in chunk {
            let partial = &mut self.partial[stream as usize];
            // A carriage return ends a line too, as progress bars use it.
            if byte == b'\n' || byte == b'\r' {
                self.end_line(stream);
            } else if partial.len() < TAIL_WIDTH {
                partial.push(byte);
            }
        }
        self.log.as_mut().map_or(Ok(()), |log| log.write_all(chunk))
    }

    fn end_line(&mut self, stream: Stream) {
        let line = std::mem::take(&mut self.partial[stream as usize]);
        let line = String::from_utf8_lossy(&line);
        if let (Stream::Err, Some(lines)) = (stream, &self.stderr_lines) {
            // Whoever listened may have heard enough.
            let _ = lines.send(line.to_string());
        }
        let line = line.trim_end();
        if !line.is_empty() {
            if self.lines.len() == TAIL_LINES {
                self.lines.pop_front();
            }
            self.lines.push_back(line.to_owned());
        }
    }

    /// Ends the log, and returns standard output and the last lines.
    pub(super) fn finish(mut self, last_line: &str) -> (Vec<u8>, Vec<String>) {
        for stream in [Stream::Out, Stream::Err] {
            if !self.partial[stream as usize].is_empty() {
                self.end_line(stream);
            }
        }
        // A courtesy to the reader of the log: a full disk must not hide the command's own result.
        let _ = self.log.map(|mut log| log.write_all(last_line.as_bytes()));
        (self.stdout, self.lines.into())
    }
}
