//! The operator before an API server that is too old for it.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::Command,
};

use serde_json::json;

/// Tells a version of Kubernetes whatever it is asked.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let header = BufReader::new(stream.try_clone()?).lines();
    for line in header {
        if line?.is_empty() {
            break;
        }
    }
    let version = json!({
        "major": "1", "minor": "30+", "gitVersion": "v1.30.14-eks", "gitCommit": "", "gitTreeState": "",
        "buildDate": "", "goVersion": "", "compiler": "", "platform": "",
    });
    let (body, kind) = (version.to_string(), "application/json");
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

#[test]
fn an_api_server_that_is_too_old_is_refused_at_start() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap()).unwrap();
        }
    });
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "old",
        "clusters": [{"name": "old", "cluster": {"server": server}}],
        "users": [{"name": "old", "user": {}}],
        "contexts": [{"name": "old", "context": {"cluster": "old", "user": "old"}}],
    });
    let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/too-old.kubeconfig");
    std::fs::write(path, kubeconfig.to_string()).unwrap();
    let operator = env!("CARGO_BIN_EXE_operator");
    let output = Command::new(operator).env_clear().env("KUBECONFIG", path).output().unwrap();
    let log = [output.stdout, output.stderr].concat();
    let log = String::from_utf8_lossy(&log);
    assert_eq!(output.status.code(), Some(1), "{log}");
    let message = "the API server is of Kubernetes 1.30 (v1.30.14-eks), which is too old: 1.31 or later is needed";
    assert!(log.contains(message), "{log}");
}
