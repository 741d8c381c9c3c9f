use std::time::Duration;

use futures::{FutureExt, StreamExt, stream};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::testing::fixtures;

fn pod(uid: &str, version: &str) -> PodView {
    fixtures::pod("a").identity(uid, version).build().as_ref().clone()
}

/// Returns the index after these events.
fn after(events: Vec<Event<PodView>>) -> PodIndex {
    let (pods, events) = pod_index(stream::iter(events.into_iter().map(Ok)));
    events.for_each(|_| std::future::ready(())).now_or_never().unwrap();
    pods
}

fn uids(pods: &PodIndex, daemon_set: &str) -> Vec<String> {
    let mut uids: Vec<_> =
        pods.of(daemon_set).iter().map(|pod| super::uid(pod).to_owned()).collect();
    uids.sort();
    uids
}

#[test]
fn pods_are_known_by_their_daemon_set_until_they_are_gone() {
    let other = fixtures::pod("a").owner("ds-2").identity("c", "3").build();
    let pods = after(vec![
        Event::Init,
        Event::InitApply(pod("a", "1")),
        Event::InitDone,
        Event::Apply(pod("b", "2")),
        Event::Apply((*other).clone()),
        Event::Delete(pod("a", "4")),
    ]);
    assert_eq!(uids(&pods, fixtures::DAEMON_SET_UID), ["b"]);
    assert_eq!(uids(&pods, "ds-2"), ["c"]);
    assert_eq!(pods.on("a").len(), 2);
}

#[test]
fn a_pod_that_its_kubelet_gave_up_is_known_for_a_while_after_it_has_gone() {
    let pod = |uid: &str, node: &str, reason: Option<&str>| {
        let pod = fixtures::pod(node).identity(uid, "1");
        let pod = match reason {
            Some(reason) => pod.failed(reason),
            None => pod,
        };
        (*pod.build()).clone()
    };
    let rejected = |uid, node| pod(uid, node, Some("OutOfcpu"));
    let leaving = |uid, node, reason| {
        let mut pod = pod(uid, node, reason);
        pod.metadata.deletion_timestamp =
            fixtures::pod(node).deleted().build().metadata.deletion_timestamp.clone();
        pod
    };
    let reason = Some("OutOfcpu");
    // As the API server reports it: a pod is being deleted before it is gone.
    let changes = [
        rejected("a1", "a"),
        leaving("a1", "a", reason),
        rejected("a2", "a"),
        leaving("a2", "a", reason),
        rejected("b", "b"),
        pod("c", "c", None),
        leaving("d", "d", reason),
    ];
    let deleted = ["a1", "a2", "b", "c", "d"].map(|uid| Event::Delete(leaving(uid, "a", None)));
    let pods = after(changes.map(Event::Apply).into_iter().chain(deleted).collect());
    assert!(uids(&pods, fixtures::DAEMON_SET_UID).is_empty());
    assert_eq!(gone(&pods, fixtures::DAEMON_SET_UID), ["a2@1", "b@1"]);
    assert!(pods.gone("ds-2").is_empty());
}

/// The UIDs and versions of the pods that are known though they may have gone.
fn gone(pods: &PodIndex, daemon_set: &str) -> Vec<String> {
    let of = |pod: &Arc<PodView>| format!("{}@{}", super::uid(pod), version(pod));
    let mut gone: Vec<_> = pods.gone(daemon_set).iter().map(of).collect();
    gone.sort_unstable();
    gone
}

/// A pod that is done by its exit code, as long as its sandbox is there.
fn exited(uid: &str, version: &str, has_sandbox: bool) -> PodView {
    let exited = json!({
        "name": "job-container", "image": "", "imageID": "", "ready": true, "restartCount": 0,
        "state": {"terminated": {"exitCode": 0}}, "lastState": {},
    });
    let pod = fixtures::pod("a").identity(uid, version).init_container(exited);
    (*pod.sandbox(has_sandbox, Timestamp::UNIX_EPOCH).build()).clone()
}

fn done(uid: &str, version: &str) -> PodView {
    (*fixtures::pod("a").identity(uid, version).done().build()).clone()
}

