//! Files under `deploy/` that repeat others: kustomize and helm read nothing from outside their own folders.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// A generated file.
pub(super) struct Generated {
    pub(super) path: PathBuf,
    pub(super) content: String,
}

/// Labels of the resource definition, as those of the other manifests.
pub(super) const LABELS: [(&str, &str); 4] = [
    ("app.kubernetes.io/component", "controller"),
    ("app.kubernetes.io/instance", "daemonset-job"),
    ("app.kubernetes.io/name", "daemonset-job"),
    ("app.kubernetes.io/part-of", "daemonset-job"),
];

const ALERTS: &str = "monitoring/alerts.yaml";

/// Copies for the chart.
const COPIES: [(&str, &str); 4] = [
    ("25-pod-policy.yaml", "pod-policy.yaml"),
    ("30-rbac.yaml", "rbac.yaml"),
    (ALERTS, "alerts.yaml"),
    ("monitoring/dashboard.json", "dashboard.json"),
];

const CHART_FILES: &str = "helm/daemonset-job/files";

const RULE: &str = "monitoring/prometheus-operator/prometheus-rule.yaml";

/// The chart's copies, and the alert rules as a PrometheusRule.
pub(super) fn files(deploy: &Path, crd: &Generated) -> Result<Vec<Generated>> {
    let chart = deploy.join(CHART_FILES);
    let mut files = vec![
        Generated { path: chart.join("crd.yaml"), content: crd.content.clone() },
        Generated {
            path: deploy.join(RULE),
            content: prometheus_rule(&fs_err::read_to_string(deploy.join(ALERTS))?),
        },
    ];
    for (original, copy) in COPIES {
        let content = fs_err::read_to_string(deploy.join(original))?;
        files.push(Generated { path: chart.join(copy), content });
    }
    Ok(files)
}

/// The rules of a rule file as an object of the Prometheus operator.
fn prometheus_rule(alerts: &str) -> String {
    let mut rule = String::from(
        "# Generated from alerts.yaml by `cargo xtask codegen`.\n\
         apiVersion: monitoring.coreos.com/v1\n\
         kind: PrometheusRule\n\
         metadata:\n  name: daemonset-job\n  namespace: daemonset-job-system\n  labels:\n",
    );
    for (key, value) in LABELS {
        rule += &format!("    {key}: {value}\n");
    }
    rule += "spec:\n";
    for line in alerts.lines().skip_while(|line| line.starts_with('#')) {
        rule += &if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") };
    }
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_become_the_spec_without_the_comment_about_the_file() {
        let rule = prometheus_rule("# About\n# the file.\ngroups:\n  # Why.\n\n  - name: a\n");
        let (metadata, spec) = rule.split_once("spec:\n").expect("a spec");
        assert!(metadata.contains("    app.kubernetes.io/name: daemonset-job\n"), "{metadata}");
        assert_eq!(spec, "  groups:\n    # Why.\n\n    - name: a\n");
    }
}
