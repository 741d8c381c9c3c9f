//! What the terminal says at the end of a run.

use std::path::Path;

use super::content::{Ending, Entry, Kind, Report, State};

/// How many of the slowest scenarios are named.
const SLOWEST: usize = 5;

/// How many lines of an error are shown; all of them are with the artifacts and in the report.
const ERROR_LINES: usize = 30;

/// The last lines of a run: failures, the slowest scenarios, artifacts, and how to run what failed once more.
pub fn summary(report: &Report, artifacts: &Path, rerun: Option<&str>) -> Vec<String> {
    let mut lines = Vec::from_iter(cut_short(report));
    for entry in report.failures() {
        let error = shortened(entry.error.as_deref().unwrap_or_default());
        lines.push(format!("FAILED {}: {error}", entry.label()));
        lines.extend(entry.artifacts.iter().map(|folder| format!("  see {}", folder.display())));
    }
    let mut timed: Vec<_> = report
        .results
        .iter()
        .filter(|entry| entry.kind == Kind::Scenario)
        .filter(|entry| matches!(entry.state, State::Passed | State::Failed))
        .collect();
    if timed.len() > 1 {
        timed.sort_by_key(|entry| std::cmp::Reverse(entry.elapsed));
        lines.push("slowest scenarios:".to_owned());
        lines.extend(
            timed
                .iter()
                .take(SLOWEST)
                .map(|entry| format!("  {:>7.1}s  {}", entry.elapsed.as_secs_f64(), entry.label())),
        );
    }
    let seconds = report.elapsed.as_secs_f64();
    lines.push(format!("total {seconds:.1}s, artifacts {}", artifacts.display()));
    lines.extend(rerun.map(|command| format!("rerun: {command}")));
    lines
}

/// What was not verified because the run ended early.
fn cut_short(report: &Report) -> Option<String> {
    let how = match report.ending {
        Ending::Interrupted => "INTERRUPTED",
        Ending::Broken => "BROKEN",
        Ending::Running | Ending::Passed | Ending::Failed => return None,
    };
    let with = |state| report.results.iter().filter(move |entry| entry.state == state);
    let during: Vec<_> = with(State::Interrupted).map(Entry::label).collect();
    let during = match during.is_empty() {
        true => String::new(),
        false => format!(" during {}", during.join(", ")),
    };
    Some(format!("{how}{during}, {} not run", with(State::NotRun).count()))
}

fn shortened(error: &str) -> String {
    let lines = error.lines().count();
    if lines <= ERROR_LINES {
        return error.to_owned();
    }
    let shown: Vec<_> = error.lines().take(ERROR_LINES).collect();
    format!("{}\n  … {} more lines", shown.join("\n"), lines - ERROR_LINES)
}

#[cfg(test)]
mod tests {
    use super::super::content::tests::mixed;
    use super::*;

    #[test]
    fn failures_come_with_error_folder_and_the_command_to_repeat_them() {
        let lines = summary(&mixed(), Path::new("target/e2e/run"), Some("cargo xtask e2e run"));
        let text = lines.join("\n");
        assert!(
            text.starts_with("INTERRUPTED during cut, 1 not run\nFAILED bad: expected: a < b\n"),
            "{text}"
        );
        for part in
            ["  see scenarios/bad", "artifacts target/e2e/run", "rerun: cargo xtask e2e run"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("never"), "what did not run took no time: {text}");
    }

    #[test]
    fn endless_error_is_cut() {
        let error = "line\n".repeat(ERROR_LINES + 2);
        assert!(shortened(&error).ends_with("line\n  … 2 more lines"));
        assert_eq!(shortened("a\nb"), "a\nb");
    }

    #[test]
    fn slowest_come_first_and_are_few() {
        let mut report = mixed();
        report.end(Ending::Passed);
        report.results.clear();
        for seconds in 1..=9 {
            let handle = report.plan(&format!("of-{seconds}"), 1, Kind::Scenario);
            report.finish(handle, None);
            report.results[handle.0].elapsed = std::time::Duration::from_secs(seconds);
        }
        let lines = summary(&report, Path::new("x"), None);
        let slow: Vec<_> = lines.iter().filter(|line| line.contains("of-")).collect();
        assert_eq!(slow.len(), SLOWEST);
        assert!(slow[0].ends_with("9.0s  of-9"), "{slow:?}");
    }
}
