//! The crash test's result, as people read it.

use std::fmt::Write as _;

use super::findings::{Findings, Flaw};
use crate::stats::percentile;

/// Findings beyond these are only counted.
const SHOWN: usize = 30;

/// The report; `true` when every promise was kept.
pub fn report(findings: &Findings, seed: u64) -> (String, bool) {
    let found = findings.findings();
    let mut text = format!("crash test, seed {seed}\n\n");
    for (what, count) in findings.counts() {
        let _ = writeln!(text, "{count:>8}  {what}");
    }
    let _ = writeln!(text, "\nrecovery:");
    for (what, samples) in findings.recovery_ms() {
        let [p50, p95, most] = [0.5, 0.95, 1.0].map(|part| percentile(&samples, part));
        let count = samples.len();
        let _ = writeln!(text, "  {what}: p50 {p50:.0} ms, p95 {p95:.0} ms, most {most:.0} ms, {count} samples");
    }
    text.push('\n');
    let totals: Vec<String> = Flaw::ALL
        .iter()
        .map(|flaw| format!("{} {flaw:?}", found.iter().filter(|finding| finding.flaw == *flaw).count()))
        .collect();
    let _ = writeln!(text, "found: {}", totals.join(", "));
    for finding in found.iter().take(SHOWN) {
        let _ = writeln!(text, "  {finding}");
    }
    (text, found.is_empty())
}
