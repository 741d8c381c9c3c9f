//! Lists of any size, page by page: of each object only what is kept stays in memory.

use kube::{Api, api::ListParams, core::PartialObjectMeta};
use serde::de::DeserializeOwned;

use crate::model::facts::NodeFacts;

/// Objects of a page.
const PAGE: u32 = 500;
/// How often a list is begun again whose next page has expired.
const ATTEMPTS: usize = 3;

/// Lists objects, and keeps of each what `keep` returns.
pub(crate) async fn list<K, T>(
    api: &Api<K>,
    params: &ListParams,
    keep: impl Fn(K) -> Option<T>,
) -> kube::Result<Vec<T>>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut attempt = 1;
    loop {
        let mut kept = Vec::new();
        let listed = each_page(params, async |page| {
            let list = api.list(&page).await?;
            kept.extend(list.items.into_iter().filter_map(&keep));
            Ok(list.metadata.continue_)
        });
        match listed.await {
            Ok(()) => return Ok(kept),
            Err(error) if is_expired(&error) && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Lists all nodes by name and UID.
///
/// Only their metadata is asked for: the rest of a node is mostly the images that it holds.
pub(crate) async fn nodes(client: &kube::Client) -> kube::Result<Vec<NodeFacts>> {
    let api: Api<k8s_openapi::api::core::v1::Node> = Api::all(client.clone());
    let mut nodes = Vec::new();
    each_page(&ListParams::default(), async |page| {
        let list = api.list_metadata(&page).await?;
        let facts = |node: PartialObjectMeta<_>| NodeFacts::new(node.metadata);
        nodes.extend(list.items.into_iter().map(facts));
        Ok(list.metadata.continue_)
    })
    .await?;
    Ok(nodes)
}

/// Asks for page after page, until there is no further one.
async fn each_page(
    params: &ListParams,
    mut ask: impl AsyncFnMut(ListParams) -> kube::Result<Option<String>>,
) -> kube::Result<()> {
    let mut page = params.clone().limit(PAGE);
    loop {
        let next = ask(page.clone()).await?.filter(|token| !token.is_empty());
        let Some(token) = next else { return Ok(()) };
        page = page.continue_token(&token);
    }
}

/// Whether the API server does not know the place in the list any more.
fn is_expired(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}
