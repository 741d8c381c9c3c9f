//! The queries of the shipped dashboard, with values in the place of its variables, as Grafana asks them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The interval that Grafana puts in for `$__rate_interval`: long enough for all that the scenario did.
const RATE_INTERVAL: &str = "5m";

/// A query of a panel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) panel: String,
    pub(super) expression: String,
}

/// A variable whose values are those of a label.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    /// The series that have the label.
    pub(super) series: String,
    pub(super) label: String,
}

/// The variables that are read from Prometheus, in their order.
pub(super) fn variables(dashboard: &Value) -> Result<Vec<Variable>> {
    let list = dashboard.pointer("/templating/list").and_then(Value::as_array);
    let read = list.context("no variables")?.iter().filter(|variable| variable["type"] == "query");
    read.map(|variable| {
        let text = |key: &str| variable[key].as_str().context("not a text").map(str::to_owned);
        let definition = text("definition")?;
        let arguments = definition
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(|arguments| arguments.rsplit_once(','));
        let (series, label) = arguments.with_context(|| format!("unknown: {definition}"))?;
        let (series, label) = (series.to_owned(), label.trim().to_owned());
        Ok(Variable { name: text("name")?, series, label })
    })
    .collect()
}

/// The queries of all panels.
pub(super) fn queries(dashboard: &Value) -> Result<Vec<Query>> {
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().unwrap_or_default().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let expression = |target: &Value| target["expr"].as_str().map(str::to_owned);
        let queries = targets.into_iter().map(move |target| {
            let expression = expression(&target).context("a target without a query")?;
            Ok(Query { panel: title.clone(), expression })
        });
        queries.collect::<Vec<Result<Query>>>()
    };
    panels.iter().flat_map(of_panel).collect()
}

/// A query with these values; one of an unknown variable is refused.
pub(super) fn substitute(query: &str, values: &BTreeMap<String, Vec<String>>) -> Result<String> {
    let mut query = query.replace("$__rate_interval", RATE_INTERVAL);
    for (name, values) in values {
        let escaped: Vec<_> = values.iter().map(|value| value.replace('.', "\\\\.")).collect();
        query = query.replace(&format!("${name}"), &format!("({})", escaped.join("|")));
    }
    if query.contains('$') {
        bail!("a variable without a value: {query}");
    }
    Ok(query)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_are_read_and_put_in_as_by_grafana() {
        let dashboard = json!({
            "templating": {"list": [
                {"type": "datasource", "name": "datasource"},
                {"type": "query", "name": "pod", "definition": "label_values(up{a=\"b\"}, pod)"},
            ]},
            "panels": [
                {"type": "row", "title": "Row"},
                {"title": "Chart", "targets": [{"expr": "rate(a{pod=~\"$pod\"}[$__rate_interval])"}]},
            ],
        });
        let variables = variables(&dashboard).expect("read");
        let (name, series, label) = ("pod".to_owned(), "up{a=\"b\"}".to_owned(), "pod".to_owned());
        assert_eq!(variables, [Variable { name, series, label }]);
        let queries = queries(&dashboard).expect("read");
        assert_eq!(queries.len(), 1);
        let values = [("pod".to_owned(), vec!["a".to_owned(), "b".to_owned()])].into();
        let query = substitute(&queries[0].expression, &values).expect("all known");
        assert_eq!(query, "rate(a{pod=~\"(a|b)\"}[5m])");
        assert!(substitute("a{pod=~\"$node\"}", &values).is_err());
    }
}
