//! Refusals of DaemonSets by the API server: what helps, and when to try again.

use std::time::{Duration, Instant};

use api::job::{
    JobStatus,
    conditions::{self, FAILED, Reason},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use kube::core::Status;
use runtime::expiring_map::ExpiringMap;

use super::error::Error;
use crate::job::decide::{events::JobEvent, job_view::JobView, retry_interval};

/// How long answers that most often go by themselves are tried again before the Job reports them.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time without another such answer after which the next one is the first again.
const FORGET: Duration = Duration::from_secs(30);
/// Time for which attempts are remembered: longer than between two of them.
const ATTEMPTS: Duration = Duration::from_mins(2);
/// Bytes of an answer that a condition quotes.
const MAX_ANSWER: usize = 4096;

/// Remembers refusals by the UID of the Job.
pub(crate) struct Refusals {
    /// When an answer that may go by itself came first.
    first: ExpiringMap<Instant>,
    /// When a DaemonSet was refused last.
    last: ExpiringMap,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { first: ExpiringMap::new(FORGET), last: ExpiringMap::new(ATTEMPTS) }
    }
}

impl Refusals {
    /// Returns the refusal that `job` shows, while it is too early for another attempt.
    ///
    /// An edit of the Job is tried at once.
    pub(super) fn rest(&self, job: &JobView<'_>, now: Timestamp) -> Result<(), Error> {
        let known =
            known(job.status).filter(|known| known.observed_generation == job.metadata.generation);
        let known = known.and_then(|known| Some((known, Reason::of(known)?)));
        let is_early = |known: &Condition| {
            self.last.age(job.uid).is_some_and(|age| age < retry_interval(known, now))
        };
        match known.filter(|(known, _)| is_early(known)) {
            Some((known, reason)) => Err(Error::Refused(reason, known.message.clone())),
            None => Ok(()),
        }
    }

    /// Turns the answer to a DaemonSet of `job` into a refusal, if it is one.
    pub(super) fn of(&self, job: &JobView<'_>, error: kube::Error) -> Error {
        let kube::Error::Api(status) = &error else {
            return error.into();
        };
        let reason = match remedy(status) {
            Remedy::Edit => Reason::InvalidSpec,
            Remedy::Retry => Reason::DaemonSetRefused,
            Remedy::Time => {
                let lasts = self.lasts(job.uid);
                let is_reported =
                    known(job.status).and_then(Reason::of) == Some(Reason::DaemonSetRefused);
                if !is_reported && !lasts {
                    return error.into();
                }
                Reason::DaemonSetRefused
            }
        };
        self.last.insert(job.uid, ());
        let message = format!("the API server refuses the DaemonSet: {}", answer(status));
        Error::Refused(reason, message)
    }
}

impl Refusals {
    /// The event about a write that is refused, other than that of a DaemonSet.
    ///
    /// Answers that most often go by themselves are an event when they stay.
    pub(crate) fn event(&self, job: &JobView<'_>, error: &kube::Error) -> Option<JobEvent> {
        self.refusal(job, error).map(|answer| JobEvent::write_refused(&answer))
    }

    /// The API server's words, if `error` is its refusal.
    pub(super) fn refusal(&self, job: &JobView<'_>, error: &kube::Error) -> Option<String> {
        let kube::Error::Api(status) = error else {
            return None;
        };
        let is_refused = remedy(status) != Remedy::Time || self.lasts(job.uid);
        is_refused.then(|| answer(status))
    }

    /// Whether answers that may go by themselves have come for a while, this one among them.
    fn lasts(&self, job: &str) -> bool {
        let first = self.first.get(job).unwrap_or_else(Instant::now);
        self.first.insert(job, first);
        first.elapsed() >= PATIENCE
    }
}

/// The condition of a refused DaemonSet.
fn known(status: Option<&JobStatus>) -> Option<&Condition> {
    let failed = conditions::find_true(&status?.conditions, FAILED)?;
    matches!(Reason::of(failed), Some(Reason::InvalidSpec | Reason::DaemonSetRefused))
        .then_some(failed)
}

/// What may make the API server accept a DaemonSet that it has refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Remedy {
    /// Only an edit of the Job.
    Edit,
    /// A change of something else: a quota, a policy, a right.
    Retry,
    /// Most often just time.
    Time,
}

/// What helps against an answer.
///
/// Admission comes first: it refuses with any code, 400 and 422 among them, and may allow tomorrow what it
/// forbids today.
/// <https://github.com/kubernetes/apiserver/blob/master/pkg/admission/plugin/webhook/errors/statuserror.go>
///
/// Server-side apply answers 500 where an item is twice in a list or a value has another type than the schema
/// says, and etcd where the object is too large.
/// <https://github.com/kubernetes/apimachinery/blob/master/pkg/util/managedfields/internal/structuredmerge.go>
fn remedy(status: &Status) -> Remedy {
    let says = |words: &str| status.message.contains(words);
    let is_denied = says("admission webhook") || says("ValidatingAdmissionPolicy");
    let is_not_typed =
        says("failed to create typed patch object") || says("duplicate entries for key");
    match status.code {
        403 if says("because it is being terminated") => Remedy::Time,
        401 | 404 | 409 | 410 | 429 => Remedy::Time,
        400..500 if is_denied => Remedy::Retry,
        400 | 413 | 415 | 422 => Remedy::Edit,
        400..500 => Remedy::Retry,
        500 if is_not_typed || says("request is too large") => Remedy::Edit,
        _ => Remedy::Time,
    }
}

