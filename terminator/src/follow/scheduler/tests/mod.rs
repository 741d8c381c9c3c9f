//! Tests of what happens to logs and their followers.

mod histories;
mod slots;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;

use super::state::*;
use crate::follow::pod_log::PodLog;

const LIMITS: Limits = Limits { followers: 2, retry: Duration::from_secs(10) };

fn log(uid: &str, run: &str) -> PodLog {
    PodLog::of_run(uid, run)
}

fn over(uid: &str, run: &str) -> PodLog {
    PodLog { is_over: true, ..log(uid, run) }
}

/// The first run of this pod is followed for the first time.
fn start(uid: &str) -> Step {
    first(log(uid, "1"))
}

fn first(log: PodLog) -> Step {
    Step::Start { log: Box::new(log), is_first: true, read_to: None }
}

fn again(log: PodLog) -> Step {
    Step::Start { log: Box::new(log), is_first: false, read_to: None }
}

fn open<const N: usize>(scheduler: &mut FollowScheduler, uids: [&str; N], now: Instant) {
    for uid in uids {
        scheduler.opened(uid, now);
    }
}

fn stop(uid: &str) -> Step {
    Step::Stop(uid.into())
}

#[test]
fn each_log_is_opened_once() {
    let now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    scheduler.upsert(log("a", "1"));
    scheduler.upsert(log("a", "1"));
    assert_eq!(scheduler.next(now), [start("a")]);
    scheduler.upsert(log("a", "1"));
    assert_eq!(scheduler.next(now), []);
}

#[test]
fn who_records_a_word_is_not_stopped_by_the_event_of_it_but_by_the_end_of_the_pod() {
    let now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    scheduler.upsert(log("a", "1"));
    scheduler.upsert(log("b", "1"));
    assert_eq!(scheduler.next(now), [start("a"), start("b")]);
    open(&mut scheduler, ["a", "b"], now);
    scheduler.word_found("a");
    assert_eq!(scheduler.recorded("a"), None);
    assert_eq!(scheduler.recorded("b"), Some(stop("b")), "another terminator has found the word");
    assert_eq!(scheduler.remove("a"), Some(stop("a")));
    assert_eq!(scheduler.recorded("a"), None);
}

#[test]
fn a_settled_pod_is_not_read_again() {
    let now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    scheduler.upsert(log("a", "1"));
    assert_eq!(scheduler.next(now), [start("a")]);
    scheduler.ended("a", Outcome::Done, now);
    // A late event, from before the condition was written.
    scheduler.upsert(log("a", "1"));
    scheduler.upsert(log("a", "2"));
    assert_eq!(scheduler.next(now + Duration::from_secs(99)), []);
}

#[test]
fn a_log_that_broke_is_opened_again_after_growing_waits() {
    let mut now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    scheduler.upsert(log("a", "1"));
    assert_eq!(scheduler.next(now), [start("a")]);
    for wait in [500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
        scheduler.ended("a", Outcome::Broken, now);
        let until = now + Duration::from_millis(wait);
        assert_eq!(scheduler.wake_at(), Some(until));
        assert_eq!(scheduler.next(until - Duration::from_millis(1)), []);
        assert_eq!(scheduler.next(until), [start("a")]);
        now = until;
    }
}

#[test]
fn a_silent_log_is_opened_again_as_one_that_was_followed_all_the_time() {
    let now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    scheduler.upsert(log("a", "1"));
    assert_eq!(scheduler.next(now), [start("a")]);
    scheduler.beginning_checked("a");
    scheduler.ended("a", Outcome::Silent, now);
    assert_eq!(scheduler.next(now + FIRST_RETRY), [again(log("a", "1"))]);
}

#[test]
fn a_log_that_breaks_after_a_long_time_is_opened_again_soon() {
    let mut now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    scheduler.upsert(log("a", "1"));
    for _ in 0..5 {
        assert_eq!(scheduler.next(now), [start("a")]);
        open(&mut scheduler, ["a"], now);
        now += LIMITS.retry * 2;
        scheduler.ended("a", Outcome::Broken, now);
        now += FIRST_RETRY;
    }
}

#[test]
fn a_log_that_takes_long_not_to_be_opened_is_tried_ever_less() {
    let mut now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    scheduler.upsert(log("a", "1"));
    let mut rests = Vec::new();
    for _ in 0..6 {
        assert_eq!(scheduler.next(now), [start("a")]);
        now += LIMITS.retry * 6;
        scheduler.ended("a", Outcome::Broken, now);
        let until = scheduler.wake_at().unwrap();
        rests.push((until - now).as_millis());
        now = until;
    }
    assert_eq!(rests, [500, 1000, 2000, 4000, 8000, 10_000]);
}

