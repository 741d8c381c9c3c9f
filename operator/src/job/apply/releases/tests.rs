use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::testing::fixtures;

/// An API server that gives this answer to the patch of each pod, and counts them.
///
/// Its policy confines the operator.
fn writer(
    answer: impl Fn(&str) -> (u16, Value) + Send + Sync + 'static,
) -> (ReleaseWriter, Arc<AtomicUsize>) {
    writer_in(|_| by_policy(), answer)
}

/// The same, which gives the first answer to the trial of another change.
fn writer_in(
    trial: impl Fn(&str) -> (u16, Value) + Send + Sync + 'static,
    answer: impl Fn(&str) -> (u16, Value) + Send + Sync + 'static,
) -> (ReleaseWriter, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let pod = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let is_trial = request.uri().query().is_some_and(|query| query.contains("dryRun=All"));
        let (code, answer) = if is_trial {
            trial(&pod)
        } else {
            count.fetch_add(1, Relaxed);
            answer(&pod)
        };
        let body = Body::from(answer.to_string().into_bytes());
        let answer = Response::builder().status(code).body(body).unwrap();
        std::future::ready(Ok::<_, std::convert::Infallible>(answer))
    });
    (ReleaseWriter::new(Client::new(service, "default")), asked)
}

fn released() -> (u16, Value) {
    (200, json!({"metadata": {}}))
}

fn refused(code: u16, message: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "status": "Failure", "code": code, "message": message}))
}

fn by_policy() -> (u16, Value) {
    refused(
        422,
        "ValidatingAdmissionPolicy 'p' denied request: the operator may not change the metadata of pods",
    )
}

fn forbidden(pod: &str) -> (u16, Value) {
    refused(
        403,
        &format!("pods \"sample-daemonset-job-{pod}\" is forbidden: User \"u\" cannot patch"),
    )
}

fn releases(pods: impl IntoIterator<Item = String>) -> Vec<Release> {
    let release = |pod: String| Release {
        uid: format!("uid-{pod}"),
        node: "n".to_owned(),
        is_repeated: false,
        pod,
    };
    pods.into_iter().map(release).collect()
}

fn two() -> Vec<Release> {
    releases(["bcdfg", "hjklm"].map(str::to_owned))
}

async fn send(
    writer: &ReleaseWriter,
    releases: &[Release],
) -> Result<Option<Duration>, ReleaseFailure> {
    let job = fixtures::job();
    let job = JobView::new(&job);
    let due = writer.due(job.uid, releases);
    writer.send(&job, due, &|_| {}).await
}

#[tokio::test]
async fn a_pod_is_released_once_though_the_cache_shows_it_late() {
    let (writer, asked) = writer(|_| released());
    for _ in 0..3 {
        assert!(matches!(send(&writer, &two()).await, Ok(None)));
    }
    assert_eq!(asked.load(Relaxed), 2);
    // Another pod of the name has another UID.
    let mut other = two();
    other[0].uid = "other".to_owned();
    assert_eq!(writer.due("job-1", &other).len(), 1);
}

