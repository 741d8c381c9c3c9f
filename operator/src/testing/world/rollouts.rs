//! Events of Jobs whose nodes take turns.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use api::job::{CompletionPolicy, Window, conditions};
use k8s_openapi::{
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
    jiff::SignedDuration,
};

use super::{Event, Fault, Kinds, Limit, Look, Rollout, World, growth::OPEN_FOR};

impl World {
    /// A world whose Job has the fields that these events set, and no process has looked at it yet.
    pub(crate) fn of_turns(nodes: u32, fields: &[Rollout]) -> Self {
        let mut world = Self::new(nodes);
        world.takes_turns = true;
        world.past.clear();
        world.time += SignedDuration::from_secs(nodes.into());
        fields.iter().for_each(|field| world.roll_out(field));
        for process in 0..2 {
            world.restart(process);
        }
        world
    }

    /// The same world, in which decisions are remembered.
    pub(crate) fn remembering(mut self) -> Self {
        self.memo = Some(Rc::default());
        self.digest_objects();
        if let Some(job) = self.now.job.as_deref().cloned() {
            self.store(job);
        }
        for process in 0..2 {
            self.restart(process);
        }
        self
    }

    /// The same world whose operator has this fault.
    pub(crate) fn with(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self.memo = self.memo.map(|_| Rc::default());
        self
    }

    pub(super) fn roll_out(&mut self, event: &Rollout) {
        match event {
            Rollout::Look(look) => self.look(look),
            Rollout::CatchUp(process, kinds) => self.catch_up(*process, *kinds),
            Rollout::Gap(process) => self.lose_watch(*process),
            Rollout::Restart(process) => self.restart(*process),
            Rollout::Lands(index) if *index < self.in_flight.len() => {
                let release = self.in_flight.remove(*index);
                self.land(release);
            }
            Rollout::Lands(_) => {}
            Rollout::Bind(index) => {
                let time = self.time;
                if let Some(pod) = self.pods().values_mut().nth(*index)
                    && !pod.is_gated
                    && !pod.is_leaving
                {
                    pod.bound.get_or_insert(time);
                }
            }
            Rollout::ByHand(index) => {
                if let Some(pod) = self.pods().values_mut().nth(*index) {
                    pod.is_gated = false;
                }
            }
            Rollout::StrangerGates(is_gated) => {
                self.edit_template(|template| template.is_gated = *is_gated);
            }
            Rollout::NodeUnreachable(index) => {
                if let Some(node) = Arc::make_mut(&mut self.now.nodes).values_mut().nth(*index) {
                    node.is_unreachable = !node.is_unreachable;
                }
            }
            Rollout::Parallelism(limit) => {
                let limit = limit.map(|limit| match limit {
                    Limit::Nodes(nodes) => IntOrString::Int(nodes.into()),
                    Limit::PerCent(per_cent) => IntOrString::String(format!("{per_cent}%")),
                });
                self.edit(|job| job.spec.parallelism = limit);
            }
            Rollout::MinReady(seconds) => self.edit(|job| job.spec.min_ready_seconds = *seconds),
            Rollout::Order(is_set) => {
                let canary = BTreeMap::from([("canary".to_owned(), "true".to_owned())]);
                let canary = LabelSelector { match_labels: Some(canary), ..Default::default() };
                self.edit(|job| job.spec.order = is_set.then_some(canary).into_iter().collect());
            }
            Rollout::Windows(are_set) => {
                let schedule = "* * * * *".to_owned();
                let window = Window { schedule, duration_seconds: OPEN_FOR, time_zone: None };
                self.edit(|job| job.spec.windows = are_set.then_some(window).into_iter().collect());
            }
            Rollout::Suspend(is_set) => self.edit(|job| job.spec.suspend = Some(*is_set)),
            Rollout::Never(is_set) => self.edit(|job| {
                job.spec.completion_policy =
                    if *is_set { CompletionPolicy::Never } else { CompletionPolicy::Always };
                // Both are refused with it.
                job.spec.active_deadline_seconds.take_if(|_| *is_set);
            }),
        }
    }

    /// Lets the world go on without failures and edits, after the last edits that a rollout needs to end.
    ///
    /// What failed keeps its place, and may hold up a group: the user lets it pass. Windows open, and nodes come
    /// back.
    pub(crate) fn finish_rollout(&mut self) {
        for process in 0..2 {
            self.restart(process);
        }
        self.happen(&Event::EditDeadline(None));
        self.happen(&Event::Rollout(Rollout::Suspend(false)));
        let is_stopped = |job: &api::job::Job| super::growth::limit(&job.spec, 1) == 0;
        if !self.failed.is_empty() || self.now.job.as_deref().is_some_and(is_stopped) {
            let limit = Rollout::Parallelism(Some(Limit::PerCent(100)));
            self.happen(&Event::Rollout(limit));
            self.happen(&Event::EditLimit(Some(100)));
        }
        for node in Arc::make_mut(&mut self.now.nodes).values_mut() {
            node.is_unreachable = false;
        }
        for _ in 0..60 {
            if self.is_through() {
                return;
            }
            self.settle_once();
        }
    }

    fn settle_once(&mut self) {
        self.happen(&Event::Collect);
        self.happen(&Event::Rollout(Rollout::Look(Look { fresh: Kinds::ALL, ..Look::default() })));
        self.happen(&Event::PodsGone);
        self.happen(&Event::PodsCollected);
        self.happen(&Event::Sync);
        for index in 0..self.now.pods.len() {
            self.happen(&Event::Rollout(Rollout::Bind(index)));
            self.happen(&Event::SandboxStarts(index));
            self.happen(&Event::PodDone(index));
        }
        // Long enough to come by each window, and by no more than a wait.
        self.happen(&Event::TimePasses(7));
        self.happen(&Event::Terminate(0));
    }

    /// Whether the Job is over, or every node of one that never completes is done or has failed.
    pub(crate) fn is_through(&self) -> bool {
        let stays = self.now.job.as_deref().and_then(|job| {
            let is_never = job.spec.completion_policy == CompletionPolicy::Never;
            let status = job.status.as_ref().filter(|_| is_never)?;
            let ready = conditions::find(&status.conditions, conditions::READY)?;
            // The status may be from before the nodes of today.
            let wanted = self.now.nodes.values().filter(|node| !node.is_deselected).count();
            let has_ended = (status.active, status.waiting) == (0, 0)
                && (wanted == 0 || usize::try_from(status.desired) == Ok(wanted))
                && status.succeeded + status.failed >= status.desired;
            let is_ready = status.failed == 0 && wanted > 0;
            Some(has_ended && ((ready.status == "True") == is_ready || wanted == 0))
        });
        self.is_over() || stays == Some(true)
    }
}
