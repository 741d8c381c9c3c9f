use std::sync::Mutex;

use futures::channel::mpsc;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::watcher::{self, Event};

use super::*;
use crate::{metrics::Registry, watch::cache};

/// Fails a few times, and logs what it is asked for.
#[derive(Default)]
struct Recorder {
    failures: Mutex<u32>,
    log: Mutex<Vec<(String, u128)>>,
    start: Option<Instant>,
}

impl Recorder {
    fn failing(failures: u32) -> Arc<Self> {
        let (failures, start) = (Mutex::new(failures), Some(Instant::now()));
        Arc::new(Self { failures, start, ..Self::default() })
    }

    fn record(&self, what: &str) {
        let millis = self.start.unwrap().elapsed().as_millis();
        self.log.lock().unwrap().push((what.to_owned(), millis));
    }

    fn recorded(&self) -> Vec<String> {
        self.log.lock().unwrap().iter().map(|(what, _)| what.clone()).collect()
    }
}

impl Reconcile<ConfigMap> for Recorder {
    type Error = std::io::Error;

    async fn reconcile(&self, object: &ConfigMap) -> Result<Action, Self::Error> {
        self.record(object.metadata.name.as_deref().unwrap());
        let mut failures = self.failures.lock().unwrap();
        if *failures == 0 {
            return Ok(Action::await_change());
        }
        *failures -= 1;
        Err(std::io::Error::other("not now"))
    }

    fn error_kind(_: &Self::Error) -> &'static str {
        "other"
    }

    fn span(_: &ObjectRef<ConfigMap>) -> Span {
        Span::none()
    }

    fn forget(&self, object: &ObjectRef<ConfigMap>) {
        self.record(&format!("{} is gone", object.name));
    }
}

fn object(name: &str) -> ConfigMap {
    let mut object = ConfigMap::default();
    object.metadata.name = Some(name.to_owned());
    object
}

fn secret() -> Secret {
    let mut secret = Secret::default();
    secret.metadata.name = Some("s".to_owned());
    secret
}

fn reconciliations() -> Reconciliations {
    Reconciliations::new(&mut Registry::new("operator"), &["other"])
}

fn listed(names: &[&str]) -> Vec<watcher::Result<Event<ConfigMap>>> {
    let objects = names.iter().map(|name| Event::InitApply(object(name)));
    [Event::Init].into_iter().chain(objects).chain([Event::InitDone]).map(Ok).collect()
}

/// Runs a controller over a list, further events, one a second, and Secrets.
async fn run(
    recorder: &Arc<Recorder>,
    list: &[&str],
    events: Vec<Event<ConfigMap>>,
    secrets: Vec<watcher::Result<Event<Secret>>>,
) {
    let (sender, receiver) = mpsc::unbounded();
    let later = stream::iter(events).then(|event| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(event)
    });
    let events = stream::iter(listed(list)).chain(later).chain(stream::pending());
    let (objects, changes) = cache(events);
    let (_secrets, of_secrets) = cache(receiver);
    let controller =
        Controller::new(objects, changes).watches(of_secrets, |_: &Secret| [ObjectRef::new("b")]);
    let shutdown = tokio::time::sleep(Duration::from_secs(60)).shared();
    let feed = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        for event in secrets {
            sender.unbounded_send(event).unwrap();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = controller.run(Arc::clone(recorder), reconciliations(), shutdown) => {
            ended.expect("it ends at shutdown");
        }
        () = feed => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_makes_all_objects_be_reconciled_and_one_that_is_gone_is_forgotten() {
    let recorder = Recorder::failing(0);
    let events = vec![Event::Apply(object("b")), Event::Delete(object("a"))];
    run(&recorder, &["a"], events, vec![]).await;
    assert_eq!(recorder.recorded(), ["a", "b", "a is gone"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_another_kind_is_mapped_and_its_list_makes_all_be_reconciled() {
    let recorder = Recorder::failing(0);
    let secrets = [Event::Apply(secret())].map(Ok);
    run(&recorder, &["a", "b"], vec![], secrets.into()).await;
    let mut recorded = recorder.recorded();
    recorded[..2].sort();
    assert_eq!(recorded, ["a", "b", "b"]);
    let recorder = Recorder::failing(0);
    let secrets = [Event::Init, Event::InitApply(secret()), Event::InitDone].map(Ok);
    run(&recorder, &["a", "b"], vec![], secrets.into()).await;
    let mut recorded = recorder.recorded();
    recorded.sort();
    assert_eq!(recorded, ["a", "a", "b", "b"]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_fails_is_reconciled_again_after_growing_waits() {
    let recorder = Recorder::failing(3);
    run(&recorder, &["a"], vec![], vec![]).await;
    let log = recorder.log.lock().unwrap();
    let waits: Vec<_> = log.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    assert_eq!(waits.len(), 3);
    for (wait, expected) in waits.iter().zip([200, 400, 800]) {
        assert!((expected..expected + 50).contains(wait), "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_controller_whose_caches_never_sync_ends_at_shutdown() {
    let (objects, changes) = cache(stream::pending());
    let controller = Controller::<ConfigMap>::new(objects, changes);
    let shutdown = tokio::time::sleep(Duration::from_secs(5)).shared();
    let run = controller.run(Recorder::failing(0), reconciliations(), shutdown);
    let ended = tokio::time::timeout(Duration::from_secs(60), run).await;
    ended.expect("it ends").expect("at shutdown");
}

#[tokio::test(start_paused = true)]
async fn a_controller_whose_watches_end_reports_that() {
    let (objects, changes) = cache(stream::iter(listed(&["a"])));
    let controller = Controller::new(objects, changes);
    let run = controller.run(
        Recorder::failing(0),
        reconciliations(),
        std::future::pending().boxed().shared(),
    );
    let ended = tokio::time::timeout(Duration::from_secs(60), run).await;
    assert!(ended.expect("it ends").is_err());
}
