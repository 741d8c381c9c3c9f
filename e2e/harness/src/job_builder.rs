//! Manifests of Jobs.

use std::fmt;

use api::job::{CompletionMode, Job, JobSpec};
use api::labels;
use kube::ResourceExt as _;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::images;

/// The manifest of a Job. As text it is JSON, which kubectl applies as it does YAML.
#[derive(Clone, Debug)]
#[must_use]
pub struct JobBuilder(Job);

impl JobBuilder {
    /// A Job with this image and nothing else.
    pub fn new(name: &str, image: &str) -> Self {
        Self(Job::new(name, JobSpec { image: image.to_owned(), ..JobSpec::default() }))
    }

    /// The Job of the README, under another name.
    pub fn cleanup(name: &str) -> Self {
        let image = format!("{}/{}:{}", images::REGISTRY, images::CLEANUP, images::CLEANUP_VERSION);
        Self::new(name, &image).args(["/basetarget/foo"]).mount("/tmp")
    }

    /// A Job that runs a shell script.
    pub fn shell(name: &str, script: &str) -> Self {
        Self::new(name, images::BUSYBOX).command(["sh", "-c"]).args([script])
    }

    /// Sets the image.
    pub fn image(mut self, image: &str) -> Self {
        self.0.spec.image = image.to_owned();
        self
    }

    /// Sets the entrypoint.
    pub fn command<'a>(mut self, command: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.spec.command = command.into_iter().map(str::to_owned).collect();
        self
    }

    /// Sets the arguments of the entrypoint.
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.spec.args = args.into_iter().map(str::to_owned).collect();
        self
    }

    /// Mounts a folder of the node.
    pub fn mount(mut self, path: &str) -> Self {
        self.0.spec.mount_path = Some(path.to_owned());
        self
    }

    /// Nodes are done when the container exits with 0.
    pub fn exit_code(mut self) -> Self {
        self.0.spec.completion_mode = CompletionMode::ExitCode;
        self
    }

    /// Nodes are done when the container has logged this word.
    pub fn word(mut self, word: &str) -> Self {
        self.0.spec.termination_word = Some(word.to_owned());
        self
    }

    /// Sets `backoffLimitPerNode`.
    pub fn backoff_limit(mut self, runs: i32) -> Self {
        self.0.spec.backoff_limit_per_node = Some(runs);
        self
    }

    /// Sets `maxFailedNodes`.
    pub fn max_failed_nodes(mut self, nodes: i32) -> Self {
        self.0.spec.max_failed_nodes = Some(nodes);
        self
    }

    /// Sets `activeDeadlineSeconds`.
    pub fn deadline(mut self, seconds: i64) -> Self {
        self.0.spec.active_deadline_seconds = Some(seconds);
        self
    }

    /// Sets `ttlSecondsAfterFinished`.
    pub fn ttl(mut self, seconds: i64) -> Self {
        self.0.spec.ttl_seconds_after_finished = Some(seconds);
        self
    }

    /// Sets the pod template.
    pub fn template(mut self, template: Value) -> Self {
        self.0.spec.template = Some(template);
        self
    }

    /// Runs the Job on the nodes with this label only.
    pub fn node_selector(mut self, label: &str, value: &str) -> Self {
        self.0.spec.template.get_or_insert(json!({}))["spec"]["nodeSelector"][label] = value.into();
        self
    }

    /// Runs the Job on the node of this host name only.
    pub fn only_on(self, node: &str) -> Self {
        self.node_selector("kubernetes.io/hostname", node)
    }

    /// Sets fields of the job container in the pod template, which has no other container.
    pub fn container(mut self, mut fields: Value) -> Self {
        fields["name"] = labels::JOB_CONTAINER.into();
        self.0.spec.template.get_or_insert(json!({}))["spec"]["containers"] = json!([fields]);
        self
    }

    /// Gives the job container the name of its node as `$NODE`.
    pub fn with_node_name(self) -> Self {
        let node = json!({"fieldRef": {"fieldPath": "spec.nodeName"}});
        self.container(json!({"env": [{"name": "NODE", "valueFrom": node}]}))
    }

    /// Changes what no other function here sets.
    pub fn set(mut self, change: impl FnOnce(&mut JobSpec)) -> Self {
        change(&mut self.0.spec);
        self
    }

    /// Adds a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0.labels_mut().insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds an annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0.annotations_mut().insert(key.to_owned(), value.to_owned());
        self
    }

    /// The Job.
    pub fn job(&self) -> &Job {
        &self.0
    }

    /// The manifest, for fields that no Job has.
    pub fn json(&self) -> Value {
        json!(self.0)
    }
}

impl Serialize for JobBuilder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl fmt::Display for JobBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.json().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_has_what_was_set_and_nothing_else() {
        let job = JobBuilder::cleanup("a").exit_code().ttl(0).only_on("n").with_node_name();
        let expected = json!({
            "apiVersion": "daemonset.darkowlzz.space/v1beta1",
            "kind": "Job",
            "metadata": {"name": "a"},
            "spec": {
                "image": "darkowlzz/cleanup:v0.0.2",
                "args": ["/basetarget/foo"],
                "mountPath": "/tmp",
                "completionMode": "ExitCode",
                "ttlSecondsAfterFinished": 0,
                "template": {"spec": {
                    "nodeSelector": {"kubernetes.io/hostname": "n"},
                    "containers": [{
                        "name": "job-container",
                        "env": [{
                            "name": "NODE",
                            "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}},
                        }],
                    }],
                }},
            },
        });
        assert_eq!(job.json(), expected);
    }
}
