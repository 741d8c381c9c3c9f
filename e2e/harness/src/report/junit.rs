//! The report in the form that most build servers show.

use anyhow::{Context as _, Result};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::content::{Ending, Entry, Kind, Report, State};

pub(super) fn render(report: &Report) -> Result<String> {
    let mut xml = quick_junit::Report::new("daemonset-job e2e");
    xml.set_time(report.elapsed);
    for (kind, name) in [(Kind::Scenario, "scenarios"), (Kind::Check, "invariants")] {
        let mut suite = TestSuite::new(name);
        let entries = report.results.iter().filter(|entry| entry.kind == kind);
        suite.add_test_cases(entries.map(|entry| case(entry, name)));
        if kind == Kind::Scenario {
            suite.set_time(report.elapsed);
            suite.add_test_cases(cut(report));
        }
        if !suite.test_cases.is_empty() {
            xml.add_test_suite(suite);
        }
    }
    xml.to_string().context("cannot put the report into XML")
}

fn case(entry: &Entry, class: &str) -> TestCase {
    let status = match entry.state {
        State::Passed => TestCaseStatus::success(),
        State::Failed => {
            let error = entry.error.as_deref().unwrap_or("no error is known");
            non_success(NonSuccessKind::Failure, error)
        }
        State::NotRun => {
            let mut status = TestCaseStatus::skipped();
            status.set_message("the run ended before");
            status
        }
        State::Running | State::Interrupted => {
            non_success(NonSuccessKind::Error, "the run ended before this did")
        }
    };
    let mut case = TestCase::new(entry.label(), status);
    case.set_classname(class).set_time(entry.elapsed);
    if let Some(folder) = &entry.artifacts {
        case.set_system_out(format!("artifacts: {}", folder.display()));
    }
    case
}

/// A run that was cut short has an entry for that, lest it look complete.
fn cut(report: &Report) -> Option<TestCase> {
    let (name, message) = match report.ending {
        Ending::Passed | Ending::Failed => return None,
        Ending::Running => ("end of the run", "the run goes on, or was killed"),
        Ending::Interrupted => ("end of the run", "interrupted"),
        Ending::Broken => {
            ("infrastructure", report.error.as_deref().unwrap_or("no error is known"))
        }
    };
    Some(TestCase::new(name, non_success(NonSuccessKind::Error, message)))
}

fn non_success(kind: NonSuccessKind, error: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(error.lines().next().unwrap_or_default()).set_description(error);
    status
}

#[cfg(test)]
mod tests {
    use super::super::content::tests::mixed;
    use super::*;

    #[test]
    fn every_state_shows_and_what_xml_cannot_hold_is_left_out() {
        let xml = render(&mixed()).expect("XML");
        for part in [
            r#"tests="4" skipped="0" errors="2" failures="1""#,
            r#"message="expected: a &lt; b""#,
            "seen: c",
            "artifacts: scenarios/bad",
            r#"name="invariants" tests="1" skipped="1""#,
        ] {
            assert!(xml.contains(part), "{part} in {xml}");
        }
    }

    #[test]
    fn broken_infrastructure_is_an_error_of_its_own() {
        let mut report = mixed();
        report.error = Some("no Docker".to_owned());
        report.end(Ending::Broken);
        let xml = render(&report).expect("XML");
        assert!(xml.contains(r#"name="infrastructure""#) && xml.contains("no Docker"), "{xml}");
        report.end(Ending::Failed);
        assert!(!render(&report).expect("XML").contains("infrastructure"));
    }
}
