//! The report in a real browser: it is clicked, searched, measured and photographed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::process::{Cmd, LogDir};
use serde_json::{Value, json};

use crate::cluster::artifacts;
use crate::job::exit_code_manifest;
use crate::kubectl::Kubectl;
use crate::test::{Test, shared_test};

/// The nodes of the large report.
const NODES: usize = 5_000;

/// Uses a report as people do, and leaves what it has seen in the title.
const USER: &str = r##"<script>
(() => {
  const byId = (id) => document.getElementById(id);
  const cards = () => [...document.querySelectorAll("#cards h3")].map((title) => title.textContent);
  const seen = { ready: document.documentElement.dataset.ready, width: innerWidth };
  seen.overflow = document.documentElement.scrollWidth - innerWidth;
  seen.squares = document.querySelectorAll("#grid button").length;
  seen.first = cards()[0];
  seen.output = document.querySelector("#cards pre").textContent;
  document.querySelector("#grid button.Failed").click();
  seen.detail = byId("detail").hidden ? null : byId("detail").textContent;
  const search = (text) => {
    const start = performance.now();
    byId("search").value = text;
    byId("search").dispatchEvent(new Event("input"));
    document.body.getBoundingClientRect();
    seen.slowest = Math.max(seen.slowest || 0, performance.now() - start);
    return byId("found").textContent;
  };
  seen.found = search("NO SPACE");
  seen.foundCards = cards();
  seen.nothing = search("no such node");
  seen.all = search("");
  const done = [...document.querySelectorAll("#states button")].find((button) => button.textContent.startsWith("Done"));
  done.click();
  seen.withoutDone = byId("found").textContent;
  done.click();
  seen.outside = performance.getEntriesByType("resource").length;
  document.title = JSON.stringify(seen);
})();
</script></body>"##;

/// A browser without a window.
struct Browser {
    program: PathBuf,
    folder: PathBuf,
    logs: LogDir,
}

impl Browser {
    fn new(cx: &Test) -> Result<Self> {
        let program = std::env::var_os("CHROMIUM").map_or_else(|| "chromium".into(), PathBuf::from);
        let folder = artifacts().join(&cx.namespace);
        let logs = LogDir::create(&folder)?;
        Ok(Self { program, folder, logs })
    }

    fn command(&self, page: &Path, width: u32, height: u32) -> Cmd {
        Cmd::new(&self.program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--disable-background-networking", "--no-first-run", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", self.folder.join("browser").display()))
            .arg(format!("--window-size={width},{height}"))
            .arg(format!("file://{}", page.display()))
            .timeout(Duration::from_secs(90))
            .name("chromium")
    }

    /// What the user of a page has seen on a screen of this size.
    async fn used(&self, name: &str, page: &str, width: u32) -> Result<Value> {
        let file = self.folder.join(format!("{name}-used.html"));
        std::fs::write(&file, page.replace("</body>", USER))?;
        let output =
            self.command(&file, width, 900).arg("--dump-dom").run(&self.logs).await?.text();
        let title = output.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
        let title = title.context("a page without a title")?.0;
        let title = title.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        serde_json::from_str(&title).with_context(|| title.clone())
    }

    /// A picture of a page, in the artifacts.
    async fn picture(&self, name: &str, page: &str, width: u32, is_dark: bool) -> Result<()> {
        let file = self.folder.join("report.html");
        std::fs::write(&file, page)?;
        let picture = self.folder.join(format!("{name}.png"));
        let scheme = if is_dark { 0 } else { 1 };
        self.command(&file, width, 900)
            .arg(format!("--screenshot={}", picture.display()))
            .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
            .run(&self.logs)
            .await?;
        let bytes = std::fs::read(&picture)?;
        ensure!(bytes.starts_with(b"\x89PNG") && bytes.len() > 5_000, "{}", picture.display());
        Ok(())
    }
}

/// The report with so many nodes: copies of one that is done are added.
fn enlarged(page: &str) -> Result<String> {
    let (head, rest) = page.split_once("application/json\">").context("data")?;
    let (data, tail) = rest.split_once("</script>").context("data")?;
    let mut data: Value = serde_json::from_str(data)?;
    let nodes = data["job"]["nodes"].as_array_mut().context("nodes")?;
    let done =
        nodes.iter().find(|node| node["state"] == "Done").context("a node that is done")?.clone();
    for number in nodes.len()..NODES {
        let mut node = done.clone();
        node["name"] = json!(format!("ip-10-0-{}-{}", number / 256, number % 256));
        nodes.push(node);
    }
    data["job"]["counts"]["desired"] = json!(NODES);
    data["job"]["counts"]["done"] = json!(NODES - 1);
    let data = data.to_string().replace('<', "\\u003c");
    Ok(format!("{head}application/json\">{data}</script>{tail}"))
}

#[apply(shared_test)]
async fn report_can_be_searched_and_clicked_at_phone_and_desktop_width(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("reported").backoff_limit(0)).await?;
    job.fail_on_worker_1(3, "</script><b>no space left</b>\n").await?;
    let dsjob = &Kubectl::admin(cx)?;
    let page = dsjob.ok("report reported").await?;
    let browser = Browser::new(cx)?;
    for (name, page, nodes, width) in
        [("small", page.clone(), 3, 500), ("large", enlarged(&page)?, NODES, 1280)]
    {
        let seen = browser.used(name, &page, width).await?;
        ensure!(seen["ready"] == "true" && seen["outside"] == 0, "{seen}");
        ensure!(seen["overflow"].as_i64() <= Some(0), "wider than the screen: {seen}");
        ensure!(seen["squares"] == nodes, "{seen}");
        ensure!(seen["first"] == "worker-1 – Failed", "{seen}");
        ensure!(seen["output"] == "</script><b>no space left</b>", "{seen}");
        ensure!(seen["detail"].to_string().contains("exit code 3"), "{seen}");
        ensure!(seen["foundCards"] == json!(["worker-1 – Failed"]), "{seen}");
        ensure!(seen["nothing"].to_string().starts_with("\"0 of"), "{seen}");
        ensure!(seen["withoutDone"].to_string().starts_with("\"1 of"), "{seen}");
        ensure!(seen["slowest"].as_f64().is_some_and(|millis| millis < 5_000.0), "{seen}");
        browser.picture(&format!("report-{name}-light"), &page, width, false).await?;
        browser.picture(&format!("report-{name}-dark"), &page, width, true).await?;
    }
    Ok(())
}
