//! Stories of one pod.

use api::job::CompletionMode;
use serde_json::{Value, json};

use super::{Operator, VERSIONS, kubelets, spec};
use crate::{
    job::decide::outcome::{FailedBefore, outcome},
    testing::{
        fixtures::pod,
        kubelet::{Kubelet, time},
    },
};

/// The container crashes, and the kubelet starts it again, or waits with that.
fn crash(kubelet: &mut Kubelet) {
    kubelet.exit(1);
    kubelet.pass(1);
    kubelet.sync(0);
    kubelet.pass(1);
    kubelet.sync(0);
}

/// Whether the node has failed in the eyes of an operator that sees everything.
fn fails(mode: CompletionMode, limit: i32, mut kubelet: Kubelet) -> bool {
    kubelet.pass(20);
    let mut operator = Operator::new(mode, limit);
    operator.look(&mut kubelet);
    operator.has_failed
}

#[test]
fn run_that_is_killed_with_its_sandbox_has_not_failed() {
    for (mode, mut kubelet) in kubelets() {
        for _ in 0..3 {
            kubelet.stop_sandbox();
            kubelet.pass(1);
            kubelet.sync(0);
            kubelet.pass(1);
            kubelet.sync(0);
            kubelet.pass(20);
        }
        assert!(!fails(mode, 0, kubelet.clone()), "{mode:?} {kubelet:#?}");
        crash(&mut kubelet);
        assert!(!fails(mode, 1, kubelet.clone()), "{mode:?} {kubelet:#?}");
        assert!(fails(mode, 0, kubelet.clone()), "{mode:?} {kubelet:#?}");
    }
}

#[test]
fn run_that_the_kubelet_ends_for_its_sandbox_has_not_failed_and_is_not_done() {
    for code in [0, 1, 137, 143] {
        for (mode, mut kubelet) in kubelets() {
            kubelet.kill_sandbox();
            kubelet.pass(1);
            kubelet.sync(code);
            kubelet.pass(1);
            kubelet.sync(0);
            let mut operator = Operator::new(mode, 0);
            kubelet.pass(20);
            operator.look(&mut kubelet);
            assert!(!operator.has_failed && !operator.is_done, "{mode:?} {code} {kubelet:#?}");
        }
    }
}

#[test]
fn run_that_a_reboot_ended_has_not_failed_and_is_not_done() {
    for code in [None, Some(0), Some(1), Some(143)] {
        for (mode, mut kubelet) in kubelets() {
            kubelet.reboot(code, 30);
            kubelet.lacks_network = true;
            kubelet.sync(0);
            kubelet.pass(5);
            kubelet.sync(0);
            kubelet.lacks_network = false;
            kubelet.pass(5);
            kubelet.sync(0);
            kubelet.pass(1);
            kubelet.sync(0);
            let mut operator = Operator::new(mode, 0);
            kubelet.pass(20);
            operator.look(&mut kubelet);
            assert!(!operator.has_failed && !operator.is_done, "{mode:?} {code:?} {kubelet:#?}");
        }
    }
}

/// The kubelet looks once in a second, and may see the one end before the other.
#[test]
fn run_that_is_seen_to_end_before_its_sandbox_has_not_failed() {
    for (mode, mut kubelet) in kubelets() {
        kubelet.stop_sandbox_under_eyes();
        kubelet.pass(2);
        kubelet.sync(0);
        kubelet.pass(1);
        kubelet.sync(0);
        assert!(!fails(mode, 0, kubelet.clone()), "{mode:?} {kubelet:#?}");
    }
}

/// A node that goes down may end its containers before its kubelet.
#[test]
fn run_of_whose_end_a_kubelet_tells_last_has_not_failed_until_the_kubelet_goes_on() {
    for (mode, mut kubelet) in kubelets() {
        kubelet.exit(143);
        kubelet.report_last();
        kubelet.pass(3_600);
        assert!(!fails(mode, 0, kubelet.clone()), "{mode:?} {kubelet:#?}");
        let mut rebooted = kubelet.clone();
        rebooted.reboot(None, 1);
        for _ in 0..2 {
            rebooted.sync(0);
            rebooted.pass(1);
        }
        assert!(!fails(mode, 0, rebooted.clone()), "{mode:?} {rebooted:#?}");
        for _ in 0..2 {
            kubelet.sync(0);
            kubelet.pass(1);
        }
        assert!(fails(mode, 0, kubelet.clone()), "{mode:?} {kubelet:#?}");
    }
}

