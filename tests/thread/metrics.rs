//! What `examples/metrics.rs` writes is what Prometheus reads: its text format, version 0.0.4.

use std::collections::{HashMap, HashSet};

use rawthread::Builder;

use crate::common::in_subprocess;

#[path = "../../examples/metrics.rs"]
#[allow(dead_code, reason = "the rest is the example's main")]
mod example;

/// Samples by metric, then by labels.
fn parse(text: &str) -> HashMap<String, HashMap<String, f64>> {
    let (mut types, mut helps) = (HashSet::new(), HashSet::new());
    let mut metrics: HashMap<String, HashMap<String, f64>> = HashMap::new();
    let mut last = String::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let (word, rest) = comment.split_once(' ').unwrap();
            let (name, rest) = rest.split_once(' ').unwrap();
            let is_new = match word {
                "HELP" => helps.insert(name.to_owned()),
                "TYPE" => {
                    assert!(["counter", "gauge"].contains(&rest), "{line}");
                    types.insert(name.to_owned())
                }
                _ => panic!("{line}"),
            };
            assert!(is_new && !metrics.contains_key(name), "{line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = match series.split_once('{') {
            None => (series, ""),
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
        };
        assert!(
            types.contains(name) && helps.contains(name),
            "{line} before its type"
        );
        // The samples of a metric are one group.
        assert!(last == name || !metrics.contains_key(name), "{line}");
        last = name.to_owned();
        let value = value.parse().unwrap();
        let old = metrics
            .entry(last.clone())
            .or_default()
            .insert(labels.to_owned(), value);
        assert_eq!(old, None, "{line} twice");
    }
    metrics
}

#[test]
fn the_example_writes_what_prometheus_reads() {
    if !in_subprocess("metrics::the_example_writes_what_prometheus_reads") {
        return;
    }
    let names = ["plain", "a \"quoted\" \\ name", "two\nlines"];
    let escaped = ["plain", "a \\\"quoted\\\" \\\\ name", "two\\nlines"];
    let threads = names.map(|name| {
        let builder = Builder::new().name(name.into());
        builder.spawn(rawthread::park).unwrap()
    });
    let metrics = parse(&example::scrape().unwrap());
    assert_eq!(metrics["threads"][""], 3.0);
    for (thread, name) in threads.iter().zip(escaped) {
        let labels = format!("name=\"{name}\",tid=\"{}\"", thread.tid());
        let value = |metric: &str| metrics[metric][&labels];
        assert!(value("thread_cpu_seconds_total") < 60.0);
        assert!(value("thread_stack_bytes") >= 2_097_152.0);
        assert!(value("thread_stack_touched_bytes") <= value("thread_stack_bytes"));
        assert!([0.0, 1.0].contains(&value("thread_running")));
    }
    for thread in threads {
        thread.thread().unpark();
        thread.join().unwrap();
    }
}