#[tokio::test]
async fn a_pod_that_is_gone_or_another_by_now_is_no_failure_and_is_looked_at_again() {
    let other = json!({
        "kind": "Status", "status": "Failure", "code": 422, "message": "immutable",
        "details": {"causes": [{"field": "metadata.uid"}]},
    });
    for answer in [refused(404, "gone"), refused(409, "conflict"), (422, other)] {
        let (writer, _) = writer(move |_| answer.clone());
        assert!(matches!(send(&writer, &two()).await, Ok(Some(LOOK_AGAIN))));
        assert_eq!(writer.refusal("job-1"), None);
        assert_eq!(writer.due("job-1", &two()).len(), 2);
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_the_api_servers_words_and_tried_again_after_a_rest() {
    let (writer, asked) = writer(forbidden);
    let failure = send(&writer, &two()).await.expect_err("a failure");
    let event = failure.event.expect("an event");
    assert_eq!(event.reason, "WriteRefused");
    let refusal = writer.refusal("job-1").expect("a refusal");
    let words = "User \"u\" cannot patch";
    assert!(refusal.contains(words) && event.message.contains(words), "{event:?}");
    assert!(writer.rest("job-1").is_some_and(|rest| !rest.is_zero()));
    assert!(writer.due("job-1", &two()).is_empty());
    assert_eq!((writer.refusal("job-2"), asked.load(Relaxed)), (None, 2));
    // No pod waits for it any more.
    writer.due("job-1", &[]);
    assert_eq!((writer.refusal("job-1"), writer.rest("job-1")), (None, None));
}

#[tokio::test]
async fn the_name_of_the_pod_that_was_refused_last_is_no_news() {
    let (writer, _) = writer(forbidden);
    let job = fixtures::job();
    let job = JobView::new(&job);
    let mut refusals = Vec::new();
    for release in two() {
        assert!(writer.send(&job, vec![release], &|_| {}).await.is_err());
        refusals.push(writer.refusal(job.uid));
    }
    assert!(refusals[0].is_some() && refusals[0] == refusals[1], "{refusals:?}");
}

#[tokio::test]
async fn a_pod_that_is_refused_holds_up_no_other_and_a_missing_right_costs_few_requests() {
    let all = releases((0..100).map(|number| format!("p{number}")));
    let (one_refused, asked) = writer(|pod| if pod == "p0" { forbidden(pod) } else { released() });
    assert!(send(&one_refused, &all).await.is_err());
    assert_eq!(asked.load(Relaxed), 100);
    let (all_refused, asked) = writer(forbidden);
    assert!(send(&all_refused, &all).await.is_err());
    assert!(asked.load(Relaxed) < 2 * AT_A_TIME, "{asked:?}");
    assert!(all_refused.due("job-1", &all).is_empty());
}

#[tokio::test]
async fn a_success_ends_a_refusal() {
    let fails = Arc::new(AtomicUsize::new(1));
    let left = Arc::clone(&fails);
    let (writer, _) = writer(move |pod| match left.swap(0, Relaxed) {
        0 => released(),
        _ => forbidden(pod),
    });
    let job = fixtures::job();
    let job = JobView::new(&job);
    let all = two();
    let [first, second] = all.clone().try_into().unwrap();
    assert!(writer.send(&job, vec![first.clone()], &|_| {}).await.is_err());
    assert!(writer.refusal(job.uid).is_some());
    // That of another pod does not.
    assert_eq!(writer.due(job.uid, &all), std::slice::from_ref(&second));
    assert!(writer.send(&job, vec![second], &|_| {}).await.is_ok());
    assert!(writer.refusal(job.uid).is_some());
    assert!(writer.send(&job, vec![first], &|_| {}).await.is_ok());
    assert_eq!(writer.refusal(job.uid), None);
}

#[tokio::test]
async fn a_fault_of_the_api_server_is_tried_again_and_is_no_refusal() {
    let (writer, _) = writer(|_| refused(503, "leader changed"));
    let failure = send(&writer, &two()).await.expect_err("a failure");
    assert!(failure.event.is_none());
    assert_eq!((writer.refusal("job-1"), writer.due("job-1", &two()).len()), (None, 2));
}

#[test]
fn the_longer_releases_are_refused_the_longer_are_the_rests() {
    let rest = |lasted: u64| {
        let now = Instant::now();
        let since = now.checked_sub(Duration::from_secs(lasted)).unwrap();
        Refused { since, ..Refused::new(now) }.rest().as_secs_f64().round()
    };
    assert_eq!([0, 10, 600].map(rest), [1.0, 5.0, 60.0]);
}

#[tokio::test]
async fn no_pod_is_let_start_while_the_operator_could_change_more_of_pods() {
    let is_confined = Arc::new(AtomicUsize::new(0));
    let policy = Arc::clone(&is_confined);
    let trial = move |_: &str| if policy.load(Relaxed) == 0 { released() } else { by_policy() };
    let (writer, asked) = writer_in(trial, |_| released());
    let again = send(&writer, &two()).await.unwrap();
    assert!(again.is_some_and(|again| !again.is_zero() && again <= SHORTEST_REST), "{again:?}");
    assert_eq!((writer.refusal("job-1").as_deref(), asked.load(Relaxed)), (Some(UNCONFINED), 0));
    assert!(writer.due("job-1", &two()).is_empty());
    // Somebody has installed the policy.
    is_confined.store(1, Relaxed);
    let job = fixtures::job();
    writer.send(&JobView::new(&job), two(), &|_| {}).await.unwrap();
    assert_eq!((writer.refusal("job-1"), asked.load(Relaxed)), (None, 2));
}

#[tokio::test]
async fn pods_may_be_gone_when_it_is_tried_and_others_say_whether_the_operator_is_confined() {
    let trial = |pod: &str| if pod == "bcdfg" { refused(404, "gone") } else { by_policy() };
    let (writer, asked) = writer_in(trial, |_| released());
    assert!(matches!(send(&writer, &two()).await, Ok(None)));
    assert_eq!(asked.load(Relaxed), 2);
    let (writer, asked) = writer_in(|_| refused(404, "gone"), |_| released());
    assert!(matches!(send(&writer, &two()).await, Ok(Some(LOOK_AGAIN))));
    assert_eq!(asked.load(Relaxed), 0);
}

#[tokio::test]
async fn a_trial_that_is_refused_for_another_reason_lets_no_pod_start() {
    for answer in [forbidden("bcdfg"), refused(403, "ValidatingAdmissionPolicy 'other' says no")] {
        let words = answer.1["message"].as_str().unwrap().to_owned();
        let (writer, asked) = writer_in(move |_| answer.clone(), |_| released());
        assert!(send(&writer, &two()).await.is_err());
        let refusal = writer.refusal("job-1").expect("a refusal");
        assert!(refusal.contains(&words), "{refusal}");
        assert!(writer.due("job-1", &two()).is_empty());
        assert_eq!(asked.load(Relaxed), 0);
    }
}
