//! The tables of a report, in Markdown.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::cells::{MIB, REQUESTS_A_POD, both, plain, table, time, verdict};
use super::plugin::table::plugin;
use super::report::{Report, Size};
use super::rollouts::table::rollouts;
use super::summary::{Figures, Spread, of_kind, of_size, spread};

/// What is generated in a document stands between these two lines.
const BEGIN: &str = "<!-- begin: written by `cargo xtask bench --docs` -->";
const END: &str = "<!-- end -->";

/// What was promised of a number of nodes; the last one holds from there on.
struct Target {
    nodes: u32,
    detection: Spread,
    whole_ratio: f64,
    besides: f64,
    log_ratio: f64,
    memory: f64,
}

/// Seconds and MiB.
const TARGETS: [Target; 3] = [
    Target {
        nodes: 3,
        detection: Spread { p50: 0.1, p99: 0.5 },
        whole_ratio: 1.15,
        besides: 30.0,
        log_ratio: 1.0,
        memory: 25.0,
    },
    Target {
        nodes: 1000,
        detection: Spread { p50: 0.25, p99: 1.0 },
        whole_ratio: 1.15,
        besides: 60.0,
        log_ratio: 1.1,
        memory: 45.0,
    },
    Target {
        nodes: 5000,
        detection: Spread { p50: 0.5, p99: 2.0 },
        whole_ratio: 1.25,
        besides: 120.0,
        log_ratio: 1.2,
        memory: 110.0,
    },
];

/// Logs that are followed at the same time by default: pods beyond may take twice the requests.
const SLOTS: f64 = 500.0;
/// How many times faster than polling.
const AGAINST_POLLING: f64 = 20.0;

/// From the start of both processes until both are ready.
const START: f64 = 0.2;

/// All tables of a report.
pub(super) fn markdown(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "Measured as {} on {} processors ({}), {:.0} GiB of memory, load {:.1} before; Kubernetes {}; \
         seed {}; {:.0} minutes.\n\n",
        report.started,
        machine.processors,
        machine.model,
        machine.memory as f64 / MIB / 1024.0,
        machine.load,
        machine.kubernetes,
        report.seed,
        report.seconds / 60.0,
    );
    let kind = report.kind.as_ref().map(|kind| ("real".to_owned(), of_kind(kind)));
    let simulated = report.sizes.iter().map(|size| ("simulated".to_owned(), of_size(size)));
    let columns: Vec<_> = kind.into_iter().chain(simulated).collect();
    text += &figures(&columns);
    for size in &report.sizes {
        text += &costs(size);
    }
    text += &memory(&report.sizes);
    text += &recoveries(&report.sizes);
    text += &rollouts(&report.sizes);
    text += &plugin(&report.sizes);
    match report.differences() {
        None => {}
        Some(lines) if lines.is_empty() => {
            text += "Pods come to the same states on real and on simulated nodes.\n";
        }
        Some(lines) => {
            text += "**States of pods that differ between real and simulated nodes:**\n\n";
            for line in lines {
                let _ = writeln!(text, "- {line}");
            }
        }
    }
    text
}

/// A row of the main table: what it is, and its cell for each column.
type Row = (&'static str, fn(&Figures) -> String);

fn figures(columns: &[(String, Figures)]) -> String {
    let rows: [Row; 17] = [
        ("detection, p50 / p99", |f| {
            let target = target(f);
            verdict(f.detection.map(|d| {
                let kept = d.p50 <= target.detection.p50 && d.p99 <= target.detection.p99;
                (both(d), kept)
            }))
        }),
        ("… to reach", |f| both(target(f).detection)),
        ("… until recorded + told in the status + deleted", |f| {
            plain(f.parts.map(|parts| parts.map(time).join(" + ")))
        }),
        ("… of a bare client that follows one log", |f| plain(f.follow.map(time))),
        ("… of the polling baseline", |f| plain(f.polling.map(time))),
        ("… against that", |f| {
            let ratio = f.polling.zip(f.detection).map(|(polling, job)| polling / job.p50);
            verdict(ratio.map(|r| (format!("{r:.0} times faster"), r >= AGAINST_POLLING)))
        }),
        ("a pod's word until it is recorded, p50 / p99", |f| plain(f.recorded.map(both))),
        ("detection by exit codes, p50 / p99", |f| plain(f.exit_codes.map(both))),
        ("whole Job", |f| plain(f.whole.map(time))),
        ("… its floor", |f| plain(f.whole_baseline.map(time))),
        ("… against that", |f| {
            let ratio = f.whole.zip(f.whole_baseline).map(|(job, floor)| job / floor);
            verdict(ratio.map(|r| (format!("{r:.2}"), r <= target(f).whole_ratio)))
        }),
        ("requests a pod", |f| {
            // Twice for each that there is no slot for.
            let beyond = (f64::from(f.nodes) - SLOTS).max(0.0) / f64::from(f.nodes);
            let limit = REQUESTS_A_POD * (1.0 + beyond);
            verdict(f.requests_a_pod.map(|r| (format!("{r:.2}"), r <= limit)))
        }),
        ("requests a Job besides", |f| {
            verdict(f.requests_besides.map(|r| (format!("{r:.0}"), r <= target(f).besides)))
        }),
        ("log bytes read / up to the word", |f| {
            verdict(f.log_ratio.map(|r| (format!("{r:.2}"), r <= target(f).log_ratio)))
        }),
        ("resident memory, both (peak)", |f| {
            let peak = f.peak.map_or(String::new(), |peak| format!(" ({:.0})", peak / MIB));
            verdict(f.resident.map(|memory| {
                let size = f.peak.unwrap_or(memory) / MIB;
                (format!("{:.0} MiB{peak}", memory / MIB), size <= target(f).memory)
            }))
        }),
        ("start of both until ready", |f| verdict(f.ready.map(|r| (time(r), r <= START)))),
        ("processor time of both for a Job", |f| plain(f.cpu.map(time))),
    ];
    let head: Vec<_> = columns.iter().map(|(kind, of)| format!("{} {kind}", of.nodes)).collect();
    let rows = rows.into_iter().map(|(name, cell)| {
        let cells = columns.iter().map(|(_, figures)| format!(" | {}", cell(figures)));
        name.to_owned() + &cells.collect::<String>()
    });
    table("", &format!("nodes | {}", head.join(" | ")), rows)
        + "Figures in **bold** miss what is to be reached.\n\n"
}

fn target(figures: &Figures) -> &'static Target {
    let [first, rest @ ..] = &TARGETS;
    rest.iter().rev().find(|target| target.nodes <= figures.nodes).unwrap_or(
        // Up to here the figures of a thousand nodes hold, but for the very few.
        if figures.nodes > first.nodes { &TARGETS[1] } else { first },
    )
}

