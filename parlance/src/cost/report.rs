//! An estimate for people, and for programs.

use std::fmt::Write as _;

use parlance_shared::prices::PriceTable;
use serde_json::{Map, Value, json};

use super::{
    deployment::Deployment,
    estimate::{Basis, Estimate, Part},
    levers::levers,
    workload::assumptions,
};
use crate::operator::output::plain;

const WORDS: usize = 26;
const COLUMN: usize = 13;

pub(super) fn text(basis: &Basis<'_>, models: &PriceTable) -> String {
    let cost = &basis.cost;
    let work = basis.workload();
    let estimates = Deployment::ALL.map(|deployment| basis.estimate(deployment));
    let mut text = String::new();
    let mut line = |line: String| {
        let _ = writeln!(text, "{}", line.trim_end());
    };
    line(format!(
        "US dollars a month: {} messages a day, {} tokens in and {} out by {}; {}{}, {} GiB; region of tier {}",
        thousands(f64::from(cost.messages_per_day), 0),
        thousands(f64::from(cost.input_tokens), 0),
        thousands(f64::from(cost.output_tokens), 0),
        if basis.model.is_some() { plain(&cost.model) } else { "a model of your own (not counted)".to_owned() },
        cost.database,
        if cost.ha { " with a standby" } else { "" },
        cost.database_gib,
        cost.region_tier,
    ));
    line(String::new());
    line(row("", estimates.iter().map(|estimate| estimate.deployment.words().to_owned())));
    for part in Part::ALL {
        line(row(part.words(), estimates.iter().map(|estimate| dollars(estimate.of(part)))));
    }
    line(row("total", estimates.iter().map(|estimate| dollars(estimate.total()))));
    line(row(
        "without the model",
        estimates.iter().map(|estimate| dollars(estimate.total() - estimate.of(Part::LanguageModel))),
    ));
    if work.messages > 0.0 {
        line(row("for 1,000 messages", estimates.iter().map(|estimate| dollars(per_1000(estimate, work.messages)))));
    }
    line(String::new());
    line(format!(
        "push-zero: no instances without work. push-warm: {} kept of each service, CPU billed while a request is open.",
        cost.min_instances
    ));
    line("push-always: the same, CPU always there and billed. pull: workers in worker pools, ingest-api as in push-warm.".to_owned());
    line(String::new());
    let Some(chosen) = estimates.iter().find(|estimate| estimate.deployment == cost.deployment) else { return text };
    let dearest: Vec<String> =
        chosen.dearest().into_iter().map(|(part, share)| format!("{} {:.0} %", part.words(), share * 100.0)).collect();
    line(format!("What {} spends most on: {}.", cost.deployment.words(), dearest.join(", ")));
    let levers = levers(basis, cost.deployment, models);
    if !levers.is_empty() {
        line("What would save most there, each by itself:".to_owned());
    }
    for lever in levers {
        line(format!("  {:>9}  {}", dollars(lever.saves), plain(&lever.what)));
    }
    line(String::new());
    line("Assumed:".to_owned());
    for assumption in assumptions(cost, &work) {
        line(format!("- {assumption}"));
    }
    let free =
        if cost.without_free_amounts { "without Google's free amounts" } else { "Google's free amounts are taken off" };
    line(format!(
        "- list prices of {}, not compared with the live pages ({}); {free}",
        plain(&basis.prices.date),
        if basis.prices.sources.is_empty() { "no sources" } else { "--json has the sources" }
    ));
    text
}

pub(super) fn json(basis: &Basis<'_>, models: &PriceTable) -> Value {
    let cost = &basis.cost;
    let work = basis.workload();
    let estimates = Deployment::ALL.map(|deployment| basis.estimate(deployment));
    let deployments: Vec<Value> = estimates
        .iter()
        .map(|estimate| {
            let parts: Map<String, Value> = Part::ALL
                .iter()
                .map(|part| (json!(part).as_str().unwrap_or_default().to_owned(), json!(cents(estimate.of(*part)))))
                .collect();
            let each = (work.messages > 0.0).then(|| cents(per_1000(estimate, work.messages)));
            json!({ "deployment": estimate.deployment, "parts": parts, "total_usd": cents(estimate.total()),
                    "usd_per_1000_messages": each })
        })
        .collect();
    let dominates: Vec<Value> = estimates
        .iter()
        .filter(|estimate| estimate.deployment == cost.deployment)
        .flat_map(Estimate::dearest)
        .map(|(part, share)| json!({ "part": part, "share": cents(share) }))
        .collect();
    let levers: Vec<Value> = levers(basis, cost.deployment, models)
        .into_iter()
        .map(|lever| json!({ "change": lever.what, "saves_usd": cents(lever.saves) }))
        .collect();
    json!({
        "inputs": {
            "messages_per_day": cost.messages_per_day, "input_tokens": cost.input_tokens, "output_tokens": cost.output_tokens,
            "model": cost.model, "min_instances": cost.min_instances, "region_tier": cost.region_tier, "ha": cost.ha,
            "database": cost.database.to_string(), "database_gib": cost.database_gib, "hours_of_use": cost.hours_of_use,
            "tokens_per_second": cost.tokens_per_second, "first_token_seconds": cost.first_token_seconds,
            "concurrency": cost.concurrency, "vcpus": cost.vcpus, "memory_mib": cost.memory_mib,
            "without_free_amounts": cost.without_free_amounts, "deployment": cost.deployment,
        },
        "deployments": deployments,
        "dominates": dominates,
        "levers": levers,
        "assumptions": assumptions(cost, &work),
        "prices": { "date": basis.prices.date, "sources": basis.prices.sources },
    })
}

fn row(words: &str, cells: impl Iterator<Item = String>) -> String {
    cells.fold(format!("{words:<WORDS$}"), |mut row, cell| {
        let _ = write!(row, "{cell:>COLUMN$}");
        row
    })
}

fn per_1000(estimate: &Estimate, messages: f64) -> f64 {
    estimate.total() / messages * 1000.0
}

fn dollars(usd: f64) -> String {
    thousands(usd, 2)
}

/// A number with so many digits behind the point, in groups of three before it.
fn thousands(number: f64, digits: usize) -> String {
    let plain = format!("{:.digits$}", number.abs());
    let (whole, rest) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.char_indices() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let is_zero = plain.chars().all(|c| matches!(c, '0' | '.'));
    let sign = if number < 0.0 && !is_zero { "-" } else { "" };
    format!("{sign}{grouped}{rest}")
}

fn cents(usd: f64) -> f64 {
    let rounded = (usd * 100.0).round() / 100.0;
    // No -0.
    rounded + 0.0
}
