//! The shipped alert rules, in a hurry: they fire after a part of the time for which they wait.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// The rules of a file with each `for` divided; all else is as in the file.
pub(super) fn hurried(rules: &str, divisor: u32) -> Result<Value> {
    let mut file: Value = serde_saphyr::from_str(rules).context("not a file of rules")?;
    for rule in rules_of(&mut file)? {
        if let Some(shipped) = rule.get("for").and_then(Value::as_str) {
            let shorter = parse(shipped)? / divisor;
            rule["for"] = json!(format!("{}ms", shorter.as_millis()));
        }
    }
    Ok(file)
}

/// The names of the alerts.
pub(super) fn alerts(file: &mut Value) -> Result<Vec<String>> {
    let name = |rule: &mut Value| rule["alert"].as_str().map(str::to_owned);
    rules_of(file)?.into_iter().map(|rule| name(rule).context("a rule without a name")).collect()
}

fn rules_of(file: &mut Value) -> Result<Vec<&mut Value>> {
    let groups = file.get_mut("groups").and_then(Value::as_array_mut).context("no groups")?;
    let rules = groups.iter_mut().filter_map(|group| group.get_mut("rules")?.as_array_mut());
    Ok(rules.flatten().collect())
}

/// A duration as Prometheus writes it, with one unit.
fn parse(text: &str) -> Result<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().with_context(|| format!("no duration: {text}"))?;
    Ok(match unit {
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number * 60),
        "h" => Duration::from_secs(number * 3600),
        _ => bail!("no duration: {text}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r"
groups:
  - name: ours
    rules:
      - {alert: Late, expr: a > 1, for: 15m, labels: {severity: warning}}
      - {alert: Soon, expr: b > 1}
";

    #[test]
    fn only_the_time_to_wait_is_changed() {
        let mut file = hurried(FILE, 180).expect("valid");
        assert_eq!(alerts(&mut file).expect("named"), ["Late", "Soon"]);
        let mut shipped: Value = serde_saphyr::from_str(FILE).expect("YAML");
        shipped["groups"][0]["rules"][0]["for"] = json!("5000ms");
        assert_eq!(file, shipped);
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for bad in ["", "m", "5", "5 m", "1h30m"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse("6h").expect("valid"), Duration::from_secs(21_600));
    }
}
