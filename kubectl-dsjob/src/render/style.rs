//! Colours, which carry no meaning that the text does not have.

use api::job::Phase;
use console::Style;

use crate::model::nodes::State;

/// How much room there is, and whether colours are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Canvas {
    /// Columns of the screen; none: lines of any length.
    pub(crate) width: Option<usize>,
    /// Lines of the screen; none: any number of lines.
    pub(crate) height: Option<usize>,
    pub(crate) colour: bool,
}

impl Canvas {
    /// Paints a text, if colours are wanted.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        style.force_styling(self.colour).apply_to(text).to_string()
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint(Style::new().dim(), text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint(Style::new().red(), text)
    }
}

/// The style of a node's state.
pub(crate) fn of_state(state: State) -> Style {
    match state {
        State::Failed => Style::new().red().bold(),
        State::Unreachable => Style::new().magenta(),
        State::Pending => Style::new().yellow(),
        State::Running => Style::new().cyan(),
        State::Waiting => Style::new().dim(),
        State::Done => Style::new().green(),
    }
}

/// The style of a Job's phase.
pub(crate) fn of_phase(phase: Option<Phase>) -> Style {
    match phase {
        Some(Phase::Failed) => Style::new().red().bold(),
        Some(Phase::Completed) => Style::new().green().bold(),
        Some(Phase::Running) => Style::new().cyan().bold(),
        Some(Phase::Pending | Phase::Suspended) | None => Style::new().yellow().bold(),
    }
}

/// The phase as people read it.
pub(crate) fn phase(phase: Option<Phase>) -> &'static str {
    match phase {
        Some(Phase::Pending) => "Pending",
        Some(Phase::Running) => "Running",
        Some(Phase::Suspended) => "Suspended",
        Some(Phase::Completed) => "Completed",
        Some(Phase::Failed) => "Failed",
        None => "Unseen",
    }
}