#[test]
fn a_pod_that_was_done_is_known_when_it_is_gone_and_not_before() {
    let mine = fixtures::DAEMON_SET_UID;
    for done in [done("a", "2"), exited("a", "2", true)] {
        let shown = [Event::Apply(pod("a", "1")), Event::Apply(done.clone())];
        let pods = after(shown.clone().into());
        assert_eq!((gone(&pods, mine), uids(&pods, mine)), (vec![], vec!["a".to_owned()]));
        let mut deleted = done;
        deleted.metadata.resource_version = Some("3".to_owned());
        let pods = after(shown.into_iter().chain([Event::Delete(deleted)]).collect());
        assert_eq!((gone(&pods, mine), uids(&pods, mine)), (vec!["a@2".to_owned()], vec![]));
        assert!(pods.gone("ds-2").is_empty());
    }
    let pods = after(vec![Event::Apply(pod("a", "1")), Event::Delete(pod("a", "2"))]);
    assert_eq!(gone(&pods, mine), [""; 0], "it was not done");
}

#[test]
fn a_pod_that_was_done_is_known_as_it_was_then_though_its_sandbox_has_ended_since() {
    let ends = [Event::Apply(exited("a", "2", true)), Event::Apply(exited("a", "3", false))];
    let delete = Event::Delete(exited("a", "4", false));
    for events in [ends.to_vec(), ends.into_iter().chain([delete]).collect()] {
        assert_eq!(gone(&after(events), fixtures::DAEMON_SET_UID), ["a@2"]);
    }
}

#[test]
fn pods_that_were_done_and_are_gone_after_a_gap_of_the_watch_are_known_and_stay_so() {
    let listed = |pods: &[PodView]| {
        let listed = pods.iter().cloned().map(Event::InitApply);
        [Event::Init].into_iter().chain(listed).chain([Event::InitDone]).collect::<Vec<_>>()
    };
    let first = [done("a", "1"), exited("b", "2", true), done("c", "3"), pod("d", "4")];
    let second = [exited("b", "5", false), done("c", "3")];
    let lists = [listed(&first), listed(&second), listed(&second)];
    assert_eq!(gone(&after(lists.concat()), fixtures::DAEMON_SET_UID), ["a@1", "b@2"]);
}

#[test]
fn pods_of_earlier_daemon_sets_of_a_name_are_found_in_their_namespace() {
    let pod = |namespace: &str, owner: &str, uid: &str| {
        let pod = fixtures::pod("a").owner(owner).identity(uid, "1").build();
        let mut pod = Arc::unwrap_or_clone(pod);
        pod.metadata.namespace = Some(namespace.to_owned());
        Event::Apply(pod)
    };
    let pods = after(vec![pod("n", "ds-1", "a"), pod("n", "ds-2", "b"), pod("m", "ds-3", "c")]);
    let uids = |name: &str| {
        let pods = pods.of_all("n", name).into_iter();
        let mut uids: Vec<_> = pods.filter_map(|pod| pod.metadata.uid.clone()).collect();
        uids.sort_unstable();
        uids
    };
    assert_eq!(uids(&api::labels::daemon_set("sample")), ["a", "b"]);
    assert_eq!(uids("other"), [""; 0]);
}

#[test]
fn what_changes_nothing_but_the_version_is_known_and_not_passed_on() {
    let done = fixtures::pod("a").identity("a", "3").done().build();
    let events = [
        Event::Init,
        Event::InitApply(pod("a", "1")),
        Event::InitDone,
        Event::Apply(pod("a", "2")),
        Event::Apply((*done).clone()),
        Event::Apply((*done).clone()),
        Event::Delete((*done).clone()),
    ];
    let (pods, events) = pod_index(stream::iter(events.map(Ok)));
    let changes = events.map(|change| (change, pods.version())).collect::<Vec<_>>();
    let done = (*done).clone();
    let expected =
        [(Change::Listed, 1), (Change::Applied(done.clone()), 3), (Change::Deleted(done), 3)];
    assert_eq!(changes.now_or_never().unwrap(), expected);
}

#[test]
fn a_daemon_set_has_lost_a_pod_when_one_is_gone() {
    let mine = fixtures::DAEMON_SET_UID;
    let listed = |uids: &[&str]| {
        let listed = uids.iter().map(|uid| Event::InitApply(pod(uid, "1")));
        [Event::Init].into_iter().chain(listed).chain([Event::InitDone]).collect::<Vec<_>>()
    };
    let has_lost = |events: [Vec<Event<PodView>>; 2]| after(events.concat()).has_lost(mine);
    assert!(!has_lost([listed(&["a"]), listed(&["a", "b"])]));
    assert!(has_lost([listed(&["a", "b"]), listed(&["a"])]), "during a gap in the watch");
    assert!(has_lost([listed(&["a"]), vec![Event::Delete(pod("a", "2"))]]));
    let other = fixtures::pod("a").owner("ds-2").identity("c", "3").build();
    assert!(!has_lost([listed(&["a"]), vec![Event::Delete((*other).clone())]]));
}

