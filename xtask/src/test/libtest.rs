//! Reads what libtest prints.

use harness::progress::Tally;

/// What the test binaries of one `cargo test` reported.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) tally: Tally,
    /// The names of the tests that failed.
    pub(super) failed: Vec<String>,
    /// The beginnings of what they printed.
    pub(super) printed: Vec<String>,
}

/// Lines of a failed test: the panic comes first, and what is said of the cluster afterwards is long.
const LINES: usize = 12;

/// Adds up the `test result:` lines. A test that was ignored was to run and has not passed.
pub(super) fn parse(output: &str) -> Report {
    let mut report = Report::default();
    // Lines that are left of a failed test.
    let mut room = 0;
    for line in output.lines() {
        if line.starts_with("---- ") && line.ends_with(" stdout ----") {
            room = LINES;
        } else if line == "failures:" {
            room = 0;
        }
        if room > 0 {
            room -= 1;
            report.printed.push(line.to_owned());
        }
        if let Some(result) = line.strip_prefix("test result: ") {
            for part in result.split(['.', ';']) {
                match part.trim().split_once(' ') {
                    Some((count, "passed")) => report.tally.passed += count.parse().unwrap_or(0),
                    Some((count, "failed" | "ignored")) => {
                        report.tally.failed += count.parse().unwrap_or(0);
                    }
                    _ => {}
                }
            }
        } else if let Some(test) = line.strip_prefix("test ")
            && let Some((name, _)) =
                test.split_once(" ... FAILED").or(test.split_once(" ... ignored"))
        {
            report.failed.push(name.to_owned());
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_are_added_up() {
        let output = "running 2 tests\n\
            test a::b ... ok\n\
            test a::c ... FAILED\n\
            test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s\n\
            failures:\n\
            ---- a::c stdout ----\n\
            thread 'a::c' panicked at src/lib.rs:1:1:\n\
            failures:\n    a::c\n\
            running 3 tests\n\
            ...\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 5 filtered out; finished in 0.00s\n";
        let report = parse(output);
        assert_eq!(report.tally, Tally { passed: 4, failed: 1 });
        assert_eq!(report.failed, ["a::c"]);
        assert_eq!(report.printed.len(), 2);
        assert!(report.printed[1].contains("panicked at"));
    }

    #[test]
    fn ignored_test_is_a_failed_one() {
        let output = "test slow ... ignored, takes long\n\
            test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        let report = parse(output);
        assert_eq!(report.tally, Tally { passed: 0, failed: 1 });
        assert_eq!(report.failed, ["slow"]);
    }

    #[test]
    fn build_that_failed_reports_nothing() {
        assert_eq!(parse("error: could not compile `api`\n"), Report::default());
    }
}
