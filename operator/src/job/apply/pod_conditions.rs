//! Records the tally of a pod's runs on the pod itself.

use api::labels;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{
    api::core::v1::PodCondition, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp,
};
use kube::Client;
use runtime::client::{PodId, is_conflict, is_gone, set_condition};

use crate::job::decide::tally::PodTally;

/// Pods to write to at a time: a whole rack may boot at once.
const AT_A_TIME: usize = 16;

/// Sets the condition [`labels::POD_SANDBOX_CHANGED`] of pods that are still there.
///
/// # Errors
/// When the API server does not accept one; the others may not have been tried then.
pub(crate) async fn record(
    client: &Client,
    namespace: &str,
    tallies: &[PodTally],
    now: Timestamp,
) -> kube::Result<()> {
    let record = async |PodTally { pod, uid, tally }: &PodTally| {
        let condition = PodCondition {
            type_: labels::POD_SANDBOX_CHANGED.to_owned(),
            status: "True".to_owned(),
            reason: Some("SandboxChanged".to_owned()),
            message: Some(tally.to_string()),
            last_transition_time: Some(Time(now)),
            ..PodCondition::default()
        };
        let pod = PodId { namespace, name: pod, uid, version: None };
        match set_condition(client, pod, &condition, labels::OPERATOR).await {
            Err(error) if is_gone(&error) || is_conflict(&error) => Ok(()),
            written => written.map(drop),
        }
    };
    stream::iter(tallies).map(Ok).try_for_each_concurrent(AT_A_TIME, record).await
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;
    use crate::job::decide::tally::Tally;

    /// The result when the API server answers with this code, and the number of calls.
    async fn recorded(code: u16) -> (kube::Result<()>, usize) {
        let asked = Arc::new(Mutex::new(0));
        let count = Arc::clone(&asked);
        let service = tower::service_fn(move |_: Request<Body>| {
            *count.lock().unwrap() += 1;
            let answer = match code {
                200 => json!({"metadata": {}}),
                _ => json!({"kind": "Status", "status": "Failure", "code": code}),
            };
            let body = Body::from(answer.to_string().into_bytes());
            let answer = Response::builder().status(code).body(body).unwrap();
            std::future::ready(Ok::<_, std::convert::Infallible>(answer))
        });
        let client = Client::new(service, "default");
        let tally = |pod: &str| PodTally {
            pod: pod.to_owned(),
            uid: pod.to_owned(),
            tally: Tally::default(),
        };
        let result = record(&client, "n", &[tally("a"), tally("b")], Timestamp::UNIX_EPOCH).await;
        let asked = *asked.lock().unwrap();
        (result, asked)
    }

    #[tokio::test]
    async fn pods_that_are_gone_need_no_record() {
        for code in [200, 404, 409] {
            let (result, asked) = recorded(code).await;
            assert!(result.is_ok() && asked == 2, "{code}: {result:?}, {asked}");
        }
        assert!(recorded(500).await.0.is_err());
    }
}