#[test]
fn what_is_not_in_a_later_list_is_gone() {
    let listed = |uid| [Event::Init, Event::InitApply(pod(uid, "1")), Event::InitDone];
    let pods = after(listed("a").into_iter().chain(listed("b")).collect());
    assert_eq!(uids(&pods, fixtures::DAEMON_SET_UID), ["b"]);
}

#[test]
fn half_a_list_is_not_known() {
    let pods = after(vec![Event::Init, Event::InitApply(pod("a", "1"))]);
    assert_eq!(uids(&pods, fixtures::DAEMON_SET_UID), [""; 0]);
    assert_eq!(pods.until(0, "1").now_or_never(), Some(false));
}

#[test]
fn pod_that_its_daemon_set_has_left_behind_is_nobodys() {
    let mut orphan = pod("a", "2");
    orphan.metadata.owner_references = None;
    let pods = after(vec![Event::Apply(pod("a", "1")), Event::Apply(orphan)]);
    assert_eq!(uids(&pods, fixtures::DAEMON_SET_UID), [""; 0]);
    assert_eq!(pods.pods.borrow().by_daemon_set.len(), 0, "nothing is left of it");
}

#[tokio::test(start_paused = true)]
async fn a_version_has_come_when_it_or_a_later_one_was_told() {
    let (pods, events) = pod_index(stream::iter([
        Ok(Event::Init),
        Ok(Event::InitApply(pod("a", "8"))),
        Ok(Event::InitDone),
        Ok(Event::Apply(pod("b", "12"))),
        Ok(Event::Delete(pod("a", "15"))),
    ]));
    let mut events = std::pin::pin!(events);
    let mut known = Vec::new();
    loop {
        let until = |version: &'static str| pods.until(0, version).now_or_never() == Some(true);
        known.push(["8", "9", "12", "15"].map(until));
        if events.next().await.is_none() {
            break;
        }
    }
    let (no, listed, applied) =
        ([false; 4], [true, false, false, false], [true, true, true, false]);
    assert_eq!(known, [no, listed, applied, [true; 4]]);
}

#[test]
fn a_version_that_is_no_later_one_tells_nothing() {
    let pods = after(vec![Event::Apply(pod("a", "5"))]);
    let comes = |before| pods.until(before, "5").now_or_never();
    assert_eq!((comes(4), comes(5)), (Some(true), Some(false)));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_number_never_comes() {
    let (pods, _events) = pod_index(stream::pending());
    assert!(!pods.until(0, "opaque").await);
    let waits = tokio::time::timeout(Duration::from_secs(60), pods.until(0, "1")).await;
    assert!(waits.is_err());
}

#[test]
fn pods_are_found_on_the_node_that_they_are_on_now() {
    let on = |node: &str, uid: &str, version: &str| {
        (*fixtures::pod(node).identity(uid, version).build()).clone()
    };
    let mut pods = Pods::default();
    let found = |pods: &Pods| {
        ["a", "b", "c"].map(|node| {
            let on = pods.by_node.on(node).iter();
            let mut on: Vec<_> = on.map(|pod| format!("{}@{}", uid(pod), version(pod))).collect();
            on.sort_unstable();
            on.join(" ")
        })
    };
    for pod in [on("a", "1", "1"), on("a", "2", "2"), on("b", "3", "3"), on("", "4", "4")] {
        pods.insert(&pod);
    }
    assert_eq!(found(&pods), ["1@1 2@2", "3@3", ""]);
    // What has changed is shown, where it was and where it is: an intended node may be a wish alone.
    for pod in [on("a", "1", "5"), on("c", "3", "6"), on("b", "4", "7")] {
        pods.insert(&pod);
    }
    assert_eq!(found(&pods), ["1@5 2@2", "4@7", "3@6"]);
    pods.remove(&on("a", "2", "8"));
    // Events of a pod that is gone may come late, or from before it was bound.
    pods.remove(&on("b", "3", "9"));
    let mut orphan = on("a", "1", "10");
    orphan.metadata.owner_references = None;
    pods.insert(&orphan);
    assert_eq!(found(&pods), ["", "4@7", ""]);
    assert_eq!(pods.by_node.0.len(), 1, "nothing is left of the others");
}

fn version(pod: &PodView) -> &str {
    pod.metadata.resource_version.as_deref().unwrap_or_default()
}
