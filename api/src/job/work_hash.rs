//! Hash of a Job's work, the part of its spec whose change starts a new run.

use serde::Serialize;
use serde_json::Value;

use super::canonical::canonical;
use super::spec::{CompletionMode, JobSpec};
use crate::labels;

/// Hexadecimal digits of a work hash: 64 bits distinguish the works of one Job.
const DIGITS: usize = 16;

/// The hashed fields of a spec.
///
/// Unset fields are left out: a field that a later version adds changes no existing hash, so an upgraded
/// operator restarts nothing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Work<'a> {
    image: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    command: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    args: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    mount_path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    termination_word: Option<&'a str>,
    #[serde(skip_serializing_if = "CompletionMode::is_default")]
    completion_mode: CompletionMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<&'a Value>,
}

/// Hash of the work in `spec`, equal for specs that run the same work.
#[must_use]
pub fn hash(spec: &JobSpec) -> String {
    let template = spec.template.as_ref();
    let template = template.and_then(|template| canonical(template, &spec.image));
    digest(spec, template.as_ref())
}

/// Hash of the work in `spec`, or the `recorded` one of an earlier version for it.
///
/// Up to 0.1.0 the hash was that of the template as the user wrote it. DaemonSets and pods of Jobs that began
/// then carry that one, and must not start again.
#[must_use]
pub fn hash_as_recorded(spec: &JobSpec, recorded: Option<&str>) -> String {
    let hash = hash(spec);
    match recorded {
        Some(recorded) if recorded != hash && recorded == digest(spec, spec.template.as_ref()) => {
            recorded.to_owned()
        }
        _ => hash,
    }
}

fn digest(spec: &JobSpec, template: Option<&Value>) -> String {
    let work = Work {
        image: &spec.image,
        command: &spec.command,
        args: &spec.args,
        mount_path: spec.mount_path.as_deref(),
        termination_word: spec.termination_word.as_deref(),
        completion_mode: spec.completion_mode,
        template,
    };
    // Strings, lists and maps of strings always serialize, maps in the order of their keys.
    let bytes = serde_json::to_vec(&work).unwrap_or_default();
    labels::hex_digest(&bytes, DIGITS)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::{
        apis::meta::v1::LabelSelector, util::intstr::IntOrString,
    };
    use serde_json::json;

    use super::*;
    use crate::job::{CompletionPolicy, Window};

    fn spec() -> JobSpec {
        JobSpec {
            image: "darkowlzz/cleanup:v0.0.2".into(),
            args: vec!["/basetarget/foo".into()],
            mount_path: Some("/tmp".into()),
            ..JobSpec::default()
        }
    }

    /// A changed hash would restart every running Job at the operator's upgrade.
    #[test]
    fn the_hash_of_a_spec_stays_the_same_from_version_to_version() {
        assert_eq!(hash(&spec()), "f1796230ae9b7f4a");
    }

    #[test]
    fn every_field_of_the_work_changes_the_hash() {
        let changes: [fn(&mut JobSpec); 7] = [
            |spec| spec.image.push('1'),
            |spec| spec.command = vec!["sh".into()],
            |spec| spec.args.push("-v".into()),
            |spec| spec.mount_path = None,
            |spec| spec.termination_word = Some("done".into()),
            |spec| spec.completion_mode = CompletionMode::ExitCode,
            |spec| spec.template = Some(json!({"spec": {"hostPID": true}})),
        ];
        for change in changes {
            let mut changed = spec();
            change(&mut changed);
            assert_ne!(hash(&changed), hash(&spec()), "{changed:?}");
        }
    }

    fn with_cpu(cpu: &str) -> JobSpec {
        let resources = json!({"limits": {"cpu": cpu}});
        let container = json!({"name": "job-container", "resources": resources});
        JobSpec { template: Some(json!({"spec": {"containers": [container]}})), ..spec() }
    }

    #[test]
    fn templates_that_mean_the_same_have_the_same_hash() {
        assert_eq!(hash(&with_cpu("1000m")), hash(&with_cpu("1")));
        assert_ne!(hash(&with_cpu("1000m")), hash(&with_cpu("2")));
        assert_eq!(hash(&JobSpec { template: Some(json!({"spec": {}})), ..spec() }), hash(&spec()));
    }

    /// 0.1.0 hashed templates as they were written.
    #[test]
    fn a_job_of_an_earlier_version_keeps_its_hash_until_its_work_changes() {
        let old = "54a31b7211bf632d";
        assert_eq!(digest(&with_cpu("1000m"), with_cpu("1000m").template.as_ref()), old);
        assert_eq!(hash_as_recorded(&with_cpu("1000m"), Some(old)), old);
        assert_eq!(hash_as_recorded(&with_cpu("2"), Some(old)), hash(&with_cpu("2")));
        assert_eq!(hash_as_recorded(&with_cpu("1000m"), None), hash(&with_cpu("1000m")));
        // A template that was in its canonical form has the hash that it had.
        assert_eq!(
            digest(&with_cpu("1"), with_cpu("1").template.as_ref()),
            hash(&with_cpu("1000m"))
        );
    }

    #[test]
    fn limits_do_not_change_the_hash_and_nor_does_the_order_of_a_template() {
        let mut edited = spec();
        edited.ttl_seconds_after_finished = Some(1);
        edited.active_deadline_seconds = Some(1);
        edited.backoff_limit_per_node = Some(1);
        edited.max_failed_nodes = Some(1);
        edited.parallelism = Some(IntOrString::Int(1));
        edited.min_ready_seconds = Some(1);
        edited.order = vec![LabelSelector::default()];
        edited.windows = vec![Window::default()];
        edited.suspend = Some(true);
        edited.completion_policy = CompletionPolicy::Never;
        assert_eq!(hash(&edited), hash(&spec()));
        let with = |template: &str| JobSpec {
            template: serde_json::from_str(template).unwrap(),
            ..spec()
        };
        assert_eq!(hash(&with(r#"{"a": 1, "b": 2}"#)), hash(&with(r#"{"b": 2, "a": 1}"#)));
    }
}
