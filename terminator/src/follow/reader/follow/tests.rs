use std::sync::Arc;

use futures::StreamExt;
use proptest::prelude::*;

use super::*;

mod kubelet;

use kubelet::Kubelet;

fn log() -> PodLog {
    PodLog::of_run("uid", "run")
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Follows the log of `kubelet` for an hour at most, while `history` happens.
///
/// Returns the time until the word was found, and the events.
async fn follows(
    kubelet: &Kubelet,
    history: impl Future<Output = ()>,
) -> (Option<Duration>, Vec<ReadEvent>) {
    let started = now();
    let events: std::sync::Mutex<Vec<ReadEvent>> = std::sync::Mutex::default();
    let emit = |event| {
        if !matches!(event, ReadEvent::FirstLine(_) | ReadEvent::ReadTo(_)) {
            events.lock().unwrap().push(event);
        }
    };
    let (clients, log, bytes) = (kubelet.clients(), log(), Counter::default());
    // The scheduler opens a silent log again.
    let read = async {
        loop {
            match follow(&clients, &log, &bytes, emit).await.unwrap() {
                ReadOutcome::Silent => {}
                read => return read,
            }
        }
    };
    let history = async {
        history.await;
        std::future::pending::<()>().await;
    };
    let found = tokio::select! {
        read = tokio::time::timeout(seconds(3600), read) => match read {
            Ok(ReadOutcome::Found) => Some(now() - started),
            Ok(read) => panic!("{read:?}"),
            Err(_) => None,
        },
        () = history => None,
    };
    (found, events.into_inner().unwrap())
}

/// The stream carries the flood long after the word was logged, as in the field.
#[tokio::test(start_paused = true)]
async fn the_word_is_found_in_a_file_that_was_made_while_the_one_before_was_read_slowly() {
    let kubelet = Kubelet::new(Duration::from_millis(2));
    let (found, events) = follows(&kubelet, async {
        kubelet.flood(12_000);
        tokio::time::sleep(seconds(10)).await;
        kubelet.rotate();
        tokio::time::sleep(seconds(2)).await;
        kubelet.log("done");
    })
    .await;
    let found = found.expect("the word");
    assert!(found <= seconds(18), "found after {found:?}, with the flood over after 24 s");
    assert_eq!(events, [ReadEvent::Opened, ReadEvent::Behind]);
    assert_eq!(kubelet.followed(), 2, "each file once");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_lost_its_place_is_replaced_and_closed() {
    let kubelet = Kubelet::new(Duration::from_millis(1));
    let (found, _) = follows(&kubelet, async {
        kubelet.flood(1000);
        tokio::time::sleep(Duration::from_millis(500)).await;
        kubelet.rotate();
        tokio::time::sleep(seconds(55)).await;
        assert_eq!(kubelet.open(), 2, "it might have more");
        tokio::time::sleep(seconds(75)).await;
        assert_eq!(kubelet.open(), 1, "it says nothing while its kubelet answers");
        kubelet.log("done");
    })
    .await;
    assert!(found.expect("the word") < seconds(132));
}

/// The word is in the rest of a file that is in no folder any more.
#[tokio::test(start_paused = true)]
async fn the_word_is_found_in_the_rest_of_a_file_that_was_rotated_twice_since() {
    let kubelet = Kubelet::new(Duration::from_millis(20));
    let (found, events) = follows(&kubelet, async {
        kubelet.flood(5000);
        kubelet.log("done");
        for _ in 0..2 {
            tokio::time::sleep(seconds(10)).await;
            kubelet.rotate();
            kubelet.flood(200);
        }
    })
    .await;
    let found = found.expect("the word");
    assert!((seconds(100)..seconds(101)).contains(&found), "as fast as it is read: {found:?}");
    assert!(!events.contains(&ReadEvent::CaughtUp), "it was not");
}

#[tokio::test(start_paused = true)]
async fn the_word_is_found_in_a_file_that_was_made_and_rotated_while_the_first_one_was_read() {
    let kubelet = Kubelet::new(Duration::from_millis(20));
    let (found, _) = follows(&kubelet, async {
        kubelet.flood(5000);
        tokio::time::sleep(seconds(10)).await;
        kubelet.rotate();
        kubelet.log("done");
        kubelet.flood(200);
        tokio::time::sleep(seconds(10)).await;
        kubelet.rotate();
    })
    .await;
    assert!(found.expect("the word") < seconds(16));
}

#[tokio::test(start_paused = true)]
async fn a_small_log_is_opened_once_and_never_looked_at() {
    let kubelet = Kubelet::new(Duration::ZERO);
    kubelet.log("working");
    let (clients, bytes) = (kubelet.clients(), Counter::default());
    let events = std::cell::RefCell::default();
    let emit = |event| Vec::push(&mut events.borrow_mut(), event);
    let read = follow(&clients, &log(), &bytes, emit).await.unwrap();
    assert!(matches!(read, ReadOutcome::Silent), "{read:?}");
    assert_eq!(kubelet.queries().len(), 1);
    let events = events.into_inner();
    let [ReadEvent::Opened, ReadEvent::FirstLine(first), ReadEvent::ReadTo(last)] = events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(first, last);
    assert_eq!(bytes.get(), 8, "without the time stamp");
}

#[tokio::test(start_paused = true)]
async fn a_large_log_that_is_silent_for_an_hour_costs_little() {
    let kubelet = Kubelet::new(Duration::from_micros(100));
    kubelet.flood(5000);
    tokio::time::sleep(seconds(20)).await;
    kubelet.log("the last line");
    let (found, events) = follows(&kubelet, std::future::pending()).await;
    assert_eq!(found, None);
    assert_eq!(events, [ReadEvent::Opened, ReadEvent::Behind, ReadEvent::CaughtUp]);
    assert_eq!(kubelet.open(), 0, "closed with the follower");
    let queries = kubelet.queries();
    let (followed, looks): (Vec<_>, Vec<_>) =
        queries.iter().partition(|query| query.contains("follow=true"));
    assert!(looks.len() < 150, "{} looks", looks.len());
    assert!((11..=13).contains(&followed.len()), "{followed:?}");
    for query in &followed[1..] {
        assert!(query.contains("sinceTime="), "it is not read from its beginning: {query}");
    }
    assert_eq!(kubelet.served(), 5000 + followed.len(), "lines, the last one again and again");
}

/// Says a little all the time, so that it never pauses.
#[tokio::test(start_paused = true)]
async fn a_log_that_goes_on_is_read_once_from_each_file() {
    let kubelet = Kubelet::new(Duration::ZERO);
    let (found, events) = follows(&kubelet, async {
        for _ in 0..60 {
            for _ in 0..100 {
                kubelet.flood(10);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            kubelet.rotate();
        }
        assert!(kubelet.open() <= 2, "those that have moved on are closed");
        kubelet.log("done");
    })
    .await;
    assert!(found.expect("the word") < seconds(601));
    assert!(events.contains(&ReadEvent::CaughtUp));
    assert!(kubelet.followed() <= 61, "each file at most once more");
    assert!(kubelet.served() <= 2 * 60_000, "{} of 60000 lines", kubelet.served());
}

#[tokio::test(start_paused = true)]
async fn a_log_without_time_stamps_is_read_all_the_same() {
    let service = tower::service_fn(|_: http::Request<kube::client::Body>| {
        let frame = |said: Vec<u8>| Ok::<_, std::io::Error>(http_body::Frame::data(said.into()));
        let frames = [frame(b"working\n".repeat(20_000)), frame(b"done\n".into())];
        let body = futures::stream::iter(frames).chain(futures::stream::pending());
        let body = http_body_util::StreamBody::new(body);
        std::future::ready(Ok::<_, std::io::Error>(http::Response::new(body)))
    });
    let clients = Clients::from(kube::Client::new(service, "n"));
    let read = follow(&clients, &log(), &Counter::default(), |_| {}).await.unwrap();
    assert!(matches!(read, ReadOutcome::Found), "{read:?}");
}

/// Something that happens to a log.
#[derive(Clone, Debug)]
enum Event {
    /// Lines of a kilobyte come at once.
    Flood(usize),
    /// Short lines come, one in a tenth of a second.
    Trickle(usize),
    Pass(u64),
    /// The kubelet looks, and rotates what is large and there for ten seconds.
    Rotate,
    /// The clock of the node is corrected by some seconds.
    Correct(i64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (100_usize..1500).prop_map(Event::Flood),
        2 => (1_usize..200).prop_map(Event::Trickle),
        4 => (0_u64..15_000).prop_map(Event::Pass),
        2 => (60_000_u64..400_000).prop_map(Event::Pass),
        6 => Just(Event::Rotate),
        1 => (-4_i64..=600).prop_map(Event::Correct),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// The stream may be slow, files may be rotated, and the word may be anywhere.
    #[test]
    fn the_word_is_always_found(
        micros in prop_oneof![Just(0_u64), 0_u64..20_000],
        before in prop::collection::vec(event(), 0..12),
        after in prop::collection::vec(event(), 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let kubelet = Arc::new(Kubelet::new(Duration::from_micros(micros)));
            let happens = async |events: &[Event]| for event in events {
                match event {
                    Event::Flood(lines) => kubelet.flood(*lines),
                    Event::Trickle(lines) => for _ in 0..*lines {
                        kubelet.log("a little");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    },
                    Event::Pass(millis) => tokio::time::sleep(Duration::from_millis(*millis)).await,
                    Event::Rotate => kubelet.rotate_if_large(),
                    Event::Correct(seconds) => kubelet.correct(*seconds),
                }
            };
            let logged = std::cell::Cell::new(None);
            let (found, _) = follows(&kubelet, async {
                happens(&before).await;
                logged.set(Some(now()));
                let started = now();
                kubelet.log("all done");
                happens(&after).await;
                // What is on its way has come then.
                tokio::time::sleep(Duration::from_micros(micros) * 25_000).await;
                tokio::time::sleep_until((started + seconds(75)).into()).await;
                tokio::time::sleep(seconds(5)).await;
            }).await;
            prop_assert!(found.is_some(), "never found: {:?}", kubelet.queries());
            let rotations = kubelet.files() - 1;
            prop_assert!(kubelet.followed() <= 10 + 2 * rotations, "{:?}", kubelet.queries());
            prop_assert!(kubelet.most_open() <= MOST + 1);
            Ok(())
        })?;
    }
}
