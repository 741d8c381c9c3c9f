//! Digests of states, by which two histories that lead to the same state are known as one.

use std::hash::{DefaultHasher, Hash, Hasher};

use api::job::{Job, JobStatus};
use k8s_openapi::jiff::Timestamp;

use super::{
    Process, World,
    objects::Objects,
    operator::{Seen, version},
};
use crate::job::decide::{applied::Applied, observation::Source};

/// Digests of objects: of the Job without its status and its version, of that status, and of all others.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct Digests {
    spec: u64,
    status: u64,
    others: [u64; 3],
}

impl Digests {
    pub(super) fn set_status(&mut self, digest: u64) {
        self.status = digest;
    }

    pub(super) fn set_spec(&mut self, job: &Job) {
        self.spec = json_digest(&(&job.metadata.uid, job.metadata.generation, &job.spec));
        self.status = job.status.as_ref().map_or(0, status_digest);
    }

    /// Takes over those digests of what `now` shows.
    pub(super) fn take(&mut self, now: &Self, kinds: super::Kinds) {
        if kinds.job {
            (self.spec, self.status) = (now.spec, now.status);
        }
        let taken = [kinds.daemon_set, kinds.pods, kinds.nodes];
        let others = self.others.iter_mut().zip(now.others);
        others.zip(taken).filter(|(_, is_taken)| *is_taken).for_each(|((to, from), _)| *to = from);
    }
}

pub(super) fn status_digest(status: &JobStatus) -> u64 {
    json_digest(status)
}

fn json_digest(of: &impl serde::Serialize) -> u64 {
    digest(&serde_json::to_string(of).unwrap())
}

fn digest(of: &impl Hash) -> u64 {
    let mut digest = DefaultHasher::new();
    of.hash(&mut digest);
    digest.finish()
}

/// Digest of what a decision depends on.
pub(super) fn of_decision(seen: &Seen, now: Timestamp) -> u64 {
    let memory = seen.applied.as_ref().map(memory);
    let has_job = seen.objects.job.is_some();
    digest(&(has_job, seen.objects.digests, memory, &seen.gone, seen.source == Source::Live, now))
}

/// What differs from one memory of a DaemonSet of one Job to the next.
fn memory(applied: &Applied) -> impl Hash {
    let Applied { generation, version, desired, template_generations, revision, .. } = applied;
    (
        *generation,
        *version,
        *desired,
        template_generations.clone(),
        revision.clone(),
        applied.gating,
    )
}

impl World {
    /// Computes the digests of all objects but the Job, where anybody needs them.
    pub(super) fn digest_objects(&mut self) {
        if self.memo.is_some() {
            let Objects { daemon_set, pods, nodes, digests, .. } = &mut self.now;
            digests.others = [digest(daemon_set), digest(pods), digest(nodes)];
        }
    }

    /// Digest of all that the future depends on.
    ///
    /// Versions of the Job count by their order, for no process knows more of them, and the two processes are
    /// alike.
    pub(crate) fn key(&self) -> u64 {
        let version_in = |objects: &Objects| objects.job.as_deref().and_then(version);
        let mut versions = Vec::with_capacity(5);
        versions.extend(version_in(&self.now));
        for process in &self.processes {
            versions.extend(version_in(&process.caches).into_iter().chain(process.written));
        }
        versions.sort_unstable();
        versions.dedup();
        let rank =
            |of: Option<super::Uid>| versions.iter().position(|version| Some(*version) == of);
        let of = |process: &Process| {
            let Process { caches, applied, written, losses, gone, sent } = process;
            let applied = applied.as_ref().map(|(uid, applied)| (uid, memory(applied)));
            let versions = (rank(version_in(caches)), rank(*written));
            // What a cache shows as released is not sent again.
            let waits = |uid: &&super::Uid| caches.pods.get(uid).is_some_and(|pod| pod.is_gated);
            let sent: Vec<_> = sent.iter().filter(waits).collect();
            let seen = (caches.job.is_some(), caches.digests, losses, self.gone.get(gone.clone()));
            digest(&(seen, applied, versions, sent))
        };
        let mut processes = self.processes.each_ref().map(of);
        processes.sort_unstable();
        let mut in_flight = self.in_flight.clone();
        in_flight.sort_unstable();
        let now =
            (self.now.job.is_some(), self.now.digests, rank(version_in(&self.now)), self.time);
        let truth = (&self.done, &self.failed, &self.truth.since, &self.truth.limits);
        digest(&(now, processes, in_flight, truth, self.last_uid, &self.complete, &self.gone))
    }
}
