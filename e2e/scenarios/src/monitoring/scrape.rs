//! The scrape configuration that the shipped monitors stand for.
//!
//! Selectors, ports and annotations come from the files in `deploy/monitoring`. A field that is not translated here is
//! refused, so none is ignored.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Service;
use serde::Deserialize;
use serde_json::{Value, json};

/// The job of the targets that the annotations of the Service lead to.
pub(super) const BY_SERVICE: &str = "by-service";

/// A PodMonitor of the Prometheus operator.
#[derive(Debug, Deserialize)]
pub(super) struct PodMonitor {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    namespace: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    selector: Selector,
    pod_metrics_endpoints: Vec<Endpoint>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    port: String,
}

impl PodMonitor {
    pub(super) fn parse(text: &str) -> Result<Self> {
        serde_saphyr::from_str(text).context("not a PodMonitor that is understood here")
    }

    /// The ports of its endpoints.
    pub(super) fn ports(&self) -> Vec<&str> {
        self.spec.pod_metrics_endpoints.iter().map(|endpoint| endpoint.port.as_str()).collect()
    }

    /// The job of the targets of all its endpoints.
    pub(super) fn job(&self) -> String {
        format!("{}/{}", self.metadata.namespace, self.metadata.name)
    }

    /// As the Prometheus operator writes it, one job for each endpoint.
    /// <https://github.com/prometheus-operator/prometheus-operator/blob/v0.85.0/pkg/prometheus/promcfg.go>
    pub(super) fn scrape_configs(&self) -> Vec<Value> {
        let endpoints = self.spec.pod_metrics_endpoints.iter().enumerate();
        endpoints.map(|(number, endpoint)| self.scrape_config(number, &endpoint.port)).collect()
    }

    fn scrape_config(&self, number: usize, port: &str) -> Value {
        let job = self.job();
        let phase = "__meta_kubernetes_pod_phase";
        let mut relabel = vec![
            json!({"action": "drop", "source_labels": [phase], "regex": "(Failed|Succeeded)"}),
        ];
        relabel.extend(self.spec.selector.match_labels.iter().map(|(label, value)| {
            let label = in_discovery(label);
            let labels = ["label", "labelpresent"]
                .map(|kind| format!("__meta_kubernetes_pod_{kind}_{label}"));
            json!({"action": "keep", "source_labels": labels, "regex": format!("({value});true")})
        }));
        let name = "__meta_kubernetes_pod_container_port_name";
        relabel.push(json!({"action": "keep", "source_labels": [name], "regex": port}));
        relabel.extend([
            label("namespace", "__meta_kubernetes_namespace"),
            label("container", "__meta_kubernetes_pod_container_name"),
            label("pod", "__meta_kubernetes_pod_name"),
            json!({"target_label": "job", "replacement": job}),
            json!({"target_label": "endpoint", "replacement": port}),
        ]);
        let namespace = &self.metadata.namespace;
        json!({
            "job_name": format!("podMonitor/{job}/{number}"),
            "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": [namespace]}}],
            "relabel_configs": relabel,
        })
    }
}

/// The usual configuration for Services with annotations, for those of one namespace.
///
/// It keeps no sample beside `up` and the like, for these targets are those of the PodMonitor.
/// <https://github.com/prometheus/prometheus/blob/v3.5.0/documentation/examples/prometheus-kubernetes.yml>
pub(super) fn of_annotated_services(namespace: &str) -> Value {
    let annotation =
        |name: &str| format!("__meta_kubernetes_service_annotation_prometheus_io_{name}");
    json!({
        "job_name": BY_SERVICE,
        "kubernetes_sd_configs": [{"role": "endpointslice", "namespaces": {"names": [namespace]}}],
        "relabel_configs": [
            {"action": "keep", "source_labels": [annotation("scrape")], "regex": "true"},
            {
                "source_labels": [annotation("path")],
                "regex": "(.+)",
                "target_label": "__metrics_path__",
            },
            label("namespace", "__meta_kubernetes_namespace"),
            label("pod", "__meta_kubernetes_pod_name"),
        ],
        "metric_relabel_configs": [
            {"action": "drop", "source_labels": ["__name__"], "regex": ".*"},
        ],
    })
}

/// The number of ports of the Service, each of which becomes a target for each pod.
pub(super) fn ports_of_service(text: &str) -> Result<usize> {
    let service: Service = serde_saphyr::from_str(text).context("not a Service")?;
    let annotations = service.metadata.annotations.unwrap_or_default();
    let scrape = annotations.get("prometheus.io/scrape").map(String::as_str);
    ensure!(scrape == Some("true"), "the Service is not annotated: {annotations:?}");
    match service.spec.and_then(|spec| spec.ports) {
        Some(ports) if !ports.is_empty() => Ok(ports.len()),
        _ => bail!("the Service has no port"),
    }
}

fn label(target: &str, source: &str) -> Value {
    json!({"source_labels": [source], "target_label": target})
}

/// A name of a label as discovery has it.
fn in_discovery(label: &str) -> String {
    label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONITOR: &str = r"
metadata: {name: ours, namespace: system}
spec:
  selector:
    matchLabels: {app.kubernetes.io/name: ours}
  podMetricsEndpoints:
    - port: metrics
    - port: more
";

    #[test]
    fn selector_and_ports_of_a_monitor_select_the_targets() {
        let monitor = PodMonitor::parse(MONITOR).expect("valid");
        assert_eq!(monitor.ports(), ["metrics", "more"]);
        let configs = monitor.scrape_configs();
        assert_eq!(configs.len(), 2);
        let config = configs[1].to_string();
        for part in [
            r#""names":["system"]"#,
            "__meta_kubernetes_pod_labelpresent_app_kubernetes_io_name",
            "(ours);true",
            r#""regex":"more""#,
            "podMonitor/system/ours/1",
        ] {
            assert!(config.contains(part), "{part} is not in {config}");
        }
    }

    #[test]
    fn monitor_with_a_field_that_is_not_translated_is_refused() {
        let with_path = MONITOR.replace("- port: more", "- {port: more, path: /other}");
        assert!(PodMonitor::parse(&with_path).is_err());
        let with_mixin =
            MONITOR.replace("  podMetrics", "  namespaceSelector: {any: true}\n  podMetrics");
        assert!(PodMonitor::parse(&with_mixin).is_err());
    }
}