#[test]
fn what_failed_before_its_sandbox_ended_stays_counted() {
    for (mode, mut kubelet) in kubelets() {
        crash(&mut kubelet);
        kubelet.back_off();
        crash(&mut kubelet);
        kubelet.stop_sandbox();
        kubelet.pass(1);
        kubelet.sync(0);
        kubelet.pass(1);
        kubelet.end_back_off();
        kubelet.sync(0);
        kubelet.pass(1);
        kubelet.sync(0);
        assert!(fails(mode, 1, kubelet.clone()), "{mode:?} {kubelet:#?}");
        assert!(!fails(mode, 2, kubelet.clone()), "{mode:?} {kubelet:#?}");
        // The kubelet may have begun to count anew.
        kubelet.pass(20);
        crash(&mut kubelet);
        kubelet.pass(20);
        assert!(fails(mode, 2, kubelet.clone()), "{mode:?} {kubelet:#?}");
        assert!(!fails(mode, 3, kubelet.clone()), "{mode:?} {kubelet:#?}");
    }
}

#[test]
fn nobody_looks_while_a_node_reboots_twice() {
    for code in [None, Some(143)] {
        for (mode, mut kubelet) in kubelets() {
            for _ in 0..2 {
                kubelet.reboot(code, 30);
                kubelet.sync(0);
                kubelet.pass(1);
                kubelet.sync(0);
                kubelet.pass(20);
            }
            let mut operator = Operator::new(mode, 0);
            operator.glance(&mut kubelet);
            assert!(!operator.has_failed, "{mode:?} {code:?} {kubelet:#?}");
            crash(&mut kubelet);
            kubelet.pass(20);
            operator.look(&mut kubelet);
            assert!(operator.has_failed, "{mode:?} {code:?} {kubelet:#?}");
        }
    }
}

#[test]
fn work_that_was_done_stays_done_while_the_kubelet_repeats_it() {
    for version in VERSIONS {
        let mode = CompletionMode::ExitCode;
        let mut kubelet = Kubelet::new(mode, version);
        kubelet.exit(0);
        kubelet.pass(1);
        kubelet.sync(0);
        kubelet.sync(0);
        let mut operator = Operator::new(mode, 0);
        operator.look(&mut kubelet);
        assert!(operator.is_done);
        kubelet.stop_sandbox();
        kubelet.sync(0);
        kubelet.pass(1);
        crash(&mut kubelet);
        kubelet.pass(20);
        let mut later = Operator::new(mode, 0);
        later.glance(&mut kubelet);
        assert!(later.is_done && !later.has_failed, "{kubelet:#?}");
    }
}

#[test]
fn nothing_is_recorded_of_a_pod_whose_sandbox_lasts() {
    for (mode, mut kubelet) in kubelets() {
        for _ in 0..3 {
            crash(&mut kubelet);
            kubelet.pass(15);
        }
        let mut operator = Operator::new(mode, 3);
        operator.look(&mut kubelet);
        assert_eq!(kubelet.recorded, None, "{mode:?} {kubelet:#?}");
        assert!(fails(mode, 2, kubelet));
    }
}

fn terminated_by(code: i32, reason: &str) -> Value {
    json!({
        "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": code, "reason": reason}},
    })
}

#[test]
fn eviction_is_a_failure_and_a_shutdown_of_the_node_is_none() {
    let word = CompletionMode::TerminationWord;
    for (reason, has_failed) in [("Evicted", true), ("Terminated", false)] {
        let pod = pod("a").failed(reason).sandbox(false, time(1_000));
        let pod = pod.container(terminated_by(137, "Error")).build();
        let outcome = outcome(&spec(word, 0), &pod, |_| FailedBefore::Exclusive(0), time(1_000));
        assert_eq!((outcome.has_failed, outcome.tally), (has_failed, None), "{reason}");
    }
}

#[test]
fn run_that_used_too_much_memory_has_failed() {
    let container = |reason| {
        let mut status = terminated_by(137, reason);
        status["state"]["terminated"]["finishedAt"] = json!(time(1_000).to_string());
        status
    };
    for (reason, has_failed) in [("OOMKilled", true), ("Error", false)] {
        let mut status = container(reason);
        status["lastState"] = status["state"].take();
        status["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let pod = pod("a").sandbox(true, time(1_001)).container(status).build();
        let outcome = outcome(
            &spec(CompletionMode::TerminationWord, 0),
            &pod,
            |_| FailedBefore::Exclusive(0),
            time(2_000),
        );
        assert_eq!(outcome.has_failed, has_failed, "{reason}");
    }
}

#[test]
fn kubelet_that_says_nothing_of_sandboxes_counts_alone() {
    let pod = pod("a").container(terminated_by(137, "Error")).build();
    assert!(
        outcome(
            &spec(CompletionMode::TerminationWord, 0),
            &pod,
            |_| FailedBefore::Exclusive(0),
            time(1_000)
        )
        .has_failed
    );
}
