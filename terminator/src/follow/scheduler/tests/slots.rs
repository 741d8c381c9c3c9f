//! Tests of the slots.

use super::*;

#[test]
fn while_others_wait_the_oldest_follower_gives_way_after_its_slice() {
    let now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    for uid in ["a", "b", "c"] {
        scheduler.upsert(log(uid, "1"));
    }
    assert_eq!(scheduler.next(now), [start("a"), start("b")]);
    open(&mut scheduler, ["a", "b"], now);
    assert_eq!(scheduler.wake_at(), Some(now + SHORT_SLICE));
    assert_eq!(scheduler.next(now + SHORT_SLICE), [stop("a"), start("c")]);
    assert_eq!(scheduler.wake_at(), Some(now + SLICE), "a was followed before");
    // There was no time to check the beginning of the log of a.
    scheduler.beginning_checked("b");
    assert_eq!(scheduler.next(now + SLICE), [stop("b"), start("a")]);
    scheduler.beginning_checked("a");
    scheduler.beginning_checked("c");
    open(&mut scheduler, ["a", "c"], now + SLICE);
    let steps = [stop("a"), again(log("b", "1")), stop("c"), again(log("a", "1"))];
    assert_eq!(scheduler.next(now + SLICE * 2), steps);
}

#[test]
fn a_log_of_which_not_all_has_come_gets_more_time_and_ever_more_of_it() {
    let mut now = Instant::now();
    let mut scheduler = FollowScheduler::new(Limits { followers: 1, ..LIMITS });
    for uid in ["a", "b"] {
        scheduler.upsert(log(uid, "1"));
    }
    assert_eq!(scheduler.next(now), [start("a")]);
    let mut slice = SHORT_SLICE;
    for doublings in [0, 1, 2, 3, 4, 4] {
        open(&mut scheduler, ["a"], now);
        scheduler.beginning_checked("a");
        scheduler.behind("a");
        let over = now + slice + CATCH_UP * 2_u32.pow(doublings);
        assert_eq!(
            (scheduler.wake_at(), scheduler.next(over - Duration::from_millis(1))),
            (Some(over), vec![])
        );
        assert_eq!(scheduler.next(over)[0], stop("a"));
        open(&mut scheduler, ["b"], over);
        slice = SLICE;
        now = over + slice;
        // A file that was rotated meanwhile was not read.
        assert_eq!(scheduler.next(now), [stop("b"), start("a")]);
    }
    open(&mut scheduler, ["a"], now);
    scheduler.behind("a");
    scheduler.beginning_checked("a");
    now += SLICE * 2;
    assert_eq!(scheduler.next(now), []);
    scheduler.caught_up("a");
    assert_eq!(scheduler.next(now)[0], stop("a"), "its slice is over");
    open(&mut scheduler, ["b"], now);
    now += SLICE;
    assert_eq!(scheduler.next(now), [stop("b"), again(log("a", "1"))]);
    open(&mut scheduler, ["a"], now);
    scheduler.behind("a");
    assert_eq!(scheduler.wake_at(), Some(now + SLICE + CATCH_UP), "it was quick last time");
}

#[test]
fn a_log_that_is_being_opened_keeps_its_slot_however_long_that_takes() {
    let now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    for uid in ["a", "b", "c"] {
        scheduler.upsert(log(uid, "1"));
    }
    assert_eq!(scheduler.next(now), [start("a"), start("b")]);
    assert_eq!((scheduler.next(now + SLICE * 9), scheduler.wake_at()), (vec![], None));
    open(&mut scheduler, ["b"], now + SLICE * 9);
    assert_eq!(scheduler.next(now + SLICE * 10), [stop("b"), start("c")]);
}

#[test]
fn a_word_that_is_being_recorded_takes_no_slot() {
    let now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    for uid in ["a", "b", "c"] {
        scheduler.upsert(log(uid, "1"));
    }
    assert_eq!(scheduler.next(now), [start("a"), start("b")]);
    open(&mut scheduler, ["a"], now);
    scheduler.word_found("a");
    assert_eq!(scheduler.next(now), [start("c")]);
    scheduler.ended("a", Outcome::Done, now);
    assert_eq!(scheduler.next(now + SLICE), []);
    scheduler.word_found("b");
    assert_eq!(scheduler.remove("b"), Some(stop("b")), "the recording of a pod that is gone ends");
}

#[test]
fn logs_that_were_never_followed_come_first_and_wait_for_short_slices_only() {
    let mut now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    for uid in ["a", "b", "c", "d"] {
        scheduler.upsert(log(uid, "1"));
    }
    assert_eq!(scheduler.next(now), [start("a"), start("b")]);
    open(&mut scheduler, ["a", "b"], now);
    now += SHORT_SLICE;
    assert_eq!(scheduler.next(now), [stop("a"), start("c"), stop("b"), start("d")]);
    open(&mut scheduler, ["c", "d"], now);
    scheduler.upsert(log("e", "1"));
    now += SHORT_SLICE;
    let next = scheduler.next(now);
    assert_eq!(next[1], start("e"), "before a and b, which have waited for longer: {next:?}");
    assert_eq!(next.len(), 2);
}

#[test]
fn without_others_waiting_a_log_is_followed_for_ever() {
    let now = Instant::now();
    let mut scheduler = FollowScheduler::new(LIMITS);
    scheduler.upsert(log("a", "1"));
    assert_eq!(scheduler.next(now), [start("a")]);
    assert_eq!(scheduler.wake_at(), None);
    assert_eq!(scheduler.next(now + SLICE * 1000), []);
}