fn answer(status: &Status) -> String {
    match status.message.trim() {
        "" => format!("{} ({})", status.reason, status.code),
        message => message[..message.floor_char_boundary(MAX_ANSWER)].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use api::job::Job;

    use super::*;
    use crate::testing::fixtures;

    fn error(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Status::failure(message, "Reason").with_code(code).boxed())
    }

    fn reason(refusals: &Refusals, job: &Job, code: u16, message: &str) -> Option<Reason> {
        match refusals.of(&JobView::new(job), error(code, message)) {
            Error::Refused(reason, text) => {
                assert!(text.contains(message), "{text}");
                Some(reason)
            }
            _ => None,
        }
    }

    #[test]
    fn the_cause_decides_whether_an_edit_or_another_attempt_helps() {
        let (edit, retry) = (Some(Reason::InvalidSpec), Some(Reason::DaemonSetRefused));
        let denied = "admission webhook \"a.b.c\" denied the request: no";
        for (code, message, expected) in [
            (422, "DaemonSet.apps \"a\" is invalid: spec.x: bad", edit),
            (400, "unable to decode", edit),
            (413, "Request entity too large: limit is 3145728", edit),
            (
                500,
                "failed to create typed patch object (a/b; apps/v1, Kind=DaemonSet): errors",
                edit,
            ),
            (500, ".spec: duplicate entries for key [name=\"LEVEL\"]", edit),
            (500, "etcdserver: request is too large", edit),
            (403, "daemonsets.apps \"a\" is forbidden: exceeded quota: q", retry),
            (403, "User \"x\" cannot patch resource", retry),
            (400, denied, retry),
            (422, denied, retry),
            (418, denied, retry),
            (422, "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", retry),
            (
                403,
                "forbidden: unable to create new content in namespace a because it is being terminated",
                None,
            ),
            (404, "namespaces \"a\" not found", None),
            (409, "conflict", None),
            (429, "too many requests", None),
            (500, "Internal error occurred: failed calling webhook \"a\"", None),
            (503, "etcdserver: leader changed", None),
        ] {
            assert_eq!(
                reason(&Refusals::default(), &fixtures::job(), code, message),
                expected,
                "{message}"
            );
        }
    }

    #[test]
    fn an_answer_that_may_go_by_itself_is_reported_when_it_stays() {
        let (refusals, mut job) = (Refusals::default(), fixtures::job());
        assert_eq!(reason(&refusals, &job, 503, "later"), None);
        let since = Instant::now().checked_sub(PATIENCE).unwrap();
        refusals.first.insert("job-1", since);
        let refused = Some(Reason::DaemonSetRefused);
        assert_eq!(reason(&refusals, &job, 503, "later"), refused);
        // What is reported stays so until it is gone.
        let now = Timestamp::UNIX_EPOCH;
        let condition =
            conditions::condition(Reason::DaemonSetRefused, "m".to_owned(), Some(1), now);
        job.status = Some(JobStatus { conditions: vec![condition], ..JobStatus::default() });
        assert_eq!(reason(&Refusals::default(), &job, 503, "later"), refused);
    }

    #[test]
    fn other_writes_that_are_refused_are_an_event() {
        let (refusals, job) = (Refusals::default(), fixtures::job());
        let event = |refusals: &Refusals, code| {
            let event = refusals.event(&JobView::new(&job), &error(code, "no right"));
            event.map(|event| (event.reason, event.message.contains("no right")))
        };
        let refused = Some(("WriteRefused".to_owned(), true));
        assert_eq!(event(&refusals, 403), refused);
        assert_eq!(event(&refusals, 503), None);
        refusals.first.insert("job-1", Instant::now().checked_sub(PATIENCE).unwrap());
        assert_eq!(event(&refusals, 503), refused);
        let no_answer = kube::Error::Service("reset".into());
        assert!(refusals.event(&JobView::new(&job), &no_answer).is_none());
    }

    #[test]
    fn attempts_have_a_bounded_rate_and_an_edit_is_tried_at_once() {
        let (refusals, mut job) = (Refusals::default(), fixtures::job());
        let start = Timestamp::UNIX_EPOCH;
        let condition =
            conditions::condition(Reason::DaemonSetRefused, "m".to_owned(), Some(1), start);
        job.status = Some(JobStatus { conditions: vec![condition], ..JobStatus::default() });
        let later = start + Duration::from_secs(600);
        assert!(refusals.rest(&JobView::new(&job), later).is_ok());
        assert!(reason(&refusals, &job, 403, "quota").is_some());
        let rest = refusals.rest(&JobView::new(&job), later);
        assert!(matches!(rest, Err(Error::Refused(Reason::DaemonSetRefused, text)) if text == "m"));
        job.metadata.generation = Some(2);
        assert!(refusals.rest(&JobView::new(&job), later).is_ok());
    }
}
