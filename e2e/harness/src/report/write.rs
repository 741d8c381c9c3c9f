//! Reports as files.

use std::path::Path;

use anyhow::Result;

use super::content::{Ending, Report, since};
use super::junit;

/// The file that holds all of it.
pub const JSON: &str = "run.json";

/// The file for programs that read the reports of test runners.
pub const JUNIT: &str = "junit.xml";

/// A form that a report can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// [`JSON`].
    Json,
    /// [`JUNIT`].
    Junit,
}

impl Report {
    /// Writes it into a folder in these forms.
    pub fn write(&mut self, folder: &Path, formats: &[Format]) -> Result<()> {
        if self.ending == Ending::Running {
            self.elapsed = since(self.started);
        }
        for format in formats {
            let (file, text) = match format {
                Format::Json => (JSON, serde_json::to_string_pretty(self)? + "\n"),
                Format::Junit => (JUNIT, junit::render(self)?),
            };
            // Moved there whole, so that no reader sees half of it.
            let (path, new) = (folder.join(file), folder.join(format!("{file}.new")));
            fs_err::write(&new, text)?;
            fs_err::rename(&new, &path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::content::Kind;
    use super::*;

    #[test]
    fn file_tells_the_state_of_every_entry_while_the_run_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut report = Report::start("run", Vec::new());
        let handle = report.plan("slow", 2, Kind::Scenario);
        report.begin(handle);
        report.write(folder.path(), &[Format::Json]).expect("written");
        let text = std::fs::read(folder.path().join(JSON)).expect("read");
        let json: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(json["ending"], "running");
        assert_eq!(json["results"][0]["state"], "running");
        assert_eq!(json["results"][0]["round"], 2);
        assert!(json["started"].as_str().is_some_and(|time| time.ends_with('Z')), "{json}");
        assert!(!folder.path().join(JUNIT).exists(), "a form that nobody asked for");
    }
}