#[test]
fn the_log_of_a_run_that_was_over_is_read_once_and_the_next_run_at_once() {
    let now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    scheduler.upsert(over("a", "1"));
    assert_eq!(scheduler.next(now), [first(over("a", "1"))]);
    scheduler.ended("a", Outcome::Ended, now);
    scheduler.upsert(over("a", "1"));
    assert_eq!((scheduler.next(now + LIMITS.retry), scheduler.wake_at()), (vec![], None));
    scheduler.upsert(log("a", "2"));
    assert_eq!(scheduler.next(now), [first(log("a", "2"))]);
}

#[test]
fn the_log_of_a_run_that_was_taken_for_over_is_read_again_when_it_goes_on() {
    let now = Instant::now();
    // Its status was late: it was being started, and the log was that of the run before.
    let mut scheduler = FollowScheduler::new(LIMITS);
    scheduler.upsert(over("a", "1"));
    assert_eq!(scheduler.next(now), [first(over("a", "1"))]);
    scheduler.beginning_checked("a");
    scheduler.ended("a", Outcome::Ended, now);
    scheduler.upsert(log("a", "1"));
    assert_eq!(scheduler.next(now), [again(log("a", "1"))]);
    // The same, but the new status came before the end of the log.
    let mut scheduler = FollowScheduler::new(LIMITS);
    scheduler.upsert(over("a", "1"));
    assert_eq!(scheduler.next(now), [first(over("a", "1"))]);
    scheduler.beginning_checked("a");
    scheduler.upsert(log("a", "1"));
    scheduler.ended("a", Outcome::Ended, now);
    assert_eq!(scheduler.next(now + FIRST_RETRY), [again(log("a", "1"))]);
}

#[test]
fn a_run_that_ended_while_it_was_followed_is_read_to_its_end_again() {
    let now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    scheduler.upsert(log("a", "1"));
    assert_eq!(scheduler.next(now), [start("a")]);
    scheduler.beginning_checked("a");
    scheduler.ended("a", Outcome::Ended, now);
    scheduler.upsert(over("a", "1"));
    assert_eq!(scheduler.next(now + FIRST_RETRY), [again(over("a", "1"))]);
}

#[test]
fn a_restart_that_was_seen_before_the_end_of_the_old_log_is_followed_at_once() {
    let now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    scheduler.upsert(log("a", "1"));
    assert_eq!(scheduler.next(now), [start("a")]);
    scheduler.upsert(log("a", "2"));
    scheduler.ended("a", Outcome::Ended, now);
    assert_eq!(scheduler.next(now), [first(log("a", "2"))]);
}

#[test]
fn whoever_follows_a_run_next_knows_up_to_where_it_was_read_and_nothing_of_other_runs() {
    let now = Instant::now();
    let read_to = |scheduler: &mut FollowScheduler, now| match &scheduler.next(now)[..] {
        [.., Step::Start { read_to, .. }] => *read_to,
        other => panic!("{other:?}"),
    };
    let last = Timestamp::from_second(7).unwrap();
    let mut scheduler = FollowScheduler::new(Limits { followers: 1, ..LIMITS });
    scheduler.upsert(log("a", "1"));
    assert_eq!(read_to(&mut scheduler, now), None);
    scheduler.upsert(log("b", "1"));
    open(&mut scheduler, ["a"], now);
    assert_eq!(scheduler.next(now + SHORT_SLICE), [stop("a"), start("b")]);
    scheduler.read_to("a", "1".to_owned(), last);
    open(&mut scheduler, ["b"], now + SHORT_SLICE);
    assert_eq!(read_to(&mut scheduler, now + SHORT_SLICE + SLICE), Some(last));
    // Its container has crashed meanwhile.
    scheduler.upsert(log("a", "2"));
    scheduler.ended("a", Outcome::Ended, now);
    scheduler.remove("b");
    assert_eq!(read_to(&mut scheduler, now + LIMITS.retry), None);
    scheduler.read_to("gone", "1".to_owned(), last);
}

#[test]
fn a_pod_that_a_list_does_not_hold_is_stopped() {
    let now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    scheduler.upsert(log("a", "1"));
    scheduler.upsert(log("b", "1"));
    assert_eq!(scheduler.next(now).len(), 2);
    assert_eq!(scheduler.retain(&HashSet::from(["b".into()])), [stop("a")]);
    assert_eq!(scheduler.next(now), []);
}

#[test]
fn a_pod_that_is_gone_is_stopped_and_a_late_end_of_its_log_is_ignored() {
    let now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    scheduler.upsert(log("a", "1"));
    assert_eq!(scheduler.next(now), [start("a")]);
    assert_eq!(scheduler.remove("a"), Some(stop("a")));
    scheduler.ended("a", Outcome::Broken, now);
    assert_eq!((scheduler.next(now + LIMITS.retry), scheduler.wake_at()), (vec![], None));
    assert_eq!(scheduler.remove("a"), None);
}
