//! Standard output and standard error: what they are, and how they are written to.

use std::io::{self, Write as _};

use console::Term;

use crate::render::style::Canvas;

/// The two streams of the process.
pub(crate) struct Screen {
    out: Term,
    err: Term,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { out: Term::stdout(), err: Term::stderr() }
    }

    /// Whether somebody watches standard output.
    pub(crate) fn is_terminal(&self) -> bool {
        self.out.is_term() && !console::is_dumb()
    }

    /// Whether somebody watches standard error.
    pub(crate) fn has_terminal_for_progress(&self) -> bool {
        self.err.is_term() && !console::is_dumb()
    }

    /// The canvas of standard output.
    ///
    /// Off a terminal lines have any length, unless $COLUMNS says otherwise.
    pub(crate) fn canvas(&self) -> Canvas {
        canvas(&self.out)
    }

    /// The canvas of standard error.
    pub(crate) fn progress_canvas(&self) -> Canvas {
        canvas(&self.err)
    }

    /// Writes a text to standard output.
    pub(crate) fn print(&self, text: &str) -> io::Result<()> {
        self.write(text.as_bytes())
    }

    /// Writes bytes to standard output.
    #[allow(clippy::unused_self, reason = "the one way to the stream")]
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Writes a line to standard error.
    #[allow(clippy::unused_self, reason = "the one way to the stream")]
    pub(crate) fn note(&self, line: &str) -> io::Result<()> {
        let mut err = io::stderr().lock();
        err.write_all(line.as_bytes())?;
        err.write_all(b"\n")
    }

    /// Replaces the last `lines` lines of standard output.
    pub(crate) fn redraw(&self, lines: usize, text: &str) -> io::Result<()> {
        self.out.clear_last_lines(lines)?;
        self.print(text)
    }

    /// Shows a line below everything else, until the next call.
    pub(crate) fn progress(&self, line: &str) -> io::Result<()> {
        self.err.clear_line()?;
        self.err.write_str(line)
    }

    /// Takes away the line of [`Self::progress`].
    pub(crate) fn clear_progress(&self) -> io::Result<()> {
        self.err.clear_line()
    }
}

fn canvas(term: &Term) -> Canvas {
    let is_terminal = term.is_term() && !console::is_dumb();
    let columns = || std::env::var("COLUMNS").ok()?.parse().ok();
    let (height, width) = term.size_checked().unwrap_or((24, 80));
    let has_no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Canvas {
        width: if is_terminal { Some(width.into()) } else { columns() },
        height: is_terminal.then_some(height.into()),
        colour: is_terminal && !has_no_colour,
    }
}
