use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn failed(reason: Reason, second: i64) -> Condition {
    condition(reason, reason.to_string(), Some(1), at(second))
}

#[test]
fn a_reason_is_read_as_it_was_written_and_others_are_unknown() {
    for reason in Reason::ALL {
        assert_eq!(reason.to_string().parse(), Ok(reason));
        assert_eq!(Reason::of(&failed(reason, 0)), Some(reason));
    }
    for text in ["", "completed", "Completed: all", "Evicted"] {
        assert_eq!(text.parse::<Reason>(), Err(UnknownReason), "{text}");
    }
}

#[test]
fn a_condition_that_stays_true_keeps_its_time_and_others_stay_as_they_are() {
    let others = Condition { type_: "Audited".to_owned(), ..failed(Reason::NodesFailed, 1) };
    let mut conditions = vec![others.clone()];
    set(&mut conditions, failed(Reason::InvalidSpec, 2));
    set(&mut conditions, failed(Reason::NodesFailed, 3));
    let since_then = failed(Reason::NodesFailed, 2);
    assert_eq!(conditions, [others.clone(), since_then.clone()]);
    let turned = Condition { status: "False".to_owned(), ..failed(Reason::NodesFailed, 4) };
    set(&mut conditions, turned.clone());
    assert_eq!(conditions, [others.clone(), turned]);
    remove(&mut conditions, FAILED);
    assert_eq!(conditions, [others]);
}

#[test]
fn a_job_is_finished_unless_the_reason_may_lift_and_unknown_reasons_do_not() {
    for reason in Reason::ALL {
        let conditions = [failed(reason, 0)];
        let is_end = [COMPLETE, FAILED].contains(&reason.condition()) && reason.is_true();
        let lifts =
            matches!(reason, Reason::InvalidSpec | Reason::NameConflict | Reason::DaemonSetRefused);
        assert_eq!(finished(&conditions).is_some(), is_end && !lifts, "{reason}");
        assert_eq!(blocked(&conditions).is_some(), lifts, "{reason}");
    }
    let later = [Condition { reason: "Later".to_owned(), ..failed(Reason::NodesFailed, 0) }];
    assert!(finished(&later).is_some() && blocked(&later).is_none());
    assert!(finished(&[]).is_none() && blocked(&[]).is_none());
}

#[test]
fn a_reason_says_of_which_condition_it_is_and_whether_that_is_true() {
    let mut conditions = Vec::new();
    for reason in Reason::ALL {
        set(&mut conditions, failed(reason, 0));
        let is_known_type = TYPES.contains(&reason.condition());
        assert!(is_known_type && conditions.iter().all(is_ours), "{reason}");
        let is_true = find_true(&conditions, reason.condition()).is_some();
        assert_eq!(is_true, reason.is_true(), "{reason}");
    }
    // The reasons of `Stalled` are those of `Failed`.
    conditions.push(stalled(&failed(Reason::NodesFailed, 0)));
    let types: Vec<_> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(types, TYPES);
    assert!(conditions.iter().all(is_ours));
}

#[test]
fn a_resumed_job_stays_so_and_counts_as_neither_finished_nor_blocked() {
    let mut conditions = vec![failed(Reason::JobSuspended, 1)];
    assert!(find_true(&conditions, SUSPENDED).is_some());
    set(&mut conditions, failed(Reason::JobResumed, 2));
    let resumed = find(&conditions, SUSPENDED).unwrap();
    assert_eq!((resumed.status.as_str(), resumed.last_transition_time.0), ("False", at(2)));
    assert!(find_true(&conditions, SUSPENDED).is_none());
    assert!(finished(&conditions).is_none() && blocked(&conditions).is_none());
}

#[test]
fn conditions_that_are_true_come_first_whatever_their_order_was() {
    let all = [Reason::NotComplete, Reason::InvalidSpec, Reason::JobResumed, Reason::Progressing];
    let mut conditions: Vec<_> = all.iter().map(|reason| failed(*reason, 0)).collect();
    assert!(!are_sorted(&conditions));
    for _ in 0..conditions.len() {
        conditions.rotate_left(1);
        sort(&mut conditions);
        let reasons: Vec<_> = conditions.iter().map(|it| it.reason.as_str()).collect();
        assert_eq!(reasons, ["InvalidSpec", "Progressing", "NotComplete", "JobResumed"]);
        assert!(are_sorted(&conditions));
    }
}
