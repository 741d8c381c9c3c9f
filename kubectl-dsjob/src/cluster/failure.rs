//! Explains errors of requests: which right is lacking, what is not installed, who does not answer.

use kube::core::Status;

use crate::error::Error;

/// What is missing in a cluster without daemonset-job, and how it comes there.
const INSTALL: &str = "daemonset-job is not installed in this cluster. To install it:\n  \
    kubectl apply --server-side -f https://github.com/darkowlzz/daemonset-job/releases/latest/download/install.yaml\n\
    or, from the sources: kubectl apply --server-side -f deploy/";

/// A request in words, for messages.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Doing {
    /// The verb of the right: `list`.
    pub(crate) verb: &'static str,
    /// The resource with its group: `jobs.daemonset.darkowlzz.space`.
    pub(crate) resource: &'static str,
    /// The namespace; none: all of them, or the resource has none.
    pub(crate) namespace: Option<String>,
}

/// Jobs, with their group.
pub(crate) const JOBS: &str = "jobs.daemonset.darkowlzz.space";

impl Doing {
    pub(crate) fn new(verb: &'static str, resource: &'static str, namespace: Option<&str>) -> Self {
        Self { verb, resource, namespace: namespace.map(str::to_owned) }
    }

    /// The right that the request needs: `list pods in namespace "default"`.
    pub(crate) fn right(&self) -> String {
        let place = match &self.namespace {
            Some(namespace) => format!("in namespace {namespace:?}"),
            None => "in the whole cluster".to_owned(),
        };
        format!("{} {} {place}", self.verb, self.resource)
    }

    /// The error for people.
    pub(crate) fn failed(&self, error: &kube::Error) -> Error {
        match error {
            kube::Error::Api(status) => self.refused(status),
            kube::Error::Auth(cause) => Error::new(format!("cannot log in: {cause}")),
            kube::Error::Service(cause) => unanswered(&chain(cause.as_ref())),
            kube::Error::HyperError(cause) => unanswered(&chain(cause)),
            kube::Error::ReadEvents(cause) => unanswered(&chain(cause)),
            error => Error::new(format!("cannot {}: {error}", self.right())),
        }
    }

    fn refused(&self, status: &Status) -> Error {
        let said = match status.message.trim() {
            "" => status.reason.as_str(),
            message => message,
        };
        match status.code {
            401 => Error::new("the API server does not accept your credentials")
                .hint("log in again, or choose another user with --user or --context"),
            403 if is_lack_of_rights(said) => {
                let error = Error::new(format!("you lack the right to {}", self.right()));
                error.hint(self.grant()).hint(format!("the API server says: {said}"))
            }
            404 if self.resource == JOBS && is_unknown_resource(status) => {
                Error::new("the server has no resource jobs.daemonset.darkowlzz.space")
                    .hint(INSTALL)
            }
            _ => Error::new(format!("cannot {}: {said}", self.right())),
        }
    }

    /// Who may give the right.
    fn grant(&self) -> String {
        let role = match (self.resource, self.verb) {
            (JOBS, "get" | "list" | "watch") => "ClusterRole daemonset-job-view",
            (JOBS, _) => "ClusterRole daemonset-job-edit",
            ("nodes", _) => {
                return "nodes are not in namespaces: a ClusterRole has to allow it".into();
            }
            _ => "ClusterRole view, edit or admin of Kubernetes",
        };
        let place = match &self.namespace {
            Some(namespace) => format!("kubectl create rolebinding NAME --namespace {namespace}"),
            None => "kubectl create clusterrolebinding NAME".to_owned(),
        };
        let role_name = role.split_whitespace().nth(1).unwrap_or_default();
        format!("an administrator gives it with: {place} --clusterrole {role_name} --user YOU")
    }
}

/// Whether an answer 403 is about rights, and not the veto of an admission plugin.
fn is_lack_of_rights(said: &str) -> bool {
    said.contains(" cannot ") && said.contains("User ")
}

/// Whether the API server does not know the resource.
///
/// An object that is not there is another matter.
pub(crate) fn is_unknown_resource(status: &Status) -> bool {
    let has_name = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
    status.code == 404 && !has_name
}

/// Whether the object of a request is not there, though its resource is known.
pub(crate) fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404 && !is_unknown_resource(status))
}

/// Whether the right for a request is lacking.
pub(crate) fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

fn unanswered(cause: &str) -> Error {
    Error::new(format!("the API server does not answer: {cause}"))
        .hint("is the cluster of this context up? kubectl cluster-info says the same of it")
}

/// An error and its causes, each text once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        cause = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, message: &str, name: &str) -> kube::Error {
        let details = serde_json::from_value(serde_json::json!({"name": name})).unwrap();
        let status =
            Status { details: Some(details), ..Status::failure(message, "").with_code(code) };
        kube::Error::Api(status.boxed())
    }

    #[test]
    fn the_lacking_right_is_named_with_who_can_give_it() {
        let said = "jobs.daemonset.darkowlzz.space is forbidden: User \"eve\" cannot list resource \
                    \"jobs\" in API group \"daemonset.darkowlzz.space\" in the namespace \"ops\"";
        let text = Doing::new("list", JOBS, Some("ops")).failed(&answer(403, said, "")).to_string();
        let first =
            "error: you lack the right to list jobs.daemonset.darkowlzz.space in namespace \"ops\"";
        assert_eq!(text.lines().next(), Some(first));
        assert!(text.contains("--namespace ops --clusterrole daemonset-job-view"), "{text}");
        assert!(text.contains("User \"eve\" cannot list"), "{text}");
    }

    #[test]
    fn a_veto_of_admission_is_no_lack_of_rights() {
        let text = Doing::new("create", JOBS, Some("a"));
        let text = text.failed(&answer(403, "admission webhook \"x\" denied the request", "n"));
        assert!(text.to_string().contains("admission webhook"), "{text}");
        assert!(
            !text
                .to_string()
                .contains("right to create jobs.daemonset.darkowlzz.space in namespace \"a\"\n")
        );
    }

    #[test]
    fn a_cluster_without_the_resource_says_how_to_install_it() {
        let doing = Doing::new("list", JOBS, None);
        let text = doing.failed(&answer(404, "404 page not found", "")).to_string();
        assert!(text.contains("is not installed") && text.contains("kubectl apply"), "{text}");
        let missing = answer(404, "jobs \"a\" not found", "a");
        assert!(is_not_found(&missing) && !doing.failed(&missing).to_string().contains("install"));
    }
}
