//! Everything that an explanation is made from.

use api::job::{Job, conditions};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};

use super::{daemon_set::DaemonSetFacts, job::JobModel};

/// What is known of a Job and of what surrounds it.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    pub(crate) job: Job,
    pub(crate) model: JobModel,
    pub(crate) daemon_set: Known<Option<DaemonSetFacts>>,
    /// Events about Jobs of this name, the newest first.
    pub(crate) events: Known<Vec<EventFacts>>,
    pub(crate) operator: Known<Vec<OperatorPod>>,
    /// Version of the API server.
    pub(crate) api_version: Option<(u32, u32)>,
    /// Ends of some logs of nodes that run.
    pub(crate) log_ends: Vec<LogEnd>,
    pub(crate) now: Timestamp,
}

/// Something that could be read, or why it could not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Known<T> {
    Yes(T),
    No(String),
}

/// An event about a Job.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EventFacts {
    pub(crate) job_uid: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) last: Option<Timestamp>,
}

/// A pod of the operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OperatorPod {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) is_ready: bool,
    pub(crate) restarts: i32,
    /// Why a container does not run, or how it ended.
    pub(crate) trouble: Option<String>,
    /// The only namespace whose Jobs it handles.
    pub(crate) watches: Option<String>,
    pub(crate) image: Option<String>,
}

/// The end of the log of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LogEnd {
    pub(crate) node: String,
    /// The termination word, if the Job names one.
    pub(crate) word: Option<String>,
    pub(crate) text: String,
}

impl<T> Known<T> {
    pub(crate) fn yes(&self) -> Option<&T> {
        match self {
            Self::Yes(known) => Some(known),
            Self::No(_) => None,
        }
    }
}

impl Evidence {
    /// The Job's condition of this type, if it is true.
    pub(crate) fn condition(&self, type_: &str) -> Option<&Condition> {
        conditions::find_true(&self.job.status.as_ref()?.conditions, type_)
    }

    /// The Job's condition of this type, whatever its status.
    pub(crate) fn any_condition(&self, type_: &str) -> Option<&Condition> {
        let status = self.job.status.as_ref()?;
        status.conditions.iter().find(|condition| condition.type_ == type_)
    }

    /// The newest event about this very Job with this reason.
    pub(crate) fn event(&self, reason: &str) -> Option<&EventFacts> {
        let events = self.events.yes()?;
        let is_it = |event: &&EventFacts| event.reason == reason && event.job_uid == self.model.uid;
        events.iter().find(is_it)
    }

    /// Whether the Job has ended.
    pub(crate) fn is_ended(&self) -> bool {
        let status = self.job.status.as_ref();
        status.is_some_and(|status| conditions::finished(&status.conditions).is_some())
    }

    /// Whether the operator has looked at the Job as it is now.
    pub(crate) fn is_current(&self) -> bool {
        let status = self.job.status.as_ref();
        status.is_some_and(|status| status.is_current(&self.job.metadata))
    }
}
