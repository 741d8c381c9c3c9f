//! Events on a Job.
//!
//! An event's name is derived from what it says, so that one that is published again after an
//! interruption is the same event.

use api::{conditions::Reason, names, v1beta1::Job};
use k8s_openapi::{
    api::{
        core::{self, v1::ObjectReference},
        events::v1::Event,
    },
    apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, PostParams},
};

/// The longest `note` that the API accepts, in bytes.
/// <https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/>
const MAX_NOTE: usize = 1024;

/// Reason of the events with which the DaemonSet controller tells of pods that were refused.
const FAILED_CREATE: &str = "FailedCreate";

/// Something that people want to know of a Job.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// Whether it asks for attention.
    pub is_warning: bool,
    /// Machine-readable, in CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Note {
    /// The DaemonSet of a Job was created, in the words of the built-in controllers.
    #[must_use]
    pub fn created(daemon_set: &str) -> Self {
        Self {
            is_warning: false,
            reason: "SuccessfulCreate".to_owned(),
            message: format!("Created DaemonSet {daemon_set}"),
        }
    }

    /// The work of a Job was changed while it ran.
    #[must_use]
    pub fn restarted() -> Self {
        Self {
            is_warning: false,
            reason: "WorkChanged".to_owned(),
            message: "The work changed and starts again on every node".to_owned(),
        }
    }

    /// A Job got this condition.
    #[must_use]
    pub fn condition(condition: &Condition) -> Self {
        Self {
            is_warning: condition.reason != Reason::Completed.as_str(),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        }
    }

    /// The logs of some nodes of a Job do not go back to the start of their containers. It names none,
    /// for it is to be one event whatever their number.
    #[must_use]
    pub fn log_rotated() -> Self {
        Self {
            is_warning: true,
            reason: names::LOG_ROTATED.to_owned(),
            message: "Some logs were first read late and do not go back to the start of their containers: a \
                      termination word that has rotated away is not found; see status.nodes"
                .to_owned(),
        }
    }

    /// The API server refuses the pods of a Job, in the words of the DaemonSet controller.
    #[must_use]
    pub fn failed_create(message: String) -> Self {
        Self { is_warning: true, reason: FAILED_CREATE.to_owned(), message }
    }

    fn event(&self, job: &Job, now: Timestamp) -> Event {
        let regarding = job.object_ref(&());
        Event {
            metadata: ObjectMeta {
                name: Some(self.name(job)),
                namespace: regarding.namespace.clone(),
                ..ObjectMeta::default()
            },
            type_: Some(if self.is_warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(self.reason.clone()),
            note: Some(truncated(&self.message, MAX_NOTE).to_owned()),
            action: Some("Reconcile".to_owned()),
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(names::OPERATOR.to_owned()),
            // The API demands an instance; replicas are told apart in the log.
            reporting_instance: Some(names::OPERATOR.to_owned()),
            regarding: Some(ObjectReference { resource_version: None, ..regarding }),
            ..Event::default()
        }
    }

    fn name(&self, job: &Job) -> String {
        let identity = format!(
            "{}/{}/{}/{}",
            job.uid().unwrap_or_default(),
            job.metadata.generation.unwrap_or_default(),
            self.reason,
            self.message
        );
        names::event(&job.name_any(), &identity)
    }
}

/// Publishes `note` about `job`, once however often it is called.
///
/// # Errors
/// When the API server does not answer, so that nothing else could be written either. An answer that is
/// no success is logged, for whatever is wrong with events, their etcd or a webhook, must not hold up the Job.
pub async fn publish(client: &Client, job: &Job, note: &Note, now: Timestamp) -> kube::Result<()> {
    let events: Api<Event> = Api::namespaced(client.clone(), &job.namespace().unwrap_or_default());
    let params =
        PostParams { field_manager: Some(names::OPERATOR.to_owned()), ..PostParams::default() };
    match events.create(&params, &note.event(job, now)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(refusal)) if refusal.code == 409 => Ok(()),
        Err(kube::Error::Api(refusal)) => {
            tracing::warn!(reason = note.reason, "event refused: {}", refusal.message);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Why the API server refused pods of the DaemonSet with this UID, a quota or Pod Security for
/// example: what its controller said last.
///
/// # Errors
/// When the API server could not take the call, which is no reason to hold up the Job.
pub async fn refused_pods(
    client: &Client,
    namespace: &str,
    daemon_set: &str,
) -> kube::Result<Option<Note>> {
    // The older API: it has field selectors for the object in every supported Kubernetes.
    let events: Api<core::v1::Event> = Api::namespaced(client.clone(), namespace);
    let selector = format!("involvedObject.uid={daemon_set},reason={FAILED_CREATE}");
    let said = events.list(&ListParams::default().fields(&selector)).await?;
    let last = said.items.into_iter().max_by_key(|event| event.last_timestamp.clone());
    Ok(last.and_then(|event| event.message).map(Note::failed_create))
}

/// The beginning of `text` in at most `max` bytes.
fn truncated(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_note_is_the_same_event_and_another_is_not() {
        let job = Job {
            metadata: ObjectMeta { name: Some("a".into()), ..ObjectMeta::default() },
            ..Job::default()
        };
        assert_eq!(Note::created("x").name(&job), Note::created("x").name(&job));
        assert_ne!(Note::created("x").name(&job), Note::restarted().name(&job));
        let mut recreated = job.clone();
        recreated.metadata.uid = Some("2".into());
        assert_ne!(Note::created("x").name(&job), Note::created("x").name(&recreated));
    }

    #[tokio::test]
    async fn an_answer_that_is_no_success_holds_nothing_up_and_none_does() {
        let publish = async |code: Option<u16>| {
            let service = tower::service_fn(move |_: http::Request<kube::client::Body>| {
                let status = serde_json::json!({"kind": "Status", "code": code, "message": "", "reason": ""});
                let body = kube::client::Body::from(status.to_string().into_bytes());
                let answer =
                    code.map(|code| http::Response::builder().status(code).body(body).unwrap());
                std::future::ready(answer.ok_or_else(|| std::io::Error::other("no answer")))
            });
            let client = Client::new(service, "default");
            super::publish(&client, &Job::default(), &Note::restarted(), Timestamp::UNIX_EPOCH)
                .await
        };
        for code in [403, 409, 422, 429, 500, 503] {
            assert!(publish(Some(code)).await.is_ok(), "{code}");
        }
        assert!(publish(None).await.is_err());
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        assert_eq!(truncated("aé", 2), "a");
        assert_eq!(truncated("aé", 3), "aé");
    }
}
