//! Words of the API that are in no schema, and its promises.
//!
//! These are conditions, reasons, events, labels and annotations.

/// The sections of the page behind those about fields.
pub(super) const SECTIONS: &str = include_str!("vocabulary.md");

#[cfg(test)]
mod tests {
    use api::job::conditions::Reason;
    use harness::paths;
    use regex::Regex;

    use super::*;

    /// The words in a file of the workspace that a pattern finds.
    fn words(file: &str, pattern: &str) -> Vec<String> {
        let text = std::fs::read_to_string(paths::workspace().join(file)).expect(file);
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let pattern = Regex::new(pattern).expect("a pattern");
        pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
    }

    #[test]
    fn every_reason_is_on_the_page_once() {
        let section = SECTIONS.split("## ").find(|it| it.starts_with("Reasons of conditions\n"));
        let section = section.expect("a section");
        for reason in Reason::ALL {
            assert_eq!(section.matches(&format!("\n| `{reason}` |")).count(), 1, "{reason}");
        }
        assert_eq!(section.matches("\n| `").count(), Reason::ALL.len());
    }

    #[test]
    fn every_word_of_the_api_is_on_the_page() {
        let places = [
            ("api/src/job/conditions/types.rs", r#"pub const [A-Z_]+: &str = "([A-Za-z]+)""#, 8),
            ("operator/src/job/decide/events.rs", r#"reason: "([A-Za-z]+)""#, 3),
            ("operator/src/job/decide/events.rs", r#"const [A-Z_]+: &str = "([A-Za-z]+)""#, 1),
            (
                "api/src/labels.rs",
                r#"const (?:LABEL|ANNOTATION|POD|TURN)_[A-Z_]+: &str =[ \n]+"([^"=]+)""#,
                11,
            ),
        ];
        for (file, pattern, at_least) in places {
            let words = words(file, pattern);
            assert!(words.len() >= at_least, "{file}: {words:?}");
            for word in words {
                assert!(SECTIONS.contains(&format!("| `{word}` |")), "{word} of {file}");
            }
        }
    }
}
