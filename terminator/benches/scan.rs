//! Measures the scanner, a chunk at a time as a connection delivers it.
//!
//! `cargo bench --package terminator` runs it with the release profile, so with the code that the image
//! holds. At least 2 GB/s are promised for lines without the word.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use terminator::scan::Scanner;

/// Bytes that hyper delivers of a busy connection at a time.
const CHUNK: usize = 8 * 1024;
/// Bytes of a log: more than a processor's caches hold, so that the memory counts.
const LOG: usize = 64 * 1024 * 1024;

fn log(line: &str) -> Vec<u8> {
    line.as_bytes().iter().copied().cycle().take(LOG).collect()
}

fn scan(criterion: &mut Criterion) {
    let logs = [
        // What services log.
        (
            "plain",
            "2026-01-31T14:25:36.123456Z INFO request served path=/healthz status=200 ms=3\n",
        ),
        // Words that contain the word: each match must be checked.
        ("part of words", "10:25:36 the abandoned and undone items were overdone by the node\n"),
        ("lines of one byte", "\n"),
    ];
    let mut group = criterion.benchmark_group("scan");
    group.sample_size(10);
    for (name, line) in logs {
        let log = log(line);
        group.throughput(Throughput::Bytes(LOG as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &log, |bencher, log| {
            bencher.iter(|| {
                let mut scanner = Scanner::new("done");
                log.chunks(CHUNK).any(|chunk| scanner.push(black_box(chunk)))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