/// Where the requests of the last Job by word went.
fn costs(size: &Size) -> String {
    let Some(run) = size.words.last() else {
        return String::new();
    };
    let about = format!(
        "One Job on {} nodes, requests of both processes (of all clients together: {}, and {} watch \
         events):\n\n",
        size.nodes,
        run.all_requests.values().sum::<u64>(),
        run.watch_events,
    );
    let requests = run.cost.requests.iter();
    table(&about, "request | number", requests.map(|(name, number)| format!("{name} | {number}")))
}

fn memory(sizes: &[Size]) -> String {
    let runs = sizes.iter().flat_map(|size| size.memory.iter().map(|run| (size.nodes, run)));
    let rows = runs.map(|(nodes, run)| {
        let [operator, terminator] = run.usage.map(|usage| {
            format!("{:.1} MiB ({:.1})", usage.resident as f64 / MIB, usage.peak as f64 / MIB)
        });
        format!(
            "{nodes} | {} | {} | {operator} | {terminator} | {} | {} | {}",
            run.situation,
            run.pods,
            time(run.cpu),
            time(run.seconds),
            plain(spread(run.detections.iter().copied()).map(both)),
        )
    });
    let about =
        "Memory and processor time. Of 100 Jobs at once each has a hundredth of the nodes.\n\n";
    let head = "nodes | situation | pods | operator (peak) | terminator (peak) | processor time | in | \
                detection, p50 / p99";
    table(about, head, rows)
}

fn recoveries(sizes: &[Size]) -> String {
    let runs = sizes.iter().flat_map(|size| size.recoveries.iter().map(|run| (size.nodes, run)));
    let rows = runs.map(|(nodes, run)| {
        format!(
            "{nodes} | {} | {} | {} | {} | {}",
            run.recorded,
            time(run.ready),
            time(run.known),
            run.cost.for_pods,
            run.cost.besides,
        )
    });
    let about = "Both processes, killed when half of the nodes were recorded, and started again: \
                 until the other logs, or as many as there are slots, were asked for.\n\n";
    let head = "nodes | recorded before | both ready after | all known after | requests for pods | besides";
    table(about, head, rows)
}

/// Writes the tables of a report into a document, between its two marks.
pub fn renew(report: &Report, document: &Path) -> Result<()> {
    let text = fs_err::read_to_string(document)?;
    let renewed = replace(&text, &markdown(report))
        .with_context(|| format!("{} has no line {BEGIN:?}", document.display()))?;
    Ok(fs_err::write(document, renewed)?)
}

fn replace(document: &str, tables: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", tables.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_replace_what_stood_between_the_marks_and_nothing_else() {
        let document = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let renewed = replace(&document, "new\n").expect("marks");
        assert_eq!(renewed, format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
        assert_eq!(replace("no marks", "new"), None);
    }

    #[test]
    fn what_misses_its_promise_is_marked() {
        let slow = Figures {
            nodes: 1000,
            detection: Some(Spread { p50: 0.2, p99: 1.5 }),
            ..Figures::default()
        };
        let text = figures(&[("simulated".to_owned(), slow)]);
        assert!(text.contains("**200 ms / 1.50 s**"), "{text}");
    }

    #[test]
    fn each_number_of_nodes_has_its_promise() {
        let memory = |nodes| target(&Figures { nodes, ..Figures::default() }).memory;
        assert_eq!([3, 100, 1000, 5000].map(memory), [25.0, 45.0, 45.0, 110.0]);
    }
}
