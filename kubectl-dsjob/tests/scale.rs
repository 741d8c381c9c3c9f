//! The program against an API server with very many objects: how much memory it takes.
//!
//! The server is made up, but for the form of its answers: pages of pods as a kubelet and a DaemonSet controller
//! leave them, with managed fields and all.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests end this way")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use api::job::node_set::NodeSet;
use serde_json::{Value, json};

/// The most that a command may take.
const MEMORY_KIB: u64 = 60 * 1024;
/// Generous: the program is not optimized, and other tests run beside it.
const TIME: Duration = Duration::from_secs(30);

const NODES: usize = 5_000;
const RUNNING: usize = 10;
const JOBS: usize = 1_000;

fn uid(number: usize) -> String {
    format!("5f1c1a3e-0000-4000-8000-{number:012}")
}

fn node_name(number: usize) -> String {
    format!("node-{number:05}.compute.internal")
}

/// Fields that nobody reads, as the API server sends them.
fn managed_fields() -> Value {
    let fields = json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {"f:x": {"f:y": "z".repeat(200)}}});
    json!([
        {"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": fields},
        {"manager": "kubelet", "operation": "Update", "subresource": "status", "fieldsV1": fields},
    ])
}

fn node(number: usize) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {
        "name": node_name(number), "uid": uid(number), "managedFields": managed_fields(),
        "labels": {"kubernetes.io/hostname": node_name(number)},
    }})
}

fn pod(number: usize) -> Value {
    let env: Vec<_> = (0..20)
        .map(|n| json!({"name": format!("VARIABLE_{n}"), "value": "v".repeat(60)}))
        .collect();
    let state = if number < RUNNING {
        json!({"running": {"startedAt": "2026-01-02T03:04:05Z"}})
    } else {
        json!({"terminated": {"exitCode": 0, "startedAt": "2026-01-02T03:04:05Z",
            "finishedAt": "2026-01-02T03:04:15Z", "containerID": format!("containerd://{number:064}")}})
    };
    json!({
        "metadata": {
            "name": format!("big-daemonset-job-{number:05}"), "namespace": "default", "uid": uid(number),
            "resourceVersion": "1", "creationTimestamp": "2026-01-02T03:04:00Z", "managedFields": managed_fields(),
            "annotations": {"daemonset.darkowlzz.space/work-hash": "0123456789abcdef"},
            "labels": {"daemonset": "big-daemonset-job", "controller-revision-hash": "5d"},
        },
        "spec": {
            "nodeName": node_name(number),
            "containers": [{"name": "pause", "image": "pause", "env": env}],
            "initContainers": [{"name": "job-container", "image": "busybox", "env": env}],
        },
        "status": {"phase": "Pending", "initContainerStatuses": [{
            "name": "job-container", "image": "busybox", "imageID": "sha256:0", "ready": true,
            "restartCount": 0, "containerID": format!("containerd://{number:064}"), "state": state,
        }]},
    })
}

fn job(name: &str, nodes: usize, running: usize) -> Value {
    let mut done = NodeSet::default();
    (running..nodes).for_each(|number| done.insert(&uid(number)));
    json!({
        "apiVersion": "daemonset.darkowlzz.space/v1beta1", "kind": "Job",
        "metadata": {"name": name, "namespace": "default", "uid": "job", "generation": 1,
            "creationTimestamp": "2026-01-02T03:00:00Z", "managedFields": managed_fields()},
        "spec": {"image": "busybox", "completionMode": "ExitCode"},
        "status": {
            "phase": "Running", "observedGeneration": 1, "workHash": "0123456789abcdef", "desired": nodes,
            "active": running, "succeeded": nodes - running, "completed": format!("{}/{nodes}", nodes - running),
            "startTime": "2026-01-02T03:04:00Z", "completedNodes": done.to_string(),
        },
    })
}

/// The page that a query asks for.
fn page(query: &str, total: usize, item: impl Fn(usize) -> Value) -> Value {
    let value = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse::<usize>().ok())
    };
    let start = value("continue").unwrap_or(0);
    let end = total.min(start + value("limit").unwrap_or(total));
    let items: Vec<_> = (start..end).map(item).collect();
    let next = if end < total { end.to_string() } else { String::new() };
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1", "continue": next}, "items": items})
}

fn answer(target: &str) -> Value {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path {
        "/api/v1/nodes" => page(query, NODES, node),
        "/api/v1/namespaces/default/pods" => page(query, NODES, pod),
        "/apis/daemonset.darkowlzz.space/v1beta1/namespaces/default/jobs/big" => {
            job("big", NODES, RUNNING)
        }
        "/apis/daemonset.darkowlzz.space/v1beta1/jobs" => {
            page(query, JOBS, |number| job(&format!("job-{number}"), 1_000, 1))
        }
        _ => panic!("nobody should ask for {target}"),
    }
}

fn serve(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            head.push(line);
        }
        let body = answer(head[0].split(' ').nth(1).expect("a target")).to_string();
        let header = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if stream
            .write_all(header.as_bytes())
            .and_then(|()| stream.write_all(body.as_bytes()))
            .is_err()
        {
            return;
        }
    }
}

/// The output of a command, and the most memory that it had, in KiB.
fn run(words: &[&str]) -> (String, u64, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("kubeconfig");
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}], "users": [{"name": "c", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    });
    std::fs::write(&file, kubeconfig.to_string()).expect("written");
    let started = Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_kubectl-dsjob"))
        .args(words)
        .env("KUBECONFIG", &file)
        .env_remove("COLUMNS")
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.expect("started");
    let mut stdout = child.stdout.take().expect("piped");
    let output = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).expect("text");
        text
    });
    let peak = watch(&mut child);
    assert!(child.wait().expect("ended").success(), "{words:?}");
    (output.join().expect("read"), peak, started.elapsed())
}

/// The most memory that a process has until it ends.
fn watch(child: &mut Child) -> u64 {
    let file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().expect("a child").is_none() {
        let status = std::fs::read_to_string(&file).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    peak
}

#[test]
fn status_on_5_000_nodes_takes_60_mib_at_most() {
    let (text, peak, took) = run(&["status", "big"]);
    assert!(text.starts_with("big (default)   Running"), "{text:.200}");
    assert!(text.lines().next().is_some_and(|line| line.contains("4990/5000")), "{text:.200}");
    assert_eq!(
        text.lines()
            .filter(|line| line.contains(" Running  ") && line.starts_with("node-"))
            .count(),
        RUNNING
    );
    assert_eq!(text.lines().filter(|line| line.contains(" Done ")).count(), NODES - RUNNING);
    assert!(peak > 0 && peak < MEMORY_KIB, "{peak} KiB");
    assert!(took < TIME, "{took:?}");
}

#[test]
fn list_of_1_000_jobs_takes_60_mib_at_most() {
    let (text, peak, took) = run(&["list", "-A"]);
    assert_eq!(text.lines().count(), JOBS + 1);
    assert!(text.contains("999/1000"), "{text:.200}");
    assert!(peak > 0 && peak < MEMORY_KIB, "{peak} KiB");
    assert!(took < TIME, "{took:?}");
}
