//! From kubectl's flags and files to a client.

use std::time::Duration;

use kube::{
    Api, Client, Config, Resource,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;

use crate::{
    args::{connection::Connection, names},
    error::{Error, Result},
};

/// Limit for the API server to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for which a connection may say nothing before it counts as dead.
///
/// Watches and logs that say nothing are begun anew before that.
const SILENCE: Duration = Duration::from_secs(45);

/// A connection to a cluster, and the namespace that a command is about.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl Cluster {
    /// Connects as kubectl does.
    ///
    /// By flags, $KUBECONFIG, ~/.kube/config, or the service account of a pod.
    pub(crate) async fn connect(flags: &Connection) -> Result<Self> {
        let mut config = config(flags).await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(SILENCE);
        config.reset_reader_on_write = true;
        if let Some(user) = &flags.as_user {
            config.auth_info.impersonate = Some(user.clone());
            let groups = Some(flags.as_group.clone()).filter(|groups| !groups.is_empty());
            config.auth_info.impersonate_groups = groups;
        }
        let namespace = flags.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config)
            .map_err(|error| Error::new(format!("the kubeconfig is not usable: {error}")))?;
        Ok(Self { client, namespace })
    }

    /// The objects of a kind in the namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

async fn config(flags: &Connection) -> Result<Config> {
    let options = KubeConfigOptions {
        context: flags.context.clone(),
        cluster: flags.cluster.clone(),
        user: flags.user.clone(),
    };
    let read = match &flags.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    match read {
        Ok(kubeconfig) => {
            let contexts: Vec<_> = kubeconfig.contexts.iter().map(|it| it.name.clone()).collect();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
            config.map_err(|error| unusable(&error, &contexts))
        }
        Err(error) => match Config::incluster() {
            Ok(config) if flags.kubeconfig.is_none() && flags.context.is_none() => Ok(config),
            _ => Err(unusable(&error, &[])),
        },
    }
}

/// Explains why no cluster is chosen.
fn unusable(error: &KubeconfigError, contexts: &[String]) -> Error {
    match error {
        KubeconfigError::LoadContext(name) => {
            let known = contexts.iter().map(String::as_str);
            let likely = names::similar(name, known);
            let hint = match likely.as_slice() {
                [] if contexts.is_empty() => "the kubeconfig has no contexts".to_owned(),
                [] => format!("the kubeconfig has: {}", contexts.join(", ")),
                _ => format!("did you mean {}?", likely.join(" or ")),
            };
            Error::new(format!("no context {name:?} in the kubeconfig")).hint(hint)
        }
        KubeconfigError::CurrentContextNotSet => Error::new("no context is chosen")
            .hint("use --context, or kubectl config use-context NAME"),
        KubeconfigError::ReadConfig(source, path) => {
            Error::new(format!("cannot read the kubeconfig {}: {source}", path.display()))
        }
        error => Error::new(format!("the kubeconfig is not usable: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_context_names_the_likely_one() {
        let contexts = ["production".to_owned(), "staging".to_owned()];
        let error = unusable(&KubeconfigError::LoadContext("prodution".into()), &contexts);
        let expected =
            "error: no context \"prodution\" in the kubeconfig\ndid you mean production?";
        assert_eq!(error.to_string(), expected);
        let error = unusable(&KubeconfigError::LoadContext("zz".into()), &contexts);
        assert!(error.to_string().ends_with("the kubeconfig has: production, staging"));
    }
}
