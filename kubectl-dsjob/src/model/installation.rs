//! The installation as `check` sees it: pure.

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::evidence::{Known, OperatorPod};

/// The oldest Kubernetes that the operator runs on.
pub(crate) const OLDEST: (u32, u32) = (1, 31);
/// Seconds after which a lease that nobody renews is over.
const LEASE_SECONDS: i64 = 60;

/// A line of the checklist.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Item {
    pub(crate) what: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) text: String,
}

/// Whether a line is as it should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Good,
    Warning,
    Bad,
}

impl Item {
    pub(crate) fn good(what: &'static str, text: String) -> Self {
        Self { what, verdict: Verdict::Good, text }
    }

    pub(crate) fn warning(what: &'static str, text: String) -> Self {
        Self { what, verdict: Verdict::Warning, text }
    }

    pub(crate) fn bad(what: &'static str, text: String) -> Self {
        Self { what, verdict: Verdict::Bad, text }
    }
}

/// The API server.
pub(crate) fn server(name: &str, version: Option<(u32, u32)>) -> Item {
    match version {
        Some(version) if version < OLDEST => {
            Item::bad("server", format!("Kubernetes {name} is too old: 1.31 or later is needed"))
        }
        Some(_) => Item::good("server", format!("Kubernetes {name}")),
        None => Item::warning("server", "the API server does not say its version".to_owned()),
    }
}

/// The pods of the operator.
pub(crate) fn operator(pods: &Known<Vec<OperatorPod>>) -> Item {
    let pods = match pods {
        Known::No(why) => {
            return Item::warning(
                "operator",
                format!("whether the operator is ready is not known: {why}"),
            );
        }
        Known::Yes(pods) => pods,
    };
    let ready: Vec<_> = pods.iter().filter(|pod| pod.is_ready).collect();
    match (ready.first(), pods.first()) {
        (Some(pod), _) => {
            let image = pod.image.as_deref().unwrap_or("unknown image");
            let (ready, all, namespace) = (ready.len(), pods.len(), &pod.namespace);
            let watches = pod.watches.as_deref().map(|it| format!(", for namespace {it:?} alone"));
            let watches = watches.unwrap_or_default();
            Item::good(
                "operator",
                format!("{ready} of {all} pods ready in {namespace} ({image}){watches}"),
            )
        }
        (None, Some(pod)) => {
            let trouble = pod.trouble.as_deref().unwrap_or("it starts");
            let (namespace, name) = (&pod.namespace, &pod.name);
            Item::bad(
                "operator",
                format!("no pod of the operator is ready; {namespace}/{name}: {trouble}"),
            )
        }
        (None, None) => Item::bad("operator", "the operator has no pods".to_owned()),
    }
}

/// The leader of the operator's replicas.
pub(crate) fn leader(lease: &Known<Option<(String, Option<Timestamp>)>>, now: Timestamp) -> Item {
    match lease {
        Known::No(why) => Item::warning("leader", format!("who leads is not known: {why}")),
        Known::Yes(None) => Item::warning("leader", "nobody leads".to_owned()),
        Known::Yes(Some((holder, renewed))) => {
            let age = renewed.map(|renewed| now.as_second() - renewed.as_second());
            match age.filter(|age| *age > LEASE_SECONDS) {
                Some(age) => {
                    Item::bad("leader", format!("{holder} led, and has been silent for {age} s"))
                }
                None => Item::good("leader", format!("{holder} leads")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_of_the_installation_has_its_verdict() {
        assert_eq!(server("v1.30.1", Some((1, 30))).verdict, Verdict::Bad);
        assert_eq!(server("v1.37.0", Some((1, 37))).verdict, Verdict::Good);
        assert_eq!(operator(&Known::No("no right".into())).verdict, Verdict::Warning);
        assert_eq!(operator(&Known::Yes(Vec::new())).verdict, Verdict::Bad);
        let pod = OperatorPod { is_ready: true, ..OperatorPod::default() };
        assert_eq!(operator(&Known::Yes(vec![pod.clone()])).verdict, Verdict::Good);
        let trouble = Some("operator: CrashLoopBackOff".to_owned());
        let pod = OperatorPod { is_ready: false, trouble, ..pod };
        assert!(operator(&Known::Yes(vec![pod])).text.ends_with("operator: CrashLoopBackOff"));
        let now = Timestamp::from_second(1_000).unwrap();
        let at = |second| Some(("a".to_owned(), Some(Timestamp::from_second(second).unwrap())));
        assert_eq!(leader(&Known::Yes(at(995)), now).verdict, Verdict::Good);
        assert_eq!(leader(&Known::Yes(at(100)), now).verdict, Verdict::Bad);
        assert_eq!(leader(&Known::Yes(None), now).verdict, Verdict::Warning);
    }
}
