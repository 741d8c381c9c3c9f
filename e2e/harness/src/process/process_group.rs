//! A running command: its input and output, and its end.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
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
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    for (id, signal) in running.iter() {
        if let Some(group) = Pid::from_raw(*id) {
            // The only failure is that nobody is left in the group.
            let _ = kill_process_group(group, *signal);
        }
    }
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
        let running = id.map(|id| (id, signal));
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).extend(running);
        Self { child, id, signal }
    }

    /// Feeds input, records output, and waits for the end.
    pub(super) async fn interact(
        &mut self,
        input: &Input,
        log: &mut File,
        recorder: &mut Recorder,
    ) -> Result<ExitStatus, Cause> {
        let mut stdin = self.child.stdin.take();
        let mut stdout = self.child.stdout.take();
        let mut stderr = self.child.stderr.take();
        let pump = async {
            // On the heap: dozens of these futures may be part of one.
            let (mut out, mut err) = (vec![0; 8192], vec![0; 8192]);
            while stdout.is_some() || stderr.is_some() {
                let (chunk, stream) = tokio::select! {
                    chunk = read(&mut stdout, &mut out), if stdout.is_some() => (chunk, Stream::Out),
                    chunk = read(&mut stderr, &mut err), if stderr.is_some() => (chunk, Stream::Err),
                };
                recorder.record(chunk, stream);
                log.write_all(chunk).await.map_err(Cause::Log)?;
            }
            Ok(())
        };
        let end = async {
            let feed = async {
                if let (Input::Bytes(bytes), Some(mut pipe)) = (input, stdin.take()) {
                    // A command may well stop reading; its exit status says whether that was a failure.
                    let _ = pipe.write_all(bytes).await;
                }
            };
            let ((), status) = tokio::join!(feed, self.child.wait());
            status.map_err(Cause::Spawn)
        };
        tokio::pin!(pump, end);
        let mut pumped = false;
        let status = loop {
            tokio::select! {
                result = &mut pump, if !pumped => {
                    result?;
                    pumped = true;
                }
                status = &mut end => break status?,
            }
        };
        if !pumped && let Ok(result) = tokio::time::timeout(DRAIN, pump).await {
            result?;
        }
        Ok(status)
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            RUNNING.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
        // No id: the child was waited for, and its number may belong to somebody else by now.
        if let Some(group) = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            // The only failure is that nobody is left in the group.
            let _ = kill_process_group(group, self.signal);
        }
    }
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
}

/// Reads once; at the end of the stream the pipe is closed and taken away.
async fn read<'b, R: AsyncRead + Unpin>(pipe: &mut Option<R>, buffer: &'b mut [u8]) -> &'b [u8] {
    let read = match pipe {
        Some(open) => open.read(buffer).await.unwrap_or(0),
        None => 0,
    };
    if read == 0 {
        *pipe = None;
    }
    &buffer[..read]
}

/// What is kept of the output: standard output whole, and the last lines of both streams.
#[derive(Default)]
pub(super) struct Recorder {
    stdout: Vec<u8>,
    out: Tail,
    err: Tail,
    lines: VecDeque<String>,
    /// Gets the lines of standard error as they come.
    stderr_lines: Option<UnboundedSender<String>>,
}

impl Recorder {
    pub(super) fn new(stderr_lines: Option<UnboundedSender<String>>) -> Self {
        Self { stderr_lines, ..Self::default() }
    }

    fn record(&mut self, chunk: &[u8], stream: Stream) {
        let tail = match stream {
            Stream::Out => {
                self.stdout.extend_from_slice(chunk);
                &mut self.out
            }
            Stream::Err => &mut self.err,
        };
        for line in tail.split(chunk) {
            if let (Stream::Err, Some(lines)) = (stream, &self.stderr_lines) {
                // Whoever listened may have heard enough.
                let _ = lines.send(String::from_utf8_lossy(&line).into_owned());
            }
            push_line(&mut self.lines, line);
        }
    }

    /// Standard output, and the last lines.
    pub(super) fn into_parts(mut self) -> (Vec<u8>, Vec<String>) {
        for rest in [self.out.partial, self.err.partial] {
            push_line(&mut self.lines, rest);
        }
        (self.stdout, self.lines.into())
    }
}

fn push_line(lines: &mut VecDeque<String>, line: Vec<u8>) {
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    if !line.is_empty() {
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// Splits a stream into lines across reads. A carriage return ends a line too, as progress bars use it.
#[derive(Default)]
struct Tail {
    partial: Vec<u8>,
}

impl Tail {
    fn split(&mut self, chunk: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for &byte in chunk {
            if byte == b'\n' || byte == b'\r' {
                lines.push(std::mem::take(&mut self.partial));
            } else if self.partial.len() < TAIL_WIDTH {
                self.partial.push(byte);
            }
        }
        lines
    }
}
