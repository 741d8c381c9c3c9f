//! Translates OpenMetrics into the text format that every Prometheus reads.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

/// The suffix of a counter's name. In OpenMetrics only the samples have it.
pub(super) const TOTAL: &str = "_total";

/// Renders OpenMetrics in version 0.0.4 of the text format.
pub(super) fn prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + open_metrics.len() / 8);
    let mut help = None;
    for line in open_metrics.lines() {
        // A metric begins with its help, then comes its type.
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ').map(|(_, help)| help);
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap_or((typed, "untyped"));
            let total = if kind == "counter" { TOTAL } else { "" };
            if let Some(help) = help.take() {
                text.extend(["# HELP ", name, total, " ", help, "\n"]);
            }
            text.extend(["# TYPE ", name, total, " ", kind, "\n"]);
        } else {
            text.extend([line, "\n"]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_called_as_its_samples_are() {
        let open_metrics = "# HELP a A thing.\n# TYPE a counter\na_total{b=\"c\"} 1\n\
                            # HELP d Another.\n# TYPE d gauge\nd 2\n";
        let expected = "# HELP a_total A thing.\n# TYPE a_total counter\na_total{b=\"c\"} 1\n\
                        # HELP d Another.\n# TYPE d gauge\nd 2\n";
        assert_eq!(prometheus(open_metrics), expected);
    }
}
