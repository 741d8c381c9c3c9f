//! The writes of a process, in their order: DaemonSet, tallies, status, releases.
//!
//! The API server answers them: a UID or a version that does not match is a conflict.

use std::{collections::BTreeMap, sync::Arc};

use api::job::{Job, work_hash};
use k8s_openapi::jiff::SignedDuration;

use super::{
    InFlight, Look, World,
    actors::is_same,
    fault::Fault,
    objects::{DaemonSetState, Template, Uid},
    operator::{Seen, version},
    places::Check,
};
use crate::job::decide::{
    actions::{Actions, Release},
    daemon_set::{DaemonSetAction, Gating},
    status::{Write, when_to_write},
    tally::PodTally,
};

/// Time within which a request that was sent reaches the API server, or never does.
const LONGEST_FLIGHT: SignedDuration = SignedDuration::from_secs(110);

/// What is left of a process's writes until it ends, or loses an answer.
struct Budget<'l> {
    look: &'l Look,
    left: usize,
}

impl Budget<'_> {
    /// Takes one write. Some: it is sent. `true`: it is answered.
    fn take(&mut self) -> Option<bool> {
        self.left = self.left.checked_sub(1)?;
        Some(self.left > 0)
    }
}

impl World {
    /// Writes what the process has decided, unless it ends before.
    pub(super) fn write(&mut self, look: &Look, job: &Job, seen: &Seen, act: &Actions) {
        let mut budget = Budget { look, left: look.cut.unwrap_or(usize::MAX) };
        self.releases = act.releases.len();
        if self.fault == Some(Fault::ReleasesFirst) {
            self.release(look, &mut budget, (job, seen), act);
        }
        let is_through = self.write_all(&mut budget, job, seen, act).is_some();
        self.writes = look.cut.unwrap_or(usize::MAX) - budget.left;
        if !is_through && !look.lives_on {
            self.restart(look.process);
        }
    }

    /// None: the process did not get to the end.
    fn write_all(
        &mut self,
        budget: &mut Budget<'_>,
        job: &Job,
        seen: &Seen,
        act: &Actions,
    ) -> Option<()> {
        if act.daemon_set != DaemonSetAction::Keep {
            let is_answered = budget.take()?;
            let is_written = self.write_daemon_set(budget.look.process, job, act, is_answered);
            // It looks again, for its cache lags.
            if !is_written {
                return Some(());
            }
        }
        for PodTally { uid, tally, .. } in &act.tallies {
            budget.take()?;
            let pod = uid.parse().ok().and_then(|uid: Uid| self.pods().get_mut(&uid));
            pod.into_iter().for_each(|pod| pod.run.recorded = Some(tally.to_string()));
        }
        self.check_failures(job, &act.status);
        if self.write_status(budget, job, seen, act)? && self.fault != Some(Fault::ReleasesFirst) {
            let look = budget.look;
            self.release(look, budget, (job, seen), act)?;
        }
        Some(())
    }

    /// Writes the DaemonSet; returns whether the process goes on.
    fn write_daemon_set(
        &mut self,
        process: usize,
        job: &Job,
        act: &Actions,
        is_answered: bool,
    ) -> bool {
        let work_hash = work_hash::hash(&job.spec);
        let owner = job.metadata.uid.clone().unwrap_or_default();
        let template = |gating: &Gating| Template::of(&work_hash, &owner, *gating == Gating::Turn);
        let written = match (&act.daemon_set, self.now.daemon_set.as_deref().cloned()) {
            // A status that is known is acknowledged before anything is created for it.
            (DaemonSetAction::Create(_), None) if !self.is_acknowledged(job) => return false,
            (DaemonSetAction::Create(gating), None) => {
                self.check_creation(job);
                self.new_daemon_set(template(gating))
            }
            // An apply takes over what the same field manager has applied for an earlier Job.
            (DaemonSetAction::Create(_), Some(daemon_set)) => {
                self.now.daemon_set = Some(Arc::new(DaemonSetState { owner, ..daemon_set }));
                return true;
            }
            (
                DaemonSetAction::Update(uid, gating) | DaemonSetAction::Restore(uid, gating),
                Some(mut daemon_set),
            ) if *uid == daemon_set.uid => {
                daemon_set.set_template(template(gating));
                daemon_set.work_hash = work_hash;
                daemon_set
            }
            (DaemonSetAction::Update(..) | DaemonSetAction::Restore(..), _) => return false,
            (DaemonSetAction::Delete(uid), Some(daemon_set)) if *uid == daemon_set.uid => {
                self.delete_daemon_set();
                return true;
            }
            (DaemonSetAction::Stop(uid), Some(daemon_set)) if *uid == daemon_set.uid => {
                let pods = self.pods().values_mut();
                let own = pods.filter(|pod| pod.owner == daemon_set.uid);
                own.for_each(|pod| pod.is_leaving = true);
                self.now.daemon_set =
                    Some(Arc::new(DaemonSetState { is_going: true, ..daemon_set }));
                return true;
            }
            _ => return true,
        };
        if is_answered {
            self.remember(process, job, &written);
        }
        self.now.daemon_set = Some(Arc::new(written));
        true
    }

