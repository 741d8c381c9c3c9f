//! Refuses invalid specs of Jobs.
//!
//! By the schema in [`crate::job`] the API server refuses most of them at `kubectl apply`, in the same
//! words. Jobs that were stored under an older schema are only checked here.

mod field;
mod turns;

use std::fmt;

use k8s_openapi::api::core::v1::PodTemplateSpec;

pub use self::field::InvalidField;
use self::field::{Check, at_least, optional};
use super::spec::{
    ABSOLUTE, CompletionMode, DeletionPolicy, JobSpec, NO_DOTS, NO_WHITE_SPACE, NOT_EMPTY,
    NOT_WITH_RETAIN, ONE_LINE,
};
use super::{refusal::Refusal, template};
use crate::labels;

/// Error of a restart policy of the job container.
const NO_RESTART_POLICY: &str =
    "must not be set: the kubelet restarts the container until it exits with 0";

/// All invalid fields of a spec; never empty.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct InvalidSpec(pub Vec<InvalidField>);

impl fmt::Display for InvalidSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{field}")?;
        }
        Ok(())
    }
}

/// Checks `spec`.
///
/// # Errors
/// Returns every invalid field, so that the user can fix all of them at once.
pub fn validate(spec: &JobSpec) -> Result<(), InvalidSpec> {
    let seconds = |minimum| move |value| at_least(minimum, value);
    let nodes = |value: i32| at_least(0, value.into());
    let checks = [
        ("spec.image", image(&spec.image)),
        ("spec.mountPath", optional(spec.mount_path.as_deref(), mount_path)),
        ("spec.terminationWord", optional(spec.termination_word.as_deref(), termination_word)),
        ("spec.backoffLimitPerNode", optional(spec.backoff_limit_per_node, nodes)),
        ("spec.maxFailedNodes", optional(spec.max_failed_nodes, nodes)),
        ("spec.activeDeadlineSeconds", optional(spec.active_deadline_seconds, seconds(1))),
        ("spec.ttlSecondsAfterFinished", optional(spec.ttl_seconds_after_finished, seconds(0))),
        ("spec.ttlSecondsAfterFinished", ttl_with_policy(spec)),
    ];
    let mut invalid: Vec<_> = checks
        .into_iter()
        .filter_map(|(field, result)| {
            Some(InvalidField { field: field.to_owned(), message: result.err()? })
        })
        .collect();
    turns::check(spec, &mut invalid);
    let template = spec.template.as_ref().map(template::parse);
    let refusal = match &template {
        Some(Ok(template)) => restart_policy(spec.completion_mode, template).err(),
        Some(Err(refusal)) => Some(refusal.clone()),
        None => None,
    };
    if let Some(Refusal { path, message }) = refusal {
        let separator = if path.is_empty() { "" } else { "." };
        invalid.push(InvalidField { field: format!("spec.template{separator}{path}"), message });
    }
    if invalid.is_empty() { Ok(()) } else { Err(InvalidSpec(invalid)) }
}

/// Refuses a restart policy of the job container where that is an init container.
///
/// With `Always` it would be a sidecar, whose end nothing waits for; with the others it would not be retried.
fn restart_policy(mode: CompletionMode, template: &PodTemplateSpec) -> Result<(), Refusal> {
    let containers = template.spec.iter().flat_map(|spec| &spec.containers).enumerate();
    let mut containers = containers.filter(|(_, container)| {
        container.name == labels::JOB_CONTAINER && container.restart_policy.is_some()
    });
    match containers.next().filter(|_| mode == CompletionMode::ExitCode) {
        Some((index, _)) => Err(Refusal {
            path: format!("spec.containers[{index}].restartPolicy"),
            message: NO_RESTART_POLICY.to_owned(),
        }),
        None => Ok(()),
    }
}

