//! Names and `KEY=VALUE` pairs on the command line.

/// Longest name of an object.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>
const MAX_NAME: usize = 253;

/// Parses the name of a Job, for clap.
///
/// `dsjob/NAME` is accepted as in `kubectl get`.
pub(crate) fn job(text: &str) -> Result<String, String> {
    let name = ["dsjob/", "jobs.daemonset.darkowlzz.space/", "job.daemonset.darkowlzz.space/"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(text);
    if is_subdomain(name) {
        return Ok(name.to_owned());
    }
    let lower: String = name
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    let lower = lower.trim_matches(['-', '.']);
    let hint =
        if is_subdomain(lower) { format!("; did you mean {lower:?}?") } else { String::new() };
    Err(format!(
        "{name:?} is no name of an object: lower case letters, digits, '-' and '.' only, and a \
         letter or digit at both ends{hint}"
    ))
}

fn is_subdomain(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty()
            && label.chars().all(is_inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= MAX_NAME && name.split('.').all(is_label)
}

/// Parses `KEY=VALUE`, for clap.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is no pair: write KEY=VALUE")),
    }
}

/// Those of `names` that `name` may have been meant for, the likeliest first.
pub(crate) fn similar<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let mut found: Vec<_> = names
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(likeness, known)| *likeness > 0.8 || known.contains(name))
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    found.truncate(3);
    found.into_iter().map(|(_, known)| known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_as_by_the_api_server_with_the_likely_meant_one() {
        assert_eq!(job("dsjob/rotate-ca.v2").as_deref(), Ok("rotate-ca.v2"));
        for name in ["", "-a", "a-", "a..b", "ä", &"a".repeat(254)] {
            assert!(job(name).is_err(), "{name}");
        }
        let error = job("Rotate_CA").unwrap_err();
        assert!(error.ends_with("did you mean \"rotate-ca\"?"), "{error}");
    }

    #[test]
    fn a_misspelled_name_finds_the_one_that_was_meant() {
        let names = ["rotate-ca", "clean-tmp", "rotate-ssh"];
        assert_eq!(similar("rotat-ca", names.into_iter())[0], "rotate-ca");
        assert_eq!(similar("tmp", names.into_iter()), ["clean-tmp"]);
        assert!(similar("zzz", names.into_iter()).is_empty());
    }

    #[test]
    fn pairs_have_a_key() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(pair("a").is_err() && pair("=b").is_err());
    }
}
