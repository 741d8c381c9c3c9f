//! From models to text: pure, but for the width of the screen and colours, which are given.

pub(crate) mod checklist;
pub(crate) mod explanation;
pub(crate) mod list;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod results;
pub(crate) mod status;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod text;