/// Checks the name of an image, of a Job or of the operator's settings.
///
/// # Errors
/// Returns a description of the error.
pub fn image(image: &str) -> Result<(), String> {
    if image.is_empty() {
        return Err(NOT_EMPTY.into());
    }
    if image.contains(char::is_whitespace) {
        return Err(format!("{NO_WHITE_SPACE}: {image:?}"));
    }
    Ok(())
}

fn mount_path(path: &str) -> Check {
    if !path.starts_with('/') {
        return Err(format!("{ABSOLUTE}: {path:?}"));
    }
    if path.split('/').any(|component| component == "..") {
        return Err(format!("{NO_DOTS}: {path:?}"));
    }
    Ok(())
}

fn ttl_with_policy(spec: &JobSpec) -> Check {
    match spec.ttl_seconds_after_finished {
        Some(seconds) if spec.deletion_policy == DeletionPolicy::Retain => {
            Err(format!("{NOT_WITH_RETAIN}: {seconds}"))
        }
        _ => Ok(()),
    }
}

/// Checks a termination word, of a Job or of the terminator's settings.
///
/// # Errors
/// Returns a description of the error.
pub fn termination_word(word: &str) -> Result<(), String> {
    if word.trim().is_empty() {
        return Err(NOT_EMPTY.into());
    }
    if word.contains(['\r', '\n']) {
        return Err(format!("{ONE_LINE}: {word:?}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut JobSpec);

    fn messages(change: Change) -> String {
        let mut spec = JobSpec { image: "busybox".into(), ..JobSpec::default() };
        change(&mut spec);
        validate(&spec).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_spec_with_only_an_image_is_accepted() {
        assert_eq!(messages(|_| ()), "");
    }

    #[test]
    fn mount_paths_are_accepted_as_the_node_sees_them() {
        for path in ["/", "/tmp", "/tmp/", "/var/lib/..data", "/a.b/.../c", "/a//b", "/./a"] {
            let spec = JobSpec {
                image: "busybox".into(),
                mount_path: Some(path.into()),
                ..JobSpec::default()
            };
            assert_eq!(validate(&spec), Ok(()), "{path}");
        }
    }

    #[test]
    fn each_bad_field_is_named() {
        let table: [(Change, &str); 9] = [
            (|spec| spec.image.clear(), "spec.image: must not be empty"),
            (|spec| spec.image = "a b".into(), "spec.image: must not contain white space: \"a b\""),
            (
                |spec| spec.mount_path = Some("tmp".into()),
                "spec.mountPath: must be an absolute path: \"tmp\"",
            ),
            (
                |spec| spec.mount_path = Some(String::new()),
                "spec.mountPath: must be an absolute path: \"\"",
            ),
            (
                |spec| spec.mount_path = Some("/tmp/../etc".into()),
                "spec.mountPath: must not contain \"..\": \"/tmp/../etc\"",
            ),
            (
                |spec| spec.termination_word = Some(String::new()),
                "spec.terminationWord: must not be empty",
            ),
            (
                |spec| spec.termination_word = Some(" \t".into()),
                "spec.terminationWord: must not be empty",
            ),
            (
                |spec| spec.termination_word = Some("a\nb".into()),
                "spec.terminationWord: must be on one line: \"a\\nb\"",
            ),
            (
                |spec| {
                    spec.deletion_policy = DeletionPolicy::Retain;
                    spec.ttl_seconds_after_finished = Some(60);
                },
                "spec.ttlSecondsAfterFinished: must not be set with deletionPolicy Retain: 60",
            ),
        ];
        for (change, expected) in table {
            assert_eq!(messages(change), expected);
        }
    }

    #[test]
    fn all_bad_fields_are_named_at_once() {
        let message = messages(|spec| {
            spec.image.clear();
            spec.mount_path = Some("tmp".into());
        });
        assert_eq!(
            message,
            "spec.image: must not be empty; spec.mountPath: must be an absolute path: \"tmp\""
        );
    }
}
