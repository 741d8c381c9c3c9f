//! Names up to the API's limit.

use anyhow::ensure;

use crate::job::manifest;
use crate::test::shared;

#[test]
fn job_names_up_to_the_limit_run_to_their_end() {
    shared(async |cx| {
        let _processes = cx.both().await?;
        for length in [1, 50, 63, 64, 253] {
            let job = cx.apply(&manifest(&"n".repeat(length))).await?;
            for pod in job.pods().await? {
                pod.log("done\n")?;
            }
            job.until_gone().await?;
        }
        Ok(())
    });
}

#[test]
fn jobs_whose_long_names_differ_at_the_end_only_never_mix() {
    shared(async |cx| {
        let _processes = cx.both().await?;
        let base = "long".repeat(60);
        let first = cx.apply(&manifest(&format!("{base}-1"))).await?;
        let second = cx.apply(&manifest(&format!("{base}-2"))).await?;
        ensure!(first.daemon_set_name() != second.daemon_set_name());
        for pod in first.pods().await? {
            pod.log("done\n")?;
        }
        first.until_gone().await?;
        let second_pods = second.pods().await?;
        second.until_completed("0/3").await?;
        for pod in second_pods {
            pod.log("done\n")?;
        }
        second.until_gone().await
    });
}
