//! DaemonSets that lack pods.

use std::time::Duration;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};

use super::act_on;
use crate::{
    job::decide::progress::{FIRST_CHECK, MissingPods},
    testing::fixtures::{DAEMON_SET_UID, daemon_set, job, pod},
};

#[test]
fn a_daemon_set_that_stays_without_pods_is_asked_why_and_less_often_with_time() {
    let job = job();
    let mut daemon_set = daemon_set().of(&job).scheduled(2, 0).build();
    let ago = |age| Timestamp::UNIX_EPOCH - SignedDuration::from_secs(age);
    for (age, expected) in
        [(-1, None), (0, None), (4, None), (5, Some(5)), (20, Some(10)), (3600, Some(60))]
    {
        daemon_set.metadata.creation_timestamp = Some(Time(ago(age)));
        let act = act_on(&job, Some(&daemon_set), &[]);
        let missing_pods = expected.map(|seconds| MissingPods {
            daemon_set: DAEMON_SET_UID.to_owned(),
            check_every: Duration::from_secs(seconds),
        });
        assert_eq!(
            (act.missing_pods, act.requeue_after),
            (missing_pods, Some(FIRST_CHECK)),
            "{age} s"
        );
    }
}

#[test]
fn a_daemon_set_that_gets_its_pods_by_and_by_is_not_asked_why() {
    let job = job();
    let mut daemon_set = daemon_set().of(&job).scheduled(2, 1).build();
    let ago = |age| Timestamp::UNIX_EPOCH - SignedDuration::from_secs(age);
    daemon_set.metadata.creation_timestamp = Some(Time(ago(60)));
    let asks = |age| {
        let pods = [pod("a").created(ago(age)).build()];
        act_on(&job, Some(&daemon_set), &pods).missing_pods.is_some()
    };
    assert_eq!([4, 5].map(asks), [false, true]);
}
