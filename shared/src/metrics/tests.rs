use std::collections::BTreeMap;

use super::*;

#[test]
fn renders_what_was_counted() {
    let metrics = Metrics::new();
    metrics.accepted.inc();
    metrics.dead_letters.inc("llm-worker");
    metrics.provider_circuit_open.set("openai", 1);
    metrics.queue_delay.observe(Duration::from_millis(3));
    let text = metrics.render();
    assert!(text.contains("parlance_accepted_messages_total 1"), "{text}");
    assert!(text.contains("parlance_dead_letters_total{subscription=\"llm-worker\"} 1"), "{text}");
    assert!(text.contains("parlance_provider_circuit_open{provider=\"openai\"} 1"), "{text}");
    assert!(text.contains("parlance_queue_delay_seconds_count 1"), "{text}");
}

/// Name and type of each metric that has a value.
fn shown(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types
        .map(|(name, kind)| {
            let suffix = if kind == "counter" { "_total" } else { "" };
            (format!("{name}{suffix}"), kind.to_owned())
        })
        .collect()
}

/// Name and type of each line of the table.
fn documented() -> BTreeMap<String, String> {
    let table = include_str!("../../../docs/metrics.md").lines().filter_map(|line| line.strip_prefix("| `parlance_"));
    let columns = table.map(|line| line.split(" | ").map(str::trim).collect::<Vec<_>>());
    columns.map(|columns| (format!("parlance_{}", columns[0].trim_end_matches('`')), columns[1].to_owned())).collect()
}

#[test]
fn the_list_in_the_documentation_is_all_there_is() {
    let metrics = Metrics::new();
    let second = Duration::from_secs(1);
    for counter in [
        &metrics.tokens,
        &metrics.tasks_ended,
        &metrics.tasks_failed,
        &metrics.attempts_retried,
        &metrics.bus_retries,
        &metrics.dead_letters,
        &metrics.reply_cache_requests,
        &metrics.calls_refused,
        &metrics.webhooks,
        &metrics.http_responses,
        &metrics.trace_spans,
    ] {
        counter.inc("x");
    }
    let gauges = [&metrics.provider_circuit_open, &metrics.bus_waiting, &metrics.bus_oldest_waiting];
    gauges.into_iter().chain([&metrics.bus_dead_letters]).for_each(|gauge| gauge.set("x", 1));
    metrics.http.answered("GET", "/", "2xx", second);
    metrics.llm.asked("x");
    metrics.llm.failed("x", "y");
    metrics.llm.first_token("x", second);
    let text = metrics.render();
    assert_eq!(shown(&text), documented(), "{text}");
}
