//! A Prometheus in a pod of the scenario, and what it answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use harness::images::PROMETHEUS;
use harness::wait::State;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::env::ScenarioEnv;

/// The name of all that it is made of.
const NAME: &str = "prometheus";

/// Selects its pod.
pub(super) const SELECTOR: &str = "app=prometheus";

/// Its port, which is the usual one.
const PORT: u16 = 9090;

/// How often it scrapes, and evaluates the rules.
const INTERVAL: &str = "1s";

/// How often it is asked.
const AGAIN: Duration = Duration::from_millis(500);

/// A running Prometheus.
pub(super) struct Prometheus<'a> {
    env: &'a ScenarioEnv<'a>,
    base: String,
}

/// A target that it scrapes.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Target {
    pub(super) labels: BTreeMap<String, String>,
    health: String,
    last_error: String,
}

/// An alert that waits to fire, or fires.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Alert {
    pub(super) labels: BTreeMap<String, String>,
    state: String,
}

/// A series of an answer.
#[derive(Clone, Debug, Deserialize)]
struct Series {
    /// Time and value.
    value: (f64, String),
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

impl<'a> Prometheus<'a> {
    /// Starts one, and waits until it answers.
    pub(super) async fn start(
        env: &'a ScenarioEnv<'a>,
        scrape_configs: &[Value],
        rules: &Value,
    ) -> Result<Self> {
        let configuration = json!({
            "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
            "rule_files": ["/etc/prometheus/rules.yaml"],
            "scrape_configs": scrape_configs,
        });
        env.apply(&manifest(&configuration, rules)).await?;
        let apply = ["apply", "--filename", "-", "--namespace", &env.cx.deployed.namespace];
        let apply = env.cx.cluster.kubectl(apply).stdin(rights(env).to_string());
        apply.name("kubectl-apply-rights").run(env.cx.logs).await?;
        let ready = ["wait", "--for=condition=Ready", "--timeout=2m", "pod", NAME];
        env.kubectl(&ready, "").await?;
        let base =
            format!("/api/v1/namespaces/{}/pods/{NAME}:{PORT}/proxy/api/v1", env.namespace());
        Ok(Self { env, base })
    }

    /// Takes back what it may do in the operator's namespace; the rest goes with the scenario's.
    pub(super) async fn clean_up(env: &ScenarioEnv<'_>) -> Result<()> {
        let kinds = ["rolebinding", "role"].map(|kind| format!("{kind}/{NAME}"));
        env.kubectl_ours(&["delete", "--ignore-not-found", &kinds[0], &kinds[1]]).await
    }

    /// Asks for a path below `/api/v1`.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let path = format!("{}/{path}", self.base);
        let answer = self.env.cx.client.request_text(http::Request::get(&path).body(Vec::new())?);
        let text = answer.await.with_context(|| path.clone())?;
        let answer: Answer<T> = serde_json::from_str(&text).with_context(|| text.clone())?;
        Ok(answer.data)
    }

