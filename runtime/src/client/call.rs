//! The client for single calls.

use std::time::Duration;

use kube::{Client, Config, client::ClientBuilder};

use crate::metrics::Requests;

/// Limit for the API server to be silent while it answers a call.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Makes a client whose calls time out.
pub(super) fn for_calls(mut config: Config, requests: &Requests) -> kube::Result<Client> {
    config.read_timeout = Some(TIMEOUT);
    config.reset_reader_on_write = true;
    Ok(ClientBuilder::try_from(config)?.with_layer(requests).build())
}
