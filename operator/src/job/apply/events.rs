//! Publishes events on a Job.
//!
//! An event's name is derived from its reason and the cause in its message, so that one that is published again,
//! after an interruption or because the cause lasts, is the same event.

use api::labels;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use runtime::client::is_conflict;

use crate::job::decide::{
    events::{JobEvent, cause},
    job_view::JobView,
};

/// The longest `note` that the API accepts, in bytes.
/// <https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/>
const MAX_NOTE: usize = 1024;

/// Publishes `event` about `job`, once however often this is called.
///
/// # Errors
/// When the API server does not answer, so that nothing else could be written either. Any other failure is
/// logged, for a fault of events, of their etcd or of a webhook must not hold up the Job.
pub(crate) async fn publish(
    client: &Client,
    job: &JobView<'_>,
    event: &JobEvent,
    now: Timestamp,
) -> kube::Result<()> {
    let events: Api<Event> = Api::namespaced(client.clone(), job.namespace);
    let params =
        PostParams { field_manager: Some(labels::OPERATOR.to_owned()), ..PostParams::default() };
    match events.create(&params, &object(event, job, now)).await {
        Ok(_) => Ok(()),
        Err(error) if is_conflict(&error) => Ok(()),
        Err(kube::Error::Api(refusal)) => {
            tracing::warn!(reason = event.reason, "event refused: {}", refusal.message);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// `event` as an object.
fn object(event: &JobEvent, job: &JobView<'_>, now: Timestamp) -> Event {
    let regarding = job.object_reference();
    Event {
        metadata: ObjectMeta {
            name: Some(name(event, job)),
            namespace: regarding.namespace.clone(),
            ..ObjectMeta::default()
        },
        type_: Some(if event.is_warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(event.reason.clone()),
        note: Some(truncated(&event.message, MAX_NOTE).to_owned()),
        action: Some("Reconcile".to_owned()),
        event_time: Some(MicroTime(now)),
        reporting_controller: Some(labels::OPERATOR.to_owned()),
        // The API demands an instance; only the log tells replicas apart.
        reporting_instance: Some(labels::OPERATOR.to_owned()),
        regarding: Some(ObjectReference { resource_version: None, ..regarding }),
        ..Event::default()
    }
}

fn name(event: &JobEvent, job: &JobView<'_>) -> String {
    let identity = format!(
        "{}/{}/{}/{}",
        job.uid,
        job.metadata.generation.unwrap_or_default(),
        event.reason,
        cause(&event.message)
    );
    labels::event(job.name, &identity)
}

/// The beginning of `text` in at most `max` bytes.
fn truncated(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use api::job::Job;

    use super::*;

    #[test]
    fn the_same_note_is_the_same_event_and_another_is_not() {
        let job = Job {
            metadata: ObjectMeta { name: Some("a".into()), ..ObjectMeta::default() },
            ..Job::default()
        };
        let mut recreated = job.clone();
        recreated.metadata.uid = Some("2".into());
        let (job, recreated) = (JobView::new(&job), JobView::new(&recreated));
        assert_eq!(name(&JobEvent::created("x"), &job), name(&JobEvent::created("x"), &job));
        assert_ne!(name(&JobEvent::created("x"), &job), name(&JobEvent::restarted(), &job));
        let refused = |pod: &str| JobEvent::failed_create(format!("pods \"a-{pod}\" is forbidden"));
        assert_eq!(name(&refused("x7k2p"), &job), name(&refused("bcdfg"), &job));
        assert_ne!(name(&JobEvent::created("x"), &job), name(&JobEvent::created("x"), &recreated));
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
            let job = Job::default();
            let (job, now) = (JobView::new(&job), Timestamp::UNIX_EPOCH);
            super::publish(&client, &job, &JobEvent::restarted(), now).await
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
