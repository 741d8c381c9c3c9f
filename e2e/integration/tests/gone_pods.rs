//! Pods that were done, and are gone before the operator has looked at their Job.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::job::{exit_code_manifest, exit_well, log_done, manifest};
use crate::test::{Test, shared_test};

/// Passes connections on to the API server, whose answers may be held.
async fn slow_way(server: String, is_held: watch::Receiver<bool>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // How a connection ends is the matter of its ends.
            tokio::spawn(pass(client, server.clone(), is_held.clone()));
        }
    });
    Ok(address)
}

async fn pass(client: TcpStream, server: String, mut is_held: watch::Receiver<bool>) -> Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(server).await?.into_split();
    let answers = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from_server.read(&mut buffer).await?;
            is_held.wait_for(|is_held| !is_held).await?;
            to_client.write_all(&buffer[..read]).await?;
            if read == 0 {
                return to_client.shutdown().await.map_err(Into::into);
            }
        }
    };
    let requests = async {
        tokio::io::copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await?;
        Ok(())
    };
    tokio::try_join!(answers, requests).map(drop)
}

/// Whether the init container of a pod has succeeded.
fn has_succeeded(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.init_container_statuses.as_ref());
    let state = statuses.and_then(|statuses| statuses.first()?.state.as_ref());
    state.and_then(|state| state.terminated.as_ref()).is_some_and(|it| it.exit_code == 0)
}

#[apply(shared_test)]
async fn node_is_done_whose_pod_has_gone_before_the_operator_knows(cx: &Test) -> Result<()> {
    let mut kubeconfig: Value = serde_json::from_str(&cx.kubeconfig().await?)?;
    let server = &mut kubeconfig["clusters"][0]["cluster"]["server"];
    let host = server.as_str().and_then(|url| url.strip_prefix("https://"));
    let held = watch::Sender::new(false);
    let host = host.context("a server")?.trim_end_matches('/').to_owned();
    *server = json!(format!("https://{}", slow_way(host, held.subscribe()).await?));
    let operator = cx.program("operator", &kubeconfig.to_string(), &[])?;
    operator.until_log(|log| log.contains("caches are synced")).await?;
    let _terminator = cx.terminator().await?;
    for (manifest, is_by_word) in
        [(manifest("by-word").ttl(3600), true), (exit_code_manifest("by-code"), false)]
    {
        let (job, [done, second, third]) = cx.running(&manifest).await?;
        job.until_completed("0/3").await?;
        held.send_replace(true);
        if is_by_word {
            done.log("done\n")?;
            job.until_recorded(&done).await?;
        } else {
            done.exit(0)?;
            let pods = job.api::<Pod>();
            job.waiter().object(pods, &done.name(), "successful", has_succeeded).await?;
        }
        let at_once = DeleteParams::default().grace_period(0);
        job.api::<Pod>().delete(&done.name(), &at_once).await?;
        let node = done.node().context("a node")?;
        job.pod_other_than(&node, std::slice::from_ref(&done)).await?;
        held.send_replace(false);
        job.until_completed("1/3").await?;
        // Its next pod goes on, and does not matter.
        if is_by_word {
            log_done([&second, &third])?
        } else {
            exit_well([&second, &third])?
        }
        job.until_all_done().await?;
    }
    operator.end().await
}