    fn is_acknowledged(&self, job: &Job) -> bool {
        let is_known = job.status.as_ref().is_some_and(|status| status.work_hash.is_some());
        let is_current = || self.now.job.as_deref().is_some_and(|current| is_same(current, job));
        !is_known || self.fault == Some(Fault::TrustsItsCache) || is_current()
    }

    fn new_daemon_set(&mut self, template: Template) -> DaemonSetState {
        let created = self.new_uid();
        DaemonSetState {
            uid: format!("ds-{created}"),
            owner: template.job.clone(),
            created,
            version: created,
            generation: 1,
            work_hash: template.work_hash.clone(),
            template,
            template_generation: i64::from(created) * 1000,
            history: Vec::new(),
            observed_generation: 0,
            revision: None,
            wanted: BTreeMap::new(),
            scheduled: std::collections::BTreeSet::new(),
            ought_to_want: BTreeMap::new(),
            is_going: false,
        }
    }

    /// Writes the status; returns whether it is acknowledged: the API server holds it.
    fn write_status(
        &mut self,
        budget: &mut Budget<'_>,
        job: &Job,
        seen: &Seen,
        act: &Actions,
    ) -> Option<bool> {
        let is_changed = job.status.as_ref() != Some(&act.status);
        let since_last = budget.look.puts_off.then_some(std::time::Duration::ZERO);
        let when = when_to_write(job.status.as_ref(), &act.status, since_last, self.time);
        if is_changed && !act.is_urgent && matches!(when, Write::After(_)) {
            return Some(false);
        }
        let current = self.now.job.clone().filter(|current| match self.fault {
            Some(Fault::WritesAnyVersion) => current.metadata.uid == job.metadata.uid,
            Some(Fault::TrustsItsCache) if !is_changed => true,
            _ => is_same(current, job),
        });
        if !is_changed {
            // What has not changed is acknowledged where something depends on it.
            return Some(act.releases.is_empty() || current.is_some());
        }
        let is_answered = budget.take()?;
        let Some(current) = current else {
            return Some(false);
        };
        self.check_kept(&current, &act.status);
        self.check_acknowledged(&current, seen, act);
        self.store(Job { status: Some(act.status.clone()), ..(*current).clone() });
        if is_answered {
            let written = self.now.job.as_deref().and_then(version);
            self.process(budget.look.process).written = written;
        }
        Some(is_answered)
    }

    /// Releases pods, each as late as the look says.
    fn release(
        &mut self,
        look: &Look,
        budget: &mut Budget<'_>,
        (job, seen): (&Job, &Seen),
        act: &Actions,
    ) -> Option<()> {
        for release in &act.releases {
            if self.has_sent(look.process, release) {
                continue;
            }
            let is_answered = budget.take()?;
            let Some(sent) = self.send(job, seen, release) else { continue };
            if look.are_late {
                self.in_flight.push(sent);
                continue;
            }
            let pod = sent.pod;
            self.land(sent);
            if is_answered {
                self.process(look.process).sent.insert(pod);
            }
        }
        Some(())
    }

    /// Sends a release. None: its pod is gone.
    fn send(&mut self, job: &Job, seen: &Seen, release: &Release) -> Option<InFlight> {
        let uid: Uid = release.uid.parse().ok()?;
        self.check_release(job, seen, uid);
        let pod = self.now.pods.get(&uid)?;
        let node = seen.objects.node_uid(pod.node).unwrap_or(pod.node_uid);
        let (owner, _, work) = pod.result();
        let limit = self.truth.granted(&(owner, node, work));
        Some(InFlight { pod: uid, node, limit, sent: self.time })
    }

    /// A release reaches the API server, which looks for the UID of the pod.
    pub(super) fn land(&mut self, release: InFlight) {
        let is_late = self.time.duration_since(release.sent) > LONGEST_FLIGHT;
        let release = self.by_node(release);
        let Some(pod) = self.now.pods.get(&release.pod).filter(|pod| pod.is_gated && !is_late)
        else {
            return;
        };
        let (starts, result) = (!pod.is_leaving, pod.result());
        if starts {
            self.check_start(&result);
        }
        // Nobody binds a pod that is being deleted.
        let bound = Some(self.created(self.last_uid)).filter(|_| !self.takes_turns && starts);
        if let Some(pod) = self.pods().get_mut(&release.pod) {
            pod.is_gated = false;
            pod.bound = bound;
            pod.leave = starts.then(|| release.leave());
        }
    }

    /// The pod that a release without a UID reaches: whichever its node has by now.
    fn by_node(&self, release: InFlight) -> InFlight {
        let mut pods = self.now.pods.iter();
        let is_on_node = |(_, pod): &(&Uid, &super::PodState)| pod.node_uid == release.node;
        match pods.rfind(is_on_node).filter(|_| self.fault == Some(Fault::ReleasesByNode)) {
            Some((pod, _)) => InFlight { pod: *pod, ..release },
            None => release,
        }
    }

    /// Reports a violation.
    pub(super) fn violated(&mut self, check: Check, message: impl FnOnce() -> String) {
        self.truth.violations.push((check, message()));
    }
}
