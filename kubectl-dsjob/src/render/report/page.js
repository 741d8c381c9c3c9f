"use strict";
(() => {
  const report = JSON.parse(document.getElementById("data").textContent);
  const job = report.job;
  const nodes = job.nodes;
  const states = ["Failed", "Unreachable", "Pending", "Running", "Waiting", "Done"];
  const byId = (id) => document.getElementById(id);
  const make = (tag, text, name) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  const number = (value) => value.toLocaleString("en");
  const seconds = (from, to) => Math.max(0, Math.round((Date.parse(to) - Date.parse(from)) / 1000));
  const duration = (all) => {
    const [d, h, m, s] = [Math.floor(all / 86400), Math.floor(all / 3600) % 24, Math.floor(all / 60) % 60, all % 60];
    if (d) return d + "d" + (h ? h + "h" : "");
    if (h) return h + "h" + (m ? m + "m" : "");
    return m ? m + "m" + (s ? s + "s" : "") : s + "s";
  };

  // The head.
  byId("name").textContent = job.name + " (" + job.namespace + ")";
  const phase = byId("phase");
  phase.textContent = job.phase || "Unseen";
  phase.classList.add({ Failed: "Failed", Completed: "Done", Running: "Running" }[job.phase] || "Pending");
  const words = [report.image, report.command.join(" ")].filter(Boolean);
  if (job.started) words.push("started " + job.started, "took " + duration(seconds(job.started, job.ended || report.made)));
  byId("about").textContent = words.join(" · ");
  const count = (state) => nodes.filter((node) => node.state === state).length;
  const counts = [["wanted", job.counts.desired], ["done", job.counts.done], ["failed", job.counts.failed], ["at work", job.counts.active]];
  if (job.counts.waiting) counts.push(["waiting", job.counts.waiting]);
  if (job.counts.missing) counts.push(["without a pod", job.counts.missing]);
  for (const [name, value] of counts) {
    const box = make("div");
    box.append(make("dt", name), make("dd", number(value)));
    byId("counts").append(box);
  }
  const share = (value) => (100 * value) / Math.max(1, job.counts.desired) + "%";
  for (const [name, value] of [["Done", job.counts.done], ["Failed", job.counts.failed], ["Running", job.counts.active]]) {
    if (!value) continue;
    const part = make("i", undefined, name);
    part.style.width = share(value);
    byId("bar").append(part);
  }
  byId("bar").setAttribute("aria-label", job.counts.done + " of " + job.counts.desired + " nodes done, " + job.counts.failed + " failed");

  // The findings.
  const findings = document.querySelector("#findings ul");
  for (const finding of report.findings) {
    const item = make("li", undefined, finding.severity);
    item.append(make("strong", finding.cause));
    for (const quote of finding.quotes || []) item.append(make("blockquote", quote));
    if (finding.cure) item.append(make("p", "→ " + finding.cure));
    findings.append(item);
  }
  for (const gap of job.gaps || []) findings.append(make("li", gap, "warning"));

  // Cards of nodes.
  const card = (node) => {
    const box = make("article", undefined, node.state === "Failed" ? "card f" : "card");
    box.append(make("h3", node.name + " – " + node.state));
    const facts = [];
    if (node.runs) facts.push(node.runs + (node.runs === 1 ? " run" : " runs"));
    if (node.exitCode !== undefined) facts.push("exit code " + node.exitCode);
    if (node.started) facts.push("started " + node.started);
    if (node.started && node.finished) facts.push("took " + duration(seconds(node.started, node.finished)));
    if (node.pod) facts.push("pod " + node.pod);
    if (node.uid) facts.push("UID " + node.uid);
    if (facts.length) box.append(make("p", facts.join(" · "), "quiet"));
    const isSaid = node.message && node.reason && node.message.includes(node.reason);
    const says = [isSaid ? "" : node.reason, node.message].filter(Boolean).join(": ");
    if (says) box.append(make("p", says));
    if (node.output) box.append(make("pre", node.output));
    return box;
  };

  // The grid: made once, then shown and hidden.
  const grid = byId("grid");
  const detail = byId("detail");
  let chosen = null;
  const squares = nodes.map((node, index) => {
    const square = make("button", undefined, node.state);
    square.type = "button";
    square.title = node.name + ": " + node.state;
    square.setAttribute("aria-label", square.title);
    square.dataset.index = index;
    return square;
  });
  grid.append(...squares);
  grid.addEventListener("click", (event) => {
    const index = event.target.dataset.index;
    if (index === undefined) return;
    if (chosen) chosen.setAttribute("aria-pressed", "false");
    chosen = event.target;
    chosen.setAttribute("aria-pressed", "true");
    detail.hidden = false;
    detail.replaceChildren(...card(nodes[index]).childNodes);
  });

  // Search and states.
  const texts = nodes.map((node) => [node.name, node.state, node.reason, node.message, node.output, node.pod].filter(Boolean).join("\n").toLowerCase());
  const hidden = new Set();
  for (const state of states.filter(count)) {
    const button = make("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    button.append(make("i", undefined, state), document.createTextNode(state + " " + number(count(state))));
    button.addEventListener("click", () => {
      if (!hidden.delete(state)) hidden.add(state);
      button.setAttribute("aria-pressed", String(!hidden.has(state)));
      filter();
    });
    byId("states").append(button);
  }
  const PAGE = 50;
  const cards = byId("cards");
  const more = byId("more");
  let shown = [];
  const extend = () => {
    const next = shown.slice(cards.childElementCount, cards.childElementCount + PAGE);
    cards.append(...next.map((index) => card(nodes[index])));
    const rest = shown.length - cards.childElementCount;
    more.hidden = rest <= 0;
    more.textContent = "Show more: " + number(rest) + " are left";
  };
  const filter = () => {
    const wanted = byId("search").value.trim().toLowerCase();
    shown = [];
    nodes.forEach((node, index) => {
      const fits = !hidden.has(node.state) && (!wanted || texts[index].includes(wanted));
      squares[index].hidden = !fits;
      if (fits) shown.push(index);
    });
    byId("found").textContent = number(shown.length) + " of " + number(nodes.length) + " nodes";
    cards.replaceChildren();
    extend();
  };
  more.addEventListener("click", extend);
  byId("search").addEventListener("input", filter);
  filter();

  // The time line: nodes that were done or had failed by each time.
  const ends = nodes.filter((node) => node.finished).map((node) => ({ at: Date.parse(node.finished), failed: node.state === "Failed" }));
  if (ends.length > 1) {
    ends.sort((a, b) => a.at - b.at);
    const begin = Math.min(Date.parse(job.started || job.created || report.made), ends[0].at);
    const end = Math.max(ends[ends.length - 1].at, begin + 1000);
    const [width, height, left, bottom] = [1000, 220, 50, 24];
    const x = (at) => left + ((at - begin) / (end - begin)) * (width - left - 10);
    const y = (value) => height - bottom - (value / ends.length) * (height - bottom - 14);
    const svg = (tag, attributes, text) => {
      const element = document.createElementNS("http:" + "//www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
      if (text !== undefined) element.textContent = text;
      return element;
    };
    const chart = svg("svg", { viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": "Nodes that have ended, over time" });
    const line = (kind) => {
      let sum = 0;
      let path = "M" + x(begin) + " " + y(0);
      for (const one of ends) {
        if (one.failed === kind) {
          path += "H" + x(one.at).toFixed(1);
          sum += 1;
          path += "V" + y(sum).toFixed(1);
        }
      }
      return sum ? path + "H" + x(end) : "";
    };
    chart.append(svg("path", { d: "M" + left + " 14V" + (height - bottom) + "H" + (width - 10), fill: "none", stroke: "var(--line)" }));
    chart.append(svg("path", { d: line(false), fill: "none", stroke: "var(--done)", "stroke-width": 2 }));
    chart.append(svg("path", { d: line(true), fill: "none", stroke: "var(--failed)", "stroke-width": 2 }));
    chart.append(svg("text", { x: 4, y: 24 }, number(ends.length)), svg("text", { x: 4, y: height - bottom }, "0"));
    chart.append(svg("text", { x: left, y: height - 6 }, "0s"));
    chart.append(svg("text", { x: width - 10, y: height - 6, "text-anchor": "end" }, duration(Math.round((end - begin) / 1000))));
    byId("chart").append(chart);
    byId("time").hidden = false;
  }
  byId("foot").textContent = "Made by kubectl dsjob " + report.version + " at " + report.made;
  document.documentElement.dataset.ready = "true";
})();