    /// The targets that it scrapes now.
    pub(super) async fn targets(&self) -> Result<Vec<Target>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Targets {
            active_targets: Vec<Target>,
        }
        Ok(self.get::<Targets>("targets?state=active").await?.active_targets)
    }

    /// The alerts that fire.
    pub(super) async fn firing(&self) -> Result<Vec<Alert>> {
        #[derive(Deserialize)]
        struct Alerts {
            alerts: Vec<Alert>,
        }
        let mut alerts = self.get::<Alerts>("alerts").await?.alerts;
        alerts.retain(|alert| alert.state == "firing");
        Ok(alerts)
    }

    /// The rules that it evaluates, with the errors of their evaluation.
    pub(super) async fn errors_of_rules(&self) -> Result<Vec<String>> {
        let rules: Value = self.get("rules").await?;
        let groups = rules["groups"].as_array().context("no groups")?;
        let rules = groups.iter().filter_map(|group| group["rules"].as_array()).flatten();
        let is_well = |rule: &&Value| rule["health"] == "ok";
        Ok(rules.filter(|rule| !is_well(rule)).map(|rule| rule.to_string()).collect())
    }

    /// The values of a label of some series.
    pub(super) async fn values_of(&self, label: &str, series: &str) -> Result<Vec<String>> {
        self.get(&format!("label/{label}/values?match%5B%5D={}", encoded(series))).await
    }

    /// The values of the series that a query returns, less those that are no number.
    pub(super) async fn query(&self, query: &str) -> Result<Vec<f64>> {
        #[derive(Deserialize)]
        struct Vector {
            result: Vec<Series>,
        }
        let answer: Vector = self.get(&format!("query?query={}", encoded(query))).await?;
        let values = answer.result.into_iter().map(|series| series.value.1.parse::<f64>());
        let values: Vec<_> = values.collect::<Result<_, _>>()?;
        Ok(values.into_iter().filter(|value| !value.is_nan()).collect())
    }

    /// Waits until its answers are as expected.
    pub(super) async fn until<F>(&self, expected: &str, check: impl FnMut() -> F) -> Result<()>
    where
        F: Future<Output = Result<State<()>>>,
    {
        self.env.wait.poll(expected, AGAIN, check).await
    }

    /// Waits until so many alerts of a rule fire.
    pub(super) async fn until_firing(&self, alert: &str, wanted: usize) -> Result<()> {
        self.until(&format!("{wanted} {alert} firing"), || async {
            let firing = self.firing().await?;
            let number = firing.iter().filter(|it| it.name() == alert).count();
            Ok(if number == wanted { State::Reached(()) } else { State::Waiting(names(&firing)) })
        })
        .await
    }

    /// Waits until none of these alerts fires.
    pub(super) async fn until_silent(&self, alerts: &[&str]) -> Result<()> {
        self.until(&format!("no {}", alerts.join(", ")), || async {
            let firing = self.firing().await?;
            let is_firing = firing.iter().any(|it| alerts.contains(&it.name()));
            Ok(if is_firing { State::Waiting(names(&firing)) } else { State::Reached(()) })
        })
        .await
    }

    /// Waits until exactly so many targets are there, and all of them are up.
    pub(super) async fn until_up(&self, wanted: &BTreeMap<String, usize>) -> Result<()> {
        self.until("all targets up", || async {
            let targets = self.targets().await?;
            let mut numbers = BTreeMap::new();
            for target in &targets {
                *numbers.entry(target.job().to_owned()).or_default() += 1;
            }
            let down: Vec<_> = targets.iter().filter(|target| target.health != "up").collect();
            match (down.first(), numbers == *wanted) {
                (None, true) => Ok(State::Reached(())),
                (Some(target), _) => Ok(State::Waiting(format!(
                    "{:?} is {}: {}",
                    target.labels, target.health, target.last_error
                ))),
                (None, false) => Ok(State::Waiting(format!("{numbers:?}, not {wanted:?}"))),
            }
        })
        .await
    }
}

impl Alert {
    pub(super) fn name(&self) -> &str {
        self.labels.get("alertname").map_or("", String::as_str)
    }
}

impl Target {
    fn job(&self) -> &str {
        self.labels.get("job").map_or("", String::as_str)
    }
}

fn names(alerts: &[Alert]) -> String {
    let names: Vec<_> = alerts.iter().map(Alert::name).collect();
    format!("firing: {}", names.join(" "))
}

/// The pod with its configuration.
fn manifest(configuration: &Value, rules: &Value) -> Value {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME}});
    let files = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME},
        // YAML takes JSON.
        "data": {"prometheus.yml": configuration.to_string(), "rules.yaml": rules.to_string()},
    });
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "labels": {"app": NAME}},
        "spec": {
            "serviceAccountName": NAME,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65534, "fsGroup": 65534},
            "containers": [{
                "name": NAME,
                "image": PROMETHEUS,
                "imagePullPolicy": "Never",
                "args": [
                    "--config.file=/etc/prometheus/prometheus.yml",
                    "--storage.tsdb.path=/data",
                ],
                "readinessProbe": {
                    "httpGet": {"path": "/-/ready", "port": PORT},
                    "periodSeconds": 1,
                },
                "volumeMounts": [
                    {"name": "configuration", "mountPath": "/etc/prometheus"},
                    {"name": "data", "mountPath": "/data"},
                ],
            }],
            "volumes": [
                {"name": "configuration", "configMap": {"name": NAME}},
                {"name": "data", "emptyDir": {}},
            ],
        },
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [account, files, pod]})
}

/// What it has to see of the operator's namespace.
fn rights(env: &ScenarioEnv<'_>) -> Value {
    let rules = [("", vec!["pods", "services"]), ("discovery.k8s.io", vec!["endpointslices"])];
    let rules = rules.map(|(group, resources)| {
        json!({"apiGroups": [group], "resources": resources, "verbs": ["get", "list", "watch"]})
    });
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": NAME},
        "rules": rules,
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": NAME},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": env.namespace()}],
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]})
}

/// A text as a part of a URL.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
