//! The report of a run, which is written at every change.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use harness::images;
use harness::progress::Progress;
use harness::report::{Format, Report};

use super::folder::RunFolder;

/// Writes the report of a run.
pub(super) struct ReportWriter {
    report: Mutex<Report>,
    folder: PathBuf,
    formats: Vec<Format>,
    progress: Progress,
}

impl ReportWriter {
    /// Starts the report of a run.
    pub(super) fn start(folder: &RunFolder, formats: Vec<Format>, progress: &Progress) -> Self {
        let mut report = Report::start(&folder.name, std::env::args().collect());
        report.versions.insert("daemonset-job".to_owned(), images::VERSION.to_owned());
        let this = Self {
            report: Mutex::new(report),
            folder: folder.artifacts.clone(),
            formats,
            progress: progress.clone(),
        };
        this.change(|_| ());
        this
    }

    /// Changes the report, and writes it. One that cannot be written does not stop the run.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Report) -> T) -> T {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut report);
        let mut phases = self.progress.timings();
        phases.retain(|phase| !report.results.iter().any(|entry| entry.label() == phase.name));
        report.phases = phases;
        if let Err(error) = report.write(&self.folder, &self.formats) {
            self.progress.say(format_args!("{error:#}"));
        }
        changed
    }

    /// Looks at the report.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Report) -> T) -> T {
        read(&self.report.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Enters the version of something.
    pub(super) fn version(&self, of: &str, version: String) {
        self.change(|report| report.versions.insert(of.to_owned(), version));
    }
}
